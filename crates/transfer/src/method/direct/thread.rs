//! Direct reads without a ring: `pread(2)` into an aligned buffer of the thread's, which sleeps until the disk has answered.

use super::{BUFFER, Source, Task};
use crate::{
    method::{
        Fault, Moved,
        bounce::{Bounce, Offer},
        is_refusal, read_failed,
    },
    receipt::Receipt,
    transfer::Disk,
};
use sendrail_sys::pread::pread;
use std::os::fd::AsFd;

/// Bytes that the socket did not take.
#[derive(Debug)]
pub(super) struct ThreadReader {
    bounce: Bounce,
    has_read: bool,
}

impl Default for ThreadReader {
    fn default() -> Self {
        Self { bounce: Bounce::new(BUFFER), has_read: false }
    }
}

impl ThreadReader {
    /// Whether it is not yet time to look for a ring: there is something to be sent, or nothing has been read.
    pub(super) fn goes_on(&self) -> bool {
        self.bounce.keeps_some() || !self.has_read
    }

    /// There is no ring: the next read is made here, too.
    pub(super) fn read_once_more(&mut self) {
        self.has_read = false;
    }

    pub(super) fn forget(&mut self) {
        self.bounce.forget();
    }

    pub(super) fn advance(
        &mut self,
        source: &Source,
        task: &Task<'_>,
        receipt: &mut Receipt,
    ) -> Result<Moved, Fault> {
        let &Task { socket, range, want, more, disk } = task;
        let start = source.block_before(range.offset);
        let lead = (range.offset - start) as usize;
        let until = range.offset + range.len.min(self.bounce.reach() as u64);
        let buffer = (source.block_after(until) - start).min(BUFFER as u64) as usize;
        let offer = Offer { socket, buffer, want, remaining: range.len, more };
        if self.bounce.keeps_some() {
            return self.bounce.send_kept(&offer, receipt);
        }
        if disk == Disk::MustNotWait {
            return Ok(Moved::DiskNotReady);
        }
        self.has_read = true;
        self.bounce.read_and_send(&offer, receipt, |buffer, receipt| {
            match receipt.call(|| pread(source.file.as_fd(), buffer, start)) {
                // The file ends in this block or before it, and before the byte that comes next.
                Ok(count) if count <= lead => Err(task.truncated()),
                Ok(count) => Ok(Some(lead..count.min(lead + range.len as usize))),
                Err(error) if is_refusal(&error) => Err(Fault::Refused(error)),
                Err(error) => Err(read_failed("pread(2)", range.offset, error)),
            }
        })
    }
}
