//! mmap(2) with `MAP_PRIVATE`: a file range whose pages become this process's own when it writes to them.
#![allow(unsafe_code)] // mapping memory, and reading and writing single bytes of it

use std::ffi::c_void;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags};

use crate::raw;

/// A private, writable mapping of a file from its beginning; unmapped on drop.
///
/// What is written to it never reaches the file: the first write to a page makes the kernel copy it (copy-on-write). It
/// is for measuring that, one byte at a time, and gives no slices: others may write to the pages that are not copied
/// yet.
///
/// Who reads or writes beyond the end of the file, because another process has truncated it, gets `SIGBUS`, which ends
/// the program. So this is for files that nobody else knows.
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// let file = File::open(std::env::current_exe()?)?;
/// let mut mapping = sendrail_sys::private::PrivateMapping::new(file.as_fd(), 4096)?;
/// assert_eq!(mapping.read(1), b'E');
/// mapping.write(1, b'F');
/// assert_eq!(mapping.read(1), b'F');
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct PrivateMapping {
    base: NonNull<c_void>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread, and this is the only one who knows its address.
unsafe impl Send for PrivateMapping {}

impl PrivateMapping {
    /// Maps the first `len` bytes of `file`. One mmap(2).
    ///
    /// `EINVAL` for no bytes, `EACCES` if the file is not open for reading, `ENODEV` if its file system has no mappings.
    pub fn new(file: BorrowedFd<'_>, len: usize) -> io::Result<PrivateMapping> {
        if len == 0 {
            return Err(raw::invalid());
        }
        // SAFETY: with a null hint the kernel chooses an unused place, so no existing memory is affected.
        let base = unsafe {
            let (null, access) = (std::ptr::null_mut(), ProtFlags::READ | ProtFlags::WRITE);
            rustix::mm::mmap(null, len, access, MapFlags::PRIVATE, file, 0)?
        };
        let base = NonNull::new(base).expect("the kernel maps nothing at address 0 unless told to");
        Ok(PrivateMapping { base, len })
    }

    /// Length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an empty range cannot be mapped")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The byte at `at`. Panics beyond the range.
    pub fn read(&self, at: usize) -> u8 {
        // SAFETY: `byte` has checked that it lies in the mapping, which is readable while `self` lives. The read is
        // volatile, for others may write to the file.
        unsafe { self.byte(at).read_volatile() }
    }

    /// Writes the byte at `at`, for this process alone. Panics beyond the range.
    pub fn write(&mut self, at: usize, value: u8) {
        // SAFETY: as for `read`; writable too, and nobody else in this process knows the address.
        unsafe { self.byte(at).write_volatile(value) }
    }

    fn byte(&self, at: usize) -> *mut u8 {
        assert!(at < self.len, "{at} lies beyond {} bytes", self.len);
        self.base.as_ptr().cast::<u8>().wrapping_add(at)
    }
}

impl Drop for PrivateMapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; no reference into it can exist.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr(), self.len) };
        debug_assert!(unmapped.is_ok(), "munmap of a whole mapping: {unmapped:?}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::io::{Read, Seek};
    use std::os::fd::AsFd;

    use super::*;
    use crate::testing::{errno, file_with, pattern};

    #[test]
    fn what_is_written_is_seen_here_and_nowhere_else() {
        let mut file = file_with(&pattern(10_000));
        let mut mapping = PrivateMapping::new(file.as_fd(), 10_000).unwrap();
        assert_eq!((mapping.len(), mapping.read(9_999)), (10_000, pattern(10_000)[9_999]));
        let changed = !mapping.read(5_000);
        mapping.write(5_000, changed);
        assert_eq!(mapping.read(5_000), changed);
        let mut whole = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut whole).unwrap();
        assert_eq!(whole, pattern(10_000));
    }

    #[test]
    fn what_cannot_be_mapped_is_refused() {
        assert_eq!(errno(PrivateMapping::new(file_with(b"abc").as_fd(), 0)), libc::EINVAL);
    }

    #[test]
    #[should_panic(expected = "lies beyond")]
    fn nothing_beyond_the_range_is_touched() {
        let mapping = PrivateMapping::new(file_with(b"abc").as_fd(), 3).unwrap();
        mapping.read(3);
    }
}
