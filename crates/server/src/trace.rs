//! What an arriving file leaves in the page cache: of a large one nothing, so that it does not push out what others read.
//!
//! What has arrived is sent to the disk at once, window by window, while the next ones arrive; what is on the disk is given
//! back. So the fsync(2) at the end finds little to do, and no more than a few windows are ever in memory.

use clap::ValueEnum;
use sendrail_sys::{Advice, WriteOut, fadvise, fstat, sync_range};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

/// What stays in the page cache of what arrives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Remains {
    /// Files of less than 64 MiB
    #[default]
    Small,
    /// Everything, as after cp
    All,
    /// Nothing
    None,
}

impl Remains {
    /// From how many bytes on nothing stays of a file.
    fn above(self) -> u64 {
        match self {
            Self::Small => LARGE,
            Self::All => u64::MAX,
            Self::None => 0,
        }
    }

    /// Gives back what there is of a file that is on the disk, unless it may stay.
    pub(crate) fn forget(self, file: BorrowedFd<'_>) {
        if fstat(file).is_ok_and(|stat| stat.len >= self.above()) {
            let _ = fadvise(file, 0, 0, Advice::DontNeed);
        }
    }
}

/// From this length in bytes on a file is large: smaller ones are likelier to be read soon, and cost others little.
const LARGE: u64 = 64 << 20;
/// What is written out at once, in bytes. A multiple of the largest folio: one that reaches out of what is dropped would stay
/// (posix_fadvise(2)).
const WINDOW: u64 = 8 << 20;
/// Windows on their way to the disk before the first of them is waited for.
const UNDER_WAY: u64 = 2;

/// Follows a file that arrives.
#[derive(Debug)]
pub(crate) struct Trace<F> {
    file: F,
    /// From how many bytes on nothing is to stay.
    above: u64,
    /// Up to here the writing has begun, and up to here it is done and the pages are given back: whole windows.
    begun: u64,
    dropped: u64,
    is_refused: bool,
    /// System calls.
    pub(crate) calls: u64,
}

impl<F: AsFd> Trace<F> {
    /// Of a file of which bytes arrive from `from` on. `size`: of the whole, if that is known.
    pub(crate) fn new(remains: Remains, file: F, from: u64, size: Option<u64>) -> Self {
        let above = remains.above();
        // Then also its beginning.
        let above = if size.is_some_and(|size| size >= above) { 0 } else { above };
        let start = from / WINDOW * WINDOW;
        Self { file, above, begun: start, dropped: start, is_refused: false, calls: 0 }
    }

    /// All up to `end` has arrived, and been read for its checksum.
    ///
    /// # Errors
    ///
    /// It cannot be written to the disk. fsync(2) would not say so again.
    pub(crate) fn up_to(&mut self, end: u64) -> io::Result<()> {
        while end >= self.above && end - self.begun >= WINDOW && !self.is_refused {
            self.sync(self.begun, WriteOut::Begin)?;
            self.begun += WINDOW;
            if self.begun - self.dropped > UNDER_WAY * WINDOW {
                self.sync(self.dropped, WriteOut::Finish)?;
                self.drop(self.dropped, WINDOW);
                self.dropped += WINDOW;
            }
        }
        Ok(())
    }

    fn sync(&mut self, offset: u64, how: WriteOut) -> io::Result<()> {
        self.calls += 1;
        match sync_range(self.file.as_fd(), offset, WINDOW, how) {
            Err(error) if is_refusal(&error) => {
                self.is_refused = true;
                Ok(())
            }
            other => other,
        }
    }

    /// It is advice: where it is not taken, pages stay.
    fn drop(&mut self, offset: u64, len: u64) {
        self.calls += 1;
        let _ = fadvise(self.file.as_fd(), offset, len, Advice::DontNeed);
    }
}

fn is_refusal(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let refusals = [Errno::NOSYS, Errno::INVAL, Errno::PERM, Errno::OPNOTSUPP, Errno::SPIPE];
    Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
}
