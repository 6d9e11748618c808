//! What could not be looked at: said once, on standard error, and counted.

use super::{progress::Progress, text::printable};
use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

/// What went wrong so far.
#[derive(Debug)]
pub(super) struct Complaints {
    /// Which were said: several passes over a tree meet the same ones. Hashes, because there may be many.
    said: HashSet<u64>,
    /// Those not yet taken by who writes them for machines.
    waiting: Option<Vec<(PathBuf, String)>>,
    progress: Progress,
}

impl Complaints {
    /// None yet. `for_machines`: they are also kept until they are taken.
    pub(super) fn new(for_machines: bool, progress: Progress) -> Self {
        let waiting = for_machines.then(Vec::new);
        Self { said: HashSet::new(), waiting, progress }
    }

    /// Says that something is wrong with `path`.
    pub(super) fn add(&mut self, path: &Path, why: &str) {
        let mut hasher = DefaultHasher::new();
        (path, why).hash(&mut hasher);
        if !self.said.insert(hasher.finish()) {
            return;
        }
        let path_shown = printable(path, false);
        self.progress.pause(|| eprintln!("sendrail: {path_shown}: {why}"));
        if let Some(waiting) = &mut self.waiting {
            waiting.push((path.to_owned(), why.to_owned()));
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.said.len() as u64
    }

    /// Takes those that have come since this was last asked.
    pub(super) fn take(&mut self) -> Vec<(PathBuf, String)> {
        self.waiting.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
