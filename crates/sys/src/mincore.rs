//! mincore(2): residency on kernels, or under sandboxes, without cachestat(2).
#![allow(unsafe_code)] // rustix has no mincore

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use crate::mmap::Mapping;
use crate::raw;

/// Pages looked at per call: one byte each, on the stack. 16 MiB of file with pages of 4 KiB.
const BATCH: usize = 4096;

/// Counts the **pages** of `file` between `offset` and `offset + len` (bytes) that are in the page cache.
///
/// Unlike cachestat(2), it does not count a page whose data is still on its way from the disk. A page that the range
/// only touches counts whole; an empty range has none. mmap(2), one mincore(2) per 4096 pages,
/// munmap(2): about 7 µs for 1 MiB, against 0.15 for [`cachestat`](crate::cachestat::cachestat).
///
/// Since Linux 5.2 the kernel says **"all resident"** to a caller who neither owns the file nor may write to it. So for
/// others' files a full count proves nothing.
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// let file = File::open(std::env::current_exe()?)?; // running, so some of it is resident
/// let len = file.metadata()?.len() as usize;
/// assert!(sendrail_sys::resident_pages(file.as_fd(), 0, len)? > 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn resident_pages(file: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<u64> {
    let mut resident = 0;
    for_each_batch(file, offset, len, |_, states| {
        resident += states.iter().filter(|state| is_resident(**state)).count() as u64;
    })?;
    Ok(resident)
}

/// Tells **where** between `offset` and `offset + len` (bytes) the resident pages of `file` lie: calls `each` with every
/// run of them, in order, as offsets in bytes from the start of the file.
///
/// Runs are as long as they can be, and begin and end on page boundaries: the first may begin before `offset`, the last
/// end behind the range or the end of the file. The calls made, their cost, and who is told nothing but "all resident"
/// are those of [`resident_pages`]. What is looked at may change meanwhile: this is a picture of 4096 pages at a
/// time, not of one moment.
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// let file = File::open(std::env::current_exe()?)?;
/// let len = file.metadata()?.len() as usize;
/// sendrail_sys::resident_runs(file.as_fd(), 0, len, |run| println!("{} to {}", run.start, run.end))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn resident_runs(
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
    mut each: impl FnMut(Range<u64>),
) -> io::Result<()> {
    let page = rustix::param::page_size() as u64;
    let start = offset - offset % page;
    let mut run = start..start;
    for_each_batch(file, offset, len, |first, states| {
        let mut at = start + first as u64 * page;
        for same in states.chunk_by(|one, next| is_resident(*one) == is_resident(*next)) {
            let end = at + same.len() as u64 * page;
            if is_resident(same[0]) {
                if run.end != at {
                    // Not the continuation of what the batch before ended with.
                    emit(&run, &mut each);
                    run.start = at;
                }
                run.end = end;
            }
            at = end;
        }
    })?;
    emit(&run, &mut each);
    Ok(())
}

/// Whether mincore(2) tells this caller anything about `file`, which is `len` bytes long: `false` if it says "resident"
/// of whatever it is asked (see [`resident_pages`]).
///
/// Found by asking about a page far beyond the end, which cannot be resident. So it holds wherever the permission comes
/// from, and for file systems whose mappings are of another file (overlayfs), for which neither owner nor mode of
/// `file` decide. mmap(2), one mincore(2), munmap(2). `EOVERFLOW`: the file system has no offsets beyond the end to ask
/// about.
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// let file = File::open(std::env::current_exe()?)?;
/// let len = file.metadata()?.len();
/// if !sendrail_sys::mincore_is_truthful(file.as_fd(), len)? {
///     eprintln!("somebody else's file");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn mincore_is_truthful(file: BorrowedFd<'_>, len: u64) -> io::Result<bool> {
    // Behind the end there may be a folio that reaches over it, and fs-verity's hash tree, a 63rd of the file at most.
    let beyond = len.saturating_add(len / 32).saturating_add(1 << 30);
    Ok(resident_pages(file, beyond, 1)? == 0)
}

fn emit(run: &Range<u64>, each: &mut impl FnMut(Range<u64>)) {
    if !run.is_empty() {
        each(run.clone());
    }
}

/// Only the lowest bit of what mincore(2) says of a page is defined.
fn is_resident(state: u8) -> bool {
    state & 1 == 1
}

/// Maps the range and shows `each` what mincore(2) says of its pages, a batch at a time, with the number of the batch's
/// first page counted from the start of the range.
fn for_each_batch(
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
    mut each: impl FnMut(usize, &[u8]),
) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    let mapping = Mapping::new(file, offset, len)?;
    let page = rustix::param::page_size();
    let pages = mapping.mapped().div_ceil(page);
    let mut states = [0_u8; BATCH];
    for first in (0..pages).step_by(BATCH) {
        let states = &mut states[..(pages - first).min(BATCH)];
        // SAFETY: `first` is below the number of mapped pages, so the address lies within the mapping.
        let from = unsafe { mapping.base().byte_add(first * page) };
        // SAFETY: the range is mapped while `mapping` lives, mincore does not touch what is mapped, and `states` has
        // one byte for each of its pages.
        raw::done(unsafe {
            libc::mincore(from.as_ptr(), states.len() * page, states.as_mut_ptr())
        })?;
        each(first, states);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::os::fd::AsFd;

    use super::*;
    use crate::limits::page_size;
    use crate::pread::pwrite;
    use crate::testing::errno;

    #[test]
    fn counts_the_pages_that_were_written() {
        let page = page_size();
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let last = BATCH + 10; // so that a second call is needed
        for at in [0, 3, last] {
            pwrite(file.as_fd(), b"x", (at * page) as u64).unwrap();
        }
        let resident =
            |offset: usize, len| resident_pages(file.as_fd(), offset as u64, len).unwrap();
        assert_eq!(resident(0, (last + 1) * page), 3);
        assert_eq!(resident(0, page * 4), 2);
        assert_eq!(resident(page, page * 2), 0);
        assert_eq!(resident(page * 4 - 1, 1), 1, "a page only touched");
        assert_eq!(resident(0, 0), 0, "an empty range");
    }

    #[test]
    fn runs_are_where_pages_were_written() {
        let page = page_size() as u64;
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let batch = BATCH as u64;
        // One run across the boundary of two batches, one that ends and one that begins just there.
        let written =
            [0, 3, 4, batch - 2, batch - 1, batch, 2 * batch - 1, 3 * batch, 3 * batch + 9];
        for at in written {
            pwrite(file.as_fd(), b"x", at * page).unwrap();
        }
        let runs = |offset, len: u64| {
            let mut runs = Vec::new();
            let each = |run: Range<u64>| {
                assert_eq!((run.start % page, run.end % page), (0, 0));
                runs.push((run.start / page, run.end / page));
            };
            resident_runs(file.as_fd(), offset, len as usize, each).unwrap();
            runs
        };
        let all = [
            (0, 1),
            (3, 5),
            (batch - 2, batch + 1),
            (2 * batch - 1, 2 * batch),
            (3 * batch, 3 * batch + 1),
            (3 * batch + 9, 3 * batch + 10),
        ];
        assert_eq!(runs(0, (3 * batch + 10) * page), all);
        assert_eq!(runs(0, 5 * batch * page), all, "beyond the end there is nothing");
        assert_eq!(runs(4 * page - 1, 2), [(3, 5)], "pages only touched are whole");
        assert_eq!(runs(page, page), [], "nothing resident");
        assert_eq!(runs(0, 0), [], "an empty range");
    }

    #[test]
    fn its_own_files_are_told_the_truth_about() {
        let page = page_size() as u64;
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        pwrite(file.as_fd(), b"x", 7 * page).unwrap();
        assert!(mincore_is_truthful(file.as_fd(), 7 * page + 1).unwrap());
        let end = i64::MAX.cast_unsigned();
        assert_eq!(errno(mincore_is_truthful(file.as_fd(), end)), libc::EOVERFLOW);
    }

    #[test]
    fn others_files_are_said_to_be_resident_throughout() {
        let page = page_size();
        let file = crate::testing::file_with(b"");
        file.set_len(100 * page as u64).unwrap();
        let said = std::thread::spawn(move || {
            // Root owns every file, in effect. So one thread, which ends with this test, becomes nobody.
            let nobody = rustix::process::Uid::from_raw(65534);
            if let Err(error) = rustix::thread::set_thread_res_uid(nobody, nobody, nobody) {
                eprintln!("skipped: cannot become another user: {error}");
                return None;
            }
            let resident = resident_pages(file.as_fd(), 0, 100 * page).unwrap();
            Some((resident, mincore_is_truthful(file.as_fd(), 100 * page as u64).unwrap()))
        });
        if let Some(said) = said.join().unwrap() {
            assert_eq!(said, (100, false), "since Linux 5.2");
        }
    }

    #[test]
    fn what_has_no_pages_is_an_error() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(errno(resident_pages(null.as_fd(), 0, 1)), libc::ENODEV);
    }
}
