//! What copying came to: the methods, the receipt, and why it ended early, on whose side.

use crate::refused::{Refused, write_methods};
use std::{fmt, io};

/// A way from file to file.
///
/// More may come: a `match` needs an arm for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CopyMethod {
    /// FICLONERANGE, `ioctl_ficlonerange(2)`: both files share the blocks until either is written to. Nothing is copied.
    Clone,
    /// `copy_file_range(2)`: within the kernel, or by the server of a network file system.
    CopyFileRange,
    /// `splice(2)` into a pipe of 1 MiB, and out of it: one copy, within the kernel.
    Splice,
    /// `pread(2)` into a buffer of 256 KiB, and `pwrite(2)`.
    Buffered,
}

impl CopyMethod {
    /// Every method, from the cheapest to the one that always works.
    pub const ALL: [Self; 4] = [Self::Clone, Self::CopyFileRange, Self::Splice, Self::Buffered];

    /// The name in receipts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clone => "clone",
            Self::CopyFileRange => "copy_file_range",
            Self::Splice => "splice",
            Self::Buffered => "buffered",
        }
    }

    /// What takes this method's place where it is refused.
    pub(super) fn next_best(self) -> Option<Self> {
        match self {
            Self::Clone => Some(Self::CopyFileRange),
            Self::CopyFileRange => Some(Self::Splice),
            Self::Splice => Some(Self::Buffered),
            Self::Buffered => None,
        }
    }
}

impl fmt::Display for CopyMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a caller may ask for.
///
/// Options will be added: name those that you set, and take the others by `..CopyOptions::default()`.
///
/// ```
/// use sendrail_transfer::{FileRange, copy::{CopyMethod, CopyOptions, copy_file}};
/// use std::{fs::File, sync::Arc};
///
/// let source = FileRange::new(Arc::new(File::open("Cargo.toml")?), 0, 100);
/// let options = CopyOptions { method: Some(CopyMethod::Buffered), ..CopyOptions::default() };
/// let receipt = copy_file(&source, &tempfile::tempfile()?, 0, &options)?;
/// assert_eq!((receipt.bytes, receipt.copied, receipt.holes), (100, 200, 0));
/// assert_eq!(receipt.methods, [CopyMethod::Buffered]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// Use this method first. `None`: the cheapest one that is not refused.
    pub method: Option<CopyMethod>,
}

/// What was copied, and what it cost. Every figure is counted where it arises.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Bytes of the range that the target has, from its first on, without a gap; holes included.
    pub bytes: u64,
    /// Of those, bytes that are holes in the source, and in the target as well: nothing was moved for them.
    pub holes: u64,
    /// The methods that brought the others, in the order of their first bytes.
    pub methods: Vec<CopyMethod>,
    /// System calls, those included that a signal interrupted (EINTR) or the kernel refused.
    pub system_calls: u64,
    /// Bytes that the processor copied between kernel and user memory: twice each by `buffered`, not at all otherwise.
    /// (What is copied from page to page within the kernel is not in here.)
    pub copied: u64,
    /// What was refused, oldest first.
    pub refusals: Vec<Refused<CopyMethod>>,
}

impl fmt::Display for Copied {
    /// `clone calls=4 copied=0 holes=0`, and what was refused: `refused=clone:EOPNOTSUPP`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_methods(f, &self.methods)?;
        write!(f, " calls={} copied={} holes={}", self.system_calls, self.copied, self.holes)?;
        self.refusals.iter().try_for_each(|refused| write!(f, " {refused}"))
    }
}

/// What ended it early.
#[derive(Debug)]
#[non_exhaustive]
pub enum CopyFault {
    /// The source could not be read.
    Source {
        /// What the kernel said: EIO, EBADF (not open for reading), EISDIR.
        error: io::Error,
        /// The first byte of the source that was not copied.
        offset: u64,
    },
    /// The target took no more.
    Target {
        /// What the kernel said: ENOSPC, EDQUOT, EFBIG, EROFS, EIO, EPERM; EBADF, if it is not open for writing; EINVAL, if
        /// it was opened with O_APPEND and does not end at the offset. After those two nothing was copied.
        error: io::Error,
        /// The first byte of the target that was not written.
        offset: u64,
    },
    /// The source ends before the range does.
    TooShort {
        /// The length of the range.
        expected: u64,
        /// How much of it there was, and has been copied.
        copied: u64,
    },
    /// The source is not the version any more that the range had to be of
    /// ([`FileRange::unchanged_since`](crate::FileRange::unchanged_since)). If it was not from the beginning nothing was copied; else the
    /// target may have bytes of several.
    Changed,
    /// Source and target are one file, and the ranges overlap. Nothing was copied.
    Overlap,
    /// The caller's progress function broke off.
    Stopped,
}

impl fmt::Display for CopyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source { error, offset } => {
                write!(f, "reading the source failed at byte {offset}: {error}")
            }
            Self::Target { error, offset } => {
                write!(f, "writing the target failed at byte {offset}: {error}")
            }
            Self::TooShort { expected, copied } => {
                write!(f, "the source ended after {copied} of {expected} bytes")
            }
            Self::Changed => f.write_str("the source was changed while it was copied"),
            Self::Overlap => f.write_str("the ranges overlap in one file"),
            Self::Stopped => f.write_str("stopped by the caller"),
        }
    }
}

/// Copying ended early. `receipt.bytes` of the range are in the target, and the rest of it is as it was, or as the file system
/// left it.
///
/// ```
/// use sendrail_transfer::{FileRange, copy::{CopyFault, CopyOptions, copy_file}};
/// use std::{fs::File, sync::Arc};
///
/// let source = FileRange::new(Arc::new(File::open("Cargo.toml")?), 0, 10);
/// let read_only = File::open("Cargo.toml")?;
/// let error = copy_file(&source, &read_only, 0, &CopyOptions::default()).unwrap_err();
/// assert!(matches!(error.fault, CopyFault::Target { offset: 0, .. })); // EBADF
/// assert_eq!(error.receipt.bytes, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct CopyError {
    /// What happened.
    pub fault: CopyFault,
    /// What had been done by then.
    pub receipt: Box<Copied>,
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} bytes: {}", self.receipt.bytes, self.fault)
    }
}

impl std::error::Error for CopyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            CopyFault::Source { error, .. } | CopyFault::Target { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// For callers that only have an [`io::Error`] to give: of the kernel's kind, where there was one.
impl From<CopyError> for io::Error {
    fn from(error: CopyError) -> Self {
        let kind = match &error.fault {
            CopyFault::Source { error, .. } | CopyFault::Target { error, .. } => error.kind(),
            CopyFault::TooShort { .. } => io::ErrorKind::UnexpectedEof,
            CopyFault::Overlap => io::ErrorKind::InvalidInput,
            CopyFault::Changed | CopyFault::Stopped => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
