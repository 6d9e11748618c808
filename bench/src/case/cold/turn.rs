//! One server's turn: started with nothing in memory, warmed, loaded without and then with the cold streams.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::Hot;
use crate::arena::{Arena, Entrant};
use crate::cgroup::{Group, KilledForMemory};
use crate::disk::Ceiling;
use crate::load::Load;
use crate::load::beside::Until;
use crate::load::workload::Workload;
use crate::memory::{self, Memory};
use crate::peer::Running;
use crate::process;
use crate::report::mib;
use crate::residency::{self, Watched};
use crate::root::Document;
use crate::sample::{Reading, Sample};

/// Hot requests a second.
pub(in crate::case) const RATE: f64 = 200.0;
/// As many requests may wait for a server at a time: clients that do not know of each other.
pub(in crate::case) const HOT_CONNECTIONS: usize = 64;
/// Readings of the whole hot set before anything is measured.
pub(in crate::case) const WARMED: u64 = 3;
/// Fewer answers have no p99.
const ENOUGH: u64 = 100;
/// Of the clients of a slow disk: how long a server that sleeps on it makes the others wait is the figure, and no failure.
const PATIENCE: Duration = Duration::from_mins(1);
/// Seconds from which on a beginning and an end can be compared.
const LONG: usize = 20;
/// Between warming and measuring.
pub(in crate::case) const SETTLE: Duration = Duration::from_millis(200);

/// What all servers find in a case.
pub(super) struct Scene<'a> {
    pub(super) hot: &'a Hot,
    /// The cold files, and how they are asked for.
    pub(super) documents: &'a [Rc<Document>],
    pub(super) cold: &'a Workload,
    pub(super) connections: usize,
    pub(super) until: Until,
    /// The stretch without a stream.
    pub(super) control: Duration,
    /// Of the control group, in bytes.
    pub(super) memory: u64,
    /// The device that takes long, and its reads a second.
    pub(super) slow: Option<(&'a str, u32)>,
}

/// One server in one round.
#[derive(Debug, Serialize)]
pub(super) struct Turn {
    pub(super) server: String,
    /// The hot load alone; and beside the streams, with the CPU time of both.
    pub(super) control: Sample,
    pub(super) streams: Sample,
    pub(super) control_latency: Quantiles,
    pub(super) streams_latency: Quantiles,
    /// Of the hot set, before and after the streams, from 0 to 1.
    pub(super) resident_before: f64,
    pub(super) resident_after: f64,
    pub(super) cold_bytes: u64,
    /// Until the last cold byte.
    pub(super) cold_seconds: f64,
    pub(super) cold_bytes_by_second: Vec<u64>,
    /// Read from disks by the server meanwhile, hot files that had been thrown out included.
    pub(super) disk_bytes: u64,
    /// What the disk could do just before, unless it is the slow one.
    pub(super) disk: Option<Ceiling>,
    /// Before the streams; `streams.memory` is afterwards, its peak that of the streams.
    pub(super) memory_before: Memory,
    /// The most the kernel itself held for the server, where it tells.
    pub(super) kernel_peak: Option<u64>,
    /// The most hot requests that were due and had no connection free.
    pub(super) longest_queue: usize,
}

/// Microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(in crate::case) struct Quantiles {
    pub(in crate::case) p50: Option<f64>,
    /// Of a few hundred answers: the fourth or fifth longest, so that one round's says little.
    pub(in crate::case) p99: Option<f64>,
}

impl Quantiles {
    pub(in crate::case) fn of(histogram: &Histogram<u64>) -> Quantiles {
        let quantile = |share| {
            (histogram.len() >= ENOUGH).then(|| histogram.value_at_quantile(share) as f64 / 1e3)
        };
        Quantiles { p50: quantile(0.5), p99: quantile(0.99) }
    }
}

impl Scene<'_> {
    pub(super) fn turn(&self, arena: &Arena<'_>, entrant: &Entrant) -> Result<Turn> {
        self.evict(arena)?;
        let disk = match self.slow {
            None => Some(Ceiling::now(self.documents, arena.interrupt)?),
            Some(_) => None,
        };
        let mut group = Group::of_memory(self.memory)?;
        if let Some((device, reads_per_second)) = self.slow {
            group.slow_down(device, reads_per_second)?;
        }
        let server = arena.start_in(entrant, &group.paths())?;
        let turn = self.measure(arena, entrant.name(), &server, &group, disk);
        let killed = group.killed()?;
        if let Some((device, _)) = self.slow {
            group.slow_down(device, 0)?; // what it has still asked of the disk would keep it from ending
        }
        drop(server);
        self.evict(arena)?; // pages that stay would keep the group alive, unseen
        if killed > 0 {
            return Err(KilledForMemory { limit: self.memory }.into());
        }
        turn
    }

    fn evict(&self, arena: &Arena<'_>) -> Result<()> {
        residency::evict(self.documents, arena.interrupt)?;
        residency::evict(&self.hot.documents, arena.interrupt)
    }

    fn measure(
        &self,
        arena: &Arena<'_>,
        name: &str,
        server: &Running,
        group: &Group,
        disk: Option<Ceiling>,
    ) -> Result<Turn> {
        let interrupt = arena.interrupt;
        let mut load = Load::open(server.address, &self.hot.all, HOT_CONNECTIONS, interrupt)?;
        load.work_through(WARMED).context("warming the hot set")?;
        let mut watched = Watched::open(&self.hot.documents)?;
        watched.map()?;
        load.turn_to(&self.hot.drawn);
        load.acknowledge_at_once();
        interrupt.sleep(SETTLE)?;

        let before = Reading::of(server)?;
        let control = load.offer(RATE, self.control).context("the hot load alone")?;
        let after = Reading::of(server)?;
        let memory_before = Memory::of_tree(server.pid())?;
        let control_latency = Quantiles::of(&control.work.latency);
        let requests = control.work.requests as f64;
        let control = Sample::of(name, requests, &control.work, (before, after), memory_before, 0);

        let mut cold = Load::open_silent(server.address, self.cold, self.connections, interrupt)?;
        if self.slow.is_some() {
            load.wait_at_most(PATIENCE);
            cold.wait_at_most(PATIENCE);
        }
        memory::forget_peak(server.pid()).context("forgetting the server's peak memory")?;
        group.forget_kernel_peak();
        let resident_before = watched.resident()?;
        let (before, read) = (Reading::of(server)?, read_from_disk(server)?);
        let both = load.offer_beside(RATE, cold, self.until)?;
        let resident_after = watched.resident()?;
        let after = Reading::of(server)?;
        let disk_bytes = read_from_disk(server)?.saturating_sub(read);
        let memory = Memory::of_tree(server.pid())?;
        let (hot, cold) = (both.hot, both.cold);
        let requests = hot.work.requests as f64;
        Ok(Turn {
            server: name.to_owned(),
            control,
            streams: Sample::of(name, requests, &hot.work, (before, after), memory, 0),
            control_latency,
            streams_latency: Quantiles::of(&hot.work.latency),
            resident_before,
            resident_after,
            cold_bytes: cold.body_bytes,
            cold_seconds: cold.wall.as_secs_f64(),
            cold_bytes_by_second: both.by_second,
            disk_bytes,
            disk,
            memory_before,
            kernel_peak: group.kernel_peak(),
            longest_queue: hot.longest_queue,
        })
    }
}

fn read_from_disk(server: &Running) -> Result<u64> {
    let read = process::sum_of_tree(server.pid(), process::read_from_disk);
    read.context("asking what the server has read from the disk")
}

const GIB: f64 = (1_u64 << 30) as f64;

impl Turn {
    /// CPU seconds per GiB of cold files. What the hot requests cost in the control is taken off.
    pub(super) fn cpu_per_gib(&self) -> f64 {
        beyond_the_control(&self.control, &self.streams) / (self.cold_bytes as f64 / GIB)
    }

    pub(super) fn cold_gib_per_second(&self) -> f64 {
        self.cold_bytes as f64 / GIB / self.cold_seconds
    }

    /// Cold bytes in the last fifth of a long time beside those of the first.
    pub(super) fn last_to_first(&self) -> Option<f64> {
        last_to_first(&self.cold_bytes_by_second[..self.cold_seconds as usize])
    }

    /// What the streams added at most to the memory of the server's processes, in MiB.
    pub(super) fn memory_growth(&self) -> f64 {
        mib(self.streams.memory.peak_rss) - mib(self.memory_before.rss)
    }

    /// Progress, for whoever watches.
    pub(super) fn show(&self, round: u32, rounds: u32) {
        let millis = |latency: Option<f64>| {
            latency.map_or("–".to_owned(), |microseconds| format!("{:.2}", microseconds / 1e3))
        };
        let (control, streams) = (self.control_latency, self.streams_latency);
        let cold = match self.disk {
            None => format!("{:.1} MiB of cold files", mib(self.cold_bytes)),
            Some(disk) => format!(
                "{:.3} CPU s/GiB, {:.2} GiB/s (disk {:.2}, {:.2})",
                self.cpu_per_gib(),
                self.cold_gib_per_second(),
                disk.direct / GIB,
                disk.cached / GIB
            ),
        };
        eprintln!(
            "    round {round}/{rounds}  {:14} {:5.1} % resident, hot p50 {} -> {} ms, p99 {} -> {} ms, \
             {cold}, RSS {:+.0} MiB",
            self.server,
            self.resident_after * 100.0,
            millis(control.p50),
            millis(streams.p50),
            millis(control.p99),
            millis(streams.p99),
            self.memory_growth(),
        );
    }
}

fn last_to_first(seconds: &[u64]) -> Option<f64> {
    let fifth = seconds.len() / 5;
    let sum = |part: &[u64]| part.iter().sum::<u64>() as f64;
    let share = || sum(&seconds[seconds.len() - fifth..]) / sum(&seconds[..fifth]);
    (seconds.len() >= LONG).then(share).filter(|share| share.is_finite())
}

/// Beside the streams, less what as many hot requests cost in the control.
fn beyond_the_control(control: &Sample, streams: &Sample) -> f64 {
    let per_request = control.server_cpu_seconds / control.requests.max(1.0);
    streams.server_cpu_seconds - per_request * streams.requests
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;
    use crate::sample::Latency;

    fn sample(requests: f64, server_cpu_seconds: f64) -> Sample {
        Sample {
            server: "a".into(),
            requests,
            body_bytes: 0,
            wall_seconds: 1.0,
            server_cpu_seconds,
            generator_cpu_seconds: 0.0,
            generator_spun_seconds: 0.0,
            others_cpu_seconds: 0.0,
            stolen_seconds: 0.0,
            wakeups: 0,
            memory: Memory::default(),
            peak_pss: 0,
            latency: Latency::default(),
        }
    }

    #[test]
    fn what_hot_requests_cost_is_taken_off() {
        let own = beyond_the_control(&sample(400.0, 0.04), &sample(100.0, 0.5));
        assert!((own - 0.49).abs() < 1e-9, "{own}");
    }

    #[test]
    fn the_end_is_compared_with_the_beginning_of_a_long_time() {
        let slower: Vec<u64> = (0..100).map(|second| 1000 - second).collect();
        let share = last_to_first(&slower).unwrap();
        assert!((share - (1000.0 - 89.5) / (1000.0 - 9.5)).abs() < 1e-9, "{share}");
        assert_eq!(last_to_first(&[5; 10]), None);
        assert_eq!(last_to_first(&[0; 100]), None);
    }

    #[test]
    fn quantiles_need_a_hundred_answers() {
        let mut histogram = Histogram::new(3).unwrap();
        for microseconds in 1..100 {
            histogram.record(microseconds * 1000).unwrap();
        }
        assert_eq!(Quantiles::of(&histogram).p99, None);
        histogram.record(500_000).unwrap();
        let quantiles = Quantiles::of(&histogram);
        assert!((quantiles.p50.unwrap() - 50.0).abs() < 0.1, "{quantiles:?}");
        assert!((quantiles.p99.unwrap() - 99.0).abs() < 0.1, "{quantiles:?}");
    }
}
