//! When freed memory is given back to the kernel: glibc does not do that by itself (`malloc_trim(3)`).
//!
//! The heap belongs to the process, so all workers count together and one of them has it done.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// So many more connections have to be parked than there were before it is worthwhile: they leave
/// behind some 370 KB. It takes 0.7 ms after 2,000 and 1.6 ms after 10,000.
const WORTHWHILE: usize = 200;

/// The least time between two.
const APART: Duration = Duration::from_secs(5);

/// In the midst of a mass parking it would have to be done again: so it waits until for so long …
const SETTLED: Duration = Duration::from_millis(500);

/// … not so many more have been parked.
const GROWTH: usize = 64;

/// So long after it became worthwhile it is done even if they never settle.
const AT_LAST: Duration = Duration::from_secs(10);

const NEVER: u64 = u64::MAX;

/// How many connections are parked in the whole process, and when memory was given back.
#[derive(Debug)]
pub(super) struct Trim {
    /// Times are kept as microseconds since then.
    origin: Instant,
    parked: AtomicUsize,
    /// The fewest that have been parked since the last time.
    least: AtomicUsize,
    /// Since when it has been worthwhile, or [`NEVER`].
    worthwhile: AtomicU64,
    /// When there last were [`GROWTH`] more, and how many that was.
    grown: AtomicU64,
    grown_to: AtomicUsize,
    /// The next time is not before this.
    not_before: AtomicU64,
}

impl Trim {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            parked: AtomicUsize::new(0),
            least: AtomicUsize::new(0),
            worthwhile: AtomicU64::new(NEVER),
            grown: AtomicU64::new(0),
            grown_to: AtomicUsize::new(0),
            not_before: AtomicU64::new(0),
        }
    }

    /// One more is parked.
    pub(super) fn has_parked(&self) {
        self.parked.fetch_add(1, Relaxed);
    }

    /// So many are parked no more.
    pub(super) fn have_left(&self, count: usize) {
        let left = self.parked.fetch_sub(count, Relaxed) - count;
        self.least.fetch_min(left, Relaxed);
        self.grown_to.fetch_min(left, Relaxed);
    }

    /// Whether whoever asks is to give memory back now: of those who ask at once it is one.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let Some(parked) = self.worthwhile() else {
            self.worthwhile.store(NEVER, Relaxed);
            return false;
        };
        let now = micros(now.saturating_duration_since(self.origin));
        self.worthwhile.fetch_min(now, Relaxed);
        if parked >= self.grown_to.load(Relaxed) + GROWTH {
            self.grown_to.store(parked, Relaxed);
            self.grown.store(now, Relaxed);
        }
        let not_before = self.not_before.load(Relaxed);
        if now < self.due_at(not_before) {
            return false;
        }
        let next = now + micros(APART);
        if self.not_before.compare_exchange(not_before, next, Relaxed, Relaxed).is_err() {
            return false;
        }
        self.least.store(parked, Relaxed);
        self.worthwhile.store(NEVER, Relaxed);
        true
    }

    /// When to ask again, if it is worthwhile already.
    pub(super) fn next(&self) -> Option<Instant> {
        self.worthwhile()?;
        let due_at = self.due_at(self.not_before.load(Relaxed));
        Some(self.origin + Duration::from_micros(due_at))
    }

    fn due_at(&self, not_before: u64) -> u64 {
        let settled = self.grown.load(Relaxed) + micros(SETTLED);
        let at_last = self.worthwhile.load(Relaxed).saturating_add(micros(AT_LAST));
        settled.min(at_last).max(not_before)
    }

    /// How many are parked, if that is enough.
    fn worthwhile(&self) -> Option<usize> {
        let parked = self.parked.load(Relaxed);
        (parked >= self.least.load(Relaxed) + WORTHWHILE).then_some(parked)
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn park(trim: &Trim, count: usize) {
        (0..count).for_each(|_| trim.has_parked());
    }

    /// So many are parked; asked about that once before, and once they have settled.
    fn settled(trim: &Trim, count: usize, now: Instant) -> bool {
        park(trim, count);
        assert!(!trim.is_due(now), "not at once");
        trim.is_due(now + SETTLED)
    }

    #[test]
    fn workers_count_together_and_one_does_it() {
        let now = Instant::now();
        let trim = Trim::new(now);
        let asks = |now| (0..16).filter(|_| trim.is_due(now)).count();
        let mut done = 0;
        for _ in 0..16 {
            park(&trim, 12);
            done += asks(now) + asks(now + SETTLED);
        }
        assert_eq!((done, trim.next()), (0, None), "192 are not worth it");
        park(&trim, 8);
        assert_eq!(asks(now), 0);
        assert_eq!(trim.next(), Some(now + SETTLED));
        assert_eq!((asks(now + SETTLED), trim.next()), (1, None));
    }

    #[test]
    fn of_threads_that_ask_at_once_one_does_it() {
        let now = Instant::now();
        let trim = Trim::new(now);
        park(&trim, WORTHWHILE);
        assert!(!trim.is_due(now));
        let done: usize = std::thread::scope(|scope| {
            let ask = || usize::from(trim.is_due(now + SETTLED));
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(done, 1);
    }

    #[test]
    fn what_counts_is_how_many_more_there_are_than_there_were() {
        let now = Instant::now();
        let trim = Trim::new(now);
        assert!(settled(&trim, 5000, now));
        let later = now + APART * 2;
        trim.have_left(150);
        assert!(!settled(&trim, 199, later), "199 more than the fewest");
        assert!(settled(&trim, 1, later));
    }

    #[test]
    fn a_mass_parking_is_waited_for_but_not_for_ever() {
        let now = Instant::now();
        let trim = Trim::new(now);
        park(&trim, WORTHWHILE);
        let step = SETTLED / 2;
        let mut at = now;
        while at < now + AT_LAST {
            assert!(!trim.is_due(at), "more are parked all the time");
            park(&trim, GROWTH);
            at += step;
        }
        assert!(trim.is_due(at));
    }

    #[test]
    fn a_while_lies_between_two_and_the_time_of_the_next_is_known() {
        let now = Instant::now();
        let trim = Trim::new(now);
        assert!(settled(&trim, WORTHWHILE, now));
        let next = now + SETTLED + APART;
        assert!(!settled(&trim, WORTHWHILE, now + APART / 2));
        assert_eq!(trim.next(), Some(next));
        assert!(trim.is_due(next));
    }
}
