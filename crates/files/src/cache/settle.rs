//! Settling: what a thread that waited for the disk has found becomes part of the cache.

use std::rc::Rc;
use std::time::Instant;

use super::OpenFileCache;
use crate::entry::Entry;
use crate::error::OpenError;
use crate::lookup::{Looked, Lookup, Version};
use crate::names::Unfound;
use crate::variants::{CodingFlags, Siblings};

/// Why a lookup at once has come to nothing.
#[derive(Debug)]
pub enum Miss<T> {
    /// The path leads to nothing that is given out.
    Refused(OpenError),
    /// A disk has to be waited for. The entry, if there is one, belongs to the lookup when that is
    /// settled.
    MustWait(Box<Lookup>, Option<Rc<Entry<T>>>),
}

impl<T> From<OpenError> for Miss<T> {
    fn from(error: OpenError) -> Self {
        Self::Refused(error)
    }
}

impl<T> Miss<T> {
    pub(super) fn of(
        unfound: Unfound,
        wait: impl FnOnce() -> Lookup,
        entry: Option<Rc<Entry<T>>>,
    ) -> Self {
        match unfound {
            Unfound::Refused(error) => Self::Refused(error),
            Unfound::WouldSleep => Self::MustWait(Box::new(wait()), entry),
        }
    }
}

/// What a path that had to be waited for leads to.
#[derive(Debug)]
pub struct Settled<T> {
    /// The path.
    pub path: Box<[u8]>,
    /// What it leads to.
    pub entry: Result<Rc<Entry<T>>, OpenError>,
    /// What lies beside it, if that was asked for as well.
    pub siblings: Option<CodingFlags>,
}

impl<T: Default> OpenFileCache<T> {
    /// Takes what a lookup has found, with the entry that came with it.
    ///
    /// If there were no descriptors, the cache has given up all of its own when this returns, and it
    /// is worth trying again, once.
    pub fn settle(
        &mut self,
        looked: Looked,
        entry: Option<Rc<Entry<T>>>,
        now: Instant,
    ) -> Settled<T> {
        self.catch_up(); // it may be of a later root
        let Looked { path, outcome, siblings } = looked;
        let entry = match (outcome, entry) {
            (Some(Ok(Version::Same(observed))), Some(entry)) => {
                Ok(self.confirm(&path, entry, observed, now))
            }
            (Some(Ok(Version::Other(found))), before) => {
                self.counts.replaced += u64::from(before.is_some());
                // Somebody else may have been as quick.
                match self.believed(&path, now) {
                    Some(there) if there.facts().same_version(found.facts()) => Ok(there),
                    _ => Ok(self.remember(&path, found, now)),
                }
            }
            (Some(Err(error)), _) => {
                self.forget(&path);
                if let OpenError::TooManyOpenFiles(_) = error {
                    self.clear();
                }
                Err(error)
            }
            (None, Some(entry)) => Ok(entry),
            // Nobody keeps the entry from its lookup.
            (None | Some(Ok(Version::Same(_))), None) => Err(OpenError::NotFound),
        };
        if let (Ok(entry), Some(siblings)) = (&entry, siblings) {
            entry.siblings.set(Some((now + self.valid, siblings)));
        }
        Settled { path, entry, siblings: siblings.map(Siblings::flags) }
    }

    fn believed(&self, path: &[u8], now: Instant) -> Option<Rc<Entry<T>>> {
        let entry = self.entries.as_ref()?.get(path)?;
        (now < entry.valid_until.get()).then(|| Rc::clone(entry))
    }
}
