//! What can go wrong, for each operation: what was being done, to what, where, and what the kernel said.

use crate::record::RecordFault;
use std::{fmt, io, path::PathBuf, sync::Arc};

/// Why a log cannot be opened. Nothing has been changed then, but that the directory and the lock file may have been made.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// An option makes no sense.
    Options(String),
    /// Another process has it open (`flock(2)` on its file `lock`).
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// A record in the middle is damaged: good ones follow it, in this segment or a later one. [`Options::repair`](crate::Options)
    /// cuts the log there.
    Damaged {
        /// The segment.
        file: PathBuf,
        /// Where the damage begins, in bytes.
        position: u64,
        /// What is wrong there.
        fault: RecordFault,
        /// Where good records go on, in which file.
        goes_on: (PathBuf, u64),
    },
    /// A segment is missing: the one before it ends with another offset.
    Gap {
        /// The segment that does not follow.
        file: PathBuf,
        /// The offset that should be its first.
        expected: u64,
    },
    /// The kernel refused something.
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        file: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(fault) => f.write_str(fault),
            Self::InUse { directory } => {
                write!(f, "another process has the log {} open", directory.display())
            }
            Self::Damaged { file, position, fault, goes_on: (next, at) } => write!(
                f,
                "{} is damaged at byte {position} ({fault}), and good records follow at byte {at} of {}: \
                 nothing has been cut (repair would cut it there)",
                file.display(),
                next.display()
            ),
            Self::Gap { file, expected } => write!(
                f,
                "a segment is missing before {}: the one before it ends at offset {expected}",
                file.display()
            ),
            Self::Io { doing, file, error } => {
                write!(f, "cannot {doing} {}: {error}", file.display())
            }
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            Self::Damaged { fault, .. } => Some(fault),
            Self::Options(_) | Self::InUse { .. } | Self::Gap { .. } => None,
        }
    }
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        let kind = match &error {
            OpenError::Options(_) => io::ErrorKind::InvalidInput,
            OpenError::InUse { .. } => io::ErrorKind::ResourceBusy,
            OpenError::Damaged { .. } | OpenError::Gap { .. } => io::ErrorKind::InvalidData,
            OpenError::Io { error, .. } => error.kind(),
        };
        Self::new(kind, error)
    }
}

/// Why records were not appended. The log is as it was before: none of them is there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AppendError {
    /// They are more than [`Options::append_bytes`](crate::Options).
    TooLong {
        /// The most that is allowed, in bytes as stored.
        most: u64,
    },
    /// The kernel refused to make a segment or to write to it: a full disk (ENOSPC), a quota (EDQUOT), RLIMIT_FSIZE (EFBIG), EIO. What
    /// was written in part has been cut off; the next append is tried as if nothing had been.
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        file: PathBuf,
        /// What the kernel said.
        error: Arc<io::Error>,
    },
    /// An `fdatasync(2)` has failed, for this append or an earlier one, and the log takes no more until it is opened anew. The kernel marks
    /// pages that it could not write as clean, and tells once: another call would succeed, with the bytes nowhere.
    SyncFailed {
        /// The segment.
        file: PathBuf,
        /// What the kernel said.
        error: Arc<io::Error>,
    },
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { most } => {
                write!(f, "the records take more than {most} bytes, the most that one append may")
            }
            Self::Io { doing, file, error } => {
                write!(f, "cannot {doing} {}: {error}", file.display())
            }
            Self::SyncFailed { file, error } => write!(
                f,
                "fdatasync(2) of {} has failed, and no more is taken until the log is opened anew: {error}",
                file.display()
            ),
        }
    }
}

impl std::error::Error for AppendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } | Self::SyncFailed { error, .. } => Some(&**error),
            Self::TooLong { .. } => None,
        }
    }
}

impl From<AppendError> for io::Error {
    fn from(error: AppendError) -> Self {
        let kind = match &error {
            AppendError::TooLong { .. } => io::ErrorKind::InvalidInput,
            AppendError::Io { error, .. } | AppendError::SyncFailed { error, .. } => error.kind(),
        };
        Self::new(kind, error)
    }
}

/// The log does not have the offset that was asked for: it was dropped, or is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRange {
    /// The oldest offset that is there.
    pub start: u64,
    /// The offset that the next record will have.
    pub end: u64,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log goes from offset {} to {}", self.start, self.end)
    }
}

impl std::error::Error for OutOfRange {}
