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
        let mut arrivals = Arrivals::new(rate);
        let mut offered = Offered { work: Work::nothing(), due: 0, given_up: 0, longest_queue: 0 };
        let mut free: VecDeque<usize> = (0..self.connections.len()).collect();
        let mut queue: VecDeque<Instant> = VecDeque::new();
        let (started, generator) = (Instant::now(), cpu::of_this_thread());
        offered.work.windows = Windows::from(started);
        let mut last_event = started;
        let mut next = started + arrivals.gap();
        loop {
            let now = Instant::now();
            while next <= now && next - started < length {
                offered.due += 1;
                if queue.len() < BACKLOG {
                    queue.push_back(next);
                } else {
                    offered.given_up += 1;
                }
                next += arrivals.gap();
            }
            while let (Some(&connection), Some(&since)) = (free.front(), queue.front()) {
                free.pop_front();
                queue.pop_front();
                self.ask(connection, since)?;
            }
            offered.longest_queue = offered.longest_queue.max(queue.len());
            if free.len() == self.connections.len() {
                if next - started >= length {
                    break;
                }
                last_event = now; // silence that nobody has broken
            }
            self.turn(false, &mut offered.work, &mut free, &mut last_event)?;
            if now - started > length * 10 + Duration::from_secs(10) {
                bail!("{} requests are still waiting to be sent", queue.len());
            }
        }
        offered.work.wall = started.elapsed();
        offered.work.generator = cpu::of_this_thread().saturating_sub(generator);
        Ok(offered)
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
