//! The survey: which pages of a stretch are absent from the page cache, before anybody reads it.

use crate::receipt::Receipt;
use sendrail_sys::{
    cachestat::cachestat,
    limits::page_size,
    mincore::resident_runs,
    pread::{ReadFlags, preadv2},
};
use std::{
    fs::File,
    io,
    ops::Range,
    os::fd::{AsFd, BorrowedFd},
};

/// The most looks at one stretch. What is still unclear then, a patchwork of what is resident and
/// what is not, is taken for resident: nobody's pages are dropped for lack of a look.
const LOOKS: u32 = 64;

/// Without cachestat(2) one byte stands for this many, in bytes.
const SAMPLE: u64 = 2 << 20;

/// The absent parts of `bytes`, in order and in whole pages. `sees`: cachestat(2) may be believed.
pub(super) fn absent(
    file: &File,
    bytes: Range<u64>,
    sees: bool,
    receipt: &mut Receipt,
) -> Vec<Range<u64>> {
    let (file, page) = (file.as_fd(), page_size() as u64);
    let bytes = bytes.start / page * page..bytes.end.next_multiple_of(page);
    if !sees {
        return map(file, &bytes, receipt).unwrap_or_default();
    }
    let looked = halve(bytes.clone(), page, LOOKS, |part| {
        receipt.call(|| cachestat(file, part.start, part.end - part.start)).map(|stat| stat.cached)
    });
    looked.unwrap_or_else(|_| sample(file, bytes, receipt))
}

/// Halves what is neither all resident nor all absent, until each part is one or the other.
fn halve(
    bytes: Range<u64>,
    page: u64,
    mut looks: u32,
    mut resident_pages: impl FnMut(&Range<u64>) -> io::Result<u64>,
) -> io::Result<Vec<Range<u64>>> {
    let mut absent: Vec<Range<u64>> = Vec::new();
    let mut unclear = vec![bytes];
    // The first part last: what is found comes out in order.
    while let Some(part) = unclear.pop() {
        if part.is_empty() || looks == 0 {
            continue;
        }
        looks -= 1;
        let pages = (part.end - part.start) / page;
        let resident = resident_pages(&part)?;
        if resident == 0 {
            match absent.last_mut() {
                Some(last) if last.end == part.start => last.end = part.end,
                _ => absent.push(part),
            }
        } else if resident < pages {
            let middle = part.start + pages / 2 * page;
            unclear.push(middle..part.end);
            unclear.push(part.start..middle);
        }
    }
    Ok(absent)
}

/// On overlayfs mincore(2) tells the truth, as it maps the file beneath: but to those who neither own nor
/// may write the file it says that all is resident, and then nothing is ours to give back.
fn map(
    file: BorrowedFd<'_>,
    bytes: &Range<u64>,
    receipt: &mut Receipt,
) -> io::Result<Vec<Range<u64>>> {
    let len = bytes.end - bytes.start;
    // mmap(2), munmap(2), and mincore(2) for each 4096 pages.
    receipt.system_calls += 2 + (len / page_size() as u64).div_ceil(4096);
    let mut absent = Vec::new();
    let mut at = bytes.start;
    resident_runs(file, bytes.start, len as usize, |run| {
        if at < run.start {
            absent.push(at..run.start);
        }
        at = run.end;
    })?;
    if at < bytes.end {
        absent.push(at..bytes.end);
    }
    Ok(absent)
}

/// cachestat(2) is for those who own the file or may write it (and for Linux 6.5). Anybody may try to
/// read a byte without waiting, at the price that the page it is in is fetched if it is not there.
fn sample(file: BorrowedFd<'_>, bytes: Range<u64>, receipt: &mut Receipt) -> Vec<Range<u64>> {
    let nowait = ReadFlags { nowait: true, ..ReadFlags::default() };
    let mut absent: Vec<Range<u64>> = Vec::new();
    let mut start = bytes.start;
    while start < bytes.end {
        let end = ((start / SAMPLE + 1) * SAMPLE).min(bytes.end);
        let result = receipt.call(|| preadv2(file, &mut [0], start, nowait));
        if matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            match absent.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => absent.push(start..end),
            }
        }
        start = end;
    }
    absent
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pages_of(ranges: &[Range<u64>]) -> Vec<u64> {
        ranges.iter().flat_map(Clone::clone).collect()
    }

    proptest! {
        #[test]
        fn finds_what_is_absent_and_nothing_else(
            resident in prop::collection::vec(any::<bool>(), 1..200),
            looks in prop_oneof![Just(LOOKS), Just(10_000)],
        ) {
            let found = halve(0..resident.len() as u64, 1, looks, |part| {
                let pages = &resident[part.start as usize..part.end as usize];
                Ok(pages.iter().filter(|there| **there).count() as u64)
            }).expect("no look fails");
            prop_assert!(found.windows(2).all(|pair| pair[0].end < pair[1].start), "{found:?}");
            let found = pages_of(&found);
            prop_assert!(found.iter().all(|page| !resident[*page as usize]));
            if looks > LOOKS {
                let absent = resident.iter().filter(|there| !**there).count();
                prop_assert_eq!(found.len(), absent);
            }
        }
    }

    #[test]
    fn a_refused_look_is_passed_on() {
        assert!(halve(0..10, 1, LOOKS, |_| Err(io::ErrorKind::PermissionDenied.into())).is_err());
    }
}
