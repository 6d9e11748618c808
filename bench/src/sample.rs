//! One server in one stretch of load: what it did, what that cost, and the measures taken from it.

use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cpu::{self, Machine};
use crate::load::Work;
use crate::memory::Memory;
use crate::peer::Running;
use crate::report::{Measure, mib};
use crate::wakeups;

const GIB: f64 = (1_u64 << 30) as f64;

/// A quantile is given only where this many answers lie beyond it.
const BEYOND: f64 = 5.0;

/// What the kernel says of a server at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    cpu: Duration,
    wakeups: u64,
    machine: Machine,
}

impl Reading {
    pub(crate) fn of(server: &Running) -> Result<Reading> {
        let reading = || {
            std::io::Result::Ok(Reading {
                cpu: cpu::of_tree(server.pid())?,
                wakeups: wakeups::of_tree(server.pid())?,
                machine: Machine::now()?,
            })
        };
        reading().context("reading a server's CPU time")
    }

    /// CPU time between an earlier reading and this one.
    pub(crate) fn cpu_since(&self, earlier: Reading) -> Duration {
        self.cpu.saturating_sub(earlier.cpu)
    }

    /// Wake-ups between an earlier reading and this one.
    pub(crate) fn wakeups_since(&self, earlier: Reading) -> u64 {
        self.wakeups.saturating_sub(earlier.wakeups)
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) server: String,
    /// Complete answers; where answers are too long to wait for, their bytes over the length of one.
    pub(crate) requests: f64,
    pub(crate) body_bytes: u64,
    pub(crate) wall_seconds: f64,
    /// User and system time of all the server's processes and threads.
    pub(crate) server_cpu_seconds: f64,
    pub(crate) generator_cpu_seconds: f64,
    /// Of that, looking in vain for answers; zero unless the generator was told never to sleep.
    pub(crate) generator_spun_seconds: f64,
    /// Used on any core by neither of them, in steps of 10 ms: above a few per cent the machine was not quiet.
    pub(crate) others_cpu_seconds: f64,
    /// Taken by the hypervisor, all cores together.
    pub(crate) stolen_seconds: f64,
    /// Times the server slept of its own accord.
    pub(crate) wakeups: u64,
    pub(crate) memory: Memory,
    pub(crate) peak_pss: u64,
    pub(crate) latency: Latency,
}

/// Microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Latency {
    pub(crate) answers: u64,
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p999: Option<f64>,
    /// Median of the p99 of windows of 50 ms; only at a fixed rate.
    pub(crate) p99_of_windows: Option<f64>,
    pub(crate) max: f64,
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Latency {
        let answers = histogram.len();
        let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        let quantile = |share: f64| {
            let enough = answers as f64 * (1.0 - share) >= BEYOND;
            enough.then(|| microseconds(histogram.value_at_quantile(share)))
        };
        Latency {
            answers,
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            p99_of_windows: None,
            max: microseconds(histogram.max()),
        }
    }
}

impl Sample {
    pub(crate) fn of(
        server: &str,
        requests: f64,
        work: &Work,
        (before, after): (Reading, Reading),
        memory: Memory,
        peak_pss: u64,
    ) -> Sample {
        let cpu = after.cpu.saturating_sub(before.cpu);
        let busy = after.machine.busy.saturating_sub(before.machine.busy);
        let stolen = after.machine.stolen.saturating_sub(before.machine.stolen);
        Sample {
            server: server.to_owned(),
            requests,
            body_bytes: work.body_bytes,
            wall_seconds: work.wall.as_secs_f64(),
            server_cpu_seconds: cpu.as_secs_f64(),
            generator_cpu_seconds: work.generator.as_secs_f64(),
            generator_spun_seconds: work.spun.as_secs_f64(),
            others_cpu_seconds: busy.saturating_sub(cpu + work.generator).as_secs_f64(),
            stolen_seconds: stolen.as_secs_f64(),
            wakeups: after.wakeups.saturating_sub(before.wakeups),
            memory,
            peak_pss: peak_pss.max(memory.pss),
            latency: Latency {
                p99_of_windows: work.windows.p99().map(|nanoseconds| nanoseconds as f64 / 1e3),
                ..Latency::of(&work.latency)
            },
        }
    }
}

/// A measure, and how it is had from what was read of a server in a round; `None` where that cannot tell.
pub(crate) type Taken<T> = (Measure, fn(&T) -> Option<f64>);

pub(crate) const CPU_PER_REQUEST: &str = "cpu_per_request";
pub(crate) const CPU_PER_GIB: &str = "cpu_per_gib";
pub(crate) const LATENCY_P99: &str = "latency_p99";
pub(crate) const LATENCY_P99_OF_WINDOWS: &str = "latency_p99_of_windows";

/// Counted in a stretch of its own, so not from a sample.
pub(crate) const SYSTEM_CALLS: Measure =
    Measure::less("system_calls_per_request", "system calls per request", "", 2);

/// In the order of the report.
pub(crate) const TAKEN: [Taken<Sample>; 11] = [
    (Measure::less(CPU_PER_REQUEST, "CPU per request", "µs", 2), |sample| {
        Some(sample.server_cpu_seconds * 1e6 / sample.requests)
    }),
    (Measure::less(CPU_PER_GIB, "CPU per GiB", "ms", 1), |sample| {
        (sample.body_bytes > 0)
            .then(|| sample.server_cpu_seconds * 1e3 / (sample.body_bytes as f64 / GIB))
    }),
    (Measure::more("requests_per_second", "requests per second", "", 0), |sample| {
        Some(sample.requests / sample.wall_seconds)
    }),
    (Measure::more("gib_per_second", "GiB per second", "", 2), |sample| {
        (sample.body_bytes > 0).then(|| sample.body_bytes as f64 / GIB / sample.wall_seconds)
    }),
    (Measure::less("latency_p50", "latency, median", "µs", 0), |sample| sample.latency.p50),
    (Measure::less(LATENCY_P99, "latency, p99", "µs", 0), |sample| sample.latency.p99),
    (Measure::less(LATENCY_P99_OF_WINDOWS, "latency, p99 of 50 ms", "µs", 0), |sample| {
        sample.latency.p99_of_windows
    }),
    (Measure::less("latency_p999", "latency, p99.9", "µs", 0), |sample| sample.latency.p999),
    (Measure::less("wakeups_per_request", "wake-ups per request", "", 3), |sample| {
        Some(sample.wakeups as f64 / sample.requests)
    }),
    (Measure::less("pss_steady", "memory (PSS), steady", "MiB", 1), |sample| {
        Some(mib(sample.memory.pss))
    }),
    (Measure::less("pss_peak", "memory (PSS), peak", "MiB", 1), |sample| {
        Some(mib(sample.peak_pss))
    }),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn quantiles_need_answers_beyond_them() {
        let mut histogram = Histogram::new(3).unwrap();
        for microseconds in 1..=1000 {
            histogram.record(microseconds * 1000).unwrap();
        }
        let latency = Latency::of(&histogram);
        let near = |value: Option<f64>, wanted: f64| (value.unwrap() / wanted - 1.0).abs() < 0.01;
        assert!(near(latency.p50, 500.0) && near(latency.p99, 990.0), "{latency:?}");
        assert_eq!(latency.p999, None);
    }
}
