//! The sweep: looks at all connections a few times a second, so that none of them needs a timer.

use super::{Worker, parking};
use std::{
    io,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout_at};

/// How often deadlines are looked at. A deadline is kept to within this much.
const SWEEP: Duration = Duration::from_millis(250);

/// How often what is kept open is looked through.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// After so many times without a request there is nothing left to tidy: after more than a minute.
const TIDY_AT_REST: u32 = 7;

impl Worker {
    /// Looks at the deadlines of all connections, and does what is due now and then.
    ///
    /// # Errors
    ///
    /// None: it never ends.
    pub(super) async fn sweep(self: Rc<Self>) -> io::Result<()> {
        loop {
            self.look_round().await;
            self.flush_log();
            let now = Instant::now();
            if self.is_untidy(now) {
                self.tidy(now);
            }
            self.give_memory_back(now);
            if self.slots.borrow().is_empty() {
                self.rest().await;
            }
            sleep(SWEEP).await;
        }
    }

    /// Wakes the connections that are due, and closes the parked ones. Others get their turn in
    /// between.
    async fn look_round(self: &Rc<Self>) {
        let now = Instant::now();
        self.swept_at.set(now);
        let mut from = Some(0);
        while let Some(key) = from {
            from = self.wake_due(now, key);
            if from.is_some() {
                tokio::task::yield_now().await;
            }
        }
        self.close_overdue(now).await;
    }

    /// Wakes some of those that are due, from this key on. Says from where on to look next.
    ///
    /// Those that have become quiet are parked, some [`parking::AT_ONCE`] at a time. Those whose time
    /// is over are not held back by that: their number would decide when the last of them is told.
    fn wake_due(&self, now: Instant, from: usize) -> Option<usize> {
        let slots = self.slots.borrow();
        let mut quiet = 0;
        for key in from..slots.capacity() {
            if let Some(slot) = slots.get(key)
                && slot.is_due(now)
            {
                slot.wake();
                quiet += usize::from(!slot.is_over(now));
            }
            if quiet == parking::AT_ONCE || key - from + 1 == parking::LOOK {
                return Some(key + 1);
            }
        }
        None
    }

    async fn close_overdue(self: &Rc<Self>, now: Instant) {
        let mut from = Some(0);
        while let Some(key) = from {
            let closed;
            (closed, from) = self.parking.close_overdue(now, key, |socket, until| {
                self.call_back(socket, until);
            });
            self.parked_have_left(closed);
            if from.is_some() {
                tokio::task::yield_now().await;
            }
        }
    }

    fn is_untidy(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.tidied_at.get()) >= TIDY_EVERY
    }

    /// Gives up what is kept open and not asked for.
    fn tidy(&self, now: Instant) {
        let mut site = self.site.borrow_mut();
        site.clock.tick();
        site.tidy();
        self.tidied_at.set(now);
        self.closing.order(&self.config.ground.root(), self.disks());
    }

    /// Gives freed memory back to the kernel, if that is for this worker to do now. On a thread of
    /// its own: it takes a millisecond or more.
    fn give_memory_back(&self, now: Instant) {
        if self.shared.trim.is_due(now) {
            tokio::task::spawn_blocking(sendrail_sys::heap::trim);
        }
    }

    /// Sleeps until there is a connection that is not parked. Wakes up when the deadline of a
    /// parked one has passed, and some times more because what is kept open is soon of use to
    /// nobody, and a deleted file wants its space back.
    async fn rest(self: &Rc<Self>) {
        let mut tidy_at = Some(Instant::now() + TIDY_EVERY);
        let mut tidied = 0;
        let mut looked_at = self.swept_at.get();
        loop {
            // Deadlines that follow each other closely are looked at together.
            let look_at = self.parking.earliest().map(|earliest| earliest.max(looked_at + SWEEP));
            let until = tidy_at.into_iter().chain(look_at).chain(self.shared.trim.next()).min();
            let somebody = self.filled.notified();
            let Some(until) = until else { return somebody.await };
            if timeout_at(until.into(), somebody).await.is_ok() {
                return;
            }
            let now = Instant::now();
            if tidy_at.is_some_and(|at| at <= now) {
                tidied += 1;
                if self.parking.is_empty() {
                    self.site.borrow_mut().close_all();
                    self.closing.order(&self.config.ground.root(), self.disks());
                    tidy_at = None;
                } else {
                    self.tidy(now);
                    tidy_at = (tidied < TIDY_AT_REST).then(|| now + TIDY_EVERY);
                }
            }
            if look_at.is_some_and(|at| at <= now) {
                looked_at = now;
                self.close_overdue(now).await;
            }
            self.give_memory_back(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Place, *};

    const HOUR: Duration = Duration::from_hours(1);

    fn places(worker: &Rc<Worker>, count: usize, deadline: Instant) -> Vec<Place> {
        worker.shared.connections.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
        (0..count).map(|_| Place::enter(worker, deadline)).collect()
    }

    #[test]
    fn those_that_become_quiet_are_woken_in_turns() {
        let (worker, now) = (Worker::for_a_test(), Instant::now());
        let places = places(&worker, parking::AT_ONCE + 10, now + HOUR);
        for place in &places {
            place.slot().set_idle_until(now + HOUR);
        }
        while !places[0].slot().is_quiet() {
            assert!(worker.wake_due(now, 0).is_none_or(|next| next == parking::AT_ONCE));
        }
        let quiet = |places: &[Place]| places.iter().filter(|at| at.slot().is_quiet()).count();
        assert_eq!(quiet(&places), parking::AT_ONCE);
        assert_eq!(worker.wake_due(now, parking::AT_ONCE), None);
        assert_eq!(quiet(&places), parking::AT_ONCE + 10);
    }

    #[test]
    fn those_whose_time_is_over_are_told_together() {
        let (worker, now) = (Worker::for_a_test(), Instant::now());
        let few = places(&worker, parking::AT_ONCE * 3, now);
        for place in &few {
            place.slot().set_idle_until(now);
        }
        for _ in 0..8 {
            assert_eq!(worker.wake_due(now, 0), None);
        }
        let _many = places(&worker, parking::LOOK, now);
        assert_eq!(worker.wake_due(now, 0), Some(parking::LOOK), "but not without end");
    }

    #[test]
    fn a_long_rest_does_not_put_off_the_tidying() {
        let (worker, now) = (Worker::for_a_test(), Instant::now());
        assert!(!worker.is_untidy(now));
        assert!(worker.is_untidy(now + HOUR));
        worker.tidy(now + HOUR);
        assert!(!worker.is_untidy(now + HOUR));
    }
}
