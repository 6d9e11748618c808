//! Pace: whether a client takes what it is sent fast enough. A pure function of times and counts.
//!
//! What counts is what the peer has acknowledged (bytes sent less SIOCOUTQ, `tcp(7)`), not what
//! the socket has taken: a buffer of megabytes would hide a client that reads one byte a second.

use crate::config::Limits;
use std::time::Instant;

/// Since when, and from which count on, the client is being watched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    since: Instant,
    acknowledged: u64,
}

/// What to do about a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Look again then.
    GoOn(Instant),
    /// Let it go.
    TooSlow,
}

impl Pace {
    /// Begins to watch.
    pub(crate) fn new(now: Instant, acknowledged: u64) -> Self {
        Self { since: now, acknowledged }
    }

    /// When to look next.
    pub(crate) fn deadline(&self, limits: &Limits) -> Instant {
        self.since + limits.send
    }

    /// Looks at how far the client has come.
    pub(crate) fn judge(&mut self, now: Instant, acknowledged: u64, limits: &Limits) -> Verdict {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < limits.send {
            return Verdict::GoOn(self.deadline(limits));
        }
        let taken = acknowledged.saturating_sub(self.acknowledged);
        let least = (limits.min_send_rate as f64 * elapsed.as_secs_f64()) as u64;
        if taken < least.max(1) {
            return Verdict::TooSlow;
        }
        *self = Self::new(now, acknowledged);
        Verdict::GoOn(self.deadline(limits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn limits(min_send_rate: u64) -> Limits {
        let span = Duration::from_secs(10);
        Limits { header: span, body: span, max_body: 0, idle: span, send: span, min_send_rate }
    }

    #[test]
    fn a_client_is_judged_by_what_it_acknowledges_in_a_whole_period() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(start, 1000);
        assert_eq!(pace.judge(at(9), 1000, &limits(100)), Verdict::GoOn(at(10)));
        assert_eq!(pace.judge(at(10), 2000, &limits(100)), Verdict::GoOn(at(20)));
        assert_eq!(pace.judge(at(20), 2999, &limits(100)), Verdict::TooSlow);
    }

    #[test]
    fn without_a_least_rate_one_byte_is_enough_and_none_is_not() {
        let start = Instant::now();
        let later = start + Duration::from_secs(10);
        assert_eq!(Pace::new(start, 5).judge(later, 5, &limits(0)), Verdict::TooSlow);
        assert!(matches!(Pace::new(start, 5).judge(later, 6, &limits(0)), Verdict::GoOn(_)));
    }
}
