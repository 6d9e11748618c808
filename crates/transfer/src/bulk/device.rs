//! What is known of a disk from having read it: how far the kernel reads ahead there, whether it takes
//! its time with each request, and whether it reads without leaving anything in the page cache.

use std::{
    fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// A window that takes longer than this is one of a disk that is slow, or has been made to be: there
/// each request counts, however small.
const SLOW: Duration = Duration::from_millis(250);

/// What takes less than this is of one that is not.
const FAST: Duration = Duration::from_millis(50);

/// What the kernel may read ahead where its setting cannot be read, in bytes: more than nearly anybody
/// sets.
const UNKNOWN: u64 = 16 << 20;

/// A device that files lie on.
#[derive(Debug)]
pub(super) struct Device {
    number: u64,
    /// What the kernel may read ahead, in bytes: its setting, for what it reads at once, for what it
    /// reads ahead of that, and for good measure (POSIX_FADV_SEQUENTIAL doubles it).
    pub(super) read_ahead: u64,
    slow: AtomicBool,
    no_uncached: AtomicBool,
}

impl Device {
    /// The device of this number (`st_dev`, `stat(2)`).
    pub(super) fn of(number: u64) -> Arc<Self> {
        static KNOWN: Mutex<Vec<Arc<Device>>> = Mutex::new(Vec::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = known.iter().find(|device| device.number == number) {
            return Arc::clone(device);
        }
        let device = Arc::new(Self::new(number, setting(number).unwrap_or(UNKNOWN)));
        known.push(Arc::clone(&device));
        device
    }

    fn new(number: u64, read_ahead: u64) -> Self {
        // Slow until it has shown that it is not: the first file is worth little.
        let (slow, no_uncached) = (AtomicBool::new(true), AtomicBool::new(false));
        Self { number, read_ahead, slow, no_uncached }
    }

    /// A thread has waited so long for a window.
    pub(super) fn has_taken(&self, time: Duration) {
        if time >= SLOW {
            self.slow.store(true, Ordering::Relaxed);
        } else if time < FAST && self.is_slow() {
            self.slow.store(false, Ordering::Relaxed);
        }
    }

    /// Whether every request counts.
    pub(super) fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    /// The kernel refuses RWF_DONTCACHE for files here: before 6.14, and on some file systems.
    pub(super) fn refuses_uncached(&self) {
        self.no_uncached.store(true, Ordering::Relaxed);
    }

    /// Whether RWF_DONTCACHE is worth a try.
    pub(super) fn may_go_uncached(&self) -> bool {
        !self.no_uncached.load(Ordering::Relaxed)
    }
}

fn setting(number: u64) -> Option<u64> {
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let setting = fs::read_to_string(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"));
    let kib = setting.ok()?.trim().parse::<u64>().ok()?;
    Some(kib.saturating_mul(3 << 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_slow_from_a_long_wait_to_a_short_one() {
        let device = Device::new(1, 0);
        assert!(device.is_slow(), "as far as anybody knows");
        for (millis, slow) in [(50, true), (49, false), (249, false), (250, true), (4, false)] {
            device.has_taken(Duration::from_millis(millis));
            assert_eq!(device.is_slow(), slow, "after {millis} ms");
        }
    }

    #[test]
    fn one_device_is_known_once() {
        let (one, again) = (Device::of(u64::MAX), Device::of(u64::MAX));
        assert!(Arc::ptr_eq(&one, &again));
        assert_eq!(one.read_ahead, UNKNOWN, "there is none of this number");
        assert!(one.may_go_uncached());
        one.refuses_uncached();
        assert!(!again.may_go_uncached());
    }
}
