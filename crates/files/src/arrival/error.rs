//! Why a file does not arrive: facts about files, which the server turns into statuses of HTTP.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use sendrail_sys::FileKind;

/// Why a directory cannot take files at all; each variant makes one clear line.
#[derive(Debug)]
#[non_exhaustive]
pub enum LandingError {
    /// Nothing has this name.
    DoesNotExist {
        /// The directory that was asked for.
        path: PathBuf,
    },
    /// The name belongs to something else than a directory.
    NotADirectory {
        /// The directory that was asked for.
        path: PathBuf,
    },
    /// This process may not make files in it, or not read it, which fsync(2) needs.
    NotPermitted {
        /// The directory that was asked for.
        path: PathBuf,
    },
    /// Its file system is mounted read-only.
    ReadOnly {
        /// The directory that was asked for.
        path: PathBuf,
    },
    /// The policy of the root forbids it: a dot file, or a link that leads out.
    Forbidden {
        /// The directory that was asked for.
        path: PathBuf,
    },
    /// The kernel said something else.
    Io {
        /// The directory that was asked for.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
}

impl LandingError {
    pub(super) fn from_kernel(path: PathBuf, doing: &'static str, error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => Self::DoesNotExist { path },
            Some(Errno::NOTDIR) => Self::NotADirectory { path },
            Some(Errno::ACCESS | Errno::PERM) => Self::NotPermitted { path },
            Some(Errno::ROFS) => Self::ReadOnly { path },
            Some(Errno::XDEV | Errno::LOOP) => Self::Forbidden { path },
            _ => Self::Io { path, doing, error },
        }
    }
}

impl fmt::Display for LandingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoesNotExist { path } => write!(f, "{} does not exist", path.display()),
            Self::NotADirectory { path } => write!(f, "{} is not a directory", path.display()),
            Self::NotPermitted { path } => {
                write!(f, "no files can be made in {} by this user", path.display())
            }
            Self::ReadOnly { path } => {
                write!(f, "{} lies on a file system that is mounted read-only", path.display())
            }
            Self::Forbidden { path } => write!(
                f,
                "{} is hidden, or reached by a symbolic link that is not followed",
                path.display()
            ),
            Self::Io { path, doing, error } => write!(f, "{doing} {}: {error}", path.display()),
        }
    }
}

impl Error for LandingError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// What there is not enough of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoSpace {
    /// The disk is full (ENOSPC).
    Disk,
    /// The user's, group's or project's quota on it is used up (EDQUOT).
    DiskQuota,
    /// [`LandingOptions::quota`](crate::LandingOptions) would be exceeded.
    Quota,
    /// Less than [`LandingOptions::reserve`](crate::LandingOptions) would be left.
    Reserve,
    /// The file system, or RLIMIT_FSIZE, has no files of this size (EFBIG).
    FileSize,
}

impl fmt::Display for NoSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk => "the disk is full",
            Self::DiskQuota => "the disk quota is used up",
            Self::Quota => "the directory has no room for it",
            Self::Reserve => "too little of the disk would be left",
            Self::FileSize => "the file system has no files of this size",
        })
    }
}

/// Why a file does not arrive, or did not. Behind each, the status of HTTP that fits.
#[derive(Debug)]
#[non_exhaustive]
pub enum ArrivalError {
    /// What is there under the name, or that nothing is, is not what was asked for: 412. Also when another upload, or another
    /// process, was faster.
    PreconditionFailed,
    /// Longer than one file may be: 413.
    TooLarge {
        /// Bytes that a file may have.
        most: u64,
    },
    /// Shorter or longer than was announced: 400. A [resumable upload](crate::Upload) that became longer cannot be gone on with,
    /// and is to be [cancelled](crate::Upload::cancel).
    Length {
        /// Bytes that were announced.
        announced: u64,
        /// Bytes that there are, or would be.
        arrived: u64,
    },
    /// The bytes are not those that the digest was made of: 400.
    Digest {
        /// The algorithm, as the Hash Algorithms for HTTP Digest Fields registry names it.
        algorithm: &'static str,
    },
    /// No room: 507.
    NoSpace(NoSpace),
    /// The file system is mounted read-only (EROFS): 403.
    ReadOnly,
    /// This process may not write there: 403.
    NotPermitted,
    /// The directory that it is to be in does not exist, or is no directory: 409.
    NoParent,
    /// There is a directory of this name, or a symbolic link to one: 409.
    IsDirectory,
    /// There is something of this name that is neither file nor directory: 409.
    NotAFile {
        /// What it is.
        kind: FileKind,
    },
    /// No file can have this name here: 400 or 403.
    BadName {
        /// Why.
        why: &'static str,
    },
    /// No upload of this id, or none of this owner; or it is damaged, cancelled, or expired: 404.
    NotFound,
    /// Another request goes on with this upload, and has been told to stop: try again when
    /// [`Landing::when_free`](crate::Landing::when_free) says so.
    Busy,
    /// Another process goes on with this upload, for example the one that this one takes the place of. It cannot be told to stop, nor
    /// says when it has: 409, for the client to try again later.
    Elsewhere,
    /// The kernel said something else: 500.
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
}

impl ArrivalError {
    /// What it means that a call on an arriving file (write(2), splice(2), fdatasync(2)) failed.
    ///
    /// ```
    /// use sendrail_files::{ArrivalError, NoSpace};
    /// let full = std::io::Error::from_raw_os_error(28); // ENOSPC
    /// let error = ArrivalError::from_kernel("writing", full);
    /// assert!(matches!(error, ArrivalError::NoSpace(NoSpace::Disk)));
    /// ```
    pub fn from_kernel(doing: &'static str, error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::NOSPC) => Self::NoSpace(NoSpace::Disk),
            Some(Errno::DQUOT) => Self::NoSpace(NoSpace::DiskQuota),
            Some(Errno::FBIG) => Self::NoSpace(NoSpace::FileSize),
            Some(Errno::ROFS) => Self::ReadOnly,
            Some(Errno::ACCESS | Errno::PERM) => Self::NotPermitted,
            Some(Errno::ISDIR) => Self::IsDirectory,
            Some(Errno::NAMETOOLONG) => Self::BadName { why: "the name is too long" },
            _ => Self::Io { doing, error },
        }
    }

    /// The same, to be given to `map_err`.
    pub(super) fn doing<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::from_kernel(doing, error.into())
    }
}

impl fmt::Display for ArrivalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PreconditionFailed => f.write_str("what is there is not what was asked for"),
            Self::TooLarge { most } => write!(f, "longer than the {most} bytes a file may have"),
            Self::Length { announced, arrived } => {
                write!(f, "{announced} bytes were announced, and {arrived} are there")
            }
            Self::Digest { algorithm } => write!(f, "the {algorithm} digest is another one"),
            Self::NoSpace(what) => what.fmt(f),
            Self::ReadOnly => f.write_str("the file system is mounted read-only"),
            Self::NotPermitted => f.write_str("this process may not write there"),
            Self::NoParent => f.write_str("its directory does not exist"),
            Self::IsDirectory => f.write_str("a directory is in the way"),
            Self::NotAFile { .. } => {
                f.write_str("something that is neither file nor directory is in the way")
            }
            Self::BadName { why } => write!(f, "no file can have this name: {why}"),
            Self::NotFound => f.write_str("no such upload"),
            Self::Busy => f.write_str("another request goes on with this upload"),
            Self::Elsewhere => f.write_str("another process goes on with this upload"),
            Self::Io { doing, error } => write!(f, "{doing}: {error}"),
        }
    }
}

impl Error for ArrivalError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
