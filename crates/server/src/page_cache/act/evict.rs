//! Gives the memory of a file's pages back: posix_fadvise(2) with POSIX_FADV_DONTNEED.

use sendrail_sys::{Advice, fadvise, limits::page_size};
use std::{io, ops::Range, os::fd::AsFd};

/// Has the kernel drop the clean pages of `range` in a file of `len` bytes. Nothing is waited for: what is dirty stays,
/// though the kernel begins to write it.
pub(in crate::page_cache) fn evict(
    file: impl AsFd,
    len: u64,
    range: &Range<u64>,
) -> io::Result<()> {
    let page = page_size() as u64;
    // The kernel rounds a range inwards: pages that it only touches would stay.
    let start = range.start - range.start % page;
    let length = if range.end >= len { 0 } else { range.end.next_multiple_of(page) - start };
    fadvise(file.as_fd(), start, length, Advice::DontNeed)
}
