//! What can go wrong when a root or a path beneath it is opened, one enum per operation.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use sendrail_sys::FileKind;

/// Why a directory cannot be served at all; each variant makes one clear line.
#[derive(Debug)]
#[non_exhaustive]
pub enum RootError {
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
    /// This process may not enter the directory (it needs the search permission, `x`).
    NotReadable {
        /// The directory that was asked for.
        path: PathBuf,
    },
    /// The kernel said something else.
    Io {
        /// The directory that was asked for.
        path: PathBuf,
        /// What was being done, for example "opening".
        doing: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
}

impl RootError {
    pub(crate) fn from_kernel(path: PathBuf, doing: &'static str, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::DoesNotExist { path },
            io::ErrorKind::NotADirectory => Self::NotADirectory { path },
            io::ErrorKind::PermissionDenied => Self::NotReadable { path },
            _ => Self::Io { path, doing, error },
        }
    }
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoesNotExist { path } => write!(f, "{} does not exist", path.display()),
            Self::NotADirectory { path } => write!(f, "{} is not a directory", path.display()),
            Self::NotReadable { path } => {
                write!(f, "{} may not be entered by this user", path.display())
            }
            Self::Io { path, doing, error } => write!(f, "{doing} {}: {error}", path.display()),
        }
    }
}

impl Error for RootError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Why a path beneath the root was not opened.
///
/// These are facts about files, not statuses of HTTP; the server translates them.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Nothing has this name, or the name is hidden by the policy for dot files.
    NotFound,
    /// It exists, or may exist, and is not given out.
    Forbidden {
        /// The reason in words, for the log and for `explain`.
        why: &'static str,
    },
    /// It is a FIFO, socket or device. It was looked at, never opened.
    NotAFile {
        /// What it is.
        kind: FileKind,
    },
    /// Longer than the kernel (4095 bytes) or the file system (mostly 255 bytes a name) can store.
    NameTooLong,
    /// This process (EMFILE) or the machine (ENFILE) has no descriptor left.
    TooManyOpenFiles(io::Error),
    /// The kernel said something else: a fault on the side of the files.
    Io {
        /// What was being done, for example "opening for reading".
        doing: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
}

/// What the kernel says is a number, of which there can be two.
impl Clone for OpenError {
    fn clone(&self) -> Self {
        let again = |error: &io::Error| match error.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::from(error.kind()),
        };
        match self {
            Self::NotFound => Self::NotFound,
            Self::Forbidden { why } => Self::Forbidden { why },
            Self::NotAFile { kind } => Self::NotAFile { kind: *kind },
            Self::NameTooLong => Self::NameTooLong,
            Self::TooManyOpenFiles(error) => Self::TooManyOpenFiles(again(error)),
            Self::Io { doing, error } => Self::Io { doing, error: again(error) },
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such file"),
            Self::Forbidden { why } => write!(f, "not given out: {why}"),
            Self::NotAFile { kind } => {
                let what = match kind {
                    FileKind::Fifo => "a FIFO",
                    FileKind::Socket => "a socket",
                    FileKind::BlockDevice => "a block device",
                    FileKind::CharDevice => "a character device",
                    _ => "neither a file nor a directory",
                };
                write!(f, "not a file but {what}")
            }
            Self::NameTooLong => f.write_str("the name is longer than any file's name can be"),
            Self::TooManyOpenFiles(error) => write!(f, "out of descriptors: {error}"),
            Self::Io { doing, error } => write!(f, "{doing}: {error}"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TooManyOpenFiles(error) | Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
