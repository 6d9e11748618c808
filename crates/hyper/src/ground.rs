//! The directory that is served: the one that its path leads to, also after that has become another.

use sendrail_files::{Root, RootError, RootOptions};
use std::{
    path::Path,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// So often the path is looked at again, at the most, while files are found.
const EVERY: Duration = Duration::from_secs(1);

/// And so often while files are not found.
const MISSING: Duration = Duration::from_millis(100);

/// A root, and where it is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Ground(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: RwLock<Root>,
    made: Instant,
    /// When the path was looked at last, in milliseconds since it was made.
    looked: AtomicU64,
}

impl Ground {
    pub(crate) fn open(path: &Path, options: RootOptions) -> Result<Self, RootError> {
        // What is relative is so to where this process is now.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let root = RwLock::new(Root::open(&path, options)?);
        Ok(Self(Arc::new(Inner { root, made: Instant::now(), looked: AtomicU64::new(0) })))
    }

    /// The directory, as far as is known.
    pub(crate) fn root(&self) -> Root {
        self.0.root.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the path again now and then, by a thread that may wait, and does not wait for it.
    pub(crate) fn look_now_and_then(&self) {
        if self.is_due(EVERY)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let ground = self.clone();
            runtime.spawn_blocking(move || ground.look());
        }
    }

    /// Something was not found: whether there is another directory now. Not looked at anew for each that is missing.
    pub(crate) async fn is_another(&self) -> bool {
        let ground = self.clone();
        self.is_due(MISSING)
            && tokio::task::spawn_blocking(move || ground.look()).await.unwrap_or(false)
    }

    /// Whether nobody has looked for so long; says so to one.
    fn is_due(&self, every: Duration) -> bool {
        let now = self.0.made.elapsed().as_millis() as u64;
        let last = self.0.looked.load(Ordering::Relaxed);
        let is_due = now.saturating_sub(last) >= every.as_millis() as u64;
        let order = Ordering::Relaxed;
        is_due && self.0.looked.compare_exchange(last, now, order, order).is_ok()
    }

    /// Looks whether the path leads to another directory, and says so. May wait for a disk.
    fn look(&self) -> bool {
        let Some(other) = self.root().replaced_by() else { return false };
        *self.0.root.write().unwrap_or_else(PoisonError::into_inner) = other;
        true
    }
}
