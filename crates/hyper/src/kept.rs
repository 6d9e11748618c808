//! What is kept between requests: open files, the bytes of short ones, and where long ones lie in memory.
//!
//! Nothing is believed for a time: each request asks whether the path still leads to that very version
//! ([`Root::still_leads_to`], one system call).

use crate::body::{SMALL, WINDOW, read_at_once};
use bytes::Bytes;
use http::HeaderMap;
use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use sendrail_files::{OpenFile, Root, Standing};
use sendrail_http::negotiate::{Coding, CodingSet};
use sendrail_sys::{
    limits::open_files,
    window::{Window, is_half_full},
};
use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Who has not been asked for during this time is given up: a file that was deleted takes up its disk for as long as it is
/// open here.
const IDLE: Duration = Duration::from_secs(30);

/// For so long it is believed which variants there are.
const VARIANTS: Duration = Duration::from_secs(1);

/// Parts that each have a lock of their own.
const PARTS: usize = 4;

/// How much a [`ServeDir`](crate::ServeDir) keeps between requests.
///
/// What is kept is given up when it has not been asked for during 30 to 60 seconds. Files on network file systems and FUSE are not
/// kept, nor those that were changed within the last three seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Open files, each one descriptor, at the most; 0 keeps nothing. No more than a quarter of what the process may have open
    /// (RLIMIT_NOFILE, see `getrlimit(2)`), whatever is said here.
    pub files: usize,
    /// The contents of files up to 64 KiB, in bytes, at the most.
    pub memory: u64,
}

impl Default for Keep {
    /// 1024 files (256 where descriptors are as few as they usually are), and 16 MiB.
    fn default() -> Self {
        Self { files: 1024, memory: 16 << 20 }
    }
}

/// The files that one service keeps.
pub(crate) struct Shelf {
    keep: Keep,
    /// Nothing, if nothing may be kept.
    files: OnceLock<Option<Arc<Files>>>,
}

type Files = Cache<Box<[u8]>, Arc<Kept>, Weight>;

/// A file weighs what its bytes are, and at least its share of the memory: so both limits are one.
#[derive(Debug, Clone, Copy)]
struct Weight {
    share: u64,
}

impl Weighter<Box<[u8]>, Arc<Kept>> for Weight {
    fn weight(&self, _: &Box<[u8]>, kept: &Arc<Kept>) -> u64 {
        if kept.has_bytes { kept.file().facts().len.max(self.share) } else { self.share }
    }
}

/// A file that is kept, and what was made of it.
pub(crate) struct Kept {
    standing: Standing,
    used: AtomicBool,
    /// Whether its bytes may be kept as well.
    has_bytes: bool,
    /// All of a short file.
    bytes: OnceLock<Bytes>,
    /// The beginning of a long one.
    window: Mutex<Option<Arc<Window>>>,
    variants: Mutex<Option<(Instant, CodingSet)>>,
    plain: OnceLock<Plain>,
}

/// The fields of an answer to somebody who asked for all of it and knew nothing.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) media_type: &'static str,
    pub(crate) coding: Coding,
    pub(crate) vary: bool,
    pub(crate) fields: HeaderMap,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.files().map_or(0, |files| files.len());
        f.debug_struct("Shelf").field("keep", &self.keep).field("files", &count).finish()
    }
}

impl Shelf {
    /// An empty one.
    pub(crate) fn new(keep: Keep) -> Self {
        Self { keep, files: OnceLock::new() }
    }

    /// An empty one that keeps as much.
    pub(crate) fn emptied(&self) -> Self {
        Self::new(self.keep)
    }

    fn files(&self) -> Option<&Arc<Files>> {
        self.files.get_or_init(|| room(self.keep).map(Arc::new)).as_ref()
    }

    /// What is kept of a path, if that still leads there.
    pub(crate) fn find(&self, root: &Root, path: &[u8]) -> Option<Arc<Kept>> {
        let files = self.files()?;
        let kept = files.get(path)?;
        if !root.still_leads_to(&kept.standing) {
            let gone = files.remove_if(path, |there| Arc::ptr_eq(there, &kept));
            drop(kept);
            if let Some((_, gone)) = gone {
                Sweeper::close(gone);
            }
            return None;
        }
        // Mostly it is true already, and who only reads does not take the line from others.
        if !kept.used.load(Ordering::Relaxed) {
            kept.used.store(true, Ordering::Relaxed);
        }
        Some(kept)
    }

    /// Keeps what a path was just found to lead to, if it may be kept.
    pub(crate) fn keep(&self, root: &Root, path: &[u8], file: OpenFile) -> Held {
        let Some(files) = self.files() else { return Held::Once(file) };
        let Some(standing) = root.standing(path, file.clone()) else { return Held::Once(file) };
        // One part of the shelf has to hold the longest of them.
        let longest = SMALL.min(self.keep.memory / PARTS as u64);
        let kept = Arc::new(Kept::new(standing, longest));
        files.insert(path.into(), Arc::clone(&kept));
        Sweeper::mind(files);
        Held::Kept(kept)
    }

    /// Gives up all: there are no descriptors left.
    pub(crate) fn clear(&self) {
        if let Some(files) = self.files() {
            files.clear();
        }
    }
}

fn room(keep: Keep) -> Option<Files> {
    let most = usize::try_from(open_files() / 4).unwrap_or(usize::MAX);
    let count = keep.files.min(most);
    let share = keep.memory.checked_div(count as u64)?.max(1);
    let options = OptionsBuilder::new()
        .estimated_items_capacity(count)
        .weight_capacity(share.saturating_mul(count as u64))
        .shards(PARTS)
        .build()
        .ok()?;
    let (weight, hasher) = (Weight { share }, DefaultHashBuilder::default());
    Some(Cache::with_options(options, weight, hasher, DefaultLifecycle::default()))
}

impl Kept {
    fn new(standing: Standing, longest: u64) -> Self {
        let has_bytes = standing.file().facts().len <= longest;
        Self {
            standing,
            has_bytes,
            used: AtomicBool::new(true),
            bytes: OnceLock::new(),
            window: Mutex::default(),
            variants: Mutex::default(),
            plain: OnceLock::new(),
        }
    }

    pub(crate) fn file(&self) -> &OpenFile {
        self.standing.file()
    }

    /// All of a short file, if it can be had without waiting for a disk.
    fn bytes(&self) -> Option<Bytes> {
        if let Some(bytes) = self.bytes.get() {
            return Some(bytes.clone());
        }
        if !self.has_bytes {
            return None;
        }
        let file = self.file();
        let bytes = read_at_once(file.file(), 0, file.facts().len as usize)?;
        // Of one version, and of that whose name and length go before them.
        if !file.is_unchanged() {
            return None;
        }
        Some(self.bytes.get_or_init(|| bytes).clone())
    }

    /// Where the beginning of a long file lies. Nothing, if addresses are scarce.
    pub(crate) fn window(&self) -> Option<Arc<Window>> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody read zeros where the file had ended, and so would everybody after.
        if let Some(there) = window.as_ref().filter(|there| !there.is_damaged()) {
            return Some(Arc::clone(there));
        }
        let len = self.file().facts().len.min(WINDOW) as usize;
        let made = Window::new(Arc::clone(self.file().file()), 0, len).ok().map(Arc::new)?;
        // What is kept is not to take the addresses of bodies.
        *window = (!is_half_full()).then(|| Arc::clone(&made));
        Some(made)
    }

    /// Which variants there are, if somebody knew lately.
    pub(crate) fn variants(&self) -> Option<CodingSet> {
        let known = *self.variants.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|(when, _)| when.elapsed() < VARIANTS).map(|(_, variants)| variants)
    }

    pub(crate) fn know_variants(&self, variants: CodingSet) {
        let known = Some((Instant::now(), variants));
        *self.variants.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

/// A file that an answer is made of.
pub(crate) enum Held {
    /// It is kept.
    Kept(Arc<Kept>),
    /// It was opened for this answer.
    Once(OpenFile),
}

impl Held {
    pub(crate) fn file(&self) -> &OpenFile {
        match self {
            Self::Kept(kept) => kept.file(),
            Self::Once(file) => file,
        }
    }

    pub(crate) fn kept(&self) -> Option<&Arc<Kept>> {
        match self {
            Self::Kept(kept) => Some(kept),
            Self::Once(_) => None,
        }
    }

    /// All of it, if it is short and in memory.
    pub(crate) fn bytes(&self) -> Option<Bytes> {
        self.kept()?.bytes()
    }

    /// The fields of a plain answer, if they were made before.
    pub(crate) fn plain(&self, of: (&'static str, Coding, bool)) -> Option<&HeaderMap> {
        let plain = self.kept()?.plain.get()?;
        ((plain.media_type, plain.coding, plain.vary) == of).then_some(&plain.fields)
    }

    pub(crate) fn know_plain(&self, plain: Plain) {
        if let Some(kept) = self.kept() {
            // Who asks for it by another name has it made each time.
            let _ = kept.plain.set(plain);
        }
    }
}

/// The thread that gives up what nobody asks for. It is there for as long as anything is kept.
#[derive(Default)]
struct Sweeper {
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Default)]
struct Work {
    shelves: Vec<Weak<Files>>,
    /// To be closed: of a file that was deleted that takes as long as to give back its blocks.
    gone: Vec<Arc<Kept>>,
    runs: bool,
}

static SWEEPER: OnceLock<Sweeper> = OnceLock::new();

impl Sweeper {
    /// Something was put on a shelf.
    fn mind(files: &Arc<Files>) {
        Self::tell(|work| {
            let known = |shelf: &Weak<Files>| std::ptr::eq(shelf.as_ptr(), Arc::as_ptr(files));
            if !work.shelves.iter().any(known) {
                work.shelves.push(Arc::downgrade(files));
            }
        });
    }

    /// Closes a file, but not here.
    fn close(gone: Arc<Kept>) {
        Self::tell(|work| work.gone.push(gone)).changed.notify_one();
    }

    fn tell(what: impl FnOnce(&mut Work)) -> &'static Self {
        let sweeper = SWEEPER.get_or_init(Self::default);
        let mut work = sweeper.work();
        what(&mut work);
        if !work.runs {
            let thread = thread::Builder::new().name("sendrail-sweep".to_owned());
            // Without a thread (EAGAIN) the next one that is kept tries again.
            work.runs = thread.spawn(|| sweeper.run()).is_ok();
        }
        sweeper
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner) // nothing panics while it holds it
    }

    fn run(&self) {
        let mut next = Instant::now() + IDLE;
        let mut work = self.work();
        while !work.shelves.is_empty() || !work.gone.is_empty() {
            let mut gone = std::mem::take(&mut work.gone);
            if gone.is_empty() {
                let left = next.saturating_duration_since(Instant::now());
                work = match self.changed.wait_timeout(work, left) {
                    Ok((work, _)) => work,
                    Err(poisoned) => poisoned.into_inner().0,
                };
            }
            if Instant::now() >= next {
                next = Instant::now() + IDLE;
                work.shelves
                    .retain(|files| files.upgrade().is_some_and(|files| sweep(&files, &mut gone)));
            }
            // Nobody waits for a lock meanwhile.
            drop(work);
            drop(gone);
            work = self.work();
        }
        work.runs = false;
    }
}

/// Takes away what was not asked for since the last time; says whether anything is left.
fn sweep(files: &Files, gone: &mut Vec<Arc<Kept>>) -> bool {
    let idle = files.iter().filter(|(_, kept)| !kept.used.swap(false, Ordering::Relaxed));
    for (path, kept) in idle.collect::<Vec<_>>() {
        let taken = files.remove_if(&path, |there| Arc::ptr_eq(there, &kept));
        gone.extend(taken.map(|(_, kept)| kept));
        gone.push(kept);
    }
    !files.is_empty()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test that cannot go on should say where

    use super::*;
    use sendrail_files::{Found, RootOptions};

    #[test]
    fn what_is_not_asked_for_between_two_sweeps_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        thread::sleep(Duration::from_millis(4100)); // until they are kept
        let root = Root::open(folder.path(), RootOptions::default()).unwrap();
        let shelf = Shelf::new(Keep::default());
        for name in [b"a", b"b"] {
            let Found::File(file) = root.find(name).unwrap() else { panic!("it is a file") };
            assert!(matches!(shelf.keep(&root, name, file), Held::Kept(_)));
        }
        let sweep = || {
            let mut gone = Vec::new();
            let is_left = sweep(shelf.files().unwrap(), &mut gone);
            (is_left, gone.len())
        };
        let is_there = |name: &[u8]| shelf.files().unwrap().contains_key(name);
        assert_eq!(sweep(), (true, 0), "both were used when they came");
        assert!(shelf.find(&root, b"a").is_some());
        let (is_left, gone) = sweep();
        assert!(is_left && gone > 0 && is_there(b"a") && !is_there(b"b"));
        let (is_left, gone) = sweep();
        assert!(!is_left && gone > 0);
        assert!(shelf.find(&root, b"a").is_none());
    }
}
