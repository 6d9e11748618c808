//! FICLONE, FICLONERANGE and O_TMPFILE: a copy of a file, or of a part, that shares its blocks until either is written to, in a file
//! without a name or in another.
#![allow(unsafe_code)] // rustix has no FICLONERANGE

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::raw;

/// Makes an empty file that has no name and never gets one, on the file system of `directory` (an `O_PATH` descriptor
/// will do), open for reading and writing by its owner alone. One openat(2) with `O_TMPFILE` and `O_EXCL`, since
/// Linux 3.11.
///
/// The file is gone when its last descriptor is closed, also by a crash; until then the file system cannot be unmounted
/// nor remounted read-only. `EOPNOTSUPP`: this file system has no such files (`EISDIR`, `EINVAL` or `ENOENT` on a kernel
/// that does not know the flag). `EACCES`: this process may not write to the directory. `EROFS`: nobody may.
/// `ENOSPC`, `EDQUOT`: no room for an inode.
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// let folder = File::open(std::env::temp_dir())?;
/// match sendrail_sys::unnamed_file(folder.as_fd()) {
///     Ok(file) => assert_eq!(sendrail_sys::fstat(file.as_fd())?.links, 0),
///     Err(error) => eprintln!("{error}"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn unnamed_file(directory: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // Without O_EXCL linkat(2) could give it a name.
    let flags = OFlags::TMPFILE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, c".", flags, Mode::RUSR | Mode::WUSR)?)
}

/// Makes `target`, which is empty and open for writing, a copy of `source`, which is open for reading: they share their
/// blocks on the disk, and whichever is written to later gets blocks of its own (copy-on-write). One ioctl(2) `FICLONE`,
/// since Linux 4.5: ioctl_ficlone(2).
///
/// It is one moment of `source`, between two calls that write to it. What is not on the disk yet of `source` is written
/// first, and waited for; so this sleeps on a disk. The copy has pages of its own in the page cache, none to begin with.
///
/// `EOPNOTSUPP` (`ENOTTY` before Linux 4.5): this file system does not share blocks; XFS with `reflink=1`, btrfs and
/// bcachefs do. `EXDEV`: the two lie on different file systems (before Linux 5.18, on different mounts). `EINVAL`: they
/// are of two kinds that cannot share: on btrfs one has checksums and the other (`chattr +C`) has not, on XFS one is on
/// the real-time device. `ETXTBSY`: `source` is swap space. `EPERM`: `target` may only be appended to, or not be changed
/// at all. `EROFS`, `ENOSPC`, `EDQUOT`: of the file system of `target`. `EBADF`: one is not open for what it is to do.
/// `EIO`: what was to be written first could not be.
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// use sendrail_sys::{clone_file, unnamed_file};
/// let original = File::open(std::env::current_exe()?)?;
/// let folder = File::open(std::env::current_exe()?.parent().expect("it is in a folder"))?;
/// let cloned = unnamed_file(folder.as_fd()).and_then(|copy| {
///     clone_file(copy.as_fd(), original.as_fd())?;
///     Ok(copy)
/// });
/// match cloned {
///     Ok(copy) => assert_eq!(File::from(copy).metadata()?.len(), original.metadata()?.len()),
///     Err(error) => eprintln!("{error}"), // Operation not supported, on ext4
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn clone_file(target: BorrowedFd<'_>, source: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(target, source)?)
}

/// Makes the `len` bytes of `target` from byte `to` on share the blocks of those of `source` from byte `from` on, in whose
/// place they come. One ioctl(2) `FICLONERANGE`, since Linux 4.5: ioctl_ficlonerange(2). All is done, or nothing.
///
/// The rest is as for [`clone_file`], and `EINVAL` too if an offset is no multiple of the file system's block, or the
/// length is none and does not reach to the end of `source` (nor, in place, to that of `target`), if `source` has fewer bytes, or if
/// both are one file and the ranges overlap. A `len` of 0, to the kernel "to the end", is refused here with `EINVAL`.
///
/// ```
/// use std::{fs::File, io::Write, os::fd::AsFd};
/// let (mut source, target) = (tempfile::tempfile()?, tempfile::tempfile()?);
/// source.write_all(&[7; 8192])?;
/// match sendrail_sys::clone_range(target.as_fd(), 0, source.as_fd(), 4096, 4096) {
///     Ok(()) => assert_eq!(target.metadata()?.len(), 4096),
///     Err(error) => eprintln!("{error}"), // Operation not supported, on ext4
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn clone_range(
    target: BorrowedFd<'_>,
    to: u64,
    source: BorrowedFd<'_>,
    from: u64,
    len: u64,
) -> io::Result<()> {
    if len == 0 {
        return Err(raw::invalid());
    }
    let range = libc::file_clone_range {
        src_fd: i64::from(source.as_raw_fd()),
        src_offset: from,
        src_length: len,
        dest_offset: to,
    };
    // SAFETY: FICLONERANGE reads one `file_clone_range`, which lives until the call returns; both descriptors are borrowed.
    raw::done(unsafe { libc::ioctl(target.as_raw_fd(), libc::FICLONERANGE, &raw const range) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;
    use crate::pread::{pread, pwrite};
    use crate::stat::fstat;
    use crate::statfs::{FileSystem, file_system};
    use crate::testing::{errno, file_with, pattern};

    /// A folder in memory, where one is mounted; says so if there is none.
    fn memory() -> Option<File> {
        let shm = File::open("/dev/shm").ok();
        let shm = shm.filter(|shm| file_system(shm.as_fd()).unwrap() == FileSystem::Tmpfs);
        if shm.is_none() {
            eprintln!("skipped: there is no tmpfs at /dev/shm");
        }
        shm
    }

    #[test]
    fn a_file_without_a_name_is_the_owners_alone_and_can_get_none() {
        let folder = tempfile::tempdir().unwrap();
        let named = rustix::fs::open(folder.path(), OFlags::PATH, Mode::empty()).unwrap();
        let file = match unnamed_file(named.as_fd()) {
            Ok(file) => file,
            Err(error) => return eprintln!("skipped: O_TMPFILE: {error}"),
        };
        pwrite(file.as_fd(), b"abc", 0).unwrap();
        let mut read = [0; 3];
        pread(file.as_fd(), &mut read, 0).unwrap();
        assert_eq!(&read, b"abc");
        let stat = fstat(file.as_fd()).unwrap();
        assert_eq!((stat.links, stat.mode & 0o777), (0, 0o600));
        assert!(
            rustix::io::fcntl_getfd(&file).unwrap().contains(rustix::io::FdFlags::CLOEXEC),
            "inherited"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let linked = rustix::fs::linkat(
            &file,
            c"",
            rustix::fs::CWD,
            folder.path().join("name"),
            rustix::fs::AtFlags::EMPTY_PATH,
        );
        assert!(linked.is_err());
    }

    #[test]
    fn what_is_no_directory_or_has_no_such_files_says_so() {
        let file = file_with(b"abc");
        assert_eq!(errno(unnamed_file(file.as_fd())), libc::ENOTDIR);
        let proc = File::open("/proc").unwrap();
        assert_eq!(errno(unnamed_file(proc.as_fd())), libc::EOPNOTSUPP);
    }

    /// On a file system that shares blocks a copy, on any other the errno that stands in the documentation.
    #[test]
    fn a_copy_is_of_one_moment_or_there_is_none() {
        let content = pattern(100_000);
        let folder = File::open(std::env::temp_dir()).unwrap();
        let source = file_with(&content);
        let target = match unnamed_file(folder.as_fd()) {
            Ok(file) => file,
            Err(error) => return eprintln!("skipped: O_TMPFILE: {error}"),
        };
        let kind = file_system(target.as_fd()).unwrap();
        match clone_file(target.as_fd(), source.as_fd()) {
            Ok(()) => {
                pwrite(source.as_fd(), &[0; 1000], 500).unwrap();
                let mut copy = vec![0; content.len()];
                assert_eq!(pread(target.as_fd(), &mut copy, 0).unwrap(), content.len());
                assert!(copy == content, "a write to the source is seen in the copy, on {kind}");
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP), "{kind}: {error}");
                assert_ne!(kind, FileSystem::Btrfs, "btrfs always can");
                assert_eq!(fstat(target.as_fd()).unwrap().len, 0);
                eprintln!("skipped: no clone on {kind}");
            }
        }
    }

    /// On a file system that shares blocks the part, on any other the errno that stands in the documentation.
    #[test]
    fn a_part_goes_where_it_is_told_or_nowhere() {
        let content = pattern(3 * 4096);
        let (source, target) = (file_with(&content), file_with(&[1; 4096]));
        match clone_range(target.as_fd(), 4096, source.as_fd(), 8192, 4096) {
            Ok(()) => {
                let mut copy = vec![0; 8192];
                assert_eq!(pread(target.as_fd(), &mut copy, 0).unwrap(), 8192);
                assert!(copy[..4096] == [1; 4096] && copy[4096..] == content[8192..]);
                let odd = clone_range(target.as_fd(), 1, source.as_fd(), 0, 4096);
                assert_eq!(errno(odd), libc::EINVAL);
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP), "{error}");
                assert_eq!(fstat(target.as_fd()).unwrap().len, 4096);
                eprintln!("skipped: no clone here");
            }
        }
        let nothing = clone_range(target.as_fd(), 0, source.as_fd(), 0, 0);
        assert_eq!(errno(nothing), libc::EINVAL);
    }

    #[test]
    fn tmpfs_shares_no_blocks() {
        let Some(memory) = memory() else { return };
        let [source, target] = [(); 2].map(|()| unnamed_file(memory.as_fd()).unwrap());
        pwrite(source.as_fd(), b"abc", 0).unwrap();
        assert_eq!(errno(clone_file(target.as_fd(), source.as_fd())), libc::EOPNOTSUPP);
    }

    #[test]
    fn what_cannot_be_cloned_has_its_reason() {
        let file = file_with(b"abc");
        let read_only = File::open("/proc/self/exe").unwrap();
        assert_eq!(errno(clone_file(read_only.as_fd(), file.as_fd())), libc::EBADF);
        let Some(memory) = memory() else { return };
        let elsewhere = unnamed_file(memory.as_fd()).unwrap();
        if file_system(file.as_fd()).unwrap() == FileSystem::Tmpfs {
            return eprintln!("skipped: the temporary directory is on tmpfs too");
        }
        assert_eq!(errno(clone_file(elsewhere.as_fd(), file.as_fd())), libc::EXDEV);
    }
}
