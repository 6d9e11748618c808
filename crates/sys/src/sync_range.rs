//! sync_file_range(2): dirty pages of a range sent to the disk, and waited for.
#![allow(unsafe_code)] // rustix does not declare this system call

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::raw;

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOut {
    /// `SYNC_FILE_RANGE_WRITE`: the writing of dirty pages is begun, and waited for only where the disk's queue is full.
    Begin,
    /// `SYNC_FILE_RANGE_WAIT_BEFORE | WRITE | WAIT_AFTER`: all of the range has been written when this returns.
    Finish,
}

/// Writes the dirty pages of `file` between `offset` and `offset + len` (bytes; `len` 0: to the end) to the disk. One
/// sync_file_range(2), since Linux 2.6.17.
///
/// Neither the file's metadata nor the disk's own cache is written: it is no fsync(2), but it makes pages clean, so that
/// [`Advice::DontNeed`](crate::Advice::DontNeed) can drop them, and a later fsync short.
///
/// `EIO`, `ENOSPC`, `EDQUOT`: a page could not be written. **This call reports it instead of the next fsync(2)** on the same
/// open file description, so it must not be passed over. `ESPIPE`: not a file.
pub fn sync_range(file: BorrowedFd<'_>, offset: u64, len: u64, how: WriteOut) -> io::Result<()> {
    let flags = match how {
        WriteOut::Begin => libc::SYNC_FILE_RANGE_WRITE,
        WriteOut::Finish => {
            libc::SYNC_FILE_RANGE_WAIT_BEFORE
                | libc::SYNC_FILE_RANGE_WRITE
                | libc::SYNC_FILE_RANGE_WAIT_AFTER
        }
    };
    let offset = i64::try_from(offset).map_err(|_| raw::invalid())?;
    let len = i64::try_from(len).map_err(|_| raw::invalid())?;
    // SAFETY: passes no memory.
    raw::done(unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, flags) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::os::fd::AsFd;

    use super::*;
    use crate::testing::{errno, file_with, in_memory, pattern, tcp_pair};
    use crate::{Advice, fadvise, resident_pages};

    #[test]
    fn what_is_written_out_can_be_dropped() {
        let len = 1 << 20;
        let file = file_with(&pattern(len));
        if in_memory(&file) {
            return;
        }
        sync_range(file.as_fd(), 0, len as u64, WriteOut::Begin).unwrap();
        sync_range(file.as_fd(), 0, 0, WriteOut::Finish).unwrap();
        fadvise(file.as_fd(), 0, 0, Advice::DontNeed).unwrap();
        assert_eq!(resident_pages(file.as_fd(), 0, len).unwrap(), 0);
    }

    #[test]
    fn only_files_have_ranges() {
        let (socket, _peer) = tcp_pair();
        assert_eq!(errno(sync_range(socket.as_fd(), 0, 1, WriteOut::Begin)), libc::ESPIPE);
        assert_eq!(errno(sync_range(socket.as_fd(), 1 << 63, 1, WriteOut::Begin)), libc::EINVAL);
    }
}
