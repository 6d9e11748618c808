//! Adding up, and keeping the rows that are shown: no more of them than are wanted.

use super::{
    arguments::Sort,
    look::{Evidence, Glance, More},
    map::{Fill, Runs},
};
use sendrail_sys::{FileSystem, limits::page_size};
use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BinaryHeap},
    path::{Path, PathBuf},
};

/// The sum over several files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// How many files.
    pub(super) files: u64,
    /// Their bytes, or those in the part of each that was looked at.
    pub(super) bytes: u64,
    /// Pages that those touch.
    pub(super) pages: u64,
    /// Pages known to be resident.
    pub(super) resident: u64,
    /// The same in bytes: what lies behind the end of a file does not count.
    pub(super) resident_bytes: u64,
    /// What cachestat(2) said beyond that.
    pub(super) more: More,
    /// Files, and their bytes, of which it is not known what is resident.
    pub(super) unknown: (u64, u64),
    /// Files, and their bytes, on file systems that live in memory.
    pub(super) in_memory: (u64, u64),
    /// Resident bytes of those.
    pub(super) in_memory_resident: u64,
    /// How many files by which evidence.
    pub(super) evidence: BTreeMap<Evidence, u64>,
}

impl Sums {
    /// Adds a file.
    pub(super) fn add(&mut self, bytes: u64, glance: &Glance, file_system: FileSystem) {
        self.files += 1;
        self.bytes += bytes;
        self.pages += glance.pages;
        let resident_bytes = resident_bytes(bytes, glance);
        match glance.resident {
            Some(resident) => self.resident += resident,
            None => add_pair(&mut self.unknown, bytes),
        }
        self.resident_bytes += resident_bytes;
        if let Some(more) = glance.more {
            self.more.dirty += more.dirty;
            self.more.writeback += more.writeback;
            self.more.evicted += more.evicted;
            self.more.recently_evicted += more.recently_evicted;
        }
        if lives_in_memory(file_system) && bytes > 0 {
            add_pair(&mut self.in_memory, bytes);
            self.in_memory_resident += resident_bytes;
        }
        *self.evidence.entry(glance.evidence).or_default() += 1;
    }
}

fn add_pair((files, sum): &mut (u64, u64), bytes: u64) {
    *files += 1;
    *sum += bytes;
}

/// Resident bytes of `bytes` that were looked at: whole pages, but no more than there are. 0 where it is not known.
pub(super) fn resident_bytes(bytes: u64, glance: &Glance) -> u64 {
    match glance.resident {
        Some(resident) if resident >= glance.pages => bytes,
        Some(resident) => (resident * page_size() as u64).min(bytes),
        None => 0,
    }
}

/// Whether the page cache is where the files of this kind live, and not a copy of something.
pub(super) fn lives_in_memory(file_system: FileSystem) -> bool {
    matches!(file_system, FileSystem::Tmpfs | FileSystem::Ramfs | FileSystem::Hugetlbfs)
}

/// A file, looked at.
#[derive(Debug)]
pub(super) struct Row {
    /// As reached from what was typed.
    pub(super) path: PathBuf,
    /// Its whole size.
    pub(super) len: u64,
    /// How many bytes of it were looked at.
    pub(super) bytes: u64,
    /// What was seen.
    pub(super) glance: Glance,
    /// Where it lies.
    pub(super) file_system: FileSystem,
    /// Where in it the resident pages are.
    pub(super) picture: Picture,
}

/// Where the resident pages of a file are, for those who will read it.
#[derive(Debug)]
pub(super) enum Picture {
    /// For people.
    Cells(Vec<Fill>),
    /// For machines.
    Runs(Runs),
}

/// What rows are ordered by: what is smaller is shown first.
fn rank<'a>(
    sort: Sort,
    path: &'a Path,
    bytes: u64,
    glance: &Glance,
) -> (Reverse<u64>, Reverse<u64>, &'a Path) {
    let resident = resident_bytes(bytes, glance);
    match sort {
        Sort::Resident => (Reverse(resident), Reverse(bytes), path),
        Sort::Size => (Reverse(bytes), Reverse(resident), path),
        Sort::Name => (Reverse(0), Reverse(0), path),
    }
}

struct Ranked(Sort, Row);

impl Ranked {
    fn rank(&self) -> (Reverse<u64>, Reverse<u64>, &Path) {
        rank(self.0, &self.1.path, self.1.bytes, &self.1.glance)
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// The first rows by some order, and the sum of the others.
pub(super) struct Top {
    sort: Sort,
    limit: usize,
    /// The one shown last is on top.
    kept: BinaryHeap<Ranked>,
    /// What is not shown.
    rest: Sums,
}

impl Top {
    /// Keeps `limit` rows, or all.
    pub(super) fn new(sort: Sort, limit: Option<usize>) -> Self {
        let limit = limit.unwrap_or(usize::MAX);
        Self { sort, limit, kept: BinaryHeap::new(), rest: Sums::default() }
    }

    /// Takes a file. `row` makes the row, which is some work, and is only called if it is among the first so far.
    pub(super) fn offer<E>(
        &mut self,
        path: &Path,
        bytes: u64,
        glance: &Glance,
        file_system: FileSystem,
        row: impl FnOnce() -> Result<Row, E>,
    ) -> Result<(), E> {
        let full = self.kept.len() >= self.limit;
        let rank = rank(self.sort, path, bytes, glance);
        if full && self.kept.peek().is_none_or(|last| last.rank() <= rank) {
            self.rest.add(bytes, glance, file_system);
            return Ok(());
        }
        self.kept.push(Ranked(self.sort, row()?));
        if full && let Some(Ranked(_, row)) = self.kept.pop() {
            self.rest.add(row.bytes, &row.glance, row.file_system);
        }
        Ok(())
    }

    /// The rows in order, and the sum of the rest.
    pub(super) fn finish(self) -> (Vec<Row>, Sums) {
        let rows = self.kept.into_sorted_vec();
        (rows.into_iter().map(|Ranked(_, row)| row).collect(), self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glance(pages: u64, resident: Option<u64>) -> Glance {
        Glance { pages, resident, more: None, evidence: Evidence::Cachestat }
    }

    fn offer(top: &mut Top, name: &str, pages: u64, resident: Option<u64>) {
        let bytes = pages * page_size() as u64;
        let glance = glance(pages, resident);
        let path = PathBuf::from(name);
        let row = || -> Result<Row, ()> {
            let picture = Picture::Cells(Vec::new());
            let file_system = FileSystem::Ext;
            Ok(Row { path: path.clone(), len: bytes, bytes, glance, file_system, picture })
        };
        assert_eq!(top.offer(&path, bytes, &glance, FileSystem::Ext, row), Ok(()));
    }

    #[test]
    fn orders() {
        let names = |sort| {
            let mut top = Top::new(sort, None);
            offer(&mut top, "b", 10, Some(5));
            offer(&mut top, "d", 2, Some(2));
            offer(&mut top, "c", 20, None);
            offer(&mut top, "a", 30, Some(5));
            let (rows, rest) = top.finish();
            assert_eq!(rest, Sums::default());
            rows.iter().map(|row| row.path.display().to_string()).collect::<String>()
        };
        assert_eq!(
            names(Sort::Resident),
            "abdc",
            "of equally many resident bytes the larger first"
        );
        assert_eq!(names(Sort::Size), "acbd");
        assert_eq!(names(Sort::Name), "abcd");
    }

    #[test]
    fn the_rest_is_summed() {
        let mut top = Top::new(Sort::Resident, Some(2));
        for (name, resident) in [("a", 1), ("b", 9), ("c", 3), ("d", 7), ("e", 2)] {
            offer(&mut top, name, 10, Some(resident));
        }
        offer(&mut top, "f", 10, None);
        let (rows, rest) = top.finish();
        let names: Vec<_> = rows.iter().map(|row| row.path.display().to_string()).collect();
        assert_eq!(names, ["b", "d"]);
        assert_eq!((rest.files, rest.pages, rest.resident), (4, 40, 6));
        assert_eq!(rest.unknown, (1, 10 * page_size() as u64));
        let mut none = Top::new(Sort::Resident, Some(0));
        offer(&mut none, "a", 10, Some(10));
        assert_eq!(none.finish().1.resident, 10, "a limit of 0 keeps the sum alone");
    }

    #[test]
    fn bytes_end_with_the_file() {
        let page = page_size() as u64;
        for (bytes, pages, resident, expected) in [
            (10, 1, 1, 10),
            (page + 10, 2, 2, page + 10),
            (page + 10, 2, 1, page),
            (page + 10, 2, 0, 0),
            (2, 2, 1, 2), // a range over a page boundary
        ] {
            assert_eq!(resident_bytes(bytes, &glance(pages, Some(resident))), expected);
        }
    }

    #[test]
    fn memory_is_told_apart() {
        let mut sums = Sums::default();
        sums.add(10, &glance(1, Some(1)), FileSystem::Tmpfs);
        sums.add(10, &glance(1, Some(1)), FileSystem::Ext);
        assert_eq!((sums.in_memory, sums.in_memory_resident), ((1, 10), 10));
        assert_eq!(sums.evidence[&Evidence::Cachestat], 2);
    }

    proptest! {
        #[test]
        fn a_limit_shows_the_beginning_of_what_all_shows(
            residents in prop::collection::vec(0_u64..20, 0..50),
            limit in 0_usize..60,
        ) {
            let names = |limit| {
                let mut top = Top::new(Sort::Resident, limit);
                for (at, resident) in residents.iter().enumerate() {
                    offer(&mut top, &format!("{:02}", at * 7 % 50), 20, Some(*resident));
                }
                let (rows, rest) = top.finish();
                (rows.into_iter().map(|row| row.path).collect::<Vec<_>>(), rest)
            };
            let (all, _) = names(None);
            let (first, rest) = names(Some(limit));
            prop_assert_eq!(&first[..], &all[..limit.min(all.len())]);
            prop_assert_eq!(first.len() as u64 + rest.files, all.len() as u64);
        }
    }
}
