//! posix_fadvise(2) and readahead(2): telling the page cache what comes next.
#![allow(unsafe_code)] // rustix has no readahead

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::raw;

/// What is going to be done with a file range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// `POSIX_FADV_NORMAL`: the default read-ahead. For the whole open file description, whatever the range.
    Normal,
    /// `POSIX_FADV_SEQUENTIAL`: doubles the read-ahead of the open file description, whatever the range.
    Sequential,
    /// `POSIX_FADV_RANDOM`: no read-ahead, for the whole open file description.
    Random,
    /// `POSIX_FADV_WILLNEED`: start reading the range. Like [`readahead`], it fills small folios.
    WillNeed,
    /// `POSIX_FADV_DONTNEED`: drop the range's clean pages, except those in use: mapped by a process, or in packets that
    /// are not acknowledged yet. Pages go by whole folios (up to 2 MiB and more, as read-ahead or a large write made
    /// them), and a folio that reaches out of the range stays: so drop from an old boundary on, not piece by piece.
    DontNeed,
    /// `POSIX_FADV_NOREUSE`: what is read through this open file description is not to be kept for its sake (6.3;
    /// before, it did nothing).
    NoReuse,
}

/// Gives `advice` on the bytes of `file` from `offset`, `len` of them (0: to the end). One posix_fadvise(2).
///
/// It is a hint: success does not say that anything was done.
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// let file = File::open(std::env::current_exe()?)?;
/// sendrail_sys::fadvise(file.as_fd(), 0, 0, sendrail_sys::Advice::Sequential)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn fadvise(file: BorrowedFd<'_>, offset: u64, len: u64, advice: Advice) -> io::Result<()> {
    let advice = match advice {
        Advice::Normal => rustix::fs::Advice::Normal,
        Advice::Sequential => rustix::fs::Advice::Sequential,
        Advice::Random => rustix::fs::Advice::Random,
        Advice::WillNeed => rustix::fs::Advice::WillNeed,
        Advice::DontNeed => rustix::fs::Advice::DontNeed,
        Advice::NoReuse => rustix::fs::Advice::NoReuse,
    };
    Ok(rustix::fs::fadvise(file, offset, NonZeroU64::new(len), advice)?)
}

/// Starts reading `len` bytes of `file` from `offset` into the page cache. One readahead(2).
///
/// Usually returns before the data is there, but may sleep on the file system's own tables (which blocks to read).
/// It fills folios of one page, which makes the later send dearer than the kernel's own read-ahead would: use it where
/// the caller's waiting is worth more than the processor's time. `EINVAL`: this kind of file has no page cache.
#[inline]
pub fn readahead(file: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<()> {
    let offset = i64::try_from(offset).map_err(|_| raw::invalid())?;
    // SAFETY: passes no memory.
    raw::count(unsafe { libc::readahead(file.as_raw_fd(), offset, len) }).map(|_| ())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::os::fd::AsFd;

    use super::*;
    use crate::mincore::resident_pages;
    use crate::testing::{errno, file_with, in_memory, pattern};

    #[test]
    fn every_advice_is_known_to_the_kernel() {
        let file = file_with(&pattern(10_000));
        for advice in [
            Advice::Normal,
            Advice::Sequential,
            Advice::Random,
            Advice::WillNeed,
            Advice::DontNeed,
            Advice::NoReuse,
        ] {
            fadvise(file.as_fd(), 100, 5000, advice).unwrap();
        }
    }

    #[test]
    fn dontneed_drops_its_range_alone_and_readahead_brings_it_back() {
        let page = crate::limits::page_size();
        let file = file_with(b"");
        if in_memory(&file) {
            return;
        }
        // Page by page, because one large write would make one large folio, which is not dropped by halves.
        for at in 0..64 {
            crate::pread::pwrite(file.as_fd(), &pattern(page), (at * page) as u64).unwrap();
        }
        file.sync_all().unwrap();
        let len = 64 * page;
        let resident = || resident_pages(file.as_fd(), 0, len).unwrap();
        fadvise(file.as_fd(), 0, len as u64 / 2, Advice::DontNeed).unwrap();
        assert_eq!(resident(), 32, "the rest stays");
        fadvise(file.as_fd(), 0, 0, Advice::DontNeed).unwrap();
        assert_eq!(resident(), 0, "0 is to the end");
        readahead(file.as_fd(), 0, len).unwrap();
        // mincore counts a page once its data has come from the disk.
        while resident() == 0 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    #[test]
    fn readahead_refuses_what_cannot_be() {
        let file = file_with(b"abc");
        assert_eq!(errno(readahead(file.as_fd(), 1 << 63, 1)), libc::EINVAL);
        let (socket, _peer) = crate::testing::tcp_pair();
        assert_eq!(errno(readahead(socket.as_fd(), 0, 1)), libc::EINVAL);
    }
}
