//! lseek(2) with SEEK_DATA and SEEK_HOLE, and fallocate(2) with FALLOC_FL_PUNCH_HOLE: the parts of a file that take no room.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

/// Where the next data of `file` begins, from byte `offset` on; `None` if only a hole follows, or nothing. One lseek(2) with
/// `SEEK_DATA`, since Linux 3.1.
///
/// It moves the position of the open file description: for one that nobody shares (see [`reopen`](crate::open::reopen)).
/// A file system that knows no holes calls everything data. What is allocated but not written yet may count as a hole.
#[inline]
pub fn next_data(file: BorrowedFd<'_>, offset: u64) -> io::Result<Option<u64>> {
    found(rustix::fs::seek(file, SeekFrom::Data(offset)))
}

/// Where the next hole of `file` begins, from byte `offset` on; the end of the file is one. `None` if `offset` lies beyond
/// it. One lseek(2) with `SEEK_HOLE`, since Linux 3.1; it moves the position as well.
///
/// ```
/// use std::os::fd::AsFd;
/// let file = tempfile::tempfile()?;
/// file.set_len(1 << 20)?;
/// assert_eq!(sendrail_sys::next_hole(file.as_fd(), 0)?, Some(0));
/// assert_eq!(sendrail_sys::next_data(file.as_fd(), 0)?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn next_hole(file: BorrowedFd<'_>, offset: u64) -> io::Result<Option<u64>> {
    found(rustix::fs::seek(file, SeekFrom::Hole(offset)))
}

/// ENXIO is how lseek(2) says that there is none.
fn found(result: rustix::io::Result<u64>) -> io::Result<Option<u64>> {
    match result {
        Ok(offset) => Ok(Some(offset)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes a hole of the `len` bytes of `file` from byte `offset` on, as far as there are any: they read as zeros and their blocks are free.
/// The length of the file stays. One fallocate(2) with `FALLOC_FL_PUNCH_HOLE`, since Linux 2.6.38.
///
/// Blocks that the range has only parts of are zeroed there. `EOPNOTSUPP`: this file system cannot. `EINVAL` for no
/// bytes. `EPERM`: the file may only be appended to. `EBADF`: it is not open for writing.
#[inline]
pub fn punch_hole(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::fs::fallocate(file, flags, offset, len)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::os::fd::AsFd;

    use super::*;
    use crate::pread::pread;
    use crate::stat::fstat;
    use crate::testing::{errno, file_with};

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_punched_is_a_hole_between_data() {
        let file = file_with(&vec![1; 3 << 20]);
        if let Err(error) = punch_hole(file.as_fd(), MIB, MIB) {
            return eprintln!("skipped: FALLOC_FL_PUNCH_HOLE: {error}");
        }
        assert_eq!(fstat(file.as_fd()).unwrap().len, 3 * MIB);
        let mut byte = [1];
        pread(file.as_fd(), &mut byte, MIB).unwrap();
        assert_eq!(byte, [0]);
        let hole = next_hole(file.as_fd(), 0).unwrap();
        if hole == Some(3 * MIB) {
            return eprintln!("skipped: this file system does not say where its holes are");
        }
        assert_eq!(hole, Some(MIB));
        assert_eq!(next_data(file.as_fd(), MIB).unwrap(), Some(2 * MIB));
        assert_eq!(next_hole(file.as_fd(), 2 * MIB).unwrap(), Some(3 * MIB));
        assert_eq!(next_data(file.as_fd(), 3 * MIB).unwrap(), None);
        assert_eq!(next_hole(file.as_fd(), 3 * MIB).unwrap(), None);
        assert_eq!(errno(punch_hole(file.as_fd(), 0, 0)), libc::EINVAL);
    }
}
