//! fstat(2), fstatat(2), statx(2): what an open file is, and what direct I/O on it must keep to.

use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, StatxFlags};

/// A point in time on the kernel's real-time clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 00:00 UTC; negative before it.
    pub seconds: i64,
    /// Nanoseconds after that second, below 10⁹.
    pub nanoseconds: u32,
}

/// What kind of file (`S_IFMT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link itself.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix-domain socket.
    Socket,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// Anything else: memfd_secret(2), epoll and other anonymous descriptors.
    Other,
}

impl FileKind {
    fn of_mode(mode: u32) -> FileKind {
        match FileType::from_raw_mode(mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Symlink,
            FileType::Fifo => FileKind::Fifo,
            FileType::Socket => FileKind::Socket,
            FileType::BlockDevice => FileKind::BlockDevice,
            FileType::CharacterDevice => FileKind::CharDevice,
            FileType::Unknown => FileKind::Other,
        }
    }
}

/// Facts about a file at one moment, from its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What kind of file.
    pub kind: FileKind,
    /// Length in bytes (of a symbolic link: of what it says).
    pub len: u64,
    /// Space taken up, in units of 512 bytes; fewer than `len / 512` if there are holes.
    pub blocks: u64,
    /// The file system's number: with `inode` it identifies the file.
    pub device: u64,
    /// The file's number on that file system.
    pub inode: u64,
    /// Names that the file has; 0 if it was deleted while open.
    pub links: u64,
    /// When the contents were last written, on the clock tick's granularity (1–10 ms) or the file system's, if coarser.
    pub modified: Timestamp,
    /// When contents or attributes last changed; cannot be set by a program.
    pub changed: Timestamp,
    /// Permission bits and the kind: `st_mode`.
    pub mode: u32,
}

impl From<rustix::fs::Stat> for Stat {
    #[allow(clippy::unnecessary_cast, reason = "the widths differ between architectures")]
    fn from(stat: rustix::fs::Stat) -> Stat {
        let mode = stat.st_mode as u32;
        Stat {
            kind: FileKind::of_mode(mode),
            len: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            links: stat.st_nlink as u64,
            modified: Timestamp {
                seconds: stat.st_mtime as i64,
                nanoseconds: stat.st_mtime_nsec as u32,
            },
            changed: Timestamp {
                seconds: stat.st_ctime as i64,
                nanoseconds: stat.st_ctime_nsec as u32,
            },
            mode,
        }
    }
}

/// Facts about an open file (an `O_PATH` descriptor will do). One fstat(2).
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// let file = File::open(std::env::current_exe()?)?;
/// let stat = sendrail_sys::fstat(file.as_fd())?;
/// assert_eq!(stat.kind, sendrail_sys::FileKind::File);
/// assert_eq!(stat.len, file.metadata()?.len());
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn fstat(fd: BorrowedFd<'_>) -> io::Result<Stat> {
    Ok(rustix::fs::fstat(fd)?.into())
}

/// The same from what the kernel knows already: a file system that lies elsewhere (a network, FUSE) is not asked for
/// what is true now, so that nobody waits for it. One statx(2) with `AT_STATX_DONT_SYNC`, since Linux 4.11.
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// let file = File::open(std::env::current_exe()?)?;
/// assert_eq!(sendrail_sys::fstat_cached(file.as_fd())?, sendrail_sys::fstat(file.as_fd())?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn fstat_cached(fd: BorrowedFd<'_>) -> io::Result<Stat> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let statx = rustix::fs::statx(fd, c"", flags, StatxFlags::BASIC_STATS)?;
    let mode = u32::from(statx.stx_mode);
    let time =
        |at: rustix::fs::StatxTimestamp| Timestamp { seconds: at.tv_sec, nanoseconds: at.tv_nsec };
    Ok(Stat {
        kind: FileKind::of_mode(mode),
        len: statx.stx_size,
        blocks: statx.stx_blocks,
        device: rustix::fs::makedev(statx.stx_dev_major, statx.stx_dev_minor),
        inode: statx.stx_ino,
        links: u64::from(statx.stx_nlink),
        modified: time(statx.stx_mtime),
        changed: time(statx.stx_ctime),
        mode,
    })
}

/// Facts about the file that `name` means in `dir`; of a symbolic link itself unless `follow`. One fstatat(2), which
/// never triggers an automount.
pub fn stat_at(dir: BorrowedFd<'_>, name: &CStr, follow: bool) -> io::Result<Stat> {
    let mut flags = AtFlags::NO_AUTOMOUNT;
    flags.set(AtFlags::SYMLINK_NOFOLLOW, !follow);
    Ok(rustix::fs::statat(dir, name, flags)?.into())
}

/// What direct I/O (`O_DIRECT`) on a file must be aligned to, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectAlignment {
    /// Alignment of the buffer's address; 0 if the file has no direct I/O.
    pub memory: u32,
    /// Alignment of file offsets and lengths; 0 if the file has no direct I/O.
    pub offset: u32,
}

impl DirectAlignment {
    /// Whether the file can be read by direct I/O at all.
    pub fn is_supported(self) -> bool {
        self.memory != 0 && self.offset != 0
    }
}

/// Asks what direct I/O on an open file must be aligned to. One statx(2) with `STATX_DIOALIGN`, since Linux 6.1.
///
/// `None`: the kernel or the file system does not say (then 4096 is a safe guess for local disks). `Some` with zeros: it
/// says that there is no direct I/O on this file.
pub fn direct_alignment(fd: BorrowedFd<'_>) -> io::Result<Option<DirectAlignment>> {
    let statx = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)?;
    let answered = statx.stx_mask & StatxFlags::DIOALIGN.bits() != 0;
    Ok(answered.then_some(DirectAlignment {
        memory: statx.stx_dio_mem_align,
        offset: statx.stx_dio_offset_align,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::testing::file_with;

    #[test]
    fn says_what_the_standard_library_says() {
        let file = file_with(b"abc");
        let metadata = file.metadata().unwrap();
        let stat = fstat(file.as_fd()).unwrap();
        assert_eq!((stat.len, stat.mode, stat.links), (3, metadata.mode(), 0));
        assert_eq!((stat.device, stat.inode), (metadata.dev(), metadata.ino()));
        assert_eq!(stat.blocks, metadata.blocks());
        assert_eq!(stat.modified.seconds, metadata.mtime());
        assert_eq!(i64::from(stat.modified.nanoseconds), metadata.mtime_nsec());
        assert_eq!(stat.changed.seconds, metadata.ctime());
        assert_eq!(i64::from(stat.changed.nanoseconds), metadata.ctime_nsec());
    }

    #[test]
    fn tells_the_kinds_apart() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name| temp.path().join(name);
        fs::write(at("file"), "").unwrap();
        fs::create_dir(at("directory")).unwrap();
        symlink("file", at("link")).unwrap();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), FileType::Fifo, mode, 0).unwrap();
        let dir = File::open(temp.path()).unwrap();
        let (file, root) = (File::open(at("file")).unwrap(), File::open("/").unwrap());
        for fd in [file.as_fd(), dir.as_fd(), root.as_fd()] {
            assert_eq!(fstat_cached(fd).unwrap(), fstat(fd).unwrap());
        }
        for (name, kind) in [
            (c"file", FileKind::File),
            (c"directory", FileKind::Directory),
            (c"link", FileKind::Symlink),
            (c"socket", FileKind::Socket),
            (c"fifo", FileKind::Fifo),
            (c"/dev/null", FileKind::CharDevice),
        ] {
            assert_eq!(stat_at(dir.as_fd(), name, false).unwrap().kind, kind, "{name:?}");
        }
        assert_eq!(stat_at(dir.as_fd(), c"link", true).unwrap().kind, FileKind::File);
    }

    #[test]
    fn timestamps_order_by_time() {
        let at = |seconds, nanoseconds| Timestamp { seconds, nanoseconds };
        assert!(at(-1, 999_999_999) < at(0, 0));
        assert!(at(1, 2) < at(1, 3));
    }

    #[test]
    fn alignment_is_said_or_not_but_never_half() {
        let file = file_with(b"abc");
        match direct_alignment(file.as_fd()).unwrap() {
            Some(alignment) if alignment.is_supported() => {
                assert!(alignment.memory.is_power_of_two() && alignment.offset.is_power_of_two());
            }
            Some(DirectAlignment { memory, offset }) => assert_eq!((memory, offset), (0, 0)),
            None => eprintln!("skipped: STATX_DIOALIGN is not answered here"),
        }
    }
    #[test]
    fn a_file_system_that_does_not_say_gives_none() {
        let status = File::open("/proc/self/status").unwrap();
        assert_eq!(direct_alignment(status.as_fd()).unwrap(), None);
    }
}
