//! A slot: how the worker's sweep reaches a connection that waits.
//!
//! Deadlines are many and nearly never met, so a connection does not own a timer: it writes its
//! deadline here, and one sweep per worker looks at all of them a few times a second.

use std::{
    cell::{Cell, RefCell},
    task::{Context, Waker},
    time::Instant,
};

/// What a waiting connection shows to the sweep.
#[derive(Debug)]
pub(crate) struct Slot {
    deadline: Cell<Instant>,
    waker: RefCell<Option<Waker>>,
}

impl Slot {
    pub(crate) fn new(deadline: Instant) -> Self {
        Self { deadline: Cell::new(deadline), waker: RefCell::new(None) }
    }

    /// From now on this deadline counts.
    pub(crate) fn set_deadline(&self, deadline: Instant) {
        self.deadline.set(deadline);
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.deadline.get() <= now
    }

    /// Remembers whom to wake.
    pub(crate) fn waits(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match waker.as_mut() {
            Some(waker) => waker.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
    }

    /// Has the connection look around: its deadline has passed, or the server is stopping.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}
