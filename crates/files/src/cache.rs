//! The open-file cache of one worker: within the validity time a hit makes no system call.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::unsync::Cache;

use crate::entry::Entry;
use crate::error::OpenError;
use crate::root::{Found, Located, Root};
use crate::variants::{CodingFlags, Siblings};

/// How much an [`OpenFileCache`] may hold, and for how long it believes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    /// At most so many open files and directories, each one descriptor; 0 turns the cache off.
    pub entries: usize,
    /// How long an entry is believed without asking the kernel. A replaced file is seen after this
    /// time at the latest.
    pub valid: Duration,
}

impl Default for CacheOptions {
    /// 1024 entries: the soft limit for descriptors is 1024 on a machine nobody has tuned, and the
    /// server raises it. 1 second: long enough to save nearly every system call under load, short
    /// enough for a person who reloads the page after an edit.
    fn default() -> Self {
        Self { entries: 1024, valid: Duration::from_secs(1) }
    }
}

/// What a cache has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Lookups answered without a system call.
    pub hits: u64,
    /// Lookups of paths that were not remembered, including those that led to nothing.
    pub misses: u64,
    /// Lookups after the validity time that found the same version.
    pub revalidated: u64,
    /// Lookups after the validity time that found another version, or nothing.
    pub replaced: u64,
    /// Entries given up for room, for descriptors, or because nobody asked for them.
    pub evicted: u64,
    /// Entries held now.
    pub open: u64,
}

type Entries<T> = Cache<Box<[u8]>, Rc<Entry<T>>>;

/// Remembers what paths lead to. One per worker: not `Sync`, no locks.
///
/// Time is an argument, so that an event loop asks for it once per turn and a test can choose it.
///
/// ```
/// use std::{sync::Arc, time::Instant};
/// use sendrail_files::{CacheOptions, OpenFileCache, Root, RootOptions};
///
/// # let directory = tempfile::tempdir()?;
/// # std::fs::write(directory.path().join("a.html"), "hello")?;
/// let root = Arc::new(Root::open(directory.path(), RootOptions::default())?);
/// let mut cache = OpenFileCache::<()>::new(root, CacheOptions::default());
/// let now = Instant::now();
/// cache.lookup(b"a.html", now)?;
/// cache.lookup(b"a.html", now)?;
/// assert_eq!((cache.counts().misses, cache.counts().hits), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct OpenFileCache<T: Default> {
    root: Arc<Root>,
    valid: Duration,
    /// `None` when the cache is off.
    entries: Option<Entries<T>>,
    counts: CacheCounts,
}

impl<T: Default> OpenFileCache<T> {
    /// An empty cache over `root`.
    pub fn new(root: Arc<Root>, options: CacheOptions) -> Self {
        let entries = (options.entries > 0).then(|| Cache::new(options.entries));
        Self { root, valid: options.valid, entries, counts: CacheCounts::default() }
    }

    /// The root the paths are looked up beneath.
    pub fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// What `path` leads to (as for [`Root::find`]), believed for the validity time.
    ///
    /// Errors are not remembered. When no descriptor is left, the cache gives up all of its own
    /// and tries once more, before it says [`OpenError::TooManyOpenFiles`].
    pub fn lookup(&mut self, path: &[u8], now: Instant) -> Result<Rc<Entry<T>>, OpenError> {
        let Some(entries) = &self.entries else {
            self.counts.misses += 1;
            return Ok(Rc::new(Entry::new(self.root.find(path)?, now, now)));
        };
        let Some(entry) = entries.get(path) else {
            self.counts.misses += 1;
            let found = self.with_descriptors(|root| root.find(path))?;
            return Ok(self.remember(path, found, now));
        };
        entry.used.set(now);
        if now < entry.valid_until.get() {
            self.counts.hits += 1;
            return Ok(Rc::clone(entry));
        }
        let entry = Rc::clone(entry);
        self.revalidate(path, entry, now)
    }

    /// Which precompressed files lie beside `path`, remembered as long as an entry is believed.
    ///
    /// Then look up `path` with the extension of the coding, and be ready for it to have gone.
    /// `entry` is what [`lookup`](Self::lookup) gave for the same `path`; a directory has none.
    pub fn siblings(&mut self, path: &[u8], entry: &Entry<T>, now: Instant) -> CodingFlags {
        if let Some((until, siblings)) = entry.siblings.get()
            && now < until
        {
            return siblings.flags();
        }
        let Found::File(file) = entry.found() else { return CodingFlags::default() };
        let siblings = Siblings::inspect(&self.root, path, file.facts());
        entry.siblings.set(Some((now + self.valid, siblings)));
        siblings.flags()
    }

    /// Forgets what `path` led to: whoever holds the entry has seen that it is not true any more.
    pub fn forget(&mut self, path: &[u8]) {
        if let Some(entries) = &mut self.entries
            && entries.remove(path).is_some()
        {
            self.counts.replaced += 1;
        }
    }

    /// Gives up the entries nobody has asked for during `idle`, and says how many.
    ///
    /// To be called now and then: a file that was deleted keeps its disk space for as long as it
    /// is open here.
    pub fn release_idle(&mut self, now: Instant, idle: Duration) -> usize {
        let Some(entries) = &mut self.entries else { return 0 };
        let before = entries.len();
        entries.retain(|_, entry| now.saturating_duration_since(entry.used.get()) < idle);
        let released = before - entries.len();
        self.counts.evicted += released as u64;
        released
    }

    /// Gives up every entry; transfers keep what they have open. For a reload of the configuration.
    pub fn clear(&mut self) {
        if let Some(entries) = &mut self.entries {
            self.counts.evicted += entries.len() as u64;
            entries.clear();
        }
    }

    /// What the cache has done so far.
    pub fn counts(&self) -> CacheCounts {
        let open = self.entries.as_ref().map_or(0, Cache::len) as u64;
        CacheCounts { open, ..self.counts }
    }

    fn revalidate(
        &mut self,
        path: &[u8],
        entry: Rc<Entry<T>>,
        now: Instant,
    ) -> Result<Rc<Entry<T>>, OpenError> {
        let looked = self.with_descriptors(|root| {
            let located = root.locate(path)?;
            if entry.facts().still_true(&located.stat) {
                return Ok(Looked::Same(located));
            }
            root.open_located(located).map(Looked::Other)
        });
        match looked {
            Ok(Looked::Same(located)) => {
                self.counts.revalidated += 1;
                entry.valid_until.set(now + self.valid);
                if entry.facts().settled() {
                    return Ok(entry);
                }
                Ok(self.remember(path, confirmed(entry.found(), &located), now))
            }
            Ok(Looked::Other(found)) => {
                self.counts.replaced += 1;
                Ok(self.remember(path, found, now))
            }
            Err(error) => {
                self.forget(path);
                Err(error)
            }
        }
    }

    fn remember(&mut self, path: &[u8], found: Found, now: Instant) -> Rc<Entry<T>> {
        let entry = Rc::new(Entry::new(found, now, now + self.valid));
        if let Some(entries) = &mut self.entries {
            let expected = entries.len() + usize::from(!entries.contains_key(path));
            entries.insert(path.into(), Rc::clone(&entry));
            self.counts.evicted += expected.saturating_sub(entries.len()) as u64;
        }
        entry
    }

    fn with_descriptors<R>(
        &mut self,
        open: impl Fn(&Root) -> Result<R, OpenError>,
    ) -> Result<R, OpenError> {
        match open(&self.root) {
            Err(OpenError::TooManyOpenFiles(_)) => {
                self.clear();
                open(&self.root)
            }
            result => result,
        }
    }
}

enum Looked {
    Same(Located),
    Other(Found),
}

/// The same open descriptor with a later time of observation. Its inode cannot have become another
/// one: the number is not given out again while this descriptor is open.
fn confirmed(found: &Found, located: &Located) -> Found {
    let facts = crate::Facts { observed: located.observed, ..*found.facts() };
    match found {
        Found::File(file) => Found::File(file.with_facts(facts)),
        Found::Directory(directory) => Found::Directory(directory.with_facts(facts)),
    }
}
