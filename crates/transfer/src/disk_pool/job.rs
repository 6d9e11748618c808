//! A job: what is to be done by a thread that may sleep on a disk, and who is told.

use super::{Whose, threads::Shared};
use std::{
    any::Any,
    fmt,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Something to be done by a thread that may sleep on a disk.
///
/// [`once`](Self::once) and [`in_turns`](Self::in_turns) make one; [`Windows`](super::Windows) is what most of them do.
pub struct Job {
    pub(super) whose: Whose,
    pub(super) work: Work,
}

pub(super) type Work = Box<dyn FnMut(&Turn<'_>) -> Next + Send>;

/// What becomes of a job after its turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: it has ended.
    Over,
    /// It wants another turn.
    Again,
}

impl Job {
    /// A job that is done in one turn. `done` is told what it came to, in the same thread.
    ///
    /// Neither is called if the job is taken back before its turn.
    ///
    /// ```
    /// use sendrail_transfer::disk_pool::{DiskPool, Job, Limits, Whose};
    /// use std::{fs, sync::mpsc::channel};
    ///
    /// let (tell, told) = channel();
    /// let whose = Whose { device: 1, client: 1 };
    /// let job = Job::once(whose, || fs::metadata("Cargo.toml"), move |facts| drop(tell.send(facts)));
    /// let _place = DiskPool::new(Limits::default()).submit(job);
    /// assert!(told.recv()???.len() > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn once<T: 'static>(
        whose: Whose,
        work: impl FnOnce() -> T + Send + 'static,
        done: impl FnOnce(Result<T, Panicked>) + Send + 'static,
    ) -> Self {
        let mut work = Some(work);
        let work = move |_: &Turn<'_>| match work.take() {
            Some(work) => ControlFlow::Break(work()),
            None => unreachable!("it has ended by its first turn"),
        };
        Self::in_turns(whose, work, done)
    }

    /// A job that is done in any number of turns: as long as `work` says
    /// [`Continue`](ControlFlow::Continue), it waits for another turn, behind all who wait already.
    ///
    /// `done` is told what it came to in the end. A job that panics has ended.
    ///
    /// ```
    /// use sendrail_transfer::disk_pool::{DiskPool, Job, Limits, Turn, Whose};
    /// use std::{fs::File, io::Read, ops::ControlFlow, sync::mpsc::channel};
    ///
    /// let mut file = File::open("Cargo.toml")?;
    /// let (mut sum, mut piece) = (0, [0; 512]);
    /// // A piece in each turn, and some more while nobody else waits for this disk.
    /// let work = move |turn: &Turn<'_>| loop {
    ///     match file.read(&mut piece) {
    ///         Ok(0) => break ControlFlow::Break(Ok(sum)),
    ///         Ok(count) => sum += count,
    ///         Err(error) => break ControlFlow::Break(Err(error)),
    ///     }
    ///     if turn.others_wait() {
    ///         break ControlFlow::Continue(());
    ///     }
    /// };
    /// let (tell, told) = channel();
    /// let whose = Whose { device: 1, client: 1 };
    /// let job = Job::in_turns(whose, work, move |sum| drop(tell.send(sum)));
    /// let _place = DiskPool::new(Limits::default()).submit(job);
    /// assert!(told.recv()??? > 512);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_turns<T: 'static>(
        whose: Whose,
        mut work: impl FnMut(&Turn<'_>) -> ControlFlow<T> + Send + 'static,
        done: impl FnOnce(Result<T, Panicked>) + Send + 'static,
    ) -> Self {
        let mut done = Some(done);
        let work = move |turn: &Turn<'_>| {
            let outcome = match catch_unwind(AssertUnwindSafe(|| work(turn))) {
                Ok(ControlFlow::Continue(())) => return Next::Again,
                Ok(ControlFlow::Break(outcome)) => Ok(outcome),
                Err(payload) => Err(Panicked::with(&*payload)),
            };
            if let Some(done) = done.take() {
                done(outcome);
            }
            Next::Over
        };
        Self { whose, work: Box::new(work) }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("whose", &self.whose).finish_non_exhaustive()
    }
}

/// A job's turn: what it may ask while a thread is busy with it.
#[derive(Debug)]
pub struct Turn<'a> {
    pub(super) shared: &'a Shared,
    pub(super) whose: Whose,
}

impl Turn<'_> {
    /// Whether somebody waits for the thread that this job keeps busy. If nobody does, it may as well
    /// go on.
    pub fn others_wait(&self) -> bool {
        self.shared.others_wait(self.whose.device)
    }
}

/// A job panicked, which is a bug. The thread lives on.
///
/// ```
/// use sendrail_transfer::disk_pool::{DiskPool, Job, Limits, Whose};
/// use std::sync::mpsc::channel;
///
/// let (tell, told) = channel();
/// let whose = Whose { device: 1, client: 1 };
/// let job = Job::once(whose, || panic!("oh"), move |outcome: Result<(), _>| drop(tell.send(outcome)));
/// let _place = DiskPool::new(Limits::default()).submit(job);
/// assert_eq!(told.recv()?.unwrap_err().to_string(), "a job of the disk pool panicked: oh");
/// # Ok::<(), std::sync::mpsc::RecvError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked(String);

impl Panicked {
    fn with(payload: &(dyn Any + Send)) -> Self {
        let said = payload.downcast_ref::<&str>().map(|said| (*said).to_owned());
        let said = said.or_else(|| payload.downcast_ref::<String>().cloned());
        Self(said.unwrap_or_else(|| "without a word".to_owned()))
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a job of the disk pool panicked: {}", self.0)
    }
}

impl std::error::Error for Panicked {}
