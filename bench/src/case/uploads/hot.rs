//! `uploads-hot`: 8 GiB of large uploads arrive in a control group that has room for the hot set of the cold cases, but not for
//! them. What is hot should neither be thrown out nor wait.

use anyhow::{Context, Result};
use serde::Serialize;

use super::place::Place;
use super::senders::{Files, Senders};
use crate::arena::{Arena, Entrant};
use crate::case::cold::{Field, HOT_CONNECTIONS, MEMORY, Quantiles, RATE, SETTLE, WARMED};
use crate::case::pattern::Pattern;
use crate::case::{Case, Round, cold, figures};
use crate::cgroup::{Group, KilledForMemory};
use crate::load::Load;
use crate::memory::{self, Memory};
use crate::peer::Running;
use crate::report::{Against, Bound, CaseReport, Chapter, LeftOut, Measure, mib, warnings};
use crate::residency::{self, Watched};
use crate::sample::{CPU_PER_GIB, Reading, Sample, Taken};

const LEN: u64 = 1 << 30;
const COUNT: u64 = 8;
const CONNECTIONS: usize = 4;
/// Of one upload, sent at a time: to send megabytes takes milliseconds, which hot requests would seem to have waited.
const BITE: usize = 128 << 10;
/// Hot requests without an upload, before the uploads, in multiples of `--seconds`.
const CONTROL: f64 = 3.0;
const GIB: f64 = (1_u64 << 30) as f64;

pub(super) struct Hot;

/// One server in one round.
#[derive(Debug, Serialize)]
struct Turn {
    server: String,
    /// The hot load alone; and beside the uploads, with the CPU time of both.
    control: Sample,
    beside: Sample,
    control_latency: Quantiles,
    beside_latency: Quantiles,
    /// Of the hot set, from 0 to 1.
    resident_before: f64,
    resident_after: f64,
    uploaded_bytes: u64,
    upload_seconds: f64,
    memory_before: Memory,
}

const RESIDENT: &str = "hot_resident_after";

const FIGURES: [Taken<Turn>; 9] = [
    (Measure::more(RESIDENT, "hot resident", "%", 1), |turn| Some(turn.resident_after * 100.0)),
    (Measure::less("hot_p50_to_control", "hot p50 / control", "×", 2), |turn| {
        Some(turn.beside_latency.p50? / turn.control_latency.p50?)
    }),
    (Measure::less("hot_p99_to_control", "hot p99 / control", "×", 2), |turn| {
        Some(turn.beside_latency.p99? / turn.control_latency.p99?)
    }),
    (Measure::less("hot_p50", "hot p50", "µs", 0), |turn| turn.beside_latency.p50),
    (Measure::less("hot_p99", "hot p99", "µs", 0), |turn| turn.beside_latency.p99),
    (Measure::less(CPU_PER_GIB, "CPU per GiB uploaded", "ms", 1), |turn| {
        let per_request = turn.control.server_cpu_seconds / turn.control.requests.max(1.0);
        let own = turn.beside.server_cpu_seconds - per_request * turn.beside.requests;
        Some(own * 1e3 / (turn.uploaded_bytes as f64 / GIB))
    }),
    (Measure::more("gib_per_second", "GiB per second", "", 2), |turn| {
        Some(turn.uploaded_bytes as f64 / GIB / turn.upload_seconds)
    }),
    (Measure::less("rss_growth_peak", "RSS growth, peak", "MiB", 1), |turn| {
        Some(mib(turn.beside.memory.peak_rss) - mib(turn.memory_before.rss))
    }),
    (Measure::more("hot_resident_before", "resident before", "%", 1), |turn| {
        Some(turn.resident_before * 100.0)
    }),
];

const BOUNDS: [(&str, Bound); 1] = [(RESIDENT, Bound::at_least(Against::Value, 99.0))];

impl Case for Hot {
    fn name(&self) -> String {
        "uploads-hot".into()
    }

    fn about(&self) -> String {
        format!(
            "{COUNT} files of 1 GiB by PUT over {CONNECTIONS} connections, beside {RATE} requests a second for 4096 hot files \
             of 64 KiB, in {} MiB of memory",
            MEMORY >> 20
        )
    }

    fn is_cold(&self) -> bool {
        true
    }

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport> {
        let empty = CaseReport {
            name: self.name(),
            about: self.about(),
            chapter: Chapter::Uploads,
            point: None,
            figures: Vec::new(),
            left_out: Vec::new(),
            warnings: Vec::new(),
            raw: serde_json::Value::Null,
        };
        if let Err(why) = Group::of_memory(MEMORY) {
            let left = |entrant: &&Entrant| LeftOut {
                server: entrant.name().to_owned(),
                why: format!("not measured here: {why:#}"),
            };
            return Ok(CaseReport {
                left_out: arena.entrants().iter().map(left).collect(),
                ..empty
            });
        }
        let hot = cold::Hot::lay_out(arena)?;
        let pattern = Pattern::new();
        let mut field = Field::of(arena);
        let mut turns = Vec::new();
        for round in 1..=arena.plan.rounds {
            field.each(arena, |entrant| {
                let turn = turn(arena, entrant, &hot, &pattern)?;
                turn.show(round, arena.plan.rounds);
                turns.push(turn);
                Ok(())
            })?;
            field.turn_around();
        }
        let killed = field.killed(arena);
        let left_out = field.left_out();
        turns.retain(|turn| left_out.iter().all(|left| left.server != turn.server));
        let mut figures = figures::of_own(arena, &FIGURES, &turns, |turn| &turn.server, &BOUNDS);
        figures.push(killed);
        let raw = serde_json::json!({ "memory_bytes": MEMORY, "turns": turns });
        let samples = turns.into_iter().map(|turn| turn.control).collect();
        let warnings = warnings::of_quiet(&[Round { samples }]);
        Ok(CaseReport { figures, left_out, warnings, raw, ..empty })
    }
}

/// A server that is started with nothing in memory.
fn turn(arena: &Arena<'_>, entrant: &Entrant, hot: &cold::Hot, pattern: &Pattern) -> Result<Turn> {
    let place = Place::make(&arena.ground, entrant.name(), COUNT * LEN)?;
    residency::evict(&hot.documents, arena.interrupt)?;
    let group = Group::of_memory(MEMORY)?;
    let server = arena.start_in(entrant, &group.paths())?;
    let turn = measure(arena, entrant.name(), &server, hot, &place, pattern);
    let killed = group.killed()?;
    drop(server);
    place.empty()?; // pages that stay would keep the group alive, unseen
    residency::evict(&hot.documents, arena.interrupt)?;
    if killed > 0 {
        return Err(KilledForMemory { limit: MEMORY }.into());
    }
    turn
}

fn measure(
    arena: &Arena<'_>,
    name: &str,
    server: &Running,
    hot: &cold::Hot,
    place: &Place,
    pattern: &Pattern,
) -> Result<Turn> {
    let interrupt = arena.interrupt;
    let mut load = Load::open(server.address, &hot.all, HOT_CONNECTIONS, interrupt)?;
    load.work_through(WARMED).context("warming the hot set")?;
    let mut watched = Watched::open(&hot.documents)?;
    watched.map()?;
    load.turn_to(&hot.drawn);
    load.acknowledge_at_once();
    interrupt.sleep(SETTLE)?;

    let before = Reading::of(server)?;
    let control = load.offer(RATE, arena.plan.seconds.mul_f64(CONTROL)).context("alone")?;
    let after = Reading::of(server)?;
    let memory_before = Memory::of_tree(server.pid())?;
    let control_latency = Quantiles::of(&control.work.latency);
    let requests = control.work.requests as f64;
    let control = Sample::of(name, requests, &control.work, (before, after), memory_before, 0);

    let files = Files { prefix: place.prefix.clone(), len: LEN, count: COUNT };
    let mut senders = Senders::connect(server.address, CONNECTIONS, &files, pattern, interrupt)?;
    senders.take_bites(BITE)?;
    memory::forget_peak(server.pid()).context("forgetting the server's peak memory")?;
    let resident_before = watched.resident()?;
    let before = Reading::of(server)?;
    senders.start()?;
    let offered = load.offer_while(RATE, || senders.turn().context("the uploads"))?;
    let uploads = senders.finish();
    let resident_after = watched.resident()?;
    let after = Reading::of(server)?;
    let memory = Memory::of_tree(server.pid())?;
    place.check(&files, pattern)?;
    let requests = offered.work.requests as f64;
    Ok(Turn {
        server: name.to_owned(),
        control,
        beside: Sample::of(name, requests, &offered.work, (before, after), memory, 0),
        control_latency,
        beside_latency: Quantiles::of(&offered.work.latency),
        resident_before,
        resident_after,
        uploaded_bytes: uploads.body_bytes,
        upload_seconds: uploads.wall.as_secs_f64(),
        memory_before,
    })
}

impl Turn {
    fn show(&self, round: u32, rounds: u32) {
        let millis = |latency: Option<f64>| latency.unwrap_or(f64::NAN) / 1e3;
        eprintln!(
            "    round {round}/{rounds}  {:16} {:5.1} % resident, hot p50 {:.2} -> {:.2} ms, p99 {:.2} -> {:.2} ms, {:.2} GiB/s",
            self.server,
            self.resident_after * 100.0,
            millis(self.control_latency.p50),
            millis(self.beside_latency.p50),
            millis(self.control_latency.p99),
            millis(self.beside_latency.p99),
            self.uploaded_bytes as f64 / GIB / self.upload_seconds,
        );
    }
}
