//! The open loop: requests fall due as clients would send them that do not know of each other, at random moments and a
//! fixed mean rate, whether or not the server has answered the ones before.
//!
//! Latency counts from when a request was due. A closed loop waits with its next request for a server that has stalled,
//! and so leaves out just the requests that would have suffered (coordinated omission).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::windows::Windows;
use super::{Load, Work};
use crate::cpu;

/// The same arrivals for every server.
const SEED: u64 = 0x5e9d_4a11;
/// A server that is so far behind will not catch up: the rest is not asked for, but counted.
const BACKLOG: usize = 100_000;

/// An open-loop stretch.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    pub(crate) work: Work,
    /// Requests that fell due.
    pub(crate) due: u64,
    /// Of those, never sent, since the server was hopelessly behind.
    pub(crate) given_up: u64,
    /// The most requests that were due and had no connection free.
    pub(crate) longest_queue: usize,
}

impl Load<'_> {
    /// Offers `rate` requests a second for `length`, then waits for the answers. The generator never sleeps meanwhile,
    /// so that requests leave when they are due.
    pub(crate) fn offer(&mut self, rate: f64, length: Duration) -> Result<Offered> {
        let slept = std::mem::replace(&mut self.sleeps, false);
        let offered = self.offer_spinning(rate, length);
        self.sleeps = slept;
        offered
    }

    fn offer_spinning(&mut self, rate: f64, length: Duration) -> Result<Offered> {
        self.workload.rewind();
        let mut offering = Offering::start(self, rate);
        while offering.turn(self, |elapsed| elapsed < length)? {
            let so_far = offering.started.elapsed();
            if so_far > length * 10 + Duration::from_secs(10) {
                bail!("{} requests are still waiting to be sent", offering.queue.len());
            }
        }
        Ok(offering.finish())
    }
}

/// An open-loop stretch under way.
pub(super) struct Offering {
    arrivals: Arrivals,
    offered: Offered,
    free: VecDeque<usize>,
    queue: VecDeque<Instant>,
    pub(super) started: Instant,
    generator: Duration,
    last_event: Instant,
    next: Instant,
}

impl Offering {
    pub(super) fn start(load: &Load<'_>, rate: f64) -> Offering {
        let mut arrivals = Arrivals::new(rate);
        let mut offered = Offered { work: Work::nothing(), due: 0, given_up: 0, longest_queue: 0 };
        let (started, generator) = (Instant::now(), cpu::of_this_thread());
        offered.work.windows = Windows::from(started);
        Offering {
            offered,
            free: (0..load.connections.len()).collect(),
            queue: VecDeque::new(),
            started,
            generator,
            last_event: started,
            next: started + arrivals.gap(),
            arrivals,
        }
    }

    /// Asks for what has fallen due, as long as requests of that moment still `count`, and takes in what has arrived.
    /// False when everything is answered and nothing more will be asked for.
    pub(super) fn turn(
        &mut self,
        load: &mut Load<'_>,
        counts: impl Fn(Duration) -> bool,
    ) -> Result<bool> {
        let now = Instant::now();
        while self.next <= now && counts(self.next - self.started) {
            self.offered.due += 1;
            if self.queue.len() < BACKLOG {
                self.queue.push_back(self.next);
            } else {
                self.offered.given_up += 1;
            }
            self.next += self.arrivals.gap();
        }
        while let (Some(&connection), Some(&since)) = (self.free.front(), self.queue.front()) {
            self.free.pop_front();
            self.queue.pop_front();
            load.ask(connection, since)?;
        }
        self.offered.longest_queue = self.offered.longest_queue.max(self.queue.len());
        if self.free.len() == load.connections.len() {
            if !counts(self.next - self.started) {
                return Ok(false);
            }
            self.last_event = now; // silence that nobody has broken
        }
        load.turn(&mut 0, &mut self.offered.work, &mut self.free, &mut self.last_event)?;
        Ok(true)
    }

    pub(super) fn finish(mut self) -> Offered {
        self.offered.work.wall = self.started.elapsed();
        self.offered.work.generator = cpu::of_this_thread().saturating_sub(self.generator);
        self.offered
    }
}

/// A Poisson process: exponentially distributed gaps.
struct Arrivals {
    random: fastrand::Rng,
    mean: f64,
}

impl Arrivals {
    fn new(rate: f64) -> Arrivals {
        Arrivals { random: fastrand::Rng::with_seed(SEED), mean: 1.0 / rate }
    }

    fn gap(&mut self) -> Duration {
        let uniform = 1.0 - self.random.f64(); // in (0, 1]: its logarithm is finite
        Duration::from_secs_f64(-uniform.ln() * self.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_the_mean_of_the_rate() {
        let mut arrivals = Arrivals::new(1000.0);
        let sum: Duration = (0..100_000).map(|_| arrivals.gap()).sum();
        let mean = sum.as_secs_f64() / 100_000.0;
        assert!((mean - 0.001).abs() < 0.000_02, "{mean}");
    }
}
