//! `idle-10000`: user-space memory of a connection that has asked once and now waits.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::Case;
use crate::arena::Arena;
use crate::limits;
use crate::load::Load;
use crate::memory::Memory;
use crate::peer::Peer;
use crate::report::{Bound, CaseReport, Row, mib};
use crate::root::Document;

/// Fits the ephemeral ports of one client address (32768 to 60999 by default).
const CONNECTIONS: usize = 10_000;
/// Bytes per connection that Sendrail must not exceed.
const BOUND: f64 = 8192.0;

pub(super) struct Idle10000;

/// One server, started for this.
#[derive(Debug, Serialize)]
struct Sample {
    server: String,
    connections: usize,
    /// Listening, nothing served.
    start: Memory,
    /// Every connection open and served once.
    idle: Memory,
    /// Connections the server has closed meanwhile: then the figure per connection is too low.
    closed_by_server: usize,
}

impl Sample {
    fn bytes_per_connection(&self) -> f64 {
        (self.idle.rss_anon as f64 - self.start.rss_anon as f64) / self.connections as f64
    }
}

impl Idle10000 {
    fn measure(arena: &Arena<'_>, peer: &dyn Peer, document: &Document) -> Result<Sample> {
        let server = arena.start(peer)?;
        arena.interrupt.sleep(Duration::from_millis(300))?;
        let start = Memory::of_tree(server.pid())?;
        let mut load = Load::open(server.address, document, CONNECTIONS, arena.interrupt)?;
        arena.interrupt.sleep(Duration::from_secs(1))?;
        let idle = Memory::of_tree(server.pid())?;
        let closed_by_server = load.closed_by_server()?;
        Ok(Sample {
            server: peer.name().to_owned(),
            connections: CONNECTIONS,
            start,
            idle,
            closed_by_server,
        })
    }
}

impl Case for Idle10000 {
    fn name(&self) -> String {
        format!("idle-{CONNECTIONS}")
    }

    fn about(&self) -> String {
        format!("user-space memory of {CONNECTIONS} idle keep-alive connections, each served once")
    }

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport> {
        limits::require_open_files(CONNECTIONS)?;
        let document = arena.ground.random("1k.bin", 1 << 10)?;
        let mut samples: Vec<Sample> = Vec::new();
        let mut warnings = Vec::new();
        for peer in arena.peers() {
            let sample = Self::measure(arena, peer.as_ref(), &document)
                .with_context(|| peer.name().to_owned())?;
            eprintln!(
                "    {:10} {:.0} bytes per connection",
                sample.server,
                sample.bytes_per_connection()
            );
            if sample.closed_by_server > 0 {
                warnings.push(format!(
                    "{} closed {} connections",
                    sample.server, sample.closed_by_server
                ));
            }
            samples.push(sample);
        }
        let bound = (!arena.plan.self_check).then_some(Bound::Value { at_most: BOUND });
        let rows = vec![
            Row::once(
                "RssAnon per connection",
                "bytes",
                0,
                samples.iter().map(Sample::bytes_per_connection),
                bound,
            ),
            Row::once(
                "RssAnon in all",
                "MiB",
                2,
                samples.iter().map(|sample| mib(sample.idle.rss_anon)),
                None,
            ),
            Row::once(
                "PSS in all",
                "MiB",
                2,
                samples.iter().map(|sample| mib(sample.idle.pss)),
                None,
            ),
        ];
        let raw = serde_json::to_value(&samples).context("writing the samples as JSON")?;
        Ok(CaseReport { name: self.name(), about: self.about(), rows, warnings, raw })
    }
}
