//! Looking names up at once: without waiting for the disk that they are written on.
//!
//! The kernel keeps names that were looked up lately, present or absent, in its dentry cache.
//! `openat2(2)` with RESOLVE_CACHED (Linux 5.12) finds those, and answers EAGAIN for others. What has
//! been found that way has its inode in memory, so that opening it and asking for its facts waits for
//! no local disk. A file system that lies elsewhere (a network, FUSE) may have to ask for anything.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use sendrail_sys::{self as sys, FileSystem, OpenFlags, Stat};

use crate::confine::Confinement;
use crate::error::OpenError;
use crate::path;
use crate::root::{Found, Root, Symlinks};

/// Whether a lookup may sleep until a disk has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sleep {
    Allowed,
    Forbidden,
}

/// Why nothing was found.
#[derive(Debug)]
pub(crate) enum Unfound {
    /// A disk would have to be waited for. Only if that was forbidden.
    WouldSleep,
    Refused(OpenError),
}

impl From<OpenError> for Unfound {
    fn from(error: OpenError) -> Self {
        Self::Refused(error)
    }
}

impl Unfound {
    /// What it is where sleeping was allowed.
    pub(crate) fn refusal(self) -> OpenError {
        match self {
            Self::Refused(error) => error,
            Self::WouldSleep => unreachable!("who may sleep is not told to"),
        }
    }
}

/// What can be told of a name without waiting for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Names {
    /// Whether it is in memory: `openat2(2)` with RESOLVE_CACHED, since Linux 5.12.
    AtOnce,
    /// Nothing: the root lies elsewhere, on a network file system or FUSE.
    Elsewhere,
    /// Nothing, for the kernel cannot say. A lookup [at once](Root::find_at_once) may sleep.
    Unknown {
        /// Why it cannot.
        why: &'static str,
    },
}

impl Names {
    /// Finds out by trying it on the root itself.
    pub(crate) fn try_on(
        root: BorrowedFd<'_>,
        confinement: Confinement,
        file_system: FileSystem,
        symlinks: Symlinks,
    ) -> Self {
        if file_system.is_network_or_fuse() {
            return Self::Elsewhere;
        }
        if let Confinement::Walk { .. } = confinement {
            return Self::Unknown { why: "there is no openat2" };
        }
        let tried = confinement.open(root, c".", OpenFlags::PATH, symlinks, true);
        match tried.map_err(|error| Errno::from_io_error(&error)) {
            Ok(_) | Err(Some(Errno::AGAIN)) => Self::AtOnce,
            Err(Some(Errno::INVAL)) => Self::Unknown { why: "RESOLVE_CACHED is since Linux 5.12" },
            Err(_) => Self::Unknown { why: "openat2 refuses RESOLVE_CACHED" },
        }
    }
}

impl Root {
    /// As [`find`](Self::find), unless a disk would have to be waited for: then nothing, and `find` is
    /// for a thread that may sleep. See [`names`](Self::names) for what that is worth.
    ///
    /// ```
    /// use sendrail_files::{Found, Names, Root, RootOptions};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// let root = Root::open(directory.path(), RootOptions::default())?;
    /// match root.find_at_once(b"")? {
    ///     Some(found) => assert!(matches!(found, Found::Directory(_))),
    ///     None => assert_eq!(root.names(), Names::Elsewhere), // the root itself is in memory
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find_at_once(&self, path: &[u8]) -> Result<Option<Found>, OpenError> {
        match self.find_with(path, self.options().mutable, Sleep::Forbidden) {
            Ok(found) => Ok(Some(found)),
            Err(Unfound::WouldSleep) => Ok(None),
            Err(Unfound::Refused(error)) => Err(error),
        }
    }

    /// The device (`st_dev`) that a lookup of `path` would wait for, as far as that is known without
    /// waiting: that of the last directory on the way that is in memory. Whatever is mounted on the way
    /// is.
    pub fn device_towards(&self, path: &[u8]) -> u64 {
        match path::check(path, self.options().dotfiles) {
            Ok(path) if self.names() == Names::AtOnce => self.last_known_device(&path),
            _ => self.device(),
        }
    }

    fn last_known_device(&self, path: &CStr) -> u64 {
        let path = path.to_bytes();
        let slashes: Vec<usize> =
            path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).collect();
        // A directory is only in memory if all those above it are: a path of a thousand takes ten looks.
        let mut last = self.device();
        let _known = slashes.partition_point(|&at| {
            let above = CString::new(&path[..at]).expect("part of a C string has no NUL");
            let opened = self.open_known(&above, OpenFlags::PATH);
            let stat = opened.and_then(|opened| sys::fstat_cached(opened.as_fd()));
            stat.map(|stat| last = stat.device).is_ok()
        });
        last
    }

    /// Opens a path if all of it is in memory; else EAGAIN.
    fn open_known(&self, path: &CStr, flags: OpenFlags) -> std::io::Result<OwnedFd> {
        self.confinement().open(self.directory(), path, flags, self.options().symlinks, true)
    }

    /// Opens a path beneath the root, and does not sleep if that is forbidden.
    pub(crate) fn open_with(
        &self,
        path: &CStr,
        flags: OpenFlags,
        doing: &'static str,
        sleep: Sleep,
    ) -> Result<OwnedFd, Unfound> {
        let opened = match (sleep, self.names()) {
            (Sleep::Allowed, _) | (Sleep::Forbidden, Names::Unknown { .. }) => {
                self.open_beneath(path, flags)
            }
            (Sleep::Forbidden, Names::Elsewhere) => return Err(Unfound::WouldSleep),
            (Sleep::Forbidden, Names::AtOnce) => match self.open_known(path, flags) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if !self.is_in_memory(path) {
                        return Err(Unfound::WouldSleep);
                    }
                    self.open_beneath(path, flags)
                }
                opened => opened,
            },
        };
        opened.map_err(|error| Unfound::Refused(self.refusal(doing, error)))
    }

    /// A file system that is all in memory does not remember which names it does not have.
    fn is_in_memory(&self, path: &CStr) -> bool {
        self.file_system() == FileSystem::Tmpfs && self.last_known_device(path) == self.device()
    }

    /// The facts of what has been opened, and no word to a file system that lies elsewhere if sleeping
    /// is forbidden.
    pub(crate) fn stat_with(&self, opened: BorrowedFd<'_>, sleep: Sleep) -> Result<Stat, Unfound> {
        if sleep == Sleep::Allowed || self.names() != Names::AtOnce {
            let doing = "asking for size and times";
            let stat = sys::fstat(opened).map_err(|error| OpenError::Io { doing, error })?;
            return Ok(stat);
        }
        match sys::fstat_cached(opened) {
            Ok(stat) if self.is_known_local(stat.device) => Ok(stat),
            _ => Err(Unfound::WouldSleep),
        }
    }
}
