//! `memory-5g-64`: what serving a 5 GiB file to 64 clients at once leaves in a server's memory.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::Case;
use crate::arena::Arena;
use crate::cpu;
use crate::load::Load;
use crate::memory::Memory;
use crate::peer::Peer;
use crate::report::{Bound, CaseReport, Row, mib};
use crate::root::Document;

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
    fn measure(arena: &Arena<'_>, peer: &dyn Peer, document: &Document) -> Result<Sample> {
        let server = arena.start(peer)?;
        arena.interrupt.sleep(Duration::from_millis(300))?;
        let start = Memory::of_tree(server.pid())?;
        let before = cpu::of_tree(server.pid())?;
        let mut load = Load::open_untried(server.address, document, CLIENTS, arena.interrupt)?;
        let work = load.run(Duration::ZERO)?;
        let after = cpu::of_tree(server.pid())?;
        let loaded = Memory::of_tree(server.pid())?;
        drop(load);
        arena.interrupt.sleep(Duration::from_millis(500))?;
        let closed = Memory::of_tree(server.pid())?;
        Ok(Sample {
            server: peer.name().to_owned(),
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
        let mut samples: Vec<Sample> = Vec::new();
        for peer in arena.peers() {
            let sample = Self::measure(arena, peer.as_ref(), &document)
                .with_context(|| peer.name().to_owned())?;
            eprintln!(
                "    {:10} {:.0} GiB in {:.1} s",
                sample.server,
                mib(sample.body_bytes) / 1024.0,
                sample.wall_seconds
            );
            samples.push(sample);
        }
        let row = |figure, of: fn(&Sample) -> f64, bound| {
            Row::once(figure, "MiB", 2, samples.iter().map(of), bound)
        };
        let bound = (!arena.plan.self_check).then_some(Bound::Value { at_most: BOUND_MIB });
        let rows = vec![
            row("RSS at start", |sample| mib(sample.start.rss), None),
            row(
                "growth of RSS, served",
                |sample| mib(sample.served.rss) - mib(sample.start.rss),
                bound,
            ),
            row(
                "growth of RSS, peak",
                |sample| mib(sample.served.peak_rss) - mib(sample.start.rss),
                None,
            ),
            row(
                "growth of RssAnon, served",
                |sample| mib(sample.served.rss_anon) - mib(sample.start.rss_anon),
                None,
            ),
            row(
                "growth of RSS, clients gone",
                |sample| mib(sample.closed.rss) - mib(sample.start.rss),
                None,
            ),
            row("PSS, served", |sample| mib(sample.served.pss), None),
        ];
        let raw = serde_json::to_value(&samples).context("writing the samples as JSON")?;
        Ok(CaseReport { name: self.name(), about: self.about(), rows, warnings: Vec::new(), raw })
    }
}
