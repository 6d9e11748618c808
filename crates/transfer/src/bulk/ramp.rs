//! The ramp: has the kernel read a file ahead in large folios from its beginning.
//!
//! Read-ahead takes pages one by one the first time, and larger folios each time after
//! (`page_cache_ra_order`, mm/readahead.c, since 5.18). How much the first time is depends on how much is
//! asked for: a window of 256 KiB makes it read a mebibyte in single pages, each of which is allocated,
//! looked up, and given back by itself. Somebody who asks for a byte first gets four pages, then
//! sixteen, then sixty-four, and by then the folios are large.

use crate::receipt::Receipt;
use sendrail_sys::{
    limits::page_size,
    pread::{ReadFlags, preadv2},
};
use std::os::fd::BorrowedFd;

/// Shorter files are not worth the calls, in bytes.
const WORTHWHILE: u64 = 512 << 10;

/// The pages at which the kernel's first windows begin: a byte of each sets off the next.
const STEPS: [u64; 3] = [0, 1, 4];

/// Asks for the first bytes of a file that is about to be read from its beginning to `end` at least.
/// Does not wait for them.
pub(super) fn begin(file: BorrowedFd<'_>, end: u64, receipt: &mut Receipt) {
    if end < WORTHWHILE {
        return;
    }
    let flags = ReadFlags { nowait: true, dontcache: false };
    for page in STEPS {
        let at = page * page_size() as u64;
        // EAGAIN is what is expected. Where the file system cannot do it, the file is read all the same.
        let _ = receipt.call(|| preadv2(file, &mut [0], at, flags));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails

    use super::*;
    use sendrail_sys::{
        cachestat::cachestat,
        fadvise::{Advice, fadvise},
    };
    use std::{
        fs::File,
        io::Write,
        os::fd::AsFd,
        time::{Duration, Instant},
    };

    const LEN: u64 = 16 << 20;

    /// A file none of which is resident, and how many of its pages are: or a line that says why there is none.
    fn cold_file() -> Option<(File, impl Fn(&File) -> u64)> {
        // In the build's own folder: /tmp may be a tmpfs, which cannot be evicted.
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(&vec![1; LEN as usize]).unwrap();
        file.sync_all().unwrap();
        fadvise(file.as_fd(), 0, LEN, Advice::DontNeed).unwrap();
        match cachestat(file.as_fd(), 0, LEN) {
            Ok(stat) if stat.cached == 0 => {
                let cached = |file: &File| cachestat(file.as_fd(), 0, LEN).unwrap().cached;
                Some((file, cached))
            }
            Ok(_) => {
                eprintln!("skipped: this file system does not evict on POSIX_FADV_DONTNEED");
                None
            }
            Err(error) => {
                eprintln!("skipped: cachestat(2), Linux 6.5: {error}");
                None
            }
        }
    }

    #[test]
    fn it_sets_off_a_little_read_ahead_and_waits_for_none() {
        let Some((file, cached)) = cold_file() else { return };
        let mut receipt = Receipt::default();
        begin(file.as_fd(), LEN, &mut receipt);
        assert_eq!(receipt.system_calls, STEPS.len() as u64);
        let begun = Instant::now();
        while cached(&file) == 0 {
            assert!(begun.elapsed() < Duration::from_mins(1), "nothing is read");
        }
        let pages = LEN / page_size() as u64;
        assert!(cached(&file) < pages / 8, "{} of {pages} pages", cached(&file));
    }

    #[test]
    fn a_short_file_is_read_as_it_comes() {
        let Some((file, cached)) = cold_file() else { return };
        let mut receipt = Receipt::default();
        begin(file.as_fd(), WORTHWHILE - 1, &mut receipt);
        assert_eq!((receipt.system_calls, cached(&file)), (0, 0));
    }
}
