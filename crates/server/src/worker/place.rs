//! A connection's place with its worker.

use super::Worker;
use crate::connection::slot::Slot;
use std::{rc::Rc, sync::atomic::Ordering, time::Instant};

/// A connection's place with its worker, given up when it is dropped: also by a panic, which ends one
/// connection and must neither be counted as open for ever nor keep the server from stopping.
pub(crate) struct Place {
    worker: Rc<Worker>,
    key: usize,
    slot: Rc<Slot>,
    counted: bool,
}

impl Place {
    /// Takes in a connection that has been counted as open.
    pub(super) fn enter(worker: &Rc<Worker>, deadline: Instant) -> Self {
        let slot = Rc::new(Slot::new(deadline));
        let mut slots = worker.slots.borrow_mut();
        if slots.is_empty() {
            worker.filled.notify_one();
        }
        let key = slots.insert(Rc::clone(&slot));
        Self { worker: Rc::clone(worker), key, slot, counted: true }
    }

    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Gives up the place of a connection that goes on, parked: that stays counted.
    pub(crate) fn give_up(mut self) {
        self.counted = false;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut slots = self.worker.slots.borrow_mut();
        slots.remove(self.key);
        if self.counted {
            self.worker.shared.connections.fetch_sub(1, Ordering::Relaxed);
        }
        if slots.is_empty() {
            slots.shrink_to_fit();
            self.worker.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_connection_that_panics_leaves_its_place() {
        let worker = Worker::for_a_test();
        worker.shared.connections.fetch_add(1, Ordering::Relaxed); // as admit does
        let place = Place::enter(&worker, Instant::now());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _place = place;
            panic!("a bug in one connection; the test wants it");
        }));
        assert!(panicked.is_err());
        assert_eq!((worker.shared.connections(), worker.slots.borrow().len()), (0, 0));
    }
}
