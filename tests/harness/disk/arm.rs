//! The arm of a slow disk: answers the reads of an image one after another, when and as a test wants.

use fuser::{Errno, ReplyData};
use std::{
    collections::VecDeque,
    fs::File,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long a stopped disk leaves a read waiting. After that it fails all it is asked for: no test may
/// leave a process behind that sleeps for ever and cannot be killed.
const PATIENCE: Duration = Duration::from_secs(50);

/// A read that the kernel waits for.
struct Read {
    offset: u64,
    len: usize,
    came: Instant,
    reply: ReplyData,
}

impl Read {
    fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.len as u64
    }
}

/// How the disk is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Works,
    /// Nothing is answered.
    Stopped,
    /// Everything fails.
    Broken,
    /// Nobody can ask any more.
    Closed,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Read>,
    /// The arm is at a read just now.
    busy: bool,
    mode: Mode,
    delay: Duration,
    faults: Vec<Range<u64>>,
    answered: Vec<Range<u64>>,
}

/// Shared by the test, which turns the knobs, the file system, which hands in the reads, and the
/// thread that answers them.
pub(super) struct Arm {
    state: Mutex<State>,
    changed: Condvar,
}

impl Arm {
    /// Starts the thread that answers reads of `image`.
    pub(super) fn start(image: File) -> Arc<Self> {
        let arm = Arc::new(Self { state: Mutex::default(), changed: Condvar::new() });
        let answering = Arc::clone(&arm);
        thread::spawn(move || answering.answer_all(&image));
        arm
    }

    /// Hands in a read; it is answered later.
    pub(super) fn hand_in(&self, offset: u64, len: usize, reply: ReplyData) {
        self.state().waiting.push_back(Read { offset, len, came: Instant::now(), reply });
        self.changed.notify_all();
    }

    /// From now on nothing is answered, until what this returns is dropped.
    pub(super) fn stop(self: &Arc<Self>) -> Stopped {
        let mut state = self.state();
        assert_eq!(state.mode, Mode::Works);
        state.mode = Mode::Stopped;
        while state.busy {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        Stopped(Arc::clone(self))
    }

    /// Whatever is asked for fails from now on, so that nobody waits for this disk.
    pub(super) fn break_down(&self) {
        self.state().mode = Mode::Broken;
        self.changed.notify_all();
    }

    /// The last of all: nobody can ask any more.
    pub(super) fn close(&self) {
        self.state().mode = Mode::Closed;
        self.changed.notify_all();
    }

    /// Each read takes this much longer from now on.
    pub(super) fn set_delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Reads that touch this range of the image fail from now on.
    pub(super) fn add_fault(&self, range: Range<u64>) {
        self.state().faults.push(range);
    }

    /// How many reads have come and have not been answered.
    pub(super) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// What has been read: a range for each answer, in their order.
    pub(super) fn answered(&self) -> Vec<Range<u64>> {
        self.state().answered.clone()
    }

    /// A panic elsewhere must not keep the disk from answering.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer_all(&self, image: &File) {
        while let Some((read, fails, delay)) = self.next() {
            if !delay.is_zero() {
                thread::sleep(delay);
            }
            let asked = read.range();
            let mut bytes = vec![0; read.len];
            match image.read_exact_at(&mut bytes, read.offset) {
                Ok(()) if !fails => read.reply.data(&bytes),
                _ => read.reply.error(Errno::EIO),
            }
            let mut state = self.state();
            state.busy = false;
            state.answered.push(asked);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Waits for a read that may be answered. None when nobody can ask any more.
    fn next(&self) -> Option<(Read, bool, Duration)> {
        let mut state = self.state();
        loop {
            let overdue = |read: &Read| read.came.elapsed() > PATIENCE;
            if state.mode == Mode::Stopped && state.waiting.front().is_some_and(overdue) {
                eprintln!("the disk was stopped for too long: all that it is asked for fails");
                state.mode = Mode::Broken;
            }
            if state.mode != Mode::Stopped {
                if let Some(read) = state.waiting.pop_front() {
                    let asked = read.range();
                    let hit = |bad: &Range<u64>| bad.start < asked.end && asked.start < bad.end;
                    let fails = state.mode != Mode::Works || state.faults.iter().any(hit);
                    state.busy = true;
                    return Some((read, fails, state.delay));
                }
                if state.mode == Mode::Closed {
                    return None;
                }
            }
            // Looks at the clock now and then, for the sake of PATIENCE.
            let waited = self.changed.wait_timeout(state, Duration::from_secs(1));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A disk that is stopped, until this is dropped: also by a panic, before the server that waits for
/// the disk is to end.
#[must_use]
pub(crate) struct Stopped(Arc<Arm>);

impl Drop for Stopped {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.mode == Mode::Stopped {
            state.mode = Mode::Works;
        }
        drop(state);
        self.0.changed.notify_all();
    }
}
