//! `memory-5g-64`: what serving a 5 GiB file to 64 clients at once leaves in a server's memory.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Case, figures};
use crate::arena::{Arena, Entrant};
use crate::cpu;
use crate::load::Load;
use crate::load::workload::{Exchange, Workload};
use crate::memory::Memory;
use crate::report::{Against, Bound, CaseReport, Chapter, LeftOut, Measure, Role, mib};
use crate::sample::Taken;

const LEN: u64 = 5 << 30;
const CLIENTS: usize = 64;
/// Growth of resident memory that Sendrail must not exceed.
const BOUND_MIB: f64 = 10.0;

pub(super) struct Memory5g;

/// One server, started for this.
#[derive(Debug, Serialize)]
struct Sample {
    server: String,
    /// Listening, nothing served.
    start: Memory,
    /// All downloads complete, the connections still open. `peak_rss` is the most there was meanwhile.
    served: Memory,
    /// A moment after the clients have gone.
    closed: Memory,
    body_bytes: u64,
    wall_seconds: f64,
    server_cpu_seconds: f64,
}

impl Memory5g {
    fn measure(arena: &Arena<'_>, entrant: &Entrant, workload: &Workload) -> Result<Sample> {
        let server = arena.start(entrant)?;
        arena.interrupt.sleep(Duration::from_millis(300))?;
        let start = Memory::of_tree(server.pid())?;
        let before = cpu::of_tree(server.pid())?;
        let mut load = Load::open_silent(server.address, workload, CLIENTS, arena.interrupt)?;
        let work = load.run(Duration::ZERO)?;
        let after = cpu::of_tree(server.pid())?;
        let loaded = Memory::of_tree(server.pid())?;
        drop(load);
        arena.interrupt.sleep(Duration::from_millis(500))?;
        let closed = Memory::of_tree(server.pid())?;
        Ok(Sample {
            server: entrant.name().to_owned(),
            start,
            served: loaded,
            closed,
            body_bytes: work.body_bytes,
            wall_seconds: work.wall.as_secs_f64(),
            server_cpu_seconds: after.saturating_sub(before).as_secs_f64(),
        })
    }
}

impl Case for Memory5g {
    fn name(&self) -> String {
        "memory-5g-64".into()
    }

    fn about(&self) -> String {
        format!(
            "resident memory after serving a sparse file of {} GiB to {CLIENTS} clients at once",
            LEN >> 30
        )
    }

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport> {
        let document = arena.ground.sparse("5g.bin", LEN)?;
        let workload = Workload::one(Exchange::whole(&document, ""));
        let (mut samples, mut left_out): (Vec<Sample>, Vec<LeftOut>) = Default::default();
        for entrant in arena.entrants().iter().filter(|entrant| !entrant.peer.for_cold_files()) {
            let name = entrant.name();
            match Self::measure(arena, entrant, &workload) {
                Ok(sample) => {
                    let (gib, wall) = (mib(sample.body_bytes) / 1024.0, sample.wall_seconds);
                    eprintln!("    {name:18} {gib:.0} GiB in {wall:.1} s");
                    samples.push(sample);
                }
                Err(error) if entrant.role == Role::Subject || arena.interrupt.raised() => {
                    return Err(error).context(name.to_owned());
                }
                Err(error) => {
                    left_out.push(LeftOut { server: name.into(), why: format!("{error:#}") });
                }
            }
        }
        let bounds = [("rss_growth", Bound::at_most(Against::Value, BOUND_MIB))];
        let figures = figures::of_own(arena, &FIGURES, &samples, |sample| &sample.server, &bounds);
        let raw = serde_json::to_value(&samples).context("writing the samples as JSON")?;
        Ok(CaseReport {
            name: self.name(),
            about: self.about(),
            chapter: Chapter::Crowd,
            point: None,
            figures,
            left_out,
            warnings: Vec::new(),
            raw,
        })
    }
}

const FIGURES: [Taken<Sample>; 6] = [
    (Measure::less("rss_growth", "growth of RSS, served", "MiB", 2), |sample| {
        Some(mib(sample.served.rss) - mib(sample.start.rss))
    }),
    (Measure::less("rss_growth_peak", "growth of RSS, peak", "MiB", 2), |sample| {
        Some(mib(sample.served.peak_rss) - mib(sample.start.rss))
    }),
    (Measure::less("rss_anon_growth", "growth of RssAnon, served", "MiB", 2), |sample| {
        Some(mib(sample.served.rss_anon) - mib(sample.start.rss_anon))
    }),
    (Measure::less("rss_growth_after", "growth of RSS, clients gone", "MiB", 2), |sample| {
        Some(mib(sample.closed.rss) - mib(sample.start.rss))
    }),
    (Measure::less("rss_start", "RSS at start", "MiB", 2), |sample| Some(mib(sample.start.rss))),
    (Measure::less("pss_steady", "PSS, served", "MiB", 2), |sample| Some(mib(sample.served.pss))),
];
