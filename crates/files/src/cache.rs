//! The open-file cache of one worker: within the validity time a hit makes no system call.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::unsync::Cache;

use crate::entry::Entry;
use crate::error::OpenError;
use crate::ground::Ground;
use crate::lookup::{Lookup, Version};
use crate::names::{Sleep, Unfound};
use crate::root::{Found, Root};
use crate::variants::{CodingFlags, Siblings};
use sendrail_sys::Timestamp;
pub use settle::{Miss, Settled};

mod settle;

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
    /// Where the root comes from, if it may become another, and which one it is.
    ground: Option<(Arc<Ground>, u64)>,
    valid: Duration,
    /// `None` when the cache is off.
    entries: Option<Entries<T>>,
    counts: CacheCounts,
}

impl<T: Default> OpenFileCache<T> {
    /// An empty cache over `root`.
    pub fn new(root: Arc<Root>, options: CacheOptions) -> Self {
        let entries = (options.entries > 0).then(|| Cache::new(options.entries));
        Self { root, ground: None, valid: options.valid, entries, counts: CacheCounts::default() }
    }

    /// An empty cache over what the path of `ground` leads to: looked at again when something is looked up, once a second at the
    /// most, or ten times where nothing is found. A [lookup at once](Self::lookup_at_once) of something that is there does not
    /// come to wait by that.
    pub fn following(ground: Arc<Ground>, options: CacheOptions) -> Self {
        let generation = ground.generation(); // first: a root that is newer than it does no harm
        let cache = Self::new(ground.root(), options);
        Self { ground: Some((ground, generation)), ..cache }
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
        match self.look_up(path, now, Sleep::Allowed) {
            Ok(entry) => Ok(entry),
            Err(Miss::Refused(error)) => Err(error),
            Err(Miss::MustWait(..)) => unreachable!("who may sleep is not told to"),
        }
    }

    /// The same without waiting for a disk.
    ///
    /// For what cannot be known at once there is [`Miss::MustWait`]: a lookup for another thread, to
    /// be [settled](Self::settle) here afterwards. See [`Root::names`] for what that is worth.
    ///
    /// ```
    /// use std::{sync::Arc, time::Instant};
    /// use sendrail_files::{CacheOptions, Miss, OpenFileCache, Root, RootOptions};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// let root = Arc::new(Root::open(directory.path(), RootOptions::default())?);
    /// let mut cache = OpenFileCache::<()>::new(root, CacheOptions::default());
    /// let now = Instant::now();
    /// let refused = match cache.lookup_at_once(b"absent.html", now) {
    ///     Ok(_) => panic!("there is no such file"),
    ///     Err(Miss::Refused(error)) => error,
    ///     Err(Miss::MustWait(lookup, entry)) => {
    ///         let looked = std::thread::spawn(|| lookup.make()).join().expect("no panic");
    ///         cache.settle(looked, entry, now).entry.expect_err("there is no such file")
    ///     }
    /// };
    /// assert_eq!(refused.to_string(), "no such file");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lookup_at_once(&mut self, path: &[u8], now: Instant) -> Result<Rc<Entry<T>>, Miss<T>> {
        self.look_up(path, now, Sleep::Forbidden)
    }

    fn look_up(
        &mut self,
        path: &[u8],
        now: Instant,
        sleep: Sleep,
    ) -> Result<Rc<Entry<T>>, Miss<T>> {
        let before = self.entries.as_ref().and_then(|entries| entries.get(path));
        if let Some(entry) = before {
            entry.used.set(now);
            if now < entry.valid_until.get() {
                self.counts.hits += 1;
                return Ok(Rc::clone(entry));
            }
        }
        let before = before.map(Rc::clone);
        self.counts.misses += u64::from(before.is_none());
        if self.look_at_ground(now, false, sleep)
            && let Some((ground, _)) = &self.ground
        {
            ground.look_aside();
        }
        let root = Arc::clone(&self.root);
        match self.look_anew(path, before, now, sleep) {
            Err(Miss::Refused(OpenError::NotFound)) => {
                if self.look_at_ground(now, true, sleep) {
                    Err(self.wait_for_ground(path))
                } else if Arc::ptr_eq(&root, &self.root) {
                    Err(OpenError::NotFound.into())
                } else {
                    self.look_anew(path, None, now, sleep)
                }
            }
            found => found,
        }
    }

    fn look_anew(
        &mut self,
        path: &[u8],
        before: Option<Rc<Entry<T>>>,
        now: Instant,
        sleep: Sleep,
    ) -> Result<Rc<Entry<T>>, Miss<T>> {
        if let Some(entry) = before {
            return self.revalidate(path, entry, now, sleep);
        }
        let found =
            self.with_descriptors(|root| root.find_with(path, root.options().mutable, sleep));
        let found = found.map_err(|unfound| self.miss(unfound, path, None))?;
        Ok(self.remember(path, found, now))
    }

    /// Looks at the path of the root, if it is time to. Whether somebody else should, who may sleep.
    fn look_at_ground(&mut self, now: Instant, is_missing: bool, sleep: Sleep) -> bool {
        let Some((ground, _)) = &self.ground else { return false };
        let should_wait = ground.is_due(now, is_missing)
            && match sleep {
                Sleep::Forbidden => ground.look_at_once(),
                Sleep::Allowed => {
                    ground.look();
                    false
                }
            };
        self.catch_up();
        should_wait
    }

    /// Moves to the latest root.
    fn catch_up(&mut self) {
        let Some((ground, generation)) = &mut self.ground else { return };
        let latest = ground.generation();
        if latest != std::mem::replace(generation, latest) {
            self.root = ground.root();
            self.clear();
        }
    }

    fn wait_for_ground(&self, path: &[u8]) -> Miss<T> {
        let (ground, _) = self.ground.as_ref().expect("it has said that it is to be looked at");
        let lookup = Lookup::of_path(&self.root, path, None).beneath_latest(ground);
        Miss::MustWait(Box::new(lookup), None)
    }

    fn miss(&self, unfound: Unfound, path: &[u8], entry: Option<Rc<Entry<T>>>) -> Miss<T> {
        let known = entry.as_ref().map(|entry| *entry.facts());
        Miss::of(unfound, || Lookup::of_path(&self.root, path, known), entry)
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

    /// The same without waiting for a disk.
    ///
    /// # Errors
    ///
    /// [`Miss::MustWait`], as for [`lookup_at_once`](Self::lookup_at_once).
    pub fn siblings_at_once(
        &mut self,
        path: &[u8],
        entry: &Rc<Entry<T>>,
        now: Instant,
    ) -> Result<CodingFlags, Miss<T>> {
        if let Some((until, siblings)) = entry.siblings.get()
            && now < until
        {
            return Ok(siblings.flags());
        }
        let Found::File(file) = entry.found() else { return Ok(CodingFlags::default()) };
        let Some(siblings) = Siblings::inspect_at_once(&self.root, path, file.facts()) else {
            let lookup = Lookup::of_siblings(&self.root, path, file.facts());
            return Err(Miss::MustWait(Box::new(lookup), Some(Rc::clone(entry))));
        };
        entry.siblings.set(Some((now + self.valid, siblings)));
        Ok(siblings.flags())
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
        sleep: Sleep,
    ) -> Result<Rc<Entry<T>>, Miss<T>> {
        let known = *entry.facts();
        let looked = self.with_descriptors(|root| Version::of(root, path, Some(&known), sleep));
        match looked {
            Ok(Version::Same(observed)) => Ok(self.confirm(path, entry, observed, now)),
            Ok(Version::Other(found)) => {
                self.counts.replaced += 1;
                Ok(self.remember(path, found, now))
            }
            Err(Unfound::WouldSleep) => Err(self.miss(Unfound::WouldSleep, path, Some(entry))),
            Err(Unfound::Refused(error)) => {
                self.forget(path);
                Err(Miss::Refused(error))
            }
        }
    }

    /// An entry whose path leads to the same version still: that is believed again.
    fn confirm(
        &mut self,
        path: &[u8],
        entry: Rc<Entry<T>>,
        observed: Timestamp,
        now: Instant,
    ) -> Rc<Entry<T>> {
        self.counts.revalidated += 1;
        entry.valid_until.set(now + self.valid);
        if entry.facts().settled() {
            return entry;
        }
        self.remember(path, confirmed(entry.found(), observed), now)
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
        open: impl Fn(&Root) -> Result<R, Unfound>,
    ) -> Result<R, Unfound> {
        match open(&self.root) {
            Err(Unfound::Refused(OpenError::TooManyOpenFiles(_))) => {
                self.clear();
                // It may take a moment, but nobody else could be served meanwhile.
                self.root.close_unused_snapshots();
                open(&self.root)
            }
            result => result,
        }
    }
}

/// The same open descriptor with a later time of observation. Its inode cannot have become another
/// one: the number is not given out again while this descriptor is open.
fn confirmed(found: &Found, observed: Timestamp) -> Found {
    let facts = crate::Facts { observed, ..*found.facts() };
    match found {
        Found::File(file) => Found::File(file.with_facts(facts)),
        Found::Directory(directory) => Found::Directory(directory.with_facts(facts)),
    }
}
