//! openat2(2) and openat(2): opening a path that is confined beneath a directory, or an open file once more.

use std::ffi::CStr;
use std::io::{self, Write};
use std::ops::{BitOr, BitOrAssign};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};

/// How to open; combine with `|`. `O_CLOEXEC` is always added. Nothing here can create a file, and only
/// [`WRITE`](Self::WRITE) change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFlags(OFlags);

impl OpenFlags {
    /// `O_RDONLY`.
    pub const READ: OpenFlags = OpenFlags(OFlags::RDONLY);
    /// `O_WRONLY`: for writing alone; instead of [`READ`](Self::READ), not beside it.
    pub const WRITE: OpenFlags = OpenFlags(OFlags::WRONLY);
    /// `O_PATH`: only names the file, without opening it: no effect on FIFOs and devices, no read permission needed.
    /// With it, [`openat2`] knows only [`DIRECTORY`](Self::DIRECTORY) and [`NOFOLLOW`](Self::NOFOLLOW) besides.
    pub const PATH: OpenFlags = OpenFlags(OFlags::PATH);
    /// `O_DIRECTORY`: `ENOTDIR` unless it is a directory.
    pub const DIRECTORY: OpenFlags = OpenFlags(OFlags::DIRECTORY);
    /// `O_NOFOLLOW`: if the last component is a symbolic link, `ELOOP`; together with [`PATH`](Self::PATH), the link
    /// itself is opened.
    pub const NOFOLLOW: OpenFlags = OpenFlags(OFlags::NOFOLLOW);
    /// `O_NONBLOCK`: do not wait for a FIFO's other end, nor for a lease to be given up.
    pub const NONBLOCK: OpenFlags = OpenFlags(OFlags::NONBLOCK);
    /// `O_NOCTTY`: a terminal does not become the controlling one.
    pub const NOCTTY: OpenFlags = OpenFlags(OFlags::NOCTTY);
    /// `O_NOATIME`: reading leaves the access time alone. `EPERM` unless the caller owns the file.
    pub const NOATIME: OpenFlags = OpenFlags(OFlags::NOATIME);
    /// `O_DIRECT`: past the page cache; see [`direct_alignment`](crate::stat::direct_alignment).
    pub const DIRECT: OpenFlags = OpenFlags(OFlags::DIRECT);
}

impl BitOr for OpenFlags {
    type Output = OpenFlags;

    fn bitor(self, other: OpenFlags) -> OpenFlags {
        OpenFlags(self.0 | other.0)
    }
}

impl BitOrAssign for OpenFlags {
    fn bitor_assign(&mut self, other: OpenFlags) {
        self.0 |= other.0;
    }
}

/// How far the resolution of a path may go: `struct open_how`'s `resolve` of openat2(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the kernel's independent bits, by name")]
pub struct Resolve {
    /// `RESOLVE_BENEATH`: `EXDEV` if any step, by `..` or a symbolic link, leaves the directory, even if it comes back.
    pub beneath: bool,
    /// `RESOLVE_IN_ROOT`: the directory is `/`: absolute links and `..` cannot leave it.
    pub in_root: bool,
    /// `RESOLVE_NO_SYMLINKS`: `ELOOP` for any symbolic link, in any component.
    pub no_symlinks: bool,
    /// `RESOLVE_NO_MAGICLINKS`: `ELOOP` for the links of procfs that jump to an open file.
    pub no_magiclinks: bool,
    /// `RESOLVE_NO_XDEV`: `EXDEV` for a step onto another mount, bind mounts included.
    pub no_xdev: bool,
    /// `RESOLVE_CACHED` (5.12): `EAGAIN` unless every component is in the dentry cache, so that no disk is waited for.
    pub cached: bool,
}

impl Resolve {
    fn flags(self) -> ResolveFlags {
        let mut flags = ResolveFlags::empty();
        flags.set(ResolveFlags::BENEATH, self.beneath);
        flags.set(ResolveFlags::IN_ROOT, self.in_root);
        flags.set(ResolveFlags::NO_SYMLINKS, self.no_symlinks);
        flags.set(ResolveFlags::NO_MAGICLINKS, self.no_magiclinks);
        flags.set(ResolveFlags::NO_XDEV, self.no_xdev);
        flags.set(ResolveFlags::CACHED, self.cached);
        flags
    }
}

/// Opens `path`, resolved from `dir` within the bounds of `resolve`. One openat2(2), since Linux 5.6.
///
/// `EXDEV` and `ELOOP`: the bounds were overstepped. `EAGAIN`: a rename or mount happened at the same time, so that the
/// kernel cannot vouch for `..`; try again. With [`Resolve::cached`] also: a component is not in the dentry cache, or its
/// file system must be asked about it; do without, where sleeping is allowed. `ENOSYS`: an older kernel. `EPERM`: may be a sandbox (container runtimes
/// before 2021 deny the call so), but also the file's own doing. `E2BIG` or `EINVAL`: a bit this kernel does not know.
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// use sendrail_sys::open::{OpenFlags, Resolve, openat2};
/// let root = File::open("/proc/self")?;
/// let bounds = Resolve { beneath: true, no_magiclinks: true, ..Resolve::default() };
/// match openat2(root.as_fd(), c"../../etc/passwd", OpenFlags::READ, bounds) {
///     Ok(_) => panic!("this leads outside"),
///     Err(error) => eprintln!("{error}"), // Invalid cross-device link
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn openat2(
    dir: BorrowedFd<'_>,
    path: &CStr,
    flags: OpenFlags,
    resolve: Resolve,
) -> io::Result<OwnedFd> {
    let flags = flags.0 | OFlags::CLOEXEC;
    Ok(rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve.flags())?)
}

/// Opens `path`, resolved from `dir` without any bounds. One openat(2).
///
/// For a walk component by component (with [`OpenFlags::NOFOLLOW`]) where openat2(2) is missing.
pub fn openat(dir: BorrowedFd<'_>, path: &CStr, flags: OpenFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(dir, path, flags.0 | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens an open file once more, with flags of its own: the descriptor that is given stays as it is, also for those who
/// share it. One openat(2), of `/proc/self/fd/N`.
///
/// The way to `O_DIRECT` on a file that others read through the page cache: fcntl(2) `F_SETFL` would change the open
/// file description for all of them. It is the same inode, also if its name is gone or means another file by now.
/// `ENOENT`: there is no `/proc`. `EACCES`: this process may not open the file (any more). With `O_DIRECT`, `EINVAL`: the
/// file system has none.
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// use sendrail_sys::open::{OpenFlags, reopen};
/// let file = File::open(std::env::current_exe()?)?;
/// let again = reopen(file.as_fd(), OpenFlags::READ)?;
/// assert_eq!(sendrail_sys::fstat(again.as_fd())?.inode, sendrail_sys::fstat(file.as_fd())?.inode);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn reopen(file: BorrowedFd<'_>, flags: OpenFlags) -> io::Result<OwnedFd> {
    // No allocation on the way of a byte: the longest descriptor has ten digits.
    let mut path = [0; 32];
    write!(&mut path[..], "/proc/self/fd/{}\0", file.as_raw_fd()).expect("25 bytes fit into 32");
    let path = CStr::from_bytes_until_nul(&path).expect("a NUL has just been written");
    let flags = flags.0 | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(rustix::fs::CWD, path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::stat::{FileKind, fstat};
    use crate::testing::errno;

    /// `tree/{file, dir/, inside -> file, outside -> ../secret, absolute -> /}` and `secret` beside it.
    fn tree() -> (tempfile::TempDir, File) {
        let temp = tempfile::tempdir().unwrap();
        let tree = temp.path().join("tree");
        fs::create_dir_all(tree.join("dir")).unwrap();
        fs::write(temp.path().join("secret"), "secret").unwrap();
        fs::write(tree.join("file"), "file").unwrap();
        symlink("file", tree.join("inside")).unwrap();
        symlink("../secret", tree.join("outside")).unwrap();
        symlink("/", tree.join("absolute")).unwrap();
        let dir = File::open(&tree).unwrap();
        (temp, dir)
    }

    fn beneath() -> Resolve {
        Resolve { beneath: true, no_magiclinks: true, ..Resolve::default() }
    }

    /// Whether the call itself is missing here, said once per test.
    fn missing(dir: &File) -> bool {
        let outcome = openat2(dir.as_fd(), c".", OpenFlags::PATH, Resolve::default());
        if let Err(error) = &outcome {
            eprintln!("skipped: openat2: {error}");
        }
        outcome.is_err()
    }

    #[test]
    fn what_is_beneath_opens_and_what_is_not_does_not() {
        let (_temp, dir) = tree();
        if missing(&dir) {
            return;
        }
        let open = |path| openat2(dir.as_fd(), path, OpenFlags::READ, beneath());
        open(c"file").unwrap();
        open(c"inside").unwrap();
        open(c"dir/../file").unwrap();
        for path in [c"../secret", c"outside", c"absolute", c"/etc/passwd", c"dir/../../secret"] {
            assert_eq!(errno(open(path)), libc::EXDEV, "{path:?}");
        }
    }

    #[test]
    fn each_bound_holds() {
        let (_temp, dir) = tree();
        if missing(&dir) {
            return;
        }
        let open = |path, resolve| openat2(dir.as_fd(), path, OpenFlags::READ, resolve);
        let none = Resolve::default();
        open(c"outside", none).unwrap();
        assert_eq!(errno(open(c"inside", Resolve { no_symlinks: true, ..none })), libc::ELOOP);
        open(c"/file", Resolve { in_root: true, ..none }).unwrap();
        assert_eq!(errno(open(c"outside", Resolve { in_root: true, ..none })), libc::ENOENT);
        let proc = File::open("/proc").unwrap();
        let magic = |resolve| openat2(proc.as_fd(), c"self/cwd", OpenFlags::PATH, resolve);
        magic(none).unwrap();
        assert_eq!(errno(magic(Resolve { no_magiclinks: true, ..none })), libc::ELOOP);
        let root = File::open("/").unwrap();
        let other = Resolve { no_xdev: true, ..none };
        assert_eq!(
            errno(openat2(root.as_fd(), c"proc/version", OpenFlags::READ, other)),
            libc::EXDEV
        );
        // Opened a moment ago, so its name is in the dentry cache; a kernel before 5.12 does not know the bit.
        match open(c"file", Resolve { cached: true, ..none }) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                eprintln!("skipped: RESOLVE_CACHED: {error}");
            }
            outcome => {
                drop(outcome.unwrap());
                // Nobody has ever asked for this one, so that only the disk can tell.
                assert_eq!(errno(open(c"absent", Resolve { cached: true, ..none })), libc::EAGAIN);
            }
        }
    }

    #[test]
    fn flags_reach_the_kernel() {
        let (_temp, dir) = tree();
        let open = |path, flags| openat(dir.as_fd(), path, flags);
        assert_eq!(errno(open(c"file", OpenFlags::DIRECTORY)), libc::ENOTDIR);
        assert_eq!(errno(open(c"inside", OpenFlags::NOFOLLOW)), libc::ELOOP);
        let link = open(c"inside", OpenFlags::PATH | OpenFlags::NOFOLLOW).unwrap();
        assert_eq!(fstat(link.as_fd()).unwrap().kind, FileKind::Symlink);
        let named = open(c"file", OpenFlags::PATH).unwrap();
        assert_eq!(errno(crate::pread::pread(named.as_fd(), &mut [0], 0)), libc::EBADF);
        let mut flags = OpenFlags::READ;
        flags |= OpenFlags::NONBLOCK | OpenFlags::NOCTTY;
        let read = open(c"file", flags).unwrap();
        assert!(rustix::fs::fcntl_getfl(&read).unwrap().contains(OFlags::NONBLOCK));
    }

    #[test]
    fn a_fifo_without_a_writer_does_not_block() {
        let (temp, dir) = tree();
        let path = temp.path().join("tree/fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RWXU, 0)
            .unwrap();
        openat(dir.as_fd(), c"fifo", OpenFlags::NONBLOCK).unwrap();
        openat(dir.as_fd(), c"fifo", OpenFlags::PATH).unwrap();
    }

    #[test]
    fn descriptors_are_not_inherited() {
        let (_temp, dir) = tree();
        let mut opened = vec![openat(dir.as_fd(), c"file", OpenFlags::READ).unwrap()];
        opened.extend(openat2(dir.as_fd(), c"file", OpenFlags::READ, beneath()));
        for fd in opened {
            let flags = rustix::io::fcntl_getfd(&fd).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
    }
}
