//! The directory that is served: the one that its path leads to, also after that has become another.
//!
//! A [`Root`] stays the directory that was opened, which is what confinement rests on. But builds remove a directory and make it
//! again, and deployments switch a link. So the path itself is looked at now and then, by whoever may wait for a disk anyway.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::root::Root;

/// So often the path is looked at again, at the most, while files are found.
const EVERY: Duration = Duration::from_secs(1);

/// And so often while files are not found.
const MISSING: Duration = Duration::from_millis(100);

/// A root that follows its path. Shared by all threads.
///
/// ```
/// use sendrail_files::{Ground, Root, RootOptions};
///
/// # let parent = tempfile::tempdir()?;
/// let path = parent.path().join("dist");
/// std::fs::create_dir(&path)?;
/// let ground = Ground::new(Root::open(&path, RootOptions::default())?);
/// std::fs::remove_dir(&path)?;
/// std::fs::create_dir(&path)?;
/// std::fs::write(path.join("new"), "")?;
/// assert!(ground.root().find(b"new").is_err());
/// assert!(ground.look());
/// assert!(ground.root().find(b"new").is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Ground {
    root: RwLock<Arc<Root>>,
    /// How often it has become another.
    generation: AtomicU64,
    made: Instant,
    /// When the path was looked at last, in milliseconds since `made`.
    looked: AtomicU64,
    /// There is a thread that looks.
    is_busy: AtomicBool,
}

impl Ground {
    /// This root, and in time what its path leads to.
    pub fn new(root: Root) -> Self {
        Self {
            root: RwLock::new(Arc::new(root)),
            generation: AtomicU64::new(0),
            made: Instant::now(),
            looked: AtomicU64::new(0),
            is_busy: AtomicBool::new(false),
        }
    }

    /// The directory, as far as is known.
    pub fn root(&self) -> Arc<Root> {
        Arc::clone(&self.root.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Grows whenever the root becomes another.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether it is time to [`look`](Self::look) again: a second after the last time, or a tenth of one if something was not found
    /// (`is_missing`). Says so to one only, who is to look.
    pub fn is_due(&self, now: Instant, is_missing: bool) -> bool {
        let every = if is_missing { MISSING } else { EVERY };
        let now = now.saturating_duration_since(self.made).as_millis() as u64;
        let last = self.looked.load(Ordering::Relaxed);
        let order = Ordering::Relaxed;
        now.saturating_sub(last) >= every.as_millis() as u64
            && self.looked.compare_exchange(last, now, order, order).is_ok()
    }

    /// Looks whether the path leads to another directory; if so, that is the root from now on. May wait for a disk. While it
    /// leads to none that can be opened, the root stays what it was.
    pub fn look(&self) -> bool {
        let Some(other) = self.root().replaced_by() else { return false };
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(other);
        self.generation.fetch_add(1, Ordering::Release);
        true
    }

    /// The same without waiting for a disk. Says whether that has come to nothing, so that somebody else should look.
    pub(crate) fn look_at_once(&self) -> bool {
        match self.root().is_replaced_at_once() {
            Some(false) => false,
            // What leads there is in memory, and so is what is to be known of it.
            Some(true) => !self.look(),
            None => true,
        }
    }

    /// Has a thread look for whom nobody waits: a link that was switched cannot be followed at once before its time of access has
    /// been set (EAGAIN). Not in a pool: what is looked for now and then is not to wait behind a disk, nor anybody for that.
    pub(crate) fn look_aside(self: &Arc<Self>) {
        if self.is_busy.swap(true, Ordering::Acquire) {
            return;
        }
        let ground = Arc::clone(self);
        let looking = move || {
            ground.look();
            ground.is_busy.store(false, Ordering::Release);
        };
        if std::thread::Builder::new().name("root".into()).spawn(looking).is_err() {
            self.is_busy.store(false, Ordering::Release); // the next time, then
        }
    }
}
