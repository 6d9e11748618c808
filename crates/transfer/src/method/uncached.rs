//! uncached: read+write whose reads leave nothing behind in the page cache (RWF_DONTCACHE, Linux 6.14).
//!
//! What is resident is read from the page cache and stays there; what is not is read from the disk through it, and the
//! pages are dropped when they have been copied. So residency matters as it does for `copy`.

use super::{
    Fault, Moved,
    bounce::{Bounce, Offer},
    is_refusal, read_failed, truncated,
};
use crate::{receipt::Receipt, segment::FileRange, transfer::Disk};
use sendrail_sys::pread::{ReadFlags, preadv2};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

/// The longest read in bytes: what a read brings in is read ahead no further than it reaches, and of the lengths measured
/// this one costs least (64 KiB and 1 MiB more).
pub(super) const BUFFER: usize = 256 << 10;

/// The length of the first read of a little, in bytes.
const FIRST_OF_A_LITTLE: usize = 128 << 10;

/// Bytes that the socket did not take, and what this file's system is known to refuse.
#[derive(Debug)]
pub(crate) struct Uncached {
    bounce: Bounce,
    /// Whether RWF_NOWAIT may be asked for as well.
    knows_nowait: bool,
}

impl Default for Uncached {
    fn default() -> Self {
        Self { bounce: Bounce::new(BUFFER), knows_nowait: true }
    }
}

impl Uncached {
    /// For a little: most sockets take a first read that is longer, and two make the disk turn twice.
    pub(super) fn of_a_little() -> Self {
        Self { bounce: Bounce::eager(FIRST_OF_A_LITTLE, BUFFER), knows_nowait: true }
    }

    pub(super) fn that_has_read(bytes: Vec<u8>) -> Self {
        Self { bounce: Bounce::with_kept(bytes, BUFFER), knows_nowait: true }
    }

    pub(super) fn has_read(&self) -> bool {
        self.bounce.keeps_some()
    }

    pub(super) fn advance(
        &mut self,
        socket: BorrowedFd<'_>,
        range: &FileRange,
        want: u64,
        more: bool,
        disk: Disk,
        receipt: &mut Receipt,
    ) -> Result<Moved, Fault> {
        let Self { bounce, knows_nowait } = self;
        let buffer = bounce.reach().min(want as usize);
        let offer = Offer { socket, buffer, want, remaining: range.len, more };
        if bounce.keeps_some() {
            return bounce.send_kept(&offer, receipt);
        }
        bounce.read_and_send(&offer, receipt, |buffer, receipt| {
            match read(range, buffer, disk, knows_nowait, receipt) {
                Ok(0) => Err(truncated(range, range.offset)),
                Ok(count) => {
                    receipt.copied += count as u64;
                    Ok(Some(0..count))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) if is_refusal(&error) => Err(Fault::Refused(error)),
                Err(error) => Err(read_failed("preadv2(2)", range.offset, error)),
            }
        })
    }
}

fn read(
    range: &FileRange,
    buffer: &mut [u8],
    disk: Disk,
    knows_nowait: &mut bool,
    receipt: &mut Receipt,
) -> io::Result<usize> {
    let file = range.file.as_fd();
    let mut flags = ReadFlags { dontcache: true, nowait: disk == Disk::MustNotWait };
    flags.nowait &= *knows_nowait;
    match receipt.call(|| preadv2(file, buffer, range.offset, flags)) {
        // One errno for either flag (kiocb_set_rw_flags). Without RWF_NOWAIT the look at the page cache has to do.
        Err(error) if flags.nowait && is_refusal(&error) => {
            *knows_nowait = false;
            flags.nowait = false;
            receipt.call(|| preadv2(file, buffer, range.offset, flags))
        }
        result => result,
    }
}
