//! The worker's clock: read once per event, so that everything decided about it agrees.

use rustix::time::{ClockId, Timespec, clock_gettime};
use sendrail_http::date::DateLine;
use std::time::{Duration, Instant};

/// The time as of the last [`tick`](Self::tick), to within a tick of the kernel (4 ms, mostly).
///
/// Deadlines, validity times and dates need no more, and the coarse clocks cost a quarter of the
/// exact ones (CLOCK_MONOTONIC_COARSE, `clock_gettime(2)`; both are read through the vDSO).
#[derive(Debug)]
pub(crate) struct Clock {
    /// One moment by both clocks: an [`Instant`] cannot be made from anything else.
    origin: (Instant, Duration),
    now: Instant,
    unix: Duration,
    /// When the wall clock was looked at, by the coarse clock, and what it said.
    wall: (Duration, Duration),
    line: DateLine,
}

/// How long the wall clock is reckoned from the other one before it is looked at again: somebody may
/// set it.
const RESYNC: Duration = Duration::from_millis(250);

impl Clock {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let coarse = read(ClockId::MonotonicCoarse);
        let unix = read(ClockId::RealtimeCoarse);
        Self { origin: (now, coarse), now, unix, wall: (coarse, unix), line: DateLine::new() }
    }

    /// Looks at the clock.
    pub(crate) fn tick(&mut self) {
        let coarse = read(ClockId::MonotonicCoarse);
        let (instant, origin) = self.origin;
        self.now = instant + coarse.saturating_sub(origin);
        if coarse.saturating_sub(self.wall.0) >= RESYNC {
            self.wall = (coarse, read(ClockId::RealtimeCoarse));
        }
        self.unix = self.wall.1 + coarse.saturating_sub(self.wall.0);
    }

    /// For deadlines and validity.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// For the log.
    pub(crate) fn unix(&self) -> Duration {
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

/// A clock that stands before its epoch counts as standing at it.
fn read(clock: ClockId) -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    Duration::new(u64::try_from(tv_sec).unwrap_or(0), u32::try_from(tv_nsec).unwrap_or(0))
}
