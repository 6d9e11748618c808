//! A writer that overwrites a file in place, again and again, with whole versions.

use super::TICK;
use crate::harness::eventually;
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::SystemTime,
};

/// What the writer has done, and whether it is to go on.
pub(super) struct Versions {
    written: AtomicUsize,
    stop: AtomicBool,
    /// Held while a version is being written.
    writing: Mutex<()>,
}

/// Runs `body` beside a writer that writes versions of `len` bytes, each of one byte over and over, each by one write(2).
pub(super) fn beside_a_writer(path: &Path, len: usize, body: impl FnOnce(&Versions)) {
    std::fs::write(path, vec![1; len]).unwrap();
    let versions = Versions {
        written: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        writing: Mutex::new(()),
    };
    thread::scope(|scope| {
        scope.spawn(|| versions.write(path, len));
        let _stop = Stop(&versions);
        body(&versions);
    });
}

impl Versions {
    fn write(&self, path: &Path, len: usize) {
        let file = File::options().write(true).open(path).unwrap();
        for version in (1_u8..=255).cycle() {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let writing = self.writing.lock().unwrap();
            assert_eq!(file.write_at(&vec![version; len], 0).unwrap(), len, "not in one piece");
            // The time of a file changes when a write begins. What was looked at since then is not of this version.
            file.set_modified(SystemTime::now()).unwrap();
            drop(writing);
            self.written.fetch_add(1, Ordering::Relaxed);
            thread::sleep(TICK);
        }
    }

    /// Waits until so many more have been written.
    pub(super) fn wait_for_more(&self, count: usize) {
        let until = self.written.load(Ordering::Relaxed) + count;
        eventually("more versions are written", || self.written.load(Ordering::Relaxed) >= until);
    }

    /// Keeps the writer from writing while `body` runs.
    pub(super) fn between<T>(&self, body: impl FnOnce() -> T) -> T {
        let _waits = self.writing.lock().unwrap();
        body()
    }
}

/// Lets the writer end when an assertion fails, too.
struct Stop<'a>(&'a Versions);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}
