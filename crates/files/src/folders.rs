//! Folders in which no name ends like that of a precompressed sibling: there none has to be looked for.
//!
//! Three names that do not exist are three searches of a directory on its disk, and three records of
//! their absence in the kernel's memory, for each file that is asked for. A folder is read once instead,
//! and believed for as long as its ctime stands: nothing can be put into it without changing that.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::Dir;
use sendrail_sys::{self as sys, FileSystem, OpenFlags};

use crate::directory::Directory;
use crate::facts::Facts;
use crate::mutable::Mutable;
use crate::names::Sleep;
use crate::root::{Found, Root};

/// Folders that are kept in mind. When there are more, all are forgotten: each costs one reading.
const MOST: usize = 4096;

/// Names that are read at the most. A folder with more of them may have siblings, for all we know.
const LONGEST: usize = 2000;

/// A folder that changes is not read again before this: its files are looked up as if nothing were known.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What is known of the folders beneath one root.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    known: Mutex<HashMap<Box<[u8]>, Folder>>,
}

#[derive(Debug)]
struct Folder {
    /// As it was before it was read.
    facts: Facts,
    read: Instant,
    plain: bool,
}

impl Folders {
    /// Whether the folder of the file at `path` is known to hold no name that ends like a sibling's.
    /// Reads the folder if it is allowed to sleep; `false` whenever there is any doubt.
    pub(crate) fn has_no_sibling(&self, root: &Root, path: &[u8], sleep: Sleep) -> bool {
        let folder = path.iter().rposition(|&byte| byte == b'/').map_or(&b""[..], |at| &path[..at]);
        let seen = self.known().get(folder).map(|known| (known.facts, known.read, known.plain));
        if seen.is_none_or(|(_, _, plain)| !plain) && sleep == Sleep::Forbidden {
            return false;
        }
        let Ok(Found::Directory(directory)) = root.find_with(folder, Mutable::Share, sleep) else {
            return false;
        };
        let facts = *directory.facts();
        if !changes_show(facts.file_system) {
            return false;
        }
        match seen {
            Some((known, _, plain)) if known.same_version(&facts) => plain,
            Some((_, read, _)) if read.elapsed() < AGAIN_AFTER => false,
            _ if sleep == Sleep::Forbidden || !facts.at_rest() => false,
            _ => {
                let plain = is_plain(&directory).unwrap_or(false);
                let mut known = self.known();
                if known.len() >= MOST {
                    known.clear();
                }
                known.insert(folder.into(), Folder { facts, read: Instant::now(), plain });
                plain
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Folder>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a folder here cannot change without its ctime. Those of a network or FUSE are what they were when
/// somebody asked last, and FAT has no times for its root.
fn changes_show(file_system: FileSystem) -> bool {
    matches!(
        file_system,
        FileSystem::Ext
            | FileSystem::Xfs
            | FileSystem::Btrfs
            | FileSystem::F2fs
            | FileSystem::Tmpfs
            | FileSystem::Overlay
    )
}

fn is_plain(directory: &Directory) -> Option<bool> {
    let flags = OpenFlags::READ | OpenFlags::DIRECTORY;
    let readable = sys::openat(directory.as_fd(), c".", flags).ok()?;
    for (count, entry) in Dir::new(readable).ok()?.enumerate() {
        let entry = entry.ok()?;
        let name = entry.file_name().to_bytes();
        // Some folders do not care for case.
        let ends = |end: &[u8]| {
            name.len() >= end.len() && name[name.len() - end.len()..].eq_ignore_ascii_case(end)
        };
        if count >= LONGEST || [&b".zst"[..], b".br", b".gz"].iter().any(|end| ends(end)) {
            return Some(false);
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::RootOptions;
    use std::fs;

    /// A root with a folder in it that has been left alone for longer than time stamps are coarse.
    fn at_rest() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("a")).expect("a folder");
        fs::write(directory.path().join("a/b.css"), "p {}").expect("a file");
        let root = Root::open(directory.path(), RootOptions::default()).expect("a root");
        let rested = || {
            let found = root.find(b"a").expect("it is there");
            found.facts().at_rest()
        };
        while !rested() {
            std::thread::sleep(Duration::from_millis(50));
        }
        (directory, root)
    }

    #[test]
    fn a_folder_is_believed_until_it_changes() {
        let (directory, root) = at_rest();
        let folders = Folders::default();
        let none = |sleep| folders.has_no_sibling(&root, b"a/b.css", sleep);
        assert!(!none(Sleep::Forbidden), "nobody has read it");
        assert!(none(Sleep::Allowed));
        assert!(none(Sleep::Forbidden));
        fs::write(directory.path().join("a/b.css"), "p { color: red }").expect("written");
        assert!(none(Sleep::Forbidden), "what is in a file is not in its folder");
        fs::write(directory.path().join("a/b.css.gz"), "…").expect("written");
        assert!(!none(Sleep::Forbidden));
        assert!(!none(Sleep::Allowed), "and it is not read at each change");
    }

    #[test]
    fn a_folder_that_may_still_change_within_a_tick_is_not_believed() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("b.css"), "p {}").expect("a file");
        let root = Root::open(directory.path(), RootOptions::default()).expect("a root");
        let folders = Folders::default();
        assert!(!folders.has_no_sibling(&root, b"b.css", Sleep::Allowed));
        assert!(folders.known().is_empty());
    }

    #[test]
    fn another_folder_of_the_same_name_is_another() {
        let (directory, root) = at_rest();
        let folders = Folders::default();
        assert!(folders.has_no_sibling(&root, b"a/b.css", Sleep::Allowed));
        fs::rename(directory.path().join("a"), directory.path().join("old")).expect("renamed");
        fs::create_dir(directory.path().join("a")).expect("a folder");
        fs::write(directory.path().join("a/b.css.br"), "…").expect("written");
        assert!(!folders.has_no_sibling(&root, b"a/b.css", Sleep::Allowed));
        assert!(!folders.has_no_sibling(&root, b"missing/b.css", Sleep::Allowed));
    }
}
