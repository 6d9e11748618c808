//! The shelf: the snapshots there are, for all who serve the same file, and the closing of those that nobody uses.
//!
//! A snapshot has pages of its own in the page cache, so that each more of the same version would be read from the disk
//! once more. And closing one gives its space back, which may wait for the disk: the last to use one may be an event
//! loop. So the shelf holds on to each, and whoever may sleep closes what is on it and nowhere else.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::facts::Facts;

/// Device and inode of an original.
type Key = (u64, u64);

/// So many more than were in use at the last look, and an eighth of those, are held before the next one: each is a descriptor.
const UNUSED: usize = 64;

/// A file that is nobody else's, with the facts of its original, and where that was.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) file: Arc<File>,
    pub(crate) facts: Facts,
    pub(crate) path: Arc<Path>,
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    of: HashMap<Key, Place>,
    /// Of older versions.
    retired: Vec<Kept>,
    in_use: usize,
}

#[derive(Debug, Default)]
struct Place {
    /// Whoever makes a snapshot of this file holds it, so that others wait and share what comes of it.
    turn: Arc<Mutex<()>>,
    /// The latest, and when the making of it was begun.
    latest: Option<(Kept, Instant)>,
}

impl Shelf {
    /// Nothing in here panics while it holds the lock; if it did, the shelf would be no worse.
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn to make a snapshot of the file that these facts are of.
    pub(super) fn turn(&self, facts: &Facts) -> Arc<Mutex<()>> {
        Arc::clone(&self.places().of.entry(key(facts)).or_default().turn)
    }

    /// Gives up a turn of which nothing has come. No place is kept for files of which there are no snapshots.
    pub(super) fn leave(&self, facts: &Facts, turn: Arc<Mutex<()>>) {
        drop(turn);
        let mut places = self.places();
        if places.of.get(&key(facts)).is_some_and(Place::is_empty) {
            places.of.remove(&key(facts));
        }
    }

    /// A snapshot of the version that these facts are of; or one that was begun since `begun`, for whoever
    /// began to look at that time: that is as new as can be asked for.
    pub(super) fn find(&self, facts: &Facts, begun: Option<Instant>) -> Option<Kept> {
        let places = self.places();
        let (kept, at) = places.of.get(&key(facts))?.latest.as_ref()?;
        let new_enough = begun.is_some_and(|begun| *at >= begun);
        (new_enough || kept.facts.same_version(facts)).then(|| kept.clone())
    }

    /// Takes in a new one, in the place of the one before. What is to be closed comes back.
    pub(super) fn put(&self, kept: Kept, begun: Instant) -> Vec<Kept> {
        let mut places = self.places();
        let place = places.of.entry(key(&kept.facts)).or_default();
        if let Some((before, _)) = place.latest.replace((kept, begun)) {
            places.retired.push(before);
        }
        let most = places.in_use + places.in_use / 8 + UNUSED;
        if places.count() > most { places.take_unused() } else { Vec::new() }
    }

    /// Takes those away that are on the shelf and nowhere else, for the caller to close.
    pub(super) fn take_unused(&self) -> Vec<Kept> {
        self.places().take_unused()
    }

    pub(super) fn has_unused(&self) -> bool {
        self.places().all().any(Kept::is_unused)
    }

    /// Where the original of this file was.
    pub(super) fn path_of_original(&self, file: &Arc<File>) -> Option<Arc<Path>> {
        let places = self.places();
        let kept = places.all().find(|kept| Arc::ptr_eq(&kept.file, file))?;
        Some(Arc::clone(&kept.path))
    }
}

impl Places {
    fn count(&self) -> usize {
        self.of.len() + self.retired.len()
    }

    fn all(&self) -> impl Iterator<Item = &Kept> {
        let latest = self.of.values().filter_map(|place| place.latest.as_ref());
        self.retired.iter().chain(latest.map(|(kept, _)| kept))
    }

    fn take_unused(&mut self) -> Vec<Kept> {
        let mut unused: Vec<_> = self.retired.extract_if(.., |kept| kept.is_unused()).collect();
        self.of.retain(|_, place| {
            if let Some((kept, _)) = place.latest.take_if(|(kept, _)| kept.is_unused()) {
                unused.push(kept);
            }
            !place.is_empty()
        });
        self.in_use = self.count();
        unused
    }
}

impl Place {
    /// Whether there is no snapshot, and nobody waits for one.
    fn is_empty(&self) -> bool {
        self.latest.is_none() && Arc::strong_count(&self.turn) == 1
    }
}

impl Kept {
    /// Whether nobody has the file but whoever asks. Whoever could come to share it would have to find it on the
    /// shelf, which is locked.
    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.file) == 1
    }
}

fn key(facts: &Facts) -> Key {
    (facts.device, facts.inode)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::time::Duration;

    use sendrail_sys::{FileSystem, Timestamp};

    use super::*;

    fn facts(inode: u64, seconds: i64) -> Facts {
        let at = Timestamp { seconds, nanoseconds: 7 };
        let observed = Timestamp { seconds: seconds + 100, nanoseconds: 0 };
        let (len, device, file_system) = (10, 1, FileSystem::Xfs);
        Facts { len, modified: at, changed: at, device, inode, observed, file_system }
    }

    fn kept(inode: u64, seconds: i64) -> Kept {
        let file = Arc::new(tempfile::tempfile().unwrap());
        Kept { file, facts: facts(inode, seconds), path: Path::new("/srv/a").into() }
    }

    #[test]
    fn one_is_shared_by_those_who_want_its_version_or_any_that_is_new() {
        let (shelf, start) = (Shelf::default(), Instant::now());
        let before = start.checked_sub(Duration::from_secs(1));
        let after = Some(start + Duration::from_secs(1));
        let first = kept(1, 50);
        shelf.put(first.clone(), start);
        let found = |facts, begun| {
            shelf.find(&facts, begun).is_some_and(|kept| Arc::ptr_eq(&kept.file, &first.file))
        };
        assert!(found(facts(1, 50), None));
        assert!(found(facts(1, 50), after));
        assert!(!found(facts(1, 51), None), "another version");
        assert!(!found(facts(1, 51), after), "made before anybody asked for that version");
        assert!(found(facts(1, 51), before) && found(facts(1, 51), Some(start)));
        assert!(!found(facts(2, 50), before), "another file");
    }

    #[test]
    fn what_is_in_use_stays_and_the_rest_is_given_back_once() {
        let (shelf, now) = (Shelf::default(), Instant::now());
        let (old, new, other) = (kept(1, 50), kept(1, 51), kept(2, 50));
        for each in [&old, &new, &other] {
            assert!(shelf.put(each.clone(), now).is_empty());
        }
        assert!(shelf.take_unused().is_empty() && !shelf.has_unused());
        for each in [&old, &new, &other] {
            assert_eq!(shelf.path_of_original(&each.file), Some(Arc::clone(&each.path)));
        }
        assert_eq!(shelf.path_of_original(&kept(1, 51).file), None);
        drop((old, other));
        assert!(shelf.has_unused());
        assert_eq!(shelf.take_unused().len(), 2);
        assert!(shelf.take_unused().is_empty() && !shelf.has_unused());
        assert!(shelf.find(&facts(1, 51), None).is_some());
        assert!(shelf.find(&facts(2, 50), None).is_none());
        drop(new);
        assert_eq!(shelf.take_unused().len(), 1);
        assert!(shelf.places().of.is_empty());
    }

    #[test]
    fn a_place_stays_while_somebody_has_its_turn() {
        let shelf = Shelf::default();
        let turn = shelf.turn(&facts(1, 50));
        shelf.take_unused();
        assert!(Arc::ptr_eq(&turn, &shelf.turn(&facts(1, 60))), "the same file's, in any version");
        assert!(!Arc::ptr_eq(&turn, &shelf.turn(&facts(2, 50))));
        let other = shelf.turn(&facts(2, 50));
        shelf.leave(&facts(2, 50), shelf.turn(&facts(2, 50)));
        assert_eq!(shelf.places().of.len(), 2, "somebody waits");
        shelf.leave(&facts(2, 50), other);
        assert_eq!(shelf.places().of.len(), 1);
        drop(turn);
        shelf.take_unused();
        assert!(shelf.places().of.is_empty());
    }

    #[test]
    fn many_files_once_each_take_few_descriptors() {
        let (shelf, now) = (Shelf::default(), Instant::now());
        let in_use: Vec<Kept> = (0..100).map(|inode| kept(inode, 50)).collect();
        for each in &in_use {
            shelf.put(each.clone(), now);
        }
        let mut given_back = 0;
        for inode in 1000..3000 {
            given_back += shelf.put(kept(inode, 50), now).len();
            let held = shelf.places().count();
            assert!(held <= in_use.len() + in_use.len() / 8 + UNUSED, "{held}");
        }
        assert!(given_back > 1500);
        assert!(in_use.iter().all(|each| shelf.find(&each.facts, None).is_some()));
    }
}
