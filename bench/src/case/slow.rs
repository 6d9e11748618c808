//! `slow-readers`: a thousand clients that take a large file in small sips, while others ask for small files at a fixed
//! rate. How much of a core that takes, how much memory, and whether the others notice.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::contest::{Contender, Contest};
use super::hot::Hot;
use super::saturation::Round;
use super::{Case, figures};
use crate::arena::Arena;
use crate::limits;
use crate::load::Load;
use crate::load::slow::SlowReaders;
use crate::load::workload::Exchange;
use crate::memory::{Memory, Watch};
use crate::report::{CaseReport, Chapter, Measure, mib, warnings};
use crate::root::Document;
use crate::sample::{Reading, Sample, Taken};

const READERS: usize = 1000;
/// So large that nobody comes to its end.
const FILE: u64 = 1 << 30;
/// 640 KB a second each: a poor mobile line, or a video.
const SIP: usize = 64 << 10;
const EVERY: Duration = Duration::from_millis(100);
/// Requests a second for 1 KiB, over 16 connections.
const RATE: f64 = 2000.0;
const ACTIVE: usize = 16;

pub(super) struct SlowReading;

/// One server in one round.
#[derive(Serialize)]
struct Turn {
    /// Of the small requests; CPU and wake-ups are for everything together.
    sample: Sample,
    slow_bytes: u64,
}

const GIB: f64 = (1_u64 << 30) as f64;

const FIGURES: [Taken<Turn>; 7] = [
    (Measure::less("cpu_per_gib", "CPU per GiB read slowly", "ms", 1), |one| {
        Some(one.sample.server_cpu_seconds * 1e3 / (one.slow_bytes as f64 / GIB))
    }),
    (Measure::less("cpu_share", "CPU, share of a core", "%", 1), |one| {
        Some(one.sample.server_cpu_seconds / one.sample.wall_seconds * 100.0)
    }),
    (Measure::less("wakeups_per_second", "wake-ups per second", "", 0), |one| {
        Some(one.sample.wakeups as f64 / one.sample.wall_seconds)
    }),
    (Measure::less("latency_p50", "latency of the others, median", "µs", 0), |one| {
        one.sample.latency.p50
    }),
    (Measure::less("latency_p99", "latency of the others, p99", "µs", 0), |one| {
        one.sample.latency.p99
    }),
    (Measure::less("pss_steady", "memory (PSS), steady", "MiB", 1), |one| {
        Some(mib(one.sample.memory.pss))
    }),
    (Measure::less("pss_peak", "memory (PSS), peak", "MiB", 1), |one| {
        Some(mib(one.sample.peak_pss))
    }),
];

fn measure(
    arena: &Arena<'_>,
    contender: &Contender<'_>,
    large: &std::rc::Rc<Document>,
) -> Result<Turn> {
    let server = &contender.server;
    let slow = SlowReaders::start(
        server.address,
        &Exchange::whole(large, ""),
        READERS,
        SIP,
        EVERY,
        arena.interrupt,
    )?;
    let workload = &contender.workload;
    let mut load = Load::open(server.address, workload, ACTIVE, arena.interrupt)?;
    load.offer(RATE, arena.plan.seconds.min(Duration::from_secs(1)) / 2)?; // the slow readers' socket buffers fill
    let watch = Watch::over(server.pid())?;
    let (before, read) = (Reading::of(server)?, slow.bytes());
    let done = load.offer(RATE, arena.plan.seconds)?.work;
    let (after, read) = (Reading::of(server)?, slow.bytes() - read);
    let memory = Memory::of_tree(server.pid())?;
    let (name, peak) = (&contender.name, watch.peak_pss());
    slow.finish()?;
    let sample = Sample::of(name, done.requests as f64, &done, (before, after), memory, peak);
    arena.interrupt.sleep(Duration::from_millis(50))?; // a thousand connections end
    Ok(Turn { sample, slow_bytes: read })
}

impl Case for SlowReading {
    fn name(&self) -> String {
        "slow-readers".into()
    }

    fn about(&self) -> String {
        format!(
            "{READERS} clients that take 64 KiB of a hot 1 GiB file ten times a second each, beside {RATE} requests a \
             second for 1 KiB"
        )
    }

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport> {
        limits::require_open_files(READERS + ACTIVE)?;
        let large = arena.ground.random("1g.bin", FILE)?;
        let hot = Hot::parse("1k-16").context("a case of that name")?;
        let mut contest = Contest::prepare(arena, &hot)?;
        let mut all: Vec<Turn> = Vec::new();
        for number in 1..=arena.plan.rounds {
            contest.each(arena, |contender| {
                let one = measure(arena, contender, &large)?;
                arena.show_sample(number, &one.sample);
                all.push(one);
                Ok(())
            })?;
            contest.turn_around();
        }
        let left_out = contest.left_out();
        all.retain(|one| left_out.iter().all(|left| left.server != one.sample.server));
        let figures = figures::of_own(arena, &FIGURES, &all, |one| &one.sample.server, &[]);
        let raw = serde_json::to_value(&all).context("writing the rounds as JSON")?;
        let samples = all.into_iter().map(|one| one.sample).collect();
        Ok(CaseReport {
            name: self.name(),
            about: self.about(),
            chapter: Chapter::Crowd,
            point: None,
            figures,
            left_out,
            warnings: warnings::of_quiet(&[Round { samples }]),
            raw,
        })
    }
}
