//! Reading a range of a file in place, without copying it, where a file that is truncated meanwhile is an error and no SIGBUS.

use crate::{error::FileFault, segment::FileRange};
use rustix::io::Errno;
use sendrail_sys::{stat::fstat, window::Window};
use std::{fmt, io, os::fd::AsFd};

/// The longest range that can be mapped at once, in bytes: 64 MiB. One that does not begin on a page boundary has less, by what
/// comes before it on its first page.
pub const LONGEST: usize = sendrail_sys::window::LONGEST;

/// A range of a file, mapped (`mmap(2)`), by [`read_mapped`]. Unmapped when it is dropped.
pub struct MappedRead {
    window: Window,
    range: FileRange,
}

/// Maps `range`. One `mmap(2)`, and one more on drop; the first of a process reserves address space and installs a handler for SIGBUS, see
/// [`sendrail_sys::window`].
///
/// # Errors
///
/// EINVAL: the range is empty, or longer than [`LONGEST`], or beyond 2⁶³. ENOMEM: there are too many mappings. EACCES: the file is not open
/// for reading. ENODEV, and EIO for `/proc`: its file system has no mappings. Files on network file systems and FUSE can be mapped, but a
/// thread that comes to a page waits for the server, for ever if need be, and no timeout ends that: read those.
///
/// ```
/// use std::{fs::File, io::Write, sync::Arc};
/// use sendrail_transfer::{FileFault, FileRange, mapped_read::read_mapped};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut file = tempfile::tempfile()?;
/// file.write_all(&[7; 100_000])?;
/// let file = Arc::new(file);
/// let mapped = read_mapped(&FileRange::new(Arc::clone(&file), 10, 90_000))?;
/// let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
/// assert_eq!(mapped.with(sum)?, 630_000);
///
/// file.set_len(50_000)?; // somebody is at it: this would be the end of the process
/// let fault = mapped.with(sum).unwrap_err();
/// assert!(matches!(fault, FileFault::Truncated { offset: 50_000, promised_end: 90_010 }));
/// # Ok(())
/// # }
/// ```
pub fn read_mapped(range: &FileRange) -> io::Result<MappedRead> {
    let len = usize::try_from(range.len).map_err(|_| io::Error::from(Errno::INVAL))?;
    let window = Window::new(range.file.clone(), range.offset, len)?;
    Ok(MappedRead { window, range: range.clone() })
}

impl MappedRead {
    /// Gives the bytes to `look`, and hands on what it makes of them, if they were the file's. One `fstat(2)`, afterwards.
    ///
    /// As with any mapping, who writes to the file meanwhile changes the bytes while they are looked at; of a range that was to be of one
    /// version ([`FileRange::unchanged_since`]) that is an error.
    ///
    /// # Errors
    ///
    /// [`FileFault::Truncated`]: the file does not reach so far any more, and `look` may have seen zeros in place of what is
    /// gone. [`FileFault::Read`]: it may have seen zeros for what could not be read (EIO), or was gone for a while. [`FileFault::Changed`]:
    /// it is not the version any more. What `look` made of that is dropped.
    pub fn with<T>(&self, look: impl FnOnce(&[u8]) -> T) -> Result<T, FileFault> {
        let made = look(self.window.as_ref());
        let FileRange { offset, len, ref file, .. } = self.range;
        let failed = |doing, error| FileFault::Read { doing, offset, error };
        let now = fstat(file.as_fd()).map_err(|error| failed("fstat(2)", error))?;
        let end = now.len;
        if end < offset + len {
            // Also without a page that is gone: the rest of the last one reads as zeros, and nobody is told.
            return Err(FileFault::Truncated {
                offset: end.max(offset),
                promised_end: offset + len,
            });
        }
        if self.window.is_damaged() {
            return Err(failed("mmap(2)", Errno::IO.into()));
        }
        let promised = self.range.unchanged_since;
        if promised.is_some_and(|time| (time, self.range.file_len()) != (now.modified, end)) {
            return Err(FileFault::Changed { offset });
        }
        Ok(made)
    }
}

impl fmt::Debug for MappedRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedRead").field("range", &self.range).finish_non_exhaustive()
    }
}
