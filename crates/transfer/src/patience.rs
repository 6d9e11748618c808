//! Patience: how long a front waits for a socket that takes nothing. Pure: time is an argument.

use std::time::{Duration, Instant};

/// The limit starts anew whenever the socket has taken something. Neither a signal that interrupts
/// the wait nor a wake-up for nothing prolongs it.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Option<Duration>,
    remaining: u64,
    since: Instant,
}

/// The socket took nothing for as long as was allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Patience {
    pub(crate) fn new(limit: Option<Duration>, remaining: u64, now: Instant) -> Self {
        Self { limit, remaining, since: now }
    }

    /// How long to wait now that `remaining` bytes are still unsent; `None` is for ever.
    ///
    /// To be asked after a step has found the socket full, not when the wait is over: poll(2) calls
    /// a TCP socket writable only when a third of its buffer is free, so a slow reader may have
    /// taken something all the same. The step tells.
    pub(crate) fn left(
        &mut self,
        remaining: u64,
        now: Instant,
    ) -> Result<Option<Duration>, Exhausted> {
        if remaining != self.remaining {
            (self.remaining, self.since) = (remaining, now);
        }
        let Some(limit) = self.limit else { return Ok(None) };
        match limit.checked_sub(now.saturating_duration_since(self.since)) {
            None | Some(Duration::ZERO) => Err(Exhausted),
            left => Ok(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_progress_renews_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let left = |seconds| Ok(Some(Duration::from_secs(seconds)));
        let mut patience = Patience::new(Some(Duration::from_secs(10)), 100, start);
        assert_eq!(patience.left(100, at(0)), left(10));
        assert_eq!(patience.left(100, at(4)), left(6), "interrupted: the rest");
        assert_eq!(patience.left(99, at(10)), left(10), "one byte is progress");
        assert_eq!(patience.left(99, at(19)), left(1));
        assert_eq!(patience.left(99, at(20)), Err(Exhausted));
        assert_eq!(Patience::new(None, 1, start).left(1, at(1 << 30)), Ok(None));
    }
}
