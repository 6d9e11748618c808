//! copy_file_range(2): bytes from file to file inside the kernel, shared or copied by the server where the file system can.

use std::io;
use std::os::fd::BorrowedFd;

/// Copies up to `len` bytes of `source` from byte `from` on into `target` at byte `to`; returns how many. One
/// copy_file_range(2), since Linux 4.5; neither file's position moves.
///
/// XFS and btrfs share blocks instead of copying, NFS 4.2 and SMB have the server copy, and others copy through the page
/// cache without a detour through user memory. `Ok(0)`: `from` is at or beyond the end of `source`, or `source` is of a
/// file system that has no lengths (`/proc`), of which nothing can be had this way.
///
/// `EXDEV`: the two lie on different file systems (before Linux 5.3 and since 5.19; between the two it was tried, and
/// went wrong for some). `EBADF`: `target` was opened with `O_APPEND`, or one is not open for what it is to do.
/// `EINVAL`: one is no regular file, the ranges overlap in one file, or the file system has none. `ETXTBSY`: one is swap
/// space. `ENOSPC`, `EDQUOT`, `EFBIG`, `EPERM`: of `target`. `EIO`: of either.
///
/// ```
/// use std::{fs::File, io::Write, os::fd::AsFd};
/// let (mut source, target) = (tempfile::tempfile()?, tempfile::tempfile()?);
/// source.write_all(b"0123456789")?;
/// match sendrail_sys::copy_range(source.as_fd(), 2, target.as_fd(), 0, 5) {
///     Ok(count) => assert_eq!(count, 5),
///     Err(error) => eprintln!("{error}"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn copy_range(
    source: BorrowedFd<'_>,
    from: u64,
    target: BorrowedFd<'_>,
    to: u64,
    len: usize,
) -> io::Result<usize> {
    let (mut from, mut to) = (from, to);
    Ok(rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), len)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::fs::OpenOptions;
    use std::os::fd::AsFd;

    use super::*;
    use crate::pread::pread;
    use crate::testing::{errno, file_with, pattern};

    #[test]
    fn a_part_goes_where_it_is_told() {
        let content = pattern(10_000);
        let (source, target) = (file_with(&content), file_with(&[1; 100]));
        let copied = match copy_range(source.as_fd(), 2000, target.as_fd(), 50, 20_000) {
            Ok(copied) => copied,
            Err(error) => return eprintln!("skipped: copy_file_range: {error}"),
        };
        assert_eq!(copied, 8000, "to the end of the source");
        let mut copy = vec![0; 9000];
        assert_eq!(pread(target.as_fd(), &mut copy, 0).unwrap(), 8050);
        assert!(copy[..50] == [1; 50] && copy[50..8050] == content[2000..]);
        assert_eq!(copy_range(source.as_fd(), 10_000, target.as_fd(), 0, 1).unwrap(), 0);
    }

    #[test]
    fn what_cannot_be_copied_has_its_reason() {
        let (source, named) = (file_with(b"abc"), tempfile::NamedTempFile::new().unwrap());
        let end = OpenOptions::new().append(true).open(named.path()).unwrap();
        assert_eq!(errno(copy_range(source.as_fd(), 0, end.as_fd(), 0, 3)), libc::EBADF);
        assert_eq!(errno(copy_range(source.as_fd(), 0, source.as_fd(), 1, 2)), libc::EINVAL);
    }
}
