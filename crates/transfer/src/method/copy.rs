//! copy: read+write through a buffer in user memory; two CPU copies, and it works everywhere.

use super::{Fault, Moved, Taken, read_failed, sort_socket, truncated};
use crate::{error::FileFault, receipt::Receipt, segment::FileRange};
use sendrail_sys::{pread::pread, send::send, stat::fstat};
use std::os::fd::{AsFd, BorrowedFd};

/// The buffer in bytes: it must stay in the L2 cache (1 MiB costs 1.5 times as much).
pub(super) const BUFFER: usize = 64 << 10;

/// The buffer, and which part of it is read but not yet sent.
///
/// What the socket did not take is kept rather than read again: a reader that takes a little at a
/// time must not make us copy everything over and over. It lives as long as the transfer.
#[derive(Debug, Default)]
pub(crate) struct Copy {
    buffer: Box<[u8]>,
    unsent: std::ops::Range<usize>,
}

impl Copy {
    pub(super) fn that_has_read(bytes: Vec<u8>) -> Self {
        Self { unsent: 0..bytes.len(), buffer: bytes.into() }
    }

    pub(super) fn has_read(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub(super) fn advance(
        &mut self,
        socket: BorrowedFd<'_>,
        range: &FileRange,
        want: u64,
        more: bool,
        receipt: &mut Receipt,
    ) -> Result<Moved, Fault> {
        if self.unsent.is_empty() {
            let want = want.min(BUFFER as u64) as usize;
            if self.buffer.len() < want {
                // No larger than the range: a small file does not pay for a large buffer.
                self.buffer = vec![0; range.len.min(BUFFER as u64) as usize].into();
            }
            let buffer = &mut self.buffer[..want];
            let file = range.file.as_fd();
            match receipt.call(|| pread(file, buffer, range.offset)) {
                Ok(0) => return Err(truncated(range, range.offset)),
                Ok(count) => {
                    receipt.copied += count as u64;
                    check_version(range, receipt)?;
                    self.unsent = 0..count;
                }
                Err(error) => return Err(read_failed("pread(2)", range.offset, error)),
            }
        }
        let unsent = &self.buffer[self.unsent.clone()];
        let more = more || range.len > unsent.len() as u64;
        match receipt.call(|| send(socket, unsent, more)) {
            Ok(count) => {
                receipt.copied += count as u64;
                self.unsent.start += count;
                let taken = if self.unsent.is_empty() { Taken::Whole } else { Taken::SocketFull };
                Ok(Moved::Bytes { count: count as u64, taken })
            }
            Err(error) => sort_socket(error),
        }
    }
}

/// Whether what has just been read is of the version that it must be of. A write changes the time of the file before the first
/// byte (`file_update_time` comes first in the write paths), so that a look after the read sees what the read has seen.
fn check_version(range: &FileRange, receipt: &mut Receipt) -> Result<(), Fault> {
    let Some(modified) = range.unchanged_since else { return Ok(()) };
    match receipt.call(|| fstat(range.file.as_fd())) {
        Ok(now) if (now.modified, now.len) == (modified, range.file_len()) => Ok(()),
        Ok(_) => Err(Fault::File(FileFault::Changed { offset: range.offset })),
        Err(error) => Err(read_failed("fstat(2)", range.offset, error)),
    }
}
