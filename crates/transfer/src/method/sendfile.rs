//! sendfile: the kernel hands page-cache pages to the socket; the payload meets no CPU.

use super::{Fault, Moved, Taken, sort, truncated};
use crate::{receipt::Receipt, segment::FileRange};
use sendrail_sys::sendfile::sendfile;
use std::os::fd::{AsFd, BorrowedFd};

pub(super) fn advance(
    socket: BorrowedFd<'_>,
    range: &FileRange,
    want: u64,
    receipt: &mut Receipt,
) -> Result<Moved, Fault> {
    let file = range.file.as_fd();
    match receipt.call(|| sendfile(socket, file, range.offset, want as usize)) {
        // sendfile(2) says 0, and no error, at and past the end of the file. Asking again would spin.
        Ok(0) => Err(truncated(range, range.offset)),
        Ok(count) => {
            let count = count as u64;
            let taken = if count == want { Taken::Whole } else { Taken::Short };
            Ok(Moved::Bytes { count, taken })
        }
        Err(error) => sort("sendfile(2)", socket, range.offset, error, receipt),
    }
}
