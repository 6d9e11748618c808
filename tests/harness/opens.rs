//! Tells whether anybody has opened a file: the kernel counts, inotify(7) reports.

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::{Errno, read},
};
use std::{os::fd::OwnedFd, path::Path};

/// A watch on one file, of any kind.
///
/// An open with O_PATH, which has no effect on the file, is none here (`fsnotify` leaves those
/// out). The report is queued before `open` returns, so there is nothing to wait for.
pub(crate) struct Opens(OwnedFd);

impl Opens {
    /// From now on.
    pub(crate) fn of(path: &Path) -> Self {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&queue, path, WatchFlags::OPEN).unwrap();
        Self(queue)
    }

    /// Whether it was opened since this was last asked.
    pub(crate) fn any(&self) -> bool {
        let mut opened = false;
        loop {
            match read(&self.0, &mut [0_u8; 4096]) {
                Ok(_) => opened = true,
                Err(Errno::AGAIN) => return opened,
                Err(error) => panic!("reading inotify: {error}"),
            }
        }
    }
}
