//! `tail`: what consumers at the tail notice of one that lags behind and reads cold segments, in a control group that has no
//! room for those. Ours alone: no other server here has a tail.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::layout::Layout;
use super::tailing::{Phase, Tailing, Until};
use crate::arena::{Arena, Entrant};
use crate::case::{Case, figures};
use crate::cgroup::{Group, KilledForMemory};
use crate::cpu::Machine;
use crate::peer::Running;
use crate::process;
use crate::report::{Against, Bound, CaseReport, Chapter, LeftOut, Measure, Role, mib};
use crate::residency::{self, Watched};
use crate::root::Document;
use crate::sample::{Latency, Reading, Taken};

/// Of 256 MiB each: 3 GiB, as in `cold-1`.
const SEGMENTS: u64 = 12;
const CONSUMERS: usize = 16;
/// Records a second, of 1 KiB.
const RATE: f64 = 1000.0;
/// The stretch without the one that lags, in multiples of `--seconds`.
const ALONE: f64 = 3.0;
/// Before it, unmeasured.
const WARM: Duration = Duration::from_millis(300);
/// Of the broker with the page cache that it fills, in bytes.
const MEMORY: u64 = 512 << 20;
const GIB: f64 = (1_u64 << 30) as f64;
/// Share of a core, above which others disturb.
const OTHERS: f64 = 0.05;

pub(super) struct Tail;

/// The broker in one round: alone with its producer and the consumers at the tail, then beside the one that lags.
#[derive(Debug, Serialize)]
struct Turn {
    server: String,
    alone: Stretch,
    beside: Stretch,
    /// Of the segments that were appended to, pages that are no longer in the page cache.
    tail_pages_gone: u64,
}

#[derive(Debug, Serialize)]
struct Stretch {
    latency: Latency,
    appended: u64,
    /// To the one that lags.
    lagged_bytes: u64,
    wall_seconds: f64,
    /// By the broker, from disks.
    read_bytes: u64,
    cpu_seconds: f64,
    others_cpu_seconds: f64,
    stolen_seconds: f64,
}

const RATIO: &str = "tail_p99_to_alone";
const READ_ALONE: &str = "tail_read_alone";
const GONE: &str = "tail_pages_gone";

const FIGURES: [Taken<Turn>; 11] = [
    (Measure::less(RATIO, "tail p99 / alone", "×", 2), |turn| {
        Some(turn.beside.latency.p99? / turn.alone.latency.p99?)
    }),
    (Measure::less("tail_p50_alone", "p50, alone", "µs", 0), |turn| turn.alone.latency.p50),
    (Measure::less("tail_p99_alone", "p99, alone", "µs", 0), |turn| turn.alone.latency.p99),
    (Measure::less("tail_p50", "tail p50", "µs", 0), |turn| turn.beside.latency.p50),
    (Measure::less("tail_p99", "tail p99", "µs", 0), |turn| turn.beside.latency.p99),
    (Measure::less(READ_ALONE, "read from disk, alone", "MiB", 2), |turn| {
        Some(mib(turn.alone.read_bytes))
    }),
    (Measure::less(GONE, "tail pages out of memory", "", 0), |turn| {
        Some(turn.tail_pages_gone as f64)
    }),
    (Measure::less("read_per_lagging_byte", "read per lagging byte", "", 3), |turn| {
        Some(turn.beside.read_bytes as f64 / turn.beside.lagged_bytes as f64)
    }),
    (Measure::more("lagging_gib_per_second", "lagging", "GiB/s", 2), |turn| {
        Some(turn.beside.lagged_bytes as f64 / GIB / turn.beside.wall_seconds)
    }),
    (Measure::less("cpu_per_append", "CPU per append, alone", "µs", 1), |turn| {
        Some(turn.alone.cpu_seconds * 1e6 / turn.alone.appended as f64)
    }),
    (Measure::less("cpu_per_lagging_gib", "CPU per lagging GiB", "ms", 1), |turn| {
        let appends = turn.alone.cpu_seconds / turn.alone.appended as f64;
        let own = turn.beside.cpu_seconds - appends * turn.beside.appended as f64;
        Some(own * 1e3 / (turn.beside.lagged_bytes as f64 / GIB))
    }),
];

/// By the key of a measure. What was written and has never left the page cache since cannot have been read from a disk: nothing
/// of what the consumers at the tail have got.
const BOUNDS: [(&str, Bound); 3] = [
    (RATIO, Bound::at_most(Against::Value, 2.0)),
    (READ_ALONE, Bound::at_most(Against::Value, 0.0)),
    (GONE, Bound::at_most(Against::Value, 0.0)),
];

impl Case for Tail {
    fn name(&self) -> String {
        "tail".into()
    }

    fn about(&self) -> String {
        format!(
            "{CONSUMERS} consumers at the tail and {RATE} appends of 1 KiB a second, without and beside a consumer that \
             reads 3 GiB of cold segments, in {} MiB of memory",
            MEMORY >> 20
        )
    }

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport> {
        if let Err(why) = Group::of_memory(MEMORY) {
            let left = |entrant: &&Entrant| LeftOut {
                server: entrant.name().to_owned(),
                why: format!("not measured here: {why:#}"),
            };
            return Ok(self.report(arena.entrants().iter().map(left).collect(), &[], arena));
        }
        let layout = Layout::prepare(&arena.ground, SEGMENTS, arena.interrupt)?;
        let (subjects, others): (Vec<&Entrant>, Vec<&Entrant>) =
            arena.entrants().iter().partition(|entrant| entrant.role == Role::Subject);
        let without = |entrant: &&Entrant| LeftOut {
            server: entrant.name().to_owned(),
            why: "takes no appends".to_owned(),
        };
        let mut turns = Vec::new();
        for round in 1..=arena.plan.rounds {
            for entrant in &subjects {
                let turn = turn(arena, entrant, &layout)?;
                turn.show(round, arena.plan.rounds);
                turns.push(turn);
            }
        }
        Ok(self.report(others.iter().map(without).collect(), &turns, arena))
    }
}

impl Tail {
    fn report(&self, left_out: Vec<LeftOut>, turns: &[Turn], arena: &Arena<'_>) -> CaseReport {
        CaseReport {
            name: self.name(),
            about: self.about(),
            chapter: Chapter::Segments,
            point: None,
            figures: figures::of_own(arena, &FIGURES, turns, |turn| &turn.server, &BOUNDS),
            left_out,
            warnings: warnings(turns),
            raw: serde_json::json!({ "memory_bytes": MEMORY, "turns": turns }),
        }
    }
}

/// The broker, started anew with nothing of the log in memory.
fn turn(arena: &Arena<'_>, entrant: &Entrant, layout: &Layout) -> Result<Turn> {
    residency::evict(&layout.segments, arena.interrupt)?;
    let group = Group::of_memory(MEMORY)?;
    let server = arena.start_in(entrant, &group.paths())?;
    residency::evict(&layout.segments, arena.interrupt)?; // what opening the log has read
    let turn = measure(arena, entrant.name(), &server, layout);
    let killed = group.killed()?;
    drop(server);
    residency::evict(&layout.segments, arena.interrupt)?; // pages that stay would keep the group alive, unseen
    // What was appended: the next round begins with the same log.
    Layout::prepare(&arena.ground, SEGMENTS, arena.interrupt)?;
    if killed > 0 {
        return Err(KilledForMemory { limit: MEMORY }.into());
    }
    turn
}

fn measure(arena: &Arena<'_>, name: &str, server: &Running, layout: &Layout) -> Result<Turn> {
    let (address, end) = (server.address, layout.end());
    let mut tailing = Tailing::connect(address, CONSUMERS, RATE, end, arena.interrupt)?;
    tailing.phase(address, Until::After(WARM)).context("warming up")?;
    let mut stretch = |until: Until| {
        let before = (Reading::of(server)?, read_from_disk(server)?, Machine::now()?);
        let generator = crate::cpu::of_this_thread();
        let Phase { appended, latency, wall, lagged } = tailing.phase(address, until)?;
        let generator = crate::cpu::of_this_thread().saturating_sub(generator);
        let cpu = Reading::of(server)?.cpu_since(before.0);
        let machine = Machine::now()?;
        let busy = machine.busy.saturating_sub(before.2.busy);
        anyhow::Ok(Stretch {
            latency: Latency::of(&latency),
            appended,
            lagged_bytes: lagged,
            wall_seconds: wall.as_secs_f64(),
            read_bytes: read_from_disk(server)?.saturating_sub(before.1),
            cpu_seconds: cpu.as_secs_f64(),
            others_cpu_seconds: busy.saturating_sub(cpu + generator).as_secs_f64(),
            stolen_seconds: machine.stolen.saturating_sub(before.2.stolen).as_secs_f64(),
        })
    };
    let alone = stretch(Until::After(arena.plan.seconds.mul_f64(ALONE))).context("alone")?;
    let beside = stretch(Until::Read(end)).context("beside the consumer that lags")?;
    let tail_pages_gone = pages_gone(&layout.appended(&arena.ground)?)?;
    Ok(Turn { server: name.to_owned(), alone, beside, tail_pages_gone })
}

fn pages_gone(segments: &[Rc<Document>]) -> Result<u64> {
    let pages = segments.iter().map(|one| one.len.div_ceil(rustix::param::page_size() as u64));
    let resident = Watched::open(segments)?.resident()?;
    let pages: u64 = pages.sum();
    Ok(((1.0 - resident) * pages as f64).round() as u64)
}

fn read_from_disk(server: &Running) -> Result<u64> {
    let read = process::sum_of_tree(server.pid(), process::read_from_disk);
    read.context("asking what the broker has read from the disk")
}

impl Turn {
    fn show(&self, round: u32, rounds: u32) {
        let millis = |latency: Option<f64>| latency.unwrap_or(f64::NAN) / 1e3;
        let (alone, beside) = (&self.alone, &self.beside);
        eprintln!(
            "    round {round}/{rounds}  p50 {:.3} -> {:.3} ms, p99 {:.3} -> {:.3} ms, {:.2} GiB/s behind, read {} and {:.1} MiB",
            millis(alone.latency.p50),
            millis(beside.latency.p50),
            millis(alone.latency.p99),
            millis(beside.latency.p99),
            beside.lagged_bytes as f64 / GIB / beside.wall_seconds,
            alone.read_bytes,
            mib(beside.read_bytes),
        );
    }
}

fn warnings(turns: &[Turn]) -> Vec<String> {
    let stretches = || turns.iter().flat_map(|turn| [&turn.alone, &turn.beside]);
    let worst = |of: fn(&Stretch) -> f64| {
        stretches().map(|one| of(one) / one.wall_seconds).fold(0.0, f64::max)
    };
    let mut warnings = Vec::new();
    let (others, stolen) = (worst(|one| one.others_cpu_seconds), worst(|one| one.stolen_seconds));
    if others > OTHERS {
        warnings.push(format!("other programs used up to {:.0} % of a core", others * 100.0));
    }
    if stolen > OTHERS {
        warnings.push(format!("the hypervisor took up to {:.0} % of a core away", stolen * 100.0));
    }
    warnings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;
    use crate::interrupt::Interrupt;
    use crate::root::Ground;

    #[test]
    fn pages_that_leave_the_page_cache_are_counted() {
        let Ok(ground) = Ground::prepare(None) else {
            eprintln!("skipped: no real file system for temporary files here");
            return;
        };
        let pages = |number: usize| (number * rustix::param::page_size()) as u64;
        let files = [("a".to_owned(), pages(3) + 1), ("b".to_owned(), pages(2))];
        let documents = ground.random_files(&files).unwrap();
        assert_eq!(pages_gone(&documents).unwrap(), 0);
        residency::evict(&documents[..1], &Interrupt::default()).unwrap();
        assert_eq!(pages_gone(&documents).unwrap(), 4);
    }

    #[test]
    fn what_is_demanded_is_measured() {
        for (key, _) in BOUNDS {
            assert!(FIGURES.iter().any(|(measure, _)| measure.key == key), "{key}");
        }
    }
}
