//! A lookup that has to wait for a disk: made in a thread that may, and settled where it came from.

use std::sync::Arc;

use sendrail_sys::Timestamp;

use crate::error::OpenError;
use crate::facts::Facts;
use crate::ground::Ground;
use crate::names::{Sleep, Unfound};
use crate::open_file::OpenFile;
use crate::root::{Found, Root};
use crate::variants::{CodingFlags, Siblings};

/// A lookup that could not be made at once. It can be sent to a thread that may sleep, and what that
/// finds back to [`OpenFileCache::settle`](crate::OpenFileCache::settle).
#[derive(Debug)]
#[must_use = "nothing is looked up until it is made"]
pub struct Lookup {
    root: Arc<Root>,
    /// Whether it is still the one is to be looked at first.
    ground: Option<Arc<Ground>>,
    path: Box<[u8]>,
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    /// What the path leads to.
    Path {
        /// What it led to before.
        known: Option<Facts>,
        /// The siblings too, if it is a file.
        siblings: bool,
    },
    /// The siblings of a file that is known.
    Siblings { original: Facts },
}

/// What a [`Lookup`] has found.
#[derive(Debug)]
#[must_use = "a cache is to settle it"]
pub struct Looked {
    pub(crate) path: Box<[u8]>,
    /// None if it was not asked for.
    pub(crate) outcome: Option<Result<Version, OpenError>>,
    pub(crate) siblings: Option<Siblings>,
}

/// What a path leads to now.
#[derive(Debug)]
pub(crate) enum Version {
    /// What it led to before, seen again at this time.
    Same(Timestamp),
    /// Something else.
    Other(Found),
}

impl Lookup {
    pub(crate) fn of_path(root: &Arc<Root>, path: &[u8], known: Option<Facts>) -> Self {
        let wanted = Wanted::Path { known, siblings: false };
        Self { root: Arc::clone(root), ground: None, path: path.into(), wanted }
    }

    /// The same beneath what the path of `ground` leads to by then.
    pub(crate) fn beneath_latest(self, ground: &Arc<Ground>) -> Self {
        Self { ground: Some(Arc::clone(ground)), ..self }
    }

    pub(crate) fn of_siblings(root: &Arc<Root>, path: &[u8], original: &Facts) -> Self {
        let wanted = Wanted::Siblings { original: *original };
        Self { root: Arc::clone(root), ground: None, path: path.into(), wanted }
    }

    /// Looks for the precompressed siblings as well, since there will be a thread that waits anyway.
    pub fn add_siblings(&mut self) {
        if let Wanted::Path { siblings, .. } = &mut self.wanted {
            *siblings = true;
        }
    }

    /// What is looked up.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The device that would be waited for, as far as that is known:
    /// [`Root::device_towards`].
    pub fn device(&self) -> u64 {
        match &self.wanted {
            Wanted::Path { known: Some(facts), .. } | Wanted::Siblings { original: facts } => {
                facts.device
            }
            Wanted::Path { known: None, .. } => self.root.device_towards(&self.path),
        }
    }

    /// Makes it. Takes as long as the disk takes.
    pub fn make(self) -> Looked {
        let Self { mut root, ground, path, wanted } = self;
        if let Some(ground) = ground {
            ground.look();
            root = ground.root();
        }
        match wanted {
            Wanted::Path { known, siblings } => {
                let outcome = Version::of(&root, &path, known.as_ref(), Sleep::Allowed);
                let outcome = outcome.map_err(Unfound::refusal);
                let original = match &outcome {
                    Ok(Version::Other(Found::File(file))) => Some(*file.facts()),
                    Ok(Version::Same(_)) => known,
                    Ok(Version::Other(Found::Directory(_))) | Err(_) => None,
                };
                let siblings = original
                    .filter(|_| siblings)
                    .map(|original| Siblings::inspect(&root, &path, &original));
                Looked { path, outcome: Some(outcome), siblings }
            }
            Wanted::Siblings { original } => {
                let siblings = Siblings::inspect(&root, &path, &original);
                Looked { path, outcome: None, siblings: Some(siblings) }
            }
        }
    }
}

impl Looked {
    /// The file that the path leads to, which may be the one that was `known` before.
    pub fn file<'a>(&'a self, known: Option<&'a OpenFile>) -> Option<&'a OpenFile> {
        match &self.outcome {
            Some(Ok(Version::Other(Found::File(file)))) => Some(file),
            Some(Ok(Version::Same(_))) | None => known,
            Some(Ok(Version::Other(Found::Directory(_))) | Err(_)) => None,
        }
    }

    /// What lies beside it, if that was looked for.
    pub fn siblings(&self) -> Option<CodingFlags> {
        self.siblings.map(Siblings::flags)
    }
}

impl Version {
    /// Looks, and opens what is another version than the one that is known.
    pub(crate) fn of(
        root: &Root,
        path: &[u8],
        known: Option<&Facts>,
        sleep: Sleep,
    ) -> Result<Self, Unfound> {
        let located = root.locate(path, sleep)?;
        if known.is_some_and(|known| known.still_true(&located.stat)) {
            return Ok(Self::Same(located.observed));
        }
        root.open_located(located, root.options().mutable, sleep).map(Self::Other)
    }
}
