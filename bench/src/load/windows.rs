//! Latency by windows of 50 ms: a virtual machine stops for some milliseconds several times a second, which is the p99 of any
//! stretch that is longer. The median of the windows' p99 is that of the time in which the machine did run.

use std::time::{Duration, Instant};

pub(crate) const WINDOW: Duration = Duration::from_millis(50);
/// Fewer answers have no p99.
const ENOUGH: usize = 200;

/// Nanoseconds, by window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Windows {
    started: Option<Instant>,
    latencies: Vec<Vec<u64>>,
}

impl Windows {
    pub(crate) fn from(started: Instant) -> Windows {
        Windows { started: Some(started), latencies: Vec::new() }
    }

    pub(crate) fn record(&mut self, due: Instant, nanoseconds: u64) {
        let Some(started) = self.started else { return };
        let at = (due.saturating_duration_since(started).as_nanos() / WINDOW.as_nanos()) as usize;
        if self.latencies.len() <= at {
            self.latencies.resize(at + 1, Vec::new());
        }
        self.latencies[at].push(nanoseconds);
    }

    /// The median of the windows' p99, in nanoseconds; the last window, which is cut short, does not count.
    pub(crate) fn p99(&self) -> Option<u64> {
        let (_, whole) = self.latencies.split_last()?;
        let enough = whole.iter().filter(|window| window.len() >= ENOUGH);
        let mut quantiles: Vec<u64> = enough
            .map(|window| {
                let mut window = window.clone();
                let at = window.len() * 99 / 100;
                *window.select_nth_unstable(at).1
            })
            .collect();
        quantiles.sort_unstable();
        quantiles.get(quantiles.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_window_is_not_the_median() {
        let started = Instant::now();
        let mut windows = Windows::from(started);
        for window in 0..4 {
            for number in 0..1000 {
                let bad = if window == 1 { 1_000_000 } else { 0 };
                windows.record(started + WINDOW * window, number + bad);
            }
        }
        assert_eq!(windows.p99(), Some(990));
        assert_eq!(Windows::default().p99(), None);
        let mut few = Windows::from(started);
        few.record(started, 1);
        few.record(started + WINDOW, 1);
        assert_eq!(few.p99(), None);
    }
}
