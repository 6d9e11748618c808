//! The worker's clock: read once per event, so that everything decided about it agrees.

use sendrail_http::date::DateLine;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The time as of the last [`tick`](Self::tick).
#[derive(Debug)]
pub(crate) struct Clock {
    now: Instant,
    unix: std::time::Duration,
    line: DateLine,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let mut clock =
            Self { now: Instant::now(), unix: std::time::Duration::ZERO, line: DateLine::new() };
        clock.tick();
        clock
    }

    /// Looks at the clocks: two reads through the vDSO, no system call.
    pub(crate) fn tick(&mut self) {
        self.now = Instant::now();
        self.unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    }

    /// For deadlines and validity.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// For validators and the log.
    pub(crate) fn unix(&self) -> std::time::Duration {
        self.unix
    }

    /// Seconds since 1970.
    pub(crate) fn unix_seconds(&self) -> i64 {
        self.unix.as_secs() as i64
    }

    /// The cached text of the Date field.
    pub(crate) fn date_line(&mut self) -> &mut DateLine {
        &mut self.line
    }

    /// The Date field's value.
    pub(crate) fn date(&mut self) -> &[u8; 29] {
        let second = self.unix.as_secs() as i64;
        self.line.at(second)
    }
}
