//! mmap(2): a file range in the address space, to be sent from there but never read by this program.
#![allow(unsafe_code)] // mapping memory, and sending from addresses that no Rust reference may cover

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::raw;

/// A shared, read-only mapping of a file range; unmapped on drop.
///
/// It gives no `&[u8]`, for two reasons. Another process may truncate the file, and touching a page beyond the new end
/// raises `SIGBUS`, which would end the program. And another process may write to the file, while the compiler assumes
/// that bytes behind a shared reference never change. So the kernel alone reads from here: in
/// [`send`](Mapping::send), where a missing page is the error `EFAULT`.
///
/// ```
/// use std::{fs::File, os::{fd::AsFd, unix::net::UnixStream}};
/// let file = File::open(std::env::current_exe()?)?;
/// let (socket, _peer) = UnixStream::pair()?;
/// let mapping = sendrail_sys::Mapping::new(file.as_fd(), 1, 3)?; // any offset, page boundary or not
/// assert_eq!(mapping.send(socket.as_fd(), 0, 3, false)?, 3);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Mapping {
    /// Where the mapping itself starts: on a page boundary.
    base: NonNull<c_void>,
    /// How many bytes of the first page come before the range asked for.
    lead: usize,
    /// Length of the range asked for, without the lead.
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread, and nothing in this program writes through it.
unsafe impl Send for Mapping {}
// SAFETY: every method through `&self` only passes addresses to the kernel; there is no state to race on.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of `file` from `offset` (bytes; any, the page boundary before it is found here). One mmap(2).
    ///
    /// `EINVAL` for an empty range or one beyond 2⁶³ bytes, `EACCES` if the file is not open for reading, `ENODEV` if
    /// its file system has no mappings. A range that reaches beyond the end of the file maps; sending that part fails.
    pub fn new(file: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<Mapping> {
        let (start, lead) = align(offset, rustix::param::page_size());
        let mapped = len.checked_add(lead).ok_or_else(raw::invalid)?;
        if len == 0 {
            return Err(raw::invalid());
        }
        // SAFETY: with a null hint the kernel chooses an unused place, so no existing memory is affected; the file may
        // change under the mapping, which is why no reference into it is ever made.
        let base = unsafe {
            let null = std::ptr::null_mut();
            rustix::mm::mmap(null, mapped, ProtFlags::READ, MapFlags::SHARED, file, start)?
        };
        let base = NonNull::new(base).expect("the kernel maps nothing at address 0 unless told to");
        Ok(Mapping { base, lead, len })
    }

    /// Length in bytes of the range asked for.
    #[expect(clippy::len_without_is_empty, reason = "an empty range cannot be mapped")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Sends `len` bytes, starting `at` bytes into the range; returns how many the socket took. One send(2) with
    /// `MSG_NOSIGNAL`, and `MSG_MORE` if `more`.
    ///
    /// `EFAULT`: a page needed is gone because the file was truncated, or cannot be read from the disk. Bytes before it
    /// may have been sent, by this call (the count is short, the next one says `EFAULT`) or not at all: TCP copies some
    /// 32 KiB at a time, and drops the piece that fails. `EINVAL`: `at` and `len` reach beyond the range. Sleeps on the
    /// disk for pages that are not resident.
    ///
    /// After a truncation to the **middle of a page** that page stays, filled up with zeros, and they are sent without
    /// an error (mmap(2)). Who must not send padding asks for the length (fstat(2)) before he trusts the last bytes.
    #[inline]
    pub fn send(
        &self,
        socket: BorrowedFd<'_>,
        at: usize,
        len: usize,
        more: bool,
    ) -> io::Result<usize> {
        self.send_by(socket, at, len, if more { libc::MSG_MORE } else { 0 })
    }

    /// The same with other flags of send(2); `MSG_NOSIGNAL` is always among them.
    pub(crate) fn send_by(
        &self,
        socket: BorrowedFd<'_>,
        at: usize,
        len: usize,
        flags: c_int,
    ) -> io::Result<usize> {
        if at > self.len || len > self.len - at {
            return Err(raw::invalid());
        }
        let flags = flags | libc::MSG_NOSIGNAL;
        // SAFETY: `lead + at` was just checked to lie within the mapping, or one past its end if `len` is 0; it is one
        // allocated object, mapped until drop.
        let from = unsafe { self.base.byte_add(self.lead + at) };
        // SAFETY: the addresses are mapped for reading while `self` lives, only the kernel reads them, and it reports
        // pages that it cannot read as EFAULT.
        raw::count(unsafe { libc::send(socket.as_raw_fd(), from.as_ptr(), len, flags) })
    }

    /// Tells the kernel that the range will be read once, in order: more read-ahead, pages behind freed sooner.
    /// One madvise(2) with `MADV_SEQUENTIAL`.
    pub fn advise_sequential(&self) -> io::Result<()> {
        let mapped = self.mapped();
        // SAFETY: exactly the mapping made in `new`, and MADV_SEQUENTIAL changes no contents.
        unsafe { rustix::mm::madvise(self.base.as_ptr(), mapped, Advice::Sequential)? };
        Ok(())
    }

    /// Puts every page of the range into this process's page table, reading from the disk what is missing there. One
    /// madvise(2) with `MADV_POPULATE_READ`, since Linux 5.14 (`EINVAL` before). `EFAULT`: the file is shorter by now.
    pub fn populate(&self) -> io::Result<()> {
        let mapped = self.mapped();
        // SAFETY: exactly the mapping made in `new`, and reading pages in changes no contents.
        unsafe { rustix::mm::madvise(self.base.as_ptr(), mapped, Advice::LinuxPopulateRead)? };
        Ok(())
    }

    /// The start of the mapping, for mincore(2), which reports on addresses; page aligned.
    pub(crate) fn base(&self) -> NonNull<c_void> {
        self.base
    }

    /// How many bytes are mapped, from the page boundary on.
    pub(crate) fn mapped(&self) -> usize {
        self.lead + self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; no reference into it can exist.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr(), self.mapped()) };
        // ENOMEM is the only error for a valid range, and only for one that splits a mapping, which this one never does.
        debug_assert!(unmapped.is_ok(), "munmap of a whole mapping: {unmapped:?}");
    }
}

/// The page boundary at or before `offset`, and how far beyond it `offset` lies.
fn align(offset: u64, page: usize) -> (u64, usize) {
    let lead = offset % page as u64;
    (offset - lead, lead as usize)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::os::fd::AsFd;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::{errno, file_with, pattern, receive, tcp_pair};

    proptest! {
        #[test]
        fn alignment_finds_the_page(offset in 0..=i64::MAX.cast_unsigned(), shift in 12_u32..=16) {
            let page = 1_usize << shift;
            let (start, lead) = align(offset, page);
            prop_assert_eq!(start % page as u64, 0);
            prop_assert!(lead < page);
            prop_assert_eq!(start + lead as u64, offset);
        }
    }

    #[test]
    fn any_part_of_any_range_is_sent() {
        let bytes = pattern(100_000);
        let file = file_with(&bytes);
        let (socket, mut peer) = tcp_pair();
        for (offset, len) in [(0, 100_000), (1, 4095), (4095, 2), (4096, 4096), (99_999, 1)] {
            let mapping = Mapping::new(file.as_fd(), offset as u64, len).unwrap();
            mapping.advise_sequential().unwrap();
            assert_eq!(mapping.len(), len);
            for at in [0, 1.min(len), len / 2, len] {
                let sent = mapping.send(socket.as_fd(), at, (len - at).min(5000), false).unwrap();
                assert_eq!(sent, (len - at).min(5000));
                assert_eq!(receive(&mut peer, sent), bytes[offset + at..offset + at + sent]);
            }
        }
    }

    #[test]
    fn populating_brings_the_range_into_memory() {
        let file = file_with(&pattern(100_000));
        let mapping = Mapping::new(file.as_fd(), 5000, 90_000).unwrap();
        if let Err(error) = mapping.populate() {
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
            eprintln!("skipped: MADV_POPULATE_READ: {error}");
            return;
        }
        assert_eq!(crate::resident_pages(file.as_fd(), 5000, 90_000).unwrap(), 23);
        file.set_len(0).unwrap();
        assert_eq!(errno(mapping.populate()), libc::EFAULT);
    }

    #[test]
    fn nothing_outside_the_range_is_sent() {
        let file = file_with(&pattern(8192));
        let (socket, _peer) = tcp_pair();
        let mapping = Mapping::new(file.as_fd(), 0, 4096).unwrap();
        for (at, len) in [(0, 4097), (1, 4096), (4097, 0), (usize::MAX, 2), (2, usize::MAX)] {
            assert_eq!(errno(mapping.send(socket.as_fd(), at, len, false)), libc::EINVAL);
        }
    }

    #[test]
    fn a_truncated_file_is_efault_and_no_signal() {
        let page = crate::limits::page_size();
        let file = file_with(&pattern(page * 4));
        let (socket, mut peer) = tcp_pair();
        let mapping = Mapping::new(file.as_fd(), 0, page * 4).unwrap();
        file.set_len(page as u64).unwrap();
        assert_eq!(errno(mapping.send(socket.as_fd(), page, 1, false)), libc::EFAULT);
        assert_eq!(errno(mapping.send(socket.as_fd(), page * 2, page * 2, false)), libc::EFAULT);
        assert_eq!(mapping.send(socket.as_fd(), 0, page, false).unwrap(), page, "still there");
        assert_eq!(receive(&mut peer, page), pattern(page));
    }

    #[test]
    fn what_cannot_be_mapped_is_refused() {
        let file = file_with(b"abc");
        assert_eq!(errno(Mapping::new(file.as_fd(), 0, 0)), libc::EINVAL);
        assert_eq!(errno(Mapping::new(file.as_fd(), 1, usize::MAX)), libc::EINVAL);
        Mapping::new(file.as_fd(), u64::MAX, 1).unwrap_err();
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(errno(Mapping::new(null.as_fd(), 0, 1)), libc::ENODEV);
    }

    #[test]
    fn a_dropped_mapping_is_unmapped() {
        let file = file_with(&pattern(10_000));
        let mapping = Mapping::new(file.as_fd(), 5000, 5000).unwrap();
        let inode = crate::stat::fstat(file.as_fd()).unwrap().inode.to_string();
        let listed = || {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            maps.lines().any(|line| {
                line.ends_with("(deleted)") && line.split_whitespace().nth(4) == Some(&inode)
            })
        };
        assert!(listed());
        drop(mapping);
        assert!(!listed());
    }
}
