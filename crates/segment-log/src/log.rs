//! The log: opened once, shared by everybody who appends and fetches.

use crate::{
    error::{OpenError, OutOfRange},
    options::Options,
    recovery::{Recovered, Recovery, recover},
    retention::Dropped,
    view::{Active, Fetched, View},
    writer::{Commit, Writer},
};
use sendrail_sys::statfs::file_system;
use sendrail_transfer::Medium;
use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// An append-only log in segment files.
///
/// Producers append from any number of threads, and consumers fetch from any number of threads; nobody who fetches waits for who appends, or for
/// the disk. One process has a log open at a time.
///
/// ```
/// use sendrail_segment_log::{Log, Options};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
/// let log = Log::open(path, Options::default())?;
/// let appended = log.append([&b"a record"[..], b"another"])?;
/// assert_eq!((appended.first, appended.next), (0, 2));
///
/// let fetched = log.fetch(0, 1 << 20)?; // a range of a file: for a chain, and sendfile(2)
/// assert_eq!((fetched.first, fetched.next, fetched.end), (0, 2, 2));
/// assert_eq!(fetched.range.len(), 2 * 16 + 15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Log {
    pub(crate) shared: Shared,
    recovery: Recovery,
}

/// What `append`, `fetch` and the retention work on. Locks are taken in this order: writer, commit, view; the view's is never held
/// during a system call.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) options: Options,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) commit: Mutex<Commit>,
    pub(crate) committed: Condvar,
    pub(crate) view: Mutex<View>,
    grown: Condvar,
    #[cfg(feature = "tokio")]
    pub(crate) end: tokio::sync::watch::Sender<u64>,
}

impl Log {
    /// Opens the log in this directory, and makes the directory if only that is missing. What is found there is checked: see [`Recovery`].
    ///
    /// # Errors
    ///
    /// [`OpenError`]: another process has it open; damage in the middle; what the kernel refused.
    pub fn open(directory: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        if let Some(fault) = options.fault() {
            return Err(OpenError::Options(fault));
        }
        let recovered = recover(directory.as_ref(), &options)?;
        let Recovered { directory, closed, base, file, index, end, recovery } = recovered;
        let medium = file_system(directory.itself().as_fd()).map_or(Medium::Disk, Medium::from);
        let file = Arc::new(file);
        let active = Active::new(base, Arc::clone(&file), index.clone(), end, &options);
        let path = directory.path().to_path_buf();
        let writer = Writer::new(directory, base, file, &index, end);
        let shared = Shared {
            path,
            options,
            writer: Mutex::new(writer),
            commit: Mutex::default(),
            committed: Condvar::new(),
            view: Mutex::new(View { closed: closed.into(), active, medium }),
            grown: Condvar::new(),
            #[cfg(feature = "tokio")]
            end: tokio::sync::watch::Sender::new(end.next),
        };
        Ok(Self { shared, recovery })
    }

    /// What was found when it was opened.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The oldest offset that is there.
    pub fn start(&self) -> u64 {
        self.shared.view().start()
    }

    /// The offset that the next record will have. With [`SyncPolicy::EveryAppend`](crate::SyncPolicy), all before it is on the disk.
    pub fn end(&self) -> u64 {
        self.shared.view().end()
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.shared.view().bytes()
    }

    /// The records from `offset` on, as a range of a segment. Makes no system call: the bounds come from the index in memory.
    ///
    /// The range begins at the entry of the index at or below `offset`, so that a consumer may have to skip some records that are older, and
    /// ends at the last entry within `max_bytes`, or at the end of the segment or of the log; if that is none, at the first entry behind
    /// `offset`: there is at least one record, however small `max_bytes` is. What is next then begins at an entry, so that a sequential consumer
    /// is not sent anything twice. Each of the latest 4096 appends has an entry of its own: at the tail a consumer gets just what is new.
    ///
    /// At the end of the log the range is empty. Whoever has it goes on to its end, even if the segment is dropped meanwhile.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`], with both bounds.
    pub fn fetch(&self, offset: u64, max_bytes: u64) -> Result<Fetched, OutOfRange> {
        let view = self.shared.view();
        let span = view.find(offset, max_bytes)?;
        let range = view.file_range(&span);
        Ok(Fetched { range, first: span.first, next: span.next, end: span.end })
    }

    /// Waits until the log goes beyond `offset`, and says where it ends: at or before `offset` if the time was up before.
    pub fn wait_beyond(&self, offset: u64, timeout: Duration) -> u64 {
        let deadline = Instant::now().checked_add(timeout);
        let mut view = self.shared.view();
        while view.end() <= offset {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            let left = left.unwrap_or(Duration::from_hours(1)); // beyond what a clock can say
            let (woken, _) =
                self.shared.grown.wait_timeout(view, left).unwrap_or_else(PoisonError::into_inner);
            view = woken;
        }
        view.end()
    }

    /// The same in a task.
    #[cfg(feature = "tokio")]
    pub async fn beyond(&self, offset: u64) -> u64 {
        let mut end = self.shared.end.subscribe();
        // The sender lives as long as the log that is borrowed here.
        end.wait_for(|end| *end > offset).await.map_or_else(|_| self.end(), |end| *end)
    }

    /// Drops the segments that need not be kept ([`Retention`](crate::Retention)), and says which. It is done with each new segment as
    /// well; for the age to count in a log that nobody appends to, call it now and then.
    ///
    /// # Errors
    ///
    /// What `unlink(2)` says. The log goes on with the segment.
    pub fn retain(&self) -> io::Result<Vec<Dropped>> {
        self.shared.retain()
    }

    /// Has all that was appended on the disk, whatever the policy.
    ///
    /// # Errors
    ///
    /// [`AppendError::SyncFailed`](crate::AppendError), after which the log takes no more.
    pub fn sync(&self) -> Result<(), crate::AppendError> {
        self.shared.sync_all()
    }
}

impl Shared {
    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows readers the log up to here, and wakes those who wait.
    pub(crate) fn show(&self, mut view: MutexGuard<'_, View>, to: crate::view::Edge) {
        if to.next <= view.end() {
            return;
        }
        view.active.visible = to;
        drop(view);
        self.grown.notify_all();
        #[cfg(feature = "tokio")]
        self.end.send_if_modified(|end| {
            let grows = *end < to.next;
            *end = (*end).max(to.next);
            grows
        });
    }
}
