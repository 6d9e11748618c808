//! pread(2), preadv2(2), pwrite(2): reading and writing at an offset, optionally without waiting or caching.

use std::io::{self, IoSliceMut};
use std::os::fd::BorrowedFd;

use rustix::io::ReadWriteFlags;

use crate::raw;

/// `RWF_DONTCACHE`, which rustix does not name yet.
const DONTCACHE: ReadWriteFlags =
    ReadWriteFlags::from_bits_retain(libc::RWF_DONTCACHE as libc::c_uint);

/// How [`preadv2`] reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadFlags {
    /// `RWF_NOWAIT` (4.14): only what is resident, else `EAGAIN`. A miss still *starts* the read of what was asked
    /// for, so that it is also a prefetch of exactly that length.
    pub nowait: bool,
    /// `RWF_DONTCACHE` (6.14): drop the pages again that this read brings in. `EOPNOTSUPP` where the kernel or the
    /// file system has no such thing.
    pub dontcache: bool,
}

/// Reads up to `buf.len()` bytes of `file` from `offset`; `Ok(0)` is the end of the file. One pread64(2).
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// let file = File::open(std::env::current_exe()?)?;
/// let mut name = [0; 3];
/// assert_eq!(sendrail_sys::pread(file.as_fd(), &mut name, 1)?, 3);
/// assert_eq!(&name, b"ELF");
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn pread(file: BorrowedFd<'_>, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    Ok(rustix::io::pread(file, buf, offset)?)
}

/// The same with [`ReadFlags`]. One preadv2(2).
///
/// `EAGAIN` under `nowait`: the first byte is not resident (or a lock is held). A short count may mean that only the
/// beginning is resident. `EOPNOTSUPP`: the file system does not know a flag. `EINVAL`: `offset` is 2⁶³ or more; it is
/// caught here because the kernel would take the highest one for "at the current position".
#[inline]
pub fn preadv2(
    file: BorrowedFd<'_>,
    buf: &mut [u8],
    offset: u64,
    flags: ReadFlags,
) -> io::Result<usize> {
    if i64::try_from(offset).is_err() {
        return Err(raw::invalid());
    }
    let mut bits = ReadWriteFlags::empty();
    bits.set(ReadWriteFlags::NOWAIT, flags.nowait);
    bits.set(DONTCACHE, flags.dontcache);
    Ok(rustix::io::preadv2(file, &mut [IoSliceMut::new(buf)], offset, bits)?)
}

/// Writes up to `bytes.len()` bytes to `file` at `offset`; returns how many were written. One pwrite64(2).
#[inline]
pub fn pwrite(file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> io::Result<usize> {
    Ok(rustix::io::pwrite(file, bytes, offset)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::os::fd::AsFd;

    use super::*;
    use crate::fadvise::{Advice, fadvise};
    use crate::testing::{errno, file_with, in_memory, pattern};

    #[test]
    fn reads_and_writes_where_it_is_told() {
        let file = file_with(&pattern(10_000));
        let mut buf = [0; 100];
        assert_eq!(pread(file.as_fd(), &mut buf, 5000).unwrap(), 100);
        assert_eq!(buf, pattern(10_000)[5000..5100]);
        assert_eq!(pread(file.as_fd(), &mut buf, 9950).unwrap(), 50, "up to the end");
        assert_eq!(pread(file.as_fd(), &mut buf, 10_000).unwrap(), 0, "at the end");
        assert_eq!(pwrite(file.as_fd(), b"abc", 5001).unwrap(), 3);
        assert_eq!(preadv2(file.as_fd(), &mut buf, 5000, ReadFlags::default()).unwrap(), 100);
        assert_eq!(&buf[1..4], b"abc");
    }

    #[test]
    fn no_offset_means_the_current_position() {
        let file = file_with(b"abc");
        for offset in [1 << 63, u64::MAX] {
            let flags = ReadFlags::default();
            assert_eq!(errno(preadv2(file.as_fd(), &mut [0], offset, flags)), libc::EINVAL);
        }
    }

    #[test]
    fn nowait_refuses_what_is_not_resident() {
        let file = file_with(&pattern(1 << 20));
        file.sync_all().unwrap();
        fadvise(file.as_fd(), 0, 0, Advice::DontNeed).unwrap();
        if in_memory(&file) {
            return;
        }
        let flags = ReadFlags { nowait: true, dontcache: false };
        match preadv2(file.as_fd(), &mut [0; 4096], 1 << 19, flags) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                eprintln!("skipped: the temporary directory's file system has no RWF_NOWAIT");
            }
            outcome => assert_eq!(errno(outcome), libc::EAGAIN),
        }
    }

    #[test]
    fn dontcache_reads_the_same_bytes() {
        let file = file_with(&pattern(10_000));
        let mut buf = [0; 100];
        let flags = ReadFlags { nowait: false, dontcache: true };
        match preadv2(file.as_fd(), &mut buf, 5000, flags) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                eprintln!("skipped: RWF_DONTCACHE: {error}");
            }
            outcome => {
                assert_eq!(outcome.unwrap(), 100);
                assert_eq!(buf, pattern(10_000)[5000..5100]);
            }
        }
    }
}
