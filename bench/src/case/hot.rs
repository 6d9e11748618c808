//! `SIZE-CONNECTIONS`: a file that is in the page cache, asked for again and again over keep-alive connections.
//!
//! Measured is server CPU time, which is the server's own; requests per second also depend on who else wants the core.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::Case;
use crate::arena::Arena;
use crate::cpu::{self, Machine};
use crate::limits;
use crate::load::Load;
use crate::peer::Running;
use crate::report::{Bound, CaseReport, Row, warnings};
use crate::root::Document;

/// Names, as in the name of a case, and bytes.
const SIZES: [(&str, u64); 6] = [
    ("1k", 1 << 10),
    ("4k", 4 << 10),
    ("10k", 10 << 10),
    ("100k", 100 << 10),
    ("1m", 1 << 20),
    ("64m", 64 << 20),
];

pub(super) const STANDARD: [&str; 7] =
    ["1k-64", "1k-512", "4k-64", "10k-64", "100k-64", "1m-64", "64m-8"];

/// Server CPU per request against nginx that Sendrail must not exceed.
const BOUNDS: [(&str, f64); 5] =
    [("1k-64", 0.65), ("10k-64", 0.75), ("100k-64", 0.85), ("1m-64", 1.0), ("64m-8", 1.0)];

const GIB: f64 = (1_u64 << 30) as f64;

pub(super) fn sizes() -> Vec<&'static str> {
    SIZES.iter().map(|(name, _)| *name).collect()
}

/// A size and a number of connections.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hot {
    size: &'static str,
    len: u64,
    connections: usize,
}

/// One server in one round.
#[derive(Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) server: String,
    pub(crate) requests: u64,
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
    pub(crate) cpu_microseconds_per_request: f64,
    pub(crate) cpu_milliseconds_per_gib: f64,
    pub(crate) requests_per_second: f64,
}

/// All servers, in the order of their turns.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) samples: Vec<Sample>,
}

impl Round {
    fn of(&self, server: &str) -> &Sample {
        self.samples
            .iter()
            .find(|sample| sample.server == server)
            .expect("every server has a turn in every round")
    }
}

impl Hot {
    pub(super) fn parse(name: &str) -> Option<Hot> {
        let (size, connections) = name.split_once('-')?;
        let (size, len) = *SIZES.iter().find(|(known, _)| *known == size)?;
        let connections =
            connections.parse().ok().filter(|connections| (1..=10_000).contains(connections))?;
        Some(Hot { size, len, connections })
    }

    fn measure(
        &self,
        arena: &Arena<'_>,
        name: &str,
        server: &Running,
        document: &Document,
    ) -> Result<Sample> {
        let mut load = Load::open(server.address, document, self.connections, arena.interrupt)?;
        if arena.plan.spin {
            load.spin();
        }
        load.run(arena.plan.seconds.min(Duration::from_millis(1200)) / 4)?; // socket buffers grow, caches warm
        let machine = Machine::now()?;
        let before = cpu::of_tree(server.pid())
            .with_context(|| format!("reading the CPU time of {name}"))?;
        let work = load.run(arena.plan.seconds)?;
        let after = cpu::of_tree(server.pid())
            .with_context(|| format!("reading the CPU time of {name}"))?;
        let machine_after = Machine::now()?;

        let server_cpu = after.saturating_sub(before);
        let busy = machine_after.busy.saturating_sub(machine.busy);
        Ok(Sample {
            server: name.to_owned(),
            requests: work.requests,
            body_bytes: work.body_bytes,
            wall_seconds: work.wall.as_secs_f64(),
            server_cpu_seconds: server_cpu.as_secs_f64(),
            generator_cpu_seconds: work.generator.as_secs_f64(),
            generator_spun_seconds: work.spun.as_secs_f64(),
            others_cpu_seconds: busy.saturating_sub(server_cpu + work.generator).as_secs_f64(),
            stolen_seconds: machine_after.stolen.saturating_sub(machine.stolen).as_secs_f64(),
            cpu_microseconds_per_request: server_cpu.as_secs_f64() * 1e6 / work.requests as f64,
            cpu_milliseconds_per_gib: server_cpu.as_secs_f64() * 1e3
                / (work.body_bytes as f64 / GIB),
            requests_per_second: work.requests as f64 / work.wall.as_secs_f64(),
        })
    }

    fn bound(&self, arena: &Arena<'_>) -> Option<Bound> {
        if arena.plan.self_check {
            return Some(Bound::RatioNearOne { within: 0.05 });
        }
        let name = self.name();
        let (_, at_most) = BOUNDS.iter().find(|(case, _)| *case == name)?;
        Some(Bound::Ratio { at_most: *at_most })
    }

    fn report(&self, arena: &Arena<'_>, rounds: &[Round]) -> Result<CaseReport> {
        let names: Vec<&str> = arena.peers().iter().map(|peer| peer.name()).collect();
        let row = |figure, unit, decimals, of: fn(&Sample) -> f64, bound| {
            let values =
                |server: &&str| rounds.iter().map(|round| of(round.of(server))).collect::<Vec<_>>();
            Row::of_rounds(
                figure,
                unit,
                decimals,
                &names.iter().map(values).collect::<Vec<_>>(),
                bound,
            )
        };
        let rows = vec![
            row(
                "CPU per request",
                "µs",
                2,
                |sample| sample.cpu_microseconds_per_request,
                self.bound(arena),
            ),
            row("CPU per GiB", "ms", 1, |sample| sample.cpu_milliseconds_per_gib, None),
            row("requests per second", "", 0, |sample| sample.requests_per_second, None),
        ];
        let mut warnings = warnings::of_rounds(rounds);
        warnings.extend(warnings::of_spread(&rows[0]));
        let raw = serde_json::to_value(rounds).context("writing the rounds as JSON")?;
        Ok(CaseReport { name: self.name(), about: self.about(), rows, warnings, raw })
    }
}

impl Case for Hot {
    fn name(&self) -> String {
        format!("{}-{}", self.size, self.connections)
    }

    fn about(&self) -> String {
        format!("a hot file of {} bytes over {} keep-alive connections", self.len, self.connections)
    }

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport> {
        limits::require_open_files(self.connections)?;
        let document = arena.ground.random(&format!("{}.bin", self.size), self.len)?;
        let mut servers = Vec::new();
        for peer in arena.peers() {
            servers.push((peer.name(), arena.start(peer.as_ref())?));
        }
        let mut rounds = Vec::new();
        for number in 1..=arena.plan.rounds {
            let mut samples = Vec::new();
            for (name, server) in &servers {
                let sample = self
                    .measure(arena, name, server, &document)
                    .with_context(|| format!("round {number}, {name}"))?;
                eprintln!(
                    "    round {number}/{}  {name:10} {:9.2} µs/request {:9.1} ms/GiB {:9.0} requests/s",
                    arena.plan.rounds,
                    sample.cpu_microseconds_per_request,
                    sample.cpu_milliseconds_per_gib,
                    sample.requests_per_second,
                );
                samples.push(sample);
            }
            rounds.push(Round { samples });
            // A B, then B A: a machine that slowly gets slower (or faster) favours neither.
            servers.reverse();
        }
        self.report(arena, &rounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_size_and_a_number() {
        assert_eq!(Hot::parse("10k-8"), Some(Hot { size: "10k", len: 10_240, connections: 8 }));
        for name in ["10k", "10k-", "10k-0", "10k--1", "11k-8", "-8", "10k-99999"] {
            assert_eq!(Hot::parse(name), None, "{name}");
        }
    }

    #[test]
    fn bounds_are_for_cases_that_are_run() {
        for (name, _) in BOUNDS {
            assert!(STANDARD.contains(&name), "{name}");
        }
    }
}
