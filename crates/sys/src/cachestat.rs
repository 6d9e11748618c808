//! cachestat(2): how much of a file range is in the page cache.
#![allow(unsafe_code)] // neither rustix nor libc declares this system call

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::raw;

/// The same number on every architecture, as all system calls since 424.
const SYS_CACHESTAT: libc::c_long = 451;

/// What the page cache holds of a range. All counts are in **pages** ([`page_size`](crate::limits::page_size)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)] // `struct cachestat` of linux/mman.h, which the kernel fills in
pub struct CacheStat {
    /// Resident, or on the way there: a page counts from the moment its reading starts.
    pub cached: u64,
    /// Resident and not yet written to the disk.
    pub dirty: u64,
    /// Being written to the disk at this moment.
    pub writeback: u64,
    /// Were resident and have been evicted.
    pub evicted: u64,
    /// Evicted so recently that the working set would still like to have them.
    pub recently_evicted: u64,
}

/// `struct cachestat_range` of linux/mman.h.
#[repr(C)]
struct Range {
    offset: u64,
    len: u64,
}

/// Counts the pages of `file` between `offset` and `offset + len` (bytes; `len` 0 is "to the end of the file") that
/// are in the page cache. One cachestat(2), since Linux 6.5; waits for nothing.
///
/// A page that the range only touches counts whole. So does one that is **still being read** from the disk: a send would
/// wait for it, though it is counted as cached ([`resident_pages`](crate::mincore::resident_pages) and `RWF_NOWAIT` tell
/// the difference).
///
/// Costs about 0.15 µs per megabyte cached in large folios, and fifteen times that in folios of one page.
///
/// `ENOSYS`: an older kernel, or hidden by a sandbox. `EPERM`: the caller neither owns the file nor may write to it (what
/// is cached would tell about others' reading). `EOPNOTSUPP`: hugetlbfs. In each case
/// [`preadv2`](crate::pread::preadv2) with `nowait` can still tell about a page.
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// let file = File::open(std::env::current_exe()?)?; // running, so some of it is resident
/// match sendrail_sys::cachestat(file.as_fd(), 0, 0) {
///     Ok(stat) => assert!(stat.cached > 0),
///     Err(error) => eprintln!("skipped: cachestat: {error}"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn cachestat(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<CacheStat> {
    // The kernel adds the two without looking for an overflow.
    let range = Range { offset, len: len.min(u64::MAX - offset) };
    let mut stat = CacheStat::default();
    // SAFETY: both structures have the kernel's layout and live across the call; the kernel reads the first and writes
    // the second.
    let returned = unsafe {
        libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut stat, 0)
    };
    raw::count(returned as isize)?;
    Ok(stat)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::os::fd::AsFd;

    use super::*;
    use crate::limits::page_size;
    use crate::pread::pwrite;

    #[test]
    fn counts_the_pages_that_were_written() {
        let page = page_size() as u64;
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        for at in [0, 3, 9] {
            pwrite(file.as_fd(), b"x", at * page).unwrap();
        }
        let cached = |offset, len| cachestat(file.as_fd(), offset, len).map(|stat| stat.cached);
        if let Err(error) = cached(0, 0) {
            eprintln!("skipped: cachestat: {error}");
            return;
        }
        assert_eq!(cached(0, 0).unwrap(), 3, "to the end");
        assert_eq!(cached(0, page * 4).unwrap(), 2);
        assert_eq!(cached(page, page * 2).unwrap(), 0);
        assert_eq!(cached(page * 4 - 1, 1).unwrap(), 1, "a page only touched");
        assert_eq!(cached(page, u64::MAX).unwrap(), 2, "no overflow");
    }
}
