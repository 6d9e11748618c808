//! What one file allows: its file system, direct I/O, and the looks at the page cache.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use super::{State, reason};
use crate::cachestat::cachestat;
use crate::pread::{ReadFlags, preadv2};
use crate::stat::{DirectAlignment, direct_alignment, fstat};
use crate::statfs::{FileSystem, file_system};

/// What can be done with one open file; from [`Probe::of_file`](super::Probe::of_file).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileProbe {
    /// Where it lies; `Other(0)` if even that is refused.
    pub file_system: FileSystem,
    /// What direct I/O must be aligned to, as far as the kernel says (6.1); see [`direct_alignment`].
    pub direct_alignment: Option<DirectAlignment>,
    /// cachestat(2) (6.5): needs the file to be the caller's own, or writable for the caller.
    pub cachestat: State,
    /// preadv2(2) with `RWF_NOWAIT` (4.14).
    pub nowait: State,
    /// preadv2(2) with `RWF_DONTCACHE` (6.14, and then by file system).
    pub dontcache: State,
}

pub(super) fn probe(file: BorrowedFd<'_>) -> FileProbe {
    FileProbe {
        file_system: file_system(file).unwrap_or(FileSystem::Other(0)),
        direct_alignment: direct_alignment(file).ok().flatten(),
        // The first byte's page: a look at the whole of a large file could take milliseconds.
        cachestat: match cachestat(file, 0, 1) {
            Ok(_) => State::Available,
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                let why = "the file is neither owned by nor writable for this user";
                reason::unavailable_because(libc::EPERM, why)
            }
            Err(error) => reason::unavailable(&error),
        },
        nowait: reason::state(read_at_end(file, ReadFlags { nowait: true, dontcache: false })),
        dontcache: dontcache(file),
    }
}

/// Whether `RWF_DONTCACHE` works on `file`, with the reason if not.
pub(super) fn dontcache(file: BorrowedFd<'_>) -> State {
    match read_at_end(file, ReadFlags { nowait: false, dontcache: true }) {
        // The kernel has one answer for a flag it does not know and for a file system that does not implement it.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            let why = match file_system(file) {
                Ok(file_system) => format!("not on {file_system}, or not in this kernel"),
                Err(_) => "not on this file system, or not in this kernel".to_owned(),
            };
            reason::unavailable_because(libc::EOPNOTSUPP, &why)
        }
        outcome => reason::state(outcome),
    }
}

/// Reads one byte where there is none: flags are checked, but no page is touched and no disk is waited for.
pub(super) fn read_at_end(file: BorrowedFd<'_>, flags: ReadFlags) -> io::Result<usize> {
    let end = fstat(file)?.len;
    preadv2(file, &mut [0], end, flags)
}

impl fmt::Display for FileProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "file system    {}", self.file_system)?;
        match self.direct_alignment {
            None => writeln!(f, "direct I/O     not said by this kernel or file system")?,
            Some(alignment) if !alignment.is_supported() => writeln!(f, "direct I/O     no")?,
            Some(DirectAlignment { memory, offset }) => {
                writeln!(f, "direct I/O     yes: memory to {memory} bytes, offsets to {offset}")?;
            }
        }
        writeln!(f, "cachestat      {}", self.cachestat)?;
        writeln!(f, "RWF_NOWAIT     {}", self.nowait)?;
        writeln!(f, "RWF_DONTCACHE  {}", self.dontcache)
    }
}
