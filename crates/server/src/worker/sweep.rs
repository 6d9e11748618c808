//! The sweep: looks at all connections a few times a second, so that none of them needs a timer.

use super::{Worker, parking};
use std::{
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout_at};

/// How often deadlines are looked at. A deadline is kept to within this much.
const SWEEP: Duration = Duration::from_millis(250);

/// After so many sweeps, so every ten seconds, what is kept open is looked through.
const TIDY_EVERY: u32 = 40;

/// So many more connections have to be parked than there were before freed memory is given back to
/// the kernel: glibc does not do that by itself (`malloc_trim(3)`). It takes 0.7 ms after 2,000 and
/// 1.6 ms after 10,000, a tenth of what parking them took.
const WORTH_A_TRIM: usize = 1000;

impl Worker {
    /// Looks at the deadlines of all connections, and does what is due now and then.
    pub(super) async fn sweep(self: Rc<Self>) {
        let mut sweeps = 0_u32;
        let mut least_parked = 0;
        loop {
            let woken = self.look_round().await;
            self.flush_log();
            let parked = self.parking.len();
            least_parked = parked.min(least_parked);
            let all_parked = self.slots.borrow().is_empty();
            // Not in the midst of a mass parking: it would have to be done again.
            let at_rest = woken < parking::AT_ONCE || all_parked;
            if at_rest && parked >= least_parked + WORTH_A_TRIM {
                least_parked = parked;
                sendrail_sys::heap::trim();
            }
            if all_parked {
                self.rest().await;
            }
            sleep(SWEEP).await;
            sweeps = sweeps.wrapping_add(1);
            if sweeps.is_multiple_of(TIDY_EVERY) {
                let mut site = self.site.borrow_mut();
                site.clock.tick();
                site.tidy();
            }
        }
    }

    /// Wakes the connections that are due, and closes the parked ones. Others get their turn in
    /// between. Says how many there were.
    async fn look_round(&self) -> usize {
        let now = Instant::now();
        self.swept_at.set(now);
        let (mut due, mut from) = (0, Some(0));
        while let Some(key) = from {
            let woken;
            (woken, from) = self.wake_due(now, key);
            due += woken;
            if from.is_some() {
                tokio::task::yield_now().await;
            }
        }
        self.close_overdue(now).await;
        due
    }

    /// Wakes some of those that are due, from this key on. Says how many, and where on to go on.
    fn wake_due(&self, now: Instant, from: usize) -> (usize, Option<usize>) {
        let slots = self.slots.borrow();
        let mut woken = 0;
        for key in from..slots.capacity() {
            if let Some(slot) = slots.get(key)
                && slot.is_due(now)
            {
                slot.wake();
                woken += 1;
                if woken == parking::AT_ONCE {
                    return (woken, Some(key + 1));
                }
            }
        }
        (woken, None)
    }

    async fn close_overdue(&self, now: Instant) {
        let mut from = Some(0);
        while let Some(key) = from {
            let closed;
            (closed, from) = self.parking.close_overdue(now, key);
            self.parked_have_left(closed);
            if from.is_some() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Sleeps until there is a connection that is not parked. Wakes up when the deadline of a
    /// parked one has passed, and once more because what is kept open is of use to nobody, and a
    /// deleted file wants its space back.
    async fn rest(&self) {
        let mut tidy_at = Some(Instant::now() + SWEEP * TIDY_EVERY);
        loop {
            let until = tidy_at.into_iter().chain(self.parking.earliest()).min();
            let somebody = self.filled.notified();
            let Some(until) = until else { return somebody.await };
            if timeout_at(until.into(), somebody).await.is_ok() {
                return;
            }
            let now = Instant::now();
            if tidy_at.is_some_and(|at| at <= now) {
                self.site.borrow_mut().close_all();
                tidy_at = None;
            }
            self.close_overdue(now).await;
        }
    }
}
