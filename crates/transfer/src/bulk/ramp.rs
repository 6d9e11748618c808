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
