//! Live files: what the followers of growing files share, and how clients wait for what is not there yet.
//!
//! | file | what is decided or done there |
//! |---|---|
//! | `verdict` | what has become of a file, and what a follower does next: pure |
//! | `watch` | one inotify instance per worker, one watch per file or directory, however many wait |
//! | `file` | a file that is followed: looked at once per change, and read once for all who are equally far |
//! | `sight` | what a client that waits has to keep an eye on |

mod file;
mod sight;
mod verdict;
mod watch;

use crate::config::{Config, LiveRules};
use file::Key;
pub(crate) use file::LiveFile;
use sendrail_files::{Ground, OpenFile};
use sendrail_transfer::disk_pool::{DiskPool, Job, Whose};
pub(crate) use sight::{Places, Sight};
use std::{
    cell::RefCell,
    collections::HashMap,
    rc::{Rc, Weak},
    sync::Arc,
};
pub(crate) use verdict::{Next, next};
use watch::Watches;

/// No address is like it: clients are known by theirs.
const NOBODY: u64 = u64::MAX - 1;

/// Up to so many bytes are read once for all followers that are equally far, and sent from memory. What has just been
/// appended lies in single pages, of which sendfile(2) can put few into a packet: it costs twice as much up to 1 MiB
/// (docs/decisions/0017-live-files.md). A follower that is slow holds so much at the most.
const SHARED: u64 = 256 << 10;

/// What a worker knows of files that grow.
#[derive(Debug)]
pub(crate) struct Live {
    rules: LiveRules,
    /// Up to so many bytes are read once for all.
    shared: u64,
    ground: Arc<Ground>,
    disks: DiskPool,
    watches: Rc<Watches>,
    files: RefCell<HashMap<Key, Weak<LiveFile>>>,
}

impl Live {
    pub(crate) fn new(config: &Config, disks: DiskPool) -> Rc<Self> {
        Rc::new(Self {
            rules: config.live,
            // A forced method is to be seen at work.
            shared: if config.transfer.method.is_some() { 0 } else { SHARED },
            ground: Arc::clone(&config.ground),
            disks,
            watches: Rc::default(),
            files: RefCell::default(),
        })
    }

    /// The longest that a client may wait.
    pub(crate) fn max_wait(&self) -> std::time::Duration {
        self.rules.max_wait
    }

    /// What the followers share of a file that was found by this path.
    pub(crate) fn follow(self: &Rc<Self>, file: &OpenFile, path: &[u8]) -> Rc<LiveFile> {
        let key = Key::of(file, path);
        let known = self.files.borrow().get(&key).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| !known.is_over()) {
            return known;
        }
        let new = LiveFile::begin(self, file, &key);
        self.files.borrow_mut().insert(key, Rc::downgrade(&new));
        new
    }

    /// What is to be kept an eye on for a client that waits.
    pub(crate) fn sight(&self, places: &Places) -> Sight {
        Sight::of(&self.watches, places)
    }

    /// Nobody follows it any more.
    fn forget(&self, key: &Key) {
        let mut files = self.files.borrow_mut();
        if files.get(key).is_some_and(|known| known.strong_count() == 0) {
            files.remove(key);
        }
    }

    /// Has something done by a thread that may wait for the disk. Nothing, if no thread is to be had, or it has panicked.
    async fn in_pool<T: Send + 'static>(
        &self,
        device: u64,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let whose = Whose { device, client: NOBODY };
        let job = Job::once(whose, work, move |outcome| drop(tell.send(outcome)));
        let _ticket = self.disks.submit(job).ok()?;
        told.await.ok()?.ok()
    }
}
