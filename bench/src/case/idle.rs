//! `idle-10000`: what connections cost that have asked once and now wait, and what they cost those that do not wait.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::Case;
use super::contest::{Contender, Contest};
use super::figures;
use super::hot::Hot;
use super::saturation::Round;
use crate::arena::Arena;
use crate::limits;
use crate::load::Load;
use crate::memory::{Memory, Watch};
use crate::report::{Against, Bound, CaseReport, Chapter, Measure, mib, warnings};
use crate::sample::{Reading, Sample, Taken};

/// Idle and active: fits the ephemeral ports of one client address (32768 to 60999 by default), and the room lighttpd has
/// where RLIMIT_NOFILE is 20,000.
const CONNECTIONS: usize = 10_000;
const ACTIVE: usize = 64;
const IDLE: usize = CONNECTIONS - ACTIVE;
/// Connections that wait for so long are idle: what a server does about that, it has done by then.
const WAIT: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_secs(1);

pub(super) struct Idle10000;

/// One server, started for this.
#[derive(Debug, Serialize)]
struct Idling {
    server: String,
    connections: usize,
    /// Listening, nothing served.
    start: Memory,
    /// Every connection open, served once, and idle.
    idle: Memory,
    /// Times a second that the server wakes up although nobody asks for anything.
    wakeups_per_second: f64,
    /// Connections the server has closed meanwhile: then the figure per connection is too low.
    closed_by_server: usize,
    /// 64 further connections at saturation, among the idle ones.
    active: Sample,
}

impl Idling {
    fn bytes_per_connection(&self) -> f64 {
        (self.idle.rss_anon as f64 - self.start.rss_anon as f64) / self.connections as f64
    }
}

const PER_CONNECTION: &str = "rss_anon_per_connection";

const FIGURES: [Taken<Idling>; 6] = [
    (Measure::less(PER_CONNECTION, "memory per idle connection", "bytes", 0), |idling| {
        Some(idling.bytes_per_connection())
    }),
    (Measure::less("rss_anon_idle", "RssAnon in all", "MiB", 2), |idling| {
        Some(mib(idling.idle.rss_anon))
    }),
    (Measure::less("pss_idle", "PSS in all", "MiB", 2), |idling| Some(mib(idling.idle.pss))),
    (Measure::less("idle_wakeups_per_second", "wake-ups per second, idle", "", 1), |idling| {
        Some(idling.wakeups_per_second)
    }),
    (Measure::less("cpu_per_request", "CPU per request of 64 active", "µs", 2), |idling| {
        Some(idling.active.server_cpu_seconds * 1e6 / idling.active.requests)
    }),
    (Measure::less("latency_p99", "latency of 64 active, p99", "µs", 0), |idling| {
        idling.active.latency.p99
    }),
];

fn idle(arena: &Arena<'_>, contender: &mut Contender<'_>) -> Result<Idling> {
    contender.restart(arena)?; // its memory has seen a trial
    let (server, workload) = (&contender.server, &contender.workload);
    arena.interrupt.sleep(Duration::from_millis(300))?;
    let start = Memory::of_tree(server.pid())?;
    let mut load = Load::open(server.address, workload, IDLE, arena.interrupt)?;
    arena.interrupt.sleep(WAIT)?;
    let idle = Memory::of_tree(server.pid())?;
    let quiet = Reading::of(server)?;
    arena.interrupt.sleep(WATCHED)?;
    let wakeups = Reading::of(server)?.wakeups_since(quiet);
    let closed_by_server = load.closed_by_server()?;

    let mut active = Load::open(server.address, workload, ACTIVE, arena.interrupt)?;
    active.run(arena.plan.seconds / 4)?;
    let watch = Watch::over(server.pid())?;
    let before = Reading::of(server)?;
    let done = active.run(arena.plan.seconds)?;
    let after = Reading::of(server)?;
    let (name, peak) = (&contender.name, watch.peak_pss());
    let memory = Memory::of_tree(server.pid())?;
    let active = Sample::of(name, done.requests as f64, &done, (before, after), memory, peak);
    Ok(Idling {
        server: name.clone(),
        connections: IDLE,
        start,
        idle,
        wakeups_per_second: wakeups as f64 / WATCHED.as_secs_f64(),
        closed_by_server,
        active,
    })
}

impl Case for Idle10000 {
    fn name(&self) -> String {
        format!("idle-{CONNECTIONS}")
    }

    fn about(&self) -> String {
        format!(
            "{IDLE} keep-alive connections, each served once and then idle, and {ACTIVE} active ones (1 KiB)"
        )
    }

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport> {
        limits::require_open_files(CONNECTIONS)?;
        let hot = Hot::parse("1k-64").context("a case of that name")?;
        let mut contest = Contest::prepare(arena, &hot)?;
        let (mut all, mut warnings) = (Vec::new(), Vec::new());
        contest.each(arena, |contender| {
            let idling = idle(arena, contender)?;
            let (server, bytes) = (&idling.server, idling.bytes_per_connection());
            eprintln!("    {server:18} {bytes:9.0} bytes per connection");
            if idling.closed_by_server > 0 {
                warnings.push(format!("{server} closed {} connections", idling.closed_by_server));
            }
            all.push(idling);
            Ok(())
        })?;
        let left_out = contest.left_out();
        let raw = serde_json::to_value(&all).context("writing the samples as JSON")?;
        let below_nginx = [(PER_CONNECTION, Bound::at_most(Against::Server("nginx"), 1.0))];
        let figures = figures::of_own(arena, &FIGURES, &all, |idling| &idling.server, &below_nginx);
        let samples = all.into_iter().map(|idling| idling.active).collect();
        warnings.extend(warnings::of_rounds(&[Round { samples }]));
        Ok(CaseReport {
            name: self.name(),
            about: self.about(),
            chapter: Chapter::Crowd,
            point: None,
            figures,
            left_out,
            warnings,
            raw,
        })
    }
}
