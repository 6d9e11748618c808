//! A line of the log that is not repeated for each of thousands.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// How often it may be said.
const EVERY: Duration = Duration::from_secs(10);

/// When something was said last.
#[derive(Debug, Default)]
pub(super) struct Seldom(Cell<Option<Instant>>);

impl Seldom {
    /// Whether it may be said now. Then it has been.
    pub(super) fn may_be_said(&self, now: Instant) -> bool {
        let may = self.0.get().is_none_or(|said| now.saturating_duration_since(said) >= EVERY);
        if may {
            self.0.set(Some(now));
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_and_then_not_for_a_while() {
        let (seldom, now) = (Seldom::default(), Instant::now());
        let said =
            [0, 1, 9, 10, 11, 20].map(|at| seldom.may_be_said(now + Duration::from_secs(at)));
        assert_eq!(said, [true, false, false, true, false, true]);
    }
}
