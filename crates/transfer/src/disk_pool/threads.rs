//! The threads of the pool: started when there is something to do, ended when there has been nothing
//! for a while. They are never joined, so that one that sleeps on a dead disk keeps nobody.

use super::{
    job::{Job, Next, Turn, Work},
    turns::{Limits, Stand, Started, Turns, Whose},
};
use crate::background;
use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// After so long without a job a thread ends, and its stack with it.
const IDLE: Duration = Duration::from_secs(10);

/// What the threads and all who have jobs share.
pub(super) struct Shared {
    state: Mutex<State>,
    called: Condvar,
}

struct State {
    turns: Turns<Work>,
    /// Jobs whose turn it is, and that no thread has taken yet.
    ready: VecDeque<Started<Work>>,
    threads: usize,
    /// Threads that sleep for want of a job, and have not been called.
    idle: usize,
    /// Threads that have been called, and have not looked yet.
    called: usize,
    /// Threads that have been started, and have not looked yet.
    starting: usize,
}

impl State {
    /// Lets begin what may. How many threads have to be started for that: those that sleep are
    /// called.
    fn call(&mut self, called: &Condvar) -> usize {
        while let Some(started) = self.turns.start() {
            self.ready.push_back(started);
        }
        let mut missing = self.ready.len().saturating_sub(self.called + self.starting);
        while missing > 0 && self.idle > 0 {
            self.idle -= 1;
            self.called += 1;
            missing -= 1;
            called.notify_one();
        }
        self.threads += missing;
        self.starting += missing;
        missing
    }
}

impl Shared {
    pub(super) fn new(limits: Limits) -> Self {
        let state = State {
            turns: Turns::new(limits),
            ready: VecDeque::new(),
            threads: 0,
            idle: 0,
            called: 0,
            starting: 0,
        };
        Self { state: Mutex::new(state), called: Condvar::new() }
    }

    /// Nothing in here panics while it holds the lock; if it did, the state would be no worse.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn limits(&self) -> Limits {
        *self.state().turns.limits()
    }

    pub(super) fn others_wait(&self, device: u64) -> bool {
        self.state().turns.others_wait(device)
    }

    pub(super) fn stand(&self, id: u64, whose: Whose) -> Stand {
        self.state().turns.stand(id, whose)
    }

    /// Threads there are, jobs that wait, and jobs that have begun.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let state = self.state();
        let (waiting, begun) = state.turns.counts();
        (state.threads, waiting, begun)
    }

    pub(super) fn withdraw(&self, id: u64, whose: Whose) -> bool {
        let withdrawn = self.state().turns.withdraw(id, whose);
        withdrawn.is_some() // and what the job held is dropped without the lock
    }

    /// Queues a job.
    ///
    /// # Errors
    ///
    /// The job, if the queue is full, or if there is not one thread and none can be started.
    pub(super) fn submit(self: &Arc<Self>, job: Job) -> Result<u64, Job> {
        let Job { whose, work } = job;
        let mut state = self.state();
        let id = state.turns.push(whose, work).map_err(|work| Job { whose, work })?;
        let missing = state.call(&self.called);
        drop(state);
        if self.start(missing) {
            return Ok(id);
        }
        // Whoever runs takes it later. If nobody does, nobody will.
        let mut state = self.state();
        if state.threads == 0
            && let Some(at) = state.ready.iter().position(|started| started.id == id)
            && let Some(Started { job: work, .. }) = state.ready.remove(at)
        {
            state.turns.finish(id, whose);
            return Err(Job { whose, work });
        }
        Ok(id)
    }

    /// Starts so many threads. Says whether it could.
    fn start(self: &Arc<Self>, count: usize) -> bool {
        for started in 0..count {
            let shared = Arc::clone(self);
            let thread = thread::Builder::new().name("disk".to_owned());
            if thread.spawn(move || shared.work()).is_err() {
                let mut state = self.state();
                state.threads -= count - started;
                state.starting -= count - started;
                return false;
            }
        }
        true
    }

    /// The life of a thread.
    fn work(self: Arc<Self>) {
        background::give_way();
        let mut state = self.state();
        state.starting -= 1;
        loop {
            while let Some(started) = state.ready.pop_front() {
                drop(state);
                let (id, whose) = (started.id, started.whose);
                let again = self.take_turn(started);
                state = self.state();
                match again {
                    Some(started) => state.turns.again(started),
                    None => state.turns.finish(id, whose),
                }
                // This thread takes the next one. Only what is more than that needs others: there is
                // more if no thread could be started for it before.
                state.starting += 1;
                let missing = state.call(&self.called);
                state.starting -= 1;
                if missing > 0 {
                    drop(state);
                    self.start(missing);
                    state = self.state();
                }
            }
            state = match self.sleep(state) {
                Some(state) => state,
                None => return,
            };
        }
    }

    /// Gives a job its turn. Gives it back if it wants another.
    fn take_turn(&self, mut started: Started<Work>) -> Option<Started<Work>> {
        let turn = Turn { shared: self, whose: started.whose };
        // The job catches its own panics. What is left is a bug in whoever is told of its end, or in
        // what is dropped then: it must not take the thread's place in the counts with it.
        let again = catch_unwind(AssertUnwindSafe(|| {
            let next = (started.job)(&turn);
            (next == Next::Again).then_some(started)
        }));
        again.unwrap_or(None)
    }

    /// Sleeps until there may be a job; nothing if there was none for long.
    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Option<MutexGuard<'a, State>> {
        state.idle += 1;
        loop {
            let (woken, waited) =
                self.called.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if state.called > 0 {
                state.called -= 1;
                return Some(state);
            }
            if waited.timed_out() {
                state.idle -= 1;
                state.threads -= 1;
                return None;
            }
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (threads, waiting, begun) = self.counts();
        f.debug_struct("DiskPool")
            .field("threads", &threads)
            .field("waiting", &waiting)
            .field("begun", &begun)
            .finish_non_exhaustive()
    }
}
