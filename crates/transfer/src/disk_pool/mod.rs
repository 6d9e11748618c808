//! The disk pool: threads that may sleep on a disk, so that an event loop need not.
//!
//! What sleeps on a disk cannot be hurried, and cannot be cancelled. So the pool sees to it that it
//! does little harm: each device has a few threads of its own, clients take turns on it, and the
//! number of threads and of jobs that wait is bounded. A disk that has stopped answering holds its own
//! threads and those who want to read from it; nobody else notices.
//!
//! The pool knows no runtime: whoever has a job done is told by a closure, in the pool's thread.
//!
//! | room | what is decided or done there |
//! |---|---|
//! | `turns` | whose turn it is: pure |
//! | `job` | what is to be done, and who is told |
//! | `threads` | starting, calling and ending threads |
//! | `windows` | the usual job: some windows of a transfer |

mod job;
mod threads;
mod turns;
mod windows;

pub use job::{Job, Panicked, Turn};
use std::sync::{Arc, LazyLock};
use threads::Shared;
pub use turns::{Limits, Stand, Whose};
pub use windows::Windows;

/// A pool of threads that may sleep on a disk. Cloning gives another handle of the same pool.
///
/// Threads are started when there is something to do, and end when there has been nothing for ten
/// seconds. They are never joined: a process can end while one of them sleeps. (In `read(2)` and the
/// like, that is. Who reads a folder sleeps uninterruptibly on most file systems, state D of `ps(1)`:
/// the kernel keeps what is left of the process until that disk has answered.)
///
/// ```
/// use sendrail_transfer::disk_pool::{DiskPool, Job, Limits, Whose};
/// use std::sync::mpsc::channel;
///
/// let pool = DiskPool::new(Limits::default());
/// let whose = Whose { device: 0xfe01, client: 7 };
/// let (told, tell) = channel();
/// let read = || std::fs::read(std::env::current_exe()?).map(|bytes| bytes.len());
/// let job = Job::once(whose, read, move |outcome| drop(told.send(outcome)));
/// let ticket = pool.submit(job).expect("the queue is not full");
/// assert!(tell.recv()??? > 0);
/// drop(ticket); // one that has not begun would be taken back now
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct DiskPool {
    shared: Arc<Shared>,
}

impl DiskPool {
    /// A pool without any threads yet.
    pub fn new(limits: Limits) -> Self {
        Self { shared: Arc::new(Shared::new(limits)) }
    }

    /// The pool of all who have none of their own, within the usual limits; `asynchronous` uses it. It lives as long as the
    /// process, and has no thread before there is something to do.
    pub fn of_the_process() -> &'static Self {
        static POOL: LazyLock<DiskPool> = LazyLock::new(|| DiskPool::new(Limits::default()));
        &POOL
    }

    /// What it keeps to.
    pub fn limits(&self) -> Limits {
        self.shared.limits()
    }

    /// Queues a job. It is taken back if the ticket is dropped before it has begun.
    ///
    /// # Errors
    ///
    /// The job, if [`Limits::queue`] jobs wait already, or if the pool has no thread and the kernel
    /// refuses one (EAGAIN, `pthread_create(3)`): it may be submitted again later. A pool that has
    /// threads does with those it has.
    pub fn submit(&self, job: Job) -> Result<Ticket, Job> {
        let whose = job.whose;
        let id = self.shared.submit(job)?;
        Ok(Ticket { shared: Arc::clone(&self.shared), id, whose })
    }

    /// What it is doing at this moment.
    pub fn counts(&self) -> Counts {
        let (threads, waiting, begun) = self.shared.counts();
        Counts { threads, waiting, begun }
    }
}

/// What a pool is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Threads there are, busy or not.
    pub threads: usize,
    /// Jobs that wait for their turn.
    pub waiting: usize,
    /// Jobs whose turn it is.
    pub begun: usize,
}

/// Jobs are numbered from 0 on, and never come to this one.
const NOBODY: u64 = u64::MAX;

/// A place in the queue. Dropping it takes the job back, unless that has begun.
///
/// ```
/// use sendrail_transfer::disk_pool::{DiskPool, Job, Limits, Stand, Whose};
/// use std::sync::mpsc::channel;
///
/// let pool = DiskPool::new(Limits { per_device: 1, ..Limits::default() });
/// let whose = |client| Whose { device: 1, client };
/// let (open, closed) = channel::<()>();
/// // A disk that does not answer, and somebody behind it who has had enough.
/// let first = pool.submit(Job::once(whose(1), move || closed.recv(), drop)).expect("there is room");
/// let second = pool.submit(Job::once(whose(2), || (), drop)).expect("there is room");
/// assert!(matches!(second.stand(), Stand::Waits { .. }));
/// assert_eq!(pool.counts().waiting, 1);
/// assert!(second.withdraw());
/// drop(open);
/// ```
#[derive(Debug)]
#[must_use = "a job whose ticket is dropped is not done"]
pub struct Ticket {
    shared: Arc<Shared>,
    id: u64,
    whose: Whose,
}

impl Ticket {
    /// How far the job has come.
    pub fn stand(&self) -> Stand {
        self.shared.stand(self.id, self.whose)
    }

    /// Gives up the place and leaves the job in it: it is done, whoever is told of it. For what must be done though nobody waits for
    /// it any more, such as closing a file.
    ///
    /// ```
    /// use sendrail_transfer::disk_pool::{DiskPool, Job, Limits, Whose};
    /// use std::sync::mpsc::channel;
    ///
    /// let pool = DiskPool::new(Limits { per_device: 1, ..Limits::default() });
    /// let whose = Whose { device: 1, client: 1 };
    /// let (open, closed) = channel::<()>();
    /// let _first = pool.submit(Job::once(whose, move || closed.recv(), drop)).expect("there is room");
    /// let (tell, told) = channel();
    /// pool.submit(Job::once(whose, || (), move |_| drop(tell.send(())))).expect("there is room").leave();
    /// drop(open);
    /// told.recv()?;
    /// # Ok::<(), std::sync::mpsc::RecvError>(())
    /// ```
    pub fn leave(mut self) {
        self.id = NOBODY;
    }

    /// Takes the job back: neither its work nor its `done` is called. `false` if it has begun, or is over.
    pub fn withdraw(self) -> bool {
        self.shared.withdraw(self.id, self.whose)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.withdraw(self.id, self.whose);
    }
}

#[cfg(test)]
mod tests;
