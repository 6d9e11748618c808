//! `--live`: a file that grows, and a thousand followers of it (`GET …?follow`), beside the same bytes as ordinary sends: the same
//! server, a thousand keep-alive connections that get a file of just that size as often as the other one grows.

mod chunks;
mod followers;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Case, Round, figures};
use crate::arena::Arena;
use crate::cpu;
use crate::limits;
use crate::load::workload::{Exchange, Workload};
use crate::load::{Load, Work};
use crate::memory::Memory;
use crate::peer::Running;
use crate::report::{Against, Bound, CaseReport, Chapter, LeftOut, Measure, Role, warnings};
use crate::sample::{Reading, Sample, Taken};
use crate::system_calls::SystemCalls;
use followers::{Followers, Growing};

/// The cases of a run.
pub(super) const NAMES: [&str; 3] = ["live-200", "live-4k", "live-64k"];

/// Those of them for a look.
pub(super) const QUICK: [&str; 2] = ["live-200", "live-64k"];

const FOLLOWERS: usize = 1000;
/// How long each stretch is, in multiples of `--seconds`.
const LENGTH: f64 = 3.0;
/// Appends, and ordinary sends, before anything is measured; and while system calls are counted.
const WARM: usize = 5;
const GIB: f64 = (1_u64 << 30) as f64;

/// By how much the file grows, and how often.
#[derive(Debug, PartialEq)]
struct Live {
    size: &'static str,
    bytes: usize,
    /// So few that the server sleeps in between.
    per_second: f64,
}

pub(super) fn by_name(name: &str) -> Option<Box<dyn Case>> {
    let live = |size, bytes, per_second| Some(Box::new(Live { size, bytes, per_second }) as _);
    match name {
        "live-200" => live("200", 200, 20.0),
        "live-4k" => live("4k", 4 << 10, 20.0),
        "live-64k" => live("64k", 64 << 10, 5.0),
        _ => None,
    }
}

/// One round: appends to followers, and as many ordinary sends to as many clients. A request is an append at one follower.
#[derive(Debug, Serialize)]
struct Turn {
    server: String,
    follow: Sample,
    ordinary: Sample,
    /// Resident anonymous memory that the followers have added to the server's, in bytes.
    memory_of_followers: u64,
}

impl Turn {
    fn cpu(sample: &Sample) -> f64 {
        sample.server_cpu_seconds / sample.requests
    }

    fn cpu_per_gib(sample: &Sample) -> f64 {
        sample.server_cpu_seconds / (sample.body_bytes as f64 / GIB)
    }
}

const RATIO: &str = "cpu_follow_to_ordinary";
const P50: &str = "append_p50";

const FIGURES: [Taken<Turn>; 10] = [
    (Measure::less(RATIO, "CPU, followed / ordinary", "×", 3), |turn| {
        Some(Turn::cpu(&turn.follow) / Turn::cpu(&turn.ordinary))
    }),
    (Measure::less("cpu_per_append_and_follower", "CPU per append, follower", "µs", 2), |turn| {
        Some(Turn::cpu(&turn.follow) * 1e6)
    }),
    (Measure::less("cpu_per_ordinary_send", "CPU per ordinary send", "µs", 2), |turn| {
        Some(Turn::cpu(&turn.ordinary) * 1e6)
    }),
    (Measure::less("cpu_per_gib_followed", "CPU per GiB, followed", "ms", 0), |turn| {
        Some(Turn::cpu_per_gib(&turn.follow) * 1e3)
    }),
    (Measure::less("cpu_per_gib_ordinary", "CPU per GiB, ordinary", "ms", 0), |turn| {
        Some(Turn::cpu_per_gib(&turn.ordinary) * 1e3)
    }),
    (Measure::less(P50, "append to bytes, median", "ms", 2), |turn| {
        Some(turn.follow.latency.p50? / 1e3)
    }),
    (Measure::less("append_p99", "append to bytes, p99", "ms", 2), |turn| {
        Some(turn.follow.latency.p99? / 1e3)
    }),
    (Measure::less("append_max", "append to bytes, longest", "ms", 2), |turn| {
        Some(turn.follow.latency.max / 1e3)
    }),
    (Measure::less("wakeups_per_append", "wake-ups per append", "", 1), |turn| {
        Some(turn.follow.wakeups as f64 / turn.follow.requests * FOLLOWERS as f64)
    }),
    (Measure::less("memory_per_follower", "memory per follower", "KiB", 1), |turn| {
        Some(turn.memory_of_followers as f64 / FOLLOWERS as f64 / 1024.0)
    }),
];

const SYSTEM_CALLS: Measure = Measure::less(
    "system_calls_per_append_and_follower",
    "system calls per append, follower",
    "",
    3,
);

/// By the key of a measure.
const BOUNDS: [(&str, Bound); 2] =
    [(RATIO, Bound::at_most(Against::Value, 1.0)), (P50, Bound::at_most(Against::Value, 10.0))];

impl Case for Live {
    fn name(&self) -> String {
        format!("live-{}", self.size)
    }

    fn about(&self) -> String {
        format!(
            "{FOLLOWERS} followers of a file that grows by {} bytes {} times a second, beside as many ordinary sends of as many bytes",
            self.bytes, self.per_second
        )
    }

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport> {
        limits::require_open_files(2 * FOLLOWERS)?;
        let (mut turns, mut left_out, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        for &entrant in arena.entrants() {
            if entrant.role != Role::Subject {
                let why = "does not follow files".to_owned();
                left_out.push(LeftOut { server: entrant.name().to_owned(), why });
                continue;
            }
            let server = arena.start(entrant)?;
            let mut stand = self.prepare(arena, &server)?;
            if arena.counts_system_calls {
                let mut counter = SystemCalls::of_tree(server.pid())?;
                let before = counter.count()?;
                let work = stand.followers.stretch(WARM, self.gap())?;
                let made = (counter.count()? - before) as f64;
                calls.push((entrant.name().to_owned(), made / work.requests as f64));
            }
            for round in 1..=arena.plan.rounds {
                let turn = self.turn(arena, entrant.name(), &server, &mut stand, round)?;
                arena.show_sample(round, &turn.follow);
                arena.show_sample(round, &turn.ordinary);
                turns.push(turn);
            }
        }
        let mut figures = figures::of_own(arena, &FIGURES, &turns, |turn| &turn.server, &BOUNDS);
        figures.extend(figures::of_system_calls(arena, SYSTEM_CALLS, &calls));
        let raw = serde_json::json!({
            "followers": FOLLOWERS,
            "bytes": self.bytes,
            "appends_per_second": self.per_second,
            "turns": turns,
            "system_calls_per_append_and_follower": calls,
        });
        let samples = turns.into_iter().flat_map(|turn| [turn.follow, turn.ordinary]).collect();
        Ok(CaseReport {
            name: self.name(),
            about: self.about(),
            chapter: Chapter::Live,
            point: None,
            figures,
            left_out,
            warnings: warnings::of_quiet(&[Round { samples }]),
            raw,
        })
    }
}

/// Everybody, connected.
struct Stand<'a> {
    followers: Followers<'a>,
    clients: Load<'a>,
    memory_of_followers: u64,
}

impl Live {
    fn gap(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second)
    }

    fn prepare<'a>(&self, arena: &'a Arena<'_>, server: &Running) -> Result<Stand<'a>> {
        let name = format!("{}.bin", self.name());
        let document = arena.ground.random(&name, self.bytes as u64)?;
        let workload = Workload::one(Exchange::whole(&document, ""));
        let mut clients = Load::open(server.address, &workload, FOLLOWERS, arena.interrupt)?;
        let name = format!("{}.log", self.name());
        let growing = Growing::begin(&arena.ground.root().join(&name), self.bytes)?;
        let before = Memory::of_tree(server.pid())?.rss_anon;
        let target = format!("/{name}?follow");
        let mut followers =
            Followers::connect(server.address, &target, FOLLOWERS, growing, arena.interrupt)?;
        let memory = Memory::of_tree(server.pid())?.rss_anon.saturating_sub(before);
        followers.stretch(WARM, self.gap())?;
        for _ in 0..WARM {
            clients.run(Duration::ZERO)?;
        }
        Ok(Stand { followers, clients, memory_of_followers: memory })
    }

    /// Both, by turns the one or the other first.
    fn turn(
        &self,
        arena: &Arena<'_>,
        name: &str,
        server: &Running,
        stand: &mut Stand<'_>,
        round: u32,
    ) -> Result<Turn> {
        let length = arena.plan.seconds.as_secs_f64() * LENGTH;
        let count = (length * self.per_second).ceil() as usize;
        let Stand { followers, clients, memory_of_followers } = stand;
        let mut follow = || {
            let followed = || followers.stretch(count, self.gap()).context("following");
            sample(name, server, followed)
        };
        let mut ordinary = || {
            let sent = || self.ordinary(clients, count).context("ordinary sends");
            sample(name, server, sent)
        };
        let (follow, ordinary) = if round % 2 == 1 {
            let followed = follow()?;
            (followed, ordinary()?)
        } else {
            let sent = ordinary()?;
            (follow()?, sent)
        };
        let memory_of_followers = *memory_of_followers;
        Ok(Turn { server: name.to_owned(), follow, ordinary, memory_of_followers })
    }

    /// Every client asks once, `count` times, as far apart as appends are.
    fn ordinary(&self, clients: &mut Load<'_>, count: usize) -> Result<Work> {
        let (started, generator) = (Instant::now(), cpu::of_this_thread());
        let mut sum = Work::nothing();
        for number in 0..count {
            let due = started + self.gap() * number as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let work = clients.run(Duration::ZERO)?;
            sum.requests += work.requests;
            sum.body_bytes += work.body_bytes;
            sum.latency.add(&work.latency).context("adding latencies")?;
        }
        sum.wall = started.elapsed();
        sum.generator = cpu::of_this_thread().saturating_sub(generator);
        Ok(sum)
    }
}

/// A stretch, and what it cost.
fn sample(name: &str, server: &Running, stretch: impl FnOnce() -> Result<Work>) -> Result<Sample> {
    let before = Reading::of(server)?;
    let work = stretch()?;
    let after = Reading::of(server)?;
    let memory = Memory::of_tree(server.pid())?;
    Ok(Sample::of(name, work.requests as f64, &work, (before, after), memory, 0))
}
