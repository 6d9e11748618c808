//! A slot: how the worker's sweep reaches a connection that waits.
//!
//! Deadlines are many and nearly never met, so a connection does not own a timer: it writes its
//! deadline here, and one sweep per worker looks at all of them a few times a second.

use std::{
    cell::{Cell, RefCell},
    task::{Context, Waker},
    time::Instant,
};

/// After how many sweeps an idle connection is quiet, and gives its task and its slot back: after one
/// second at least.
///
/// Going and coming back cost six system calls and a new task: 7 µs beside the 10 µs of a small
/// request. The requests of one page follow each other within a second, and pay nothing.
const QUIET_AFTER: u8 = 5;

/// In place of a number of sweeps: the connection waits for something else than its next request.
const BUSY: u8 = u8::MAX;

/// What a waiting connection shows to the sweep.
#[derive(Debug)]
pub(crate) struct Slot {
    deadline: Cell<Instant>,
    /// Sweeps since it became idle, or [`BUSY`].
    idle_for: Cell<u8>,
    waker: RefCell<Option<Waker>>,
}

impl Slot {
    pub(crate) fn new(deadline: Instant) -> Self {
        Self { deadline: Cell::new(deadline), idle_for: Cell::new(BUSY), waker: RefCell::new(None) }
    }

    /// From now on this deadline counts. The connection is busy.
    pub(crate) fn set_deadline(&self, deadline: Instant) {
        self.deadline.set(deadline);
        self.idle_for.set(BUSY);
    }

    /// From now on this deadline counts. The connection is idle.
    pub(crate) fn set_idle_until(&self, deadline: Instant) {
        self.deadline.set(deadline);
        self.idle_for.set(0);
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.deadline.get() <= now
    }

    /// Whether the connection has been idle for a while.
    pub(crate) fn is_quiet(&self) -> bool {
        self.idle_for.get() == QUIET_AFTER
    }

    /// Counts a sweep. Says whether the connection has to look around: its deadline has passed, or
    /// it has just become quiet.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let sweeps = self.idle_for.get();
        if sweeps < QUIET_AFTER {
            self.idle_for.set(sweeps + 1);
            return self.is_quiet() || self.is_over(now);
        }
        self.is_over(now)
    }

    /// Remembers whom to wake.
    pub(crate) fn waits(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match waker.as_mut() {
            Some(waker) => waker.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
    }

    /// Has the connection look around.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_idle_connection_is_quiet_after_a_while_and_told_so_once() {
        let now = Instant::now();
        let slot = Slot::new(now + Duration::from_hours(1));
        slot.set_idle_until(now + Duration::from_hours(1));
        let due: Vec<bool> = (0..8).map(|_| slot.is_due(now)).collect();
        assert_eq!(due, [false, false, false, false, true, false, false, false]);
        assert!(slot.is_quiet());
        slot.set_idle_until(now + Duration::from_hours(1));
        assert!(!slot.is_quiet(), "it has been busy in between");
    }

    #[test]
    fn a_busy_connection_is_due_at_its_deadline_alone() {
        let now = Instant::now();
        let slot = Slot::new(now);
        slot.set_deadline(now + Duration::from_secs(1));
        assert!((0..1000).all(|_| !slot.is_due(now) && !slot.is_quiet()));
        assert!(slot.is_due(now + Duration::from_secs(1)));
    }
}
