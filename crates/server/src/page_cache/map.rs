//! Where in a file the resident pages are: as cells of a bar, and as runs for machines.

use super::look::{Evidence, Glance, count_pages, pages_of};
use sendrail_sys::limits::page_size;
use std::{io, ops::Range, os::fd::AsFd};

/// How full a cell of a bar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fill {
    /// No page of it is resident.
    None,
    /// Up to a third.
    Little,
    /// Up to two thirds.
    Half,
    /// More, but not all.
    Most,
    /// Every page is resident.
    All,
}

impl Fill {
    fn of(resident: u64, pages: u64) -> Self {
        match resident {
            0 => Self::None,
            _ if resident >= pages => Self::All,
            _ if resident * 3 <= pages => Self::Little,
            _ if resident * 3 <= pages * 2 => Self::Half,
            _ => Self::Most,
        }
    }
}

/// The file as `width` cells, or as many as it has pages if those are fewer; empty where nothing is known.
pub(super) fn cells(
    file: impl AsFd,
    range: &Range<u64>,
    glance: &Glance,
    width: usize,
) -> io::Result<Vec<Fill>> {
    let count = glance.pages.min(width as u64);
    match glance.resident {
        _ if count == 0 => return Ok(Vec::new()),
        None => return Ok(Vec::new()),
        Some(0) => return Ok(vec![Fill::None; count as usize]),
        Some(resident) if resident == glance.pages => return Ok(vec![Fill::All; count as usize]),
        Some(_) => {}
    }
    let first = pages_of(range).start;
    // Cells differ by a page at most; the product of two counts may exceed 64 bits.
    let edge = |cell: u64| {
        first + (u128::from(glance.pages) * u128::from(cell) / u128::from(count)) as u64
    };
    let bounds: Vec<Range<u64>> = (0..count).map(|cell| edge(cell)..edge(cell + 1)).collect();
    let mut resident = vec![0; bounds.len()];
    if glance.evidence == Evidence::Cachestat {
        for (resident, cell) in resident.iter_mut().zip(&bounds) {
            *resident = count_pages(file.as_fd(), cell)?;
        }
    } else {
        let mut at = 0;
        glance.runs(file, range, |run| {
            // Both are in order, so that no cell before `at` can meet this run or a later one.
            at += bounds[at..].iter().take_while(|cell| cell.end <= run.start).count();
            for (resident, cell) in resident[at..].iter_mut().zip(&bounds[at..]) {
                if cell.start >= run.end {
                    break;
                }
                *resident += run.end.min(cell.end) - run.start.max(cell.start);
            }
            true
        })?;
    }
    Ok(resident.iter().zip(&bounds).map(|(n, cell)| Fill::of(*n, cell.end - cell.start)).collect())
}

/// The most runs that are listed of a file: a machine reads them, but memory is bounded.
pub(super) const MAX_RUNS: usize = 1000;

/// Where the resident bytes of a file are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Runs {
    /// Offset and length in bytes, in order; never touching, never beyond the end of the file.
    pub(super) runs: Vec<(u64, u64)>,
    /// Whether these are all.
    pub(super) complete: bool,
}

/// The first [`MAX_RUNS`] runs of resident bytes in a file of `len` bytes.
pub(super) fn runs(
    file: impl AsFd,
    len: u64,
    range: &Range<u64>,
    glance: &Glance,
) -> io::Result<Runs> {
    let page = page_size() as u64;
    let mut found = Runs { runs: Vec::new(), complete: true };
    glance.runs(file, range, |run| {
        let (start, end) = (run.start * page, (run.end * page).min(len));
        let full = found.runs.len() == MAX_RUNS;
        match found.runs.last_mut() {
            Some((from, length)) if *from + *length >= start => *length = end - *from,
            _ if start >= end => {}
            _ if full => found.complete = false,
            _ => found.runs.push((start, end - start)),
        }
        found.complete
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::*;
    use sendrail_sys::FileSystem;
    use std::{fs::File, os::unix::fs::FileExt};

    /// A sparse file of `pages` pages in which `written` are resident. In memory, so that nothing evicts them.
    fn sparse(pages: u64, written: impl IntoIterator<Item = u64>) -> File {
        let page = page_size() as u64;
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let file = File::from(file);
        file.set_len(pages * page).unwrap();
        for at in written {
            file.write_at(b"x", at * page).unwrap();
        }
        file
    }

    /// What is seen of it, by either call: overlayfs is where only mincore(2) is asked.
    fn glances(file: &File, range: &Range<u64>) -> Vec<Glance> {
        let len = file.metadata().unwrap().len();
        let glance = |file_system| Glance::at(file, len, range, file_system);
        vec![glance(FileSystem::Tmpfs), glance(FileSystem::Overlay)]
    }

    #[test]
    fn cells_show_where_pages_are() {
        let page = page_size() as u64;
        let file = sparse(100, (0..10).chain([10, 11, 12, 20, 21, 22, 23, 24]).chain(31..40));
        let whole = 0..100 * page;
        for glance in glances(&file, &whole) {
            assert_eq!(glance.resident, Some(27), "{glance:?}");
            let cells = cells(&file, &whole, &glance, 10).unwrap();
            let mut expected = vec![Fill::All, Fill::Little, Fill::Half, Fill::Most];
            expected.resize(10, Fill::None);
            assert_eq!(cells, expected, "{glance:?}");
        }
    }

    #[test]
    fn a_file_of_few_pages_has_few_cells() {
        let page = page_size() as u64;
        let file = sparse(3, [1]);
        let range = 0..3 * page;
        for glance in glances(&file, &range) {
            let cells = cells(&file, &range, &glance, 40).unwrap();
            assert_eq!(cells, [Fill::None, Fill::All, Fill::None]);
        }
        let nothing = 0..0;
        for glance in glances(&file, &nothing) {
            assert_eq!(glance.evidence, Evidence::Empty);
            assert_eq!(cells(&file, &nothing, &glance, 40).unwrap(), []);
        }
    }

    #[test]
    fn a_part_of_a_file_is_looked_at_alone() {
        let page = page_size() as u64;
        let file = sparse(64, [0, 20, 21, 40]);
        let range = 20 * page - 1..22 * page + 1; // touches a page before and one behind
        for glance in glances(&file, &range) {
            assert_eq!((glance.pages, glance.resident), (4, Some(2)), "{glance:?}");
            let cells = cells(&file, &range, &glance, 4).unwrap();
            assert_eq!(cells, [Fill::None, Fill::All, Fill::All, Fill::None]);
            let runs = runs(&file, 64 * page, &range, &glance).unwrap();
            assert_eq!(runs.runs, [(20 * page, 2 * page)]);
        }
    }

    #[test]
    fn runs_are_whole_and_end_with_the_file() {
        let page = page_size() as u64;
        let file = sparse(5000, [0, 1, 2, 2499, 2500, 4096, 4999]);
        let len = 4999 * page + 7;
        file.set_len(len).unwrap();
        let range = 0..len;
        for glance in glances(&file, &range) {
            let runs = runs(&file, len, &range, &glance).unwrap();
            let expected = [
                (0, 3 * page),
                (2499 * page, 2 * page),
                (4096 * page, page),
                (4999 * page, 7), // the last page holds 7 bytes of the file
            ];
            assert_eq!(runs, Runs { runs: expected.to_vec(), complete: true }, "{glance:?}");
        }
    }

    #[test]
    fn runs_are_bounded() {
        let page = page_size() as u64;
        let most = MAX_RUNS as u64;
        for (count, complete) in [(most, true), (most + 1, false)] {
            let file = sparse(2 * count, (0..count).map(|at| 2 * at));
            let range = 0..2 * count * page;
            for glance in glances(&file, &range) {
                let runs = runs(&file, range.end, &range, &glance).unwrap();
                assert_eq!((runs.runs.len(), runs.complete), (MAX_RUNS, complete), "{glance:?}");
            }
        }
    }

    #[test]
    fn a_sparse_terabyte_is_no_trouble() {
        let page = page_size() as u64;
        let pages = (1 << 40) / page;
        let file = sparse(pages, [0, pages / 2, pages - 1]);
        let range = 0..pages * page;
        let glance = Glance::at(&file, range.end, &range, FileSystem::Tmpfs);
        if glance.evidence != Evidence::Cachestat {
            eprintln!("skipped: cachestat: {}", glance.evidence);
            return;
        }
        let runs = runs(&file, range.end, &range, &glance).unwrap();
        let expected = [(0, page), (pages / 2 * page, page), ((pages - 1) * page, page)];
        assert_eq!(runs.runs, expected);
    }

    #[test]
    fn fractions() {
        for (resident, pages, fill) in [
            (0, 9, Fill::None),
            (1, 9, Fill::Little),
            (3, 9, Fill::Little),
            (4, 9, Fill::Half),
            (6, 9, Fill::Half),
            (7, 9, Fill::Most),
            (8, 9, Fill::Most),
            (9, 9, Fill::All),
            (1, 1, Fill::All),
        ] {
            assert_eq!(Fill::of(resident, pages), fill, "{resident} of {pages}");
        }
    }
}
