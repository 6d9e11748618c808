//! Memory that the kernel fills behind the program's back: aligned, and never freed under an operation.
#![allow(unsafe_code)] // mapping memory, and making slices of it

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::raw;

/// Several buffers of one length in one anonymous mapping, each on a page boundary. Unmapped on drop.
#[derive(Debug)]
pub(super) struct Buffers {
    base: NonNull<c_void>,
    count: usize,
    /// Of one buffer; a multiple of the page size.
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl Send for Buffers {}
// SAFETY: through `&self` the memory is only read, and the addresses only passed on.
unsafe impl Sync for Buffers {}

impl Buffers {
    /// Maps `count` buffers of `len` bytes, in huge pages where they are to be had. mmap(2), and madvise(2) twice.
    pub(super) fn new(count: usize, len: usize) -> io::Result<Buffers> {
        let total = count.checked_mul(len).filter(|total| *total > 0).ok_or_else(raw::invalid)?;
        if !len.is_multiple_of(rustix::param::page_size()) {
            return Err(raw::invalid());
        }
        // SAFETY: with a null hint the kernel chooses an unused place, so no existing memory is affected.
        let base = unsafe {
            let (null, access) = (std::ptr::null_mut(), ProtFlags::READ | ProtFlags::WRITE);
            rustix::mm::mmap_anonymous(null, total, access, MapFlags::PRIVATE)?
        };
        let base = NonNull::new(base).expect("the kernel maps nothing at address 0 unless told to");
        let buffers = Buffers { base, count, len };
        // A child that shared the pages would have the next one to write to them get a copy: the kernel would go on
        // filling the pages it has pinned, and this program might look at others.
        // SAFETY: exactly the mapping just made; a child of fork(2) does not know of it.
        unsafe { rustix::mm::madvise(base.as_ptr(), total, Advice::LinuxDontFork)? };
        // A disk takes a limited number of segments in one request (queue/max_segments), and a page is one if its
        // neighbours lie elsewhere. Who knows no huge pages says EINVAL.
        // SAFETY: exactly the mapping just made; its contents stay.
        let _ = unsafe { rustix::mm::madvise(base.as_ptr(), total, Advice::LinuxHugepage) };
        Ok(buffers)
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Length of one buffer in bytes.
    pub(super) fn buffer_len(&self) -> usize {
        self.len
    }

    /// Where a buffer begins. Panics if there is no such buffer.
    pub(super) fn start(&self, buffer: usize) -> *mut u8 {
        assert!(buffer < self.count, "there are {} buffers, and no number {buffer}", self.count);
        self.base.as_ptr().cast::<u8>().wrapping_add(buffer * self.len)
    }

    /// The buffers as the kernel wants to be told of them.
    pub(super) fn slices(&self) -> Vec<libc::iovec> {
        let slice = |buffer| libc::iovec { iov_base: self.start(buffer).cast(), iov_len: self.len };
        (0..self.count).map(slice).collect()
    }

    /// The contents of a buffer. Panics if there is no such buffer.
    ///
    /// # Safety
    ///
    /// No operation that writes to this buffer may be in flight, or begin while the slice lives.
    pub(super) unsafe fn contents(&self, buffer: usize) -> &[u8] {
        // SAFETY: `start` lies in the mapping, `len` bytes from there too, initialised (with zeros, by the kernel) and
        // mapped while `self` lives. Nobody writes to it: the caller sees to that.
        unsafe { std::slice::from_raw_parts(self.start(buffer), self.len) }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`. Every slice into it borrows `self`. The kernel may still be writing
        // to pages that it has pinned for a ring: they stay its own until it lets go of them, and only the addresses
        // become free for others; see `ReadRing`.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr(), self.count * self.len) };
        debug_assert!(unmapped.is_ok(), "exactly what was mapped");
    }
}
