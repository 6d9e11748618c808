//! `--uploads`: files that arrive by PUT, each under a name of its own, beside other servers that take them.

mod hot;
mod place;
mod senders;

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::contest::{Contender, Contest};
use super::pattern::Pattern;
use super::{Case, Round, figures};
use crate::arena::Arena;
use crate::disk::Queue;
use crate::limits;
use crate::memory::{self, Memory};
use crate::process;
use crate::report::{Against, Bound, CaseReport, Chapter, Measure, mib, warnings};
use crate::sample::{CPU_PER_GIB, Reading, Sample, Taken};
use crate::system_calls::SystemCalls;
use hot::Hot;
use place::Place;
use senders::{Files, Senders};

/// The cases of a run.
pub(super) const NAMES: [&str; 4] = ["upload-64k-16", "upload-10m-4", "upload-1g-1", "uploads-hot"];

/// Those of them for a look.
pub(super) const QUICK: [&str; 2] = ["upload-64k-16", "upload-10m-4"];

/// After the last answer: what a server does only then belongs to the uploads.
const SETTLE: Duration = Duration::from_millis(100);
const GIB: f64 = (1_u64 << 30) as f64;

pub(super) fn by_name(name: &str) -> Option<Box<dyn Case>> {
    match name {
        "uploads-hot" => Some(Box::new(Hot)),
        _ => Some(Box::new(Upload::parse(name)?)),
    }
}

/// `upload-SIZE-CONNECTIONS`
#[derive(Debug, PartialEq)]
struct Upload {
    size: &'static str,
    len: u64,
    /// In one turn, for a second of `--seconds`.
    count: f64,
    connections: usize,
    lead: &'static str,
}

const CPU_PER_UPLOAD: &str = "cpu_per_upload";
const RSS_GROWTH: &str = "rss_growth_peak";
const SYSTEM_CALLS: Measure =
    Measure::less("system_calls_per_upload", "system calls per upload", "", 1);

/// One server in one round.
#[derive(Debug, Serialize)]
struct Turn {
    sample: Sample,
    /// By the server's processes: pages that it made dirty, and what it wrote past the page cache.
    written_bytes: u64,
    memory_before: Memory,
}

const FIGURES: [Taken<Turn>; 10] = [
    (Measure::less(CPU_PER_UPLOAD, "CPU per upload", "µs", 1), |turn| {
        Some(turn.sample.server_cpu_seconds * 1e6 / turn.sample.requests)
    }),
    (Measure::less(CPU_PER_GIB, "CPU per GiB", "ms", 1), |turn| {
        Some(turn.per_gib(turn.sample.server_cpu_seconds))
    }),
    // Writing back is done by threads of the kernel, whoever made the pages dirty.
    (Measure::less("others_cpu_per_gib", "CPU of all others per GiB", "ms", 0), |turn| {
        Some(turn.per_gib(turn.sample.others_cpu_seconds))
    }),
    (Measure::more("uploads_per_second", "uploads per second", "", 1), |turn| {
        Some(turn.sample.requests / turn.sample.wall_seconds)
    }),
    (Measure::more("gib_per_second", "GiB per second", "", 2), |turn| {
        Some(turn.sample.body_bytes as f64 / GIB / turn.sample.wall_seconds)
    }),
    (Measure::less("latency_p50", "latency, median", "ms", 2), |turn| {
        Some(turn.sample.latency.p50? / 1e3)
    }),
    (Measure::less("latency_p99", "latency, p99", "ms", 2), |turn| {
        Some(turn.sample.latency.p99? / 1e3)
    }),
    (Measure::less("written_per_byte", "written per byte", "", 2), |turn| {
        Some(turn.written_bytes as f64 / turn.sample.body_bytes as f64)
    }),
    (Measure::less(RSS_GROWTH, "RSS growth, peak", "MiB", 1), |turn| {
        Some(mib(turn.sample.memory.peak_rss) - mib(turn.memory_before.rss))
    }),
    (Measure::less("wakeups_per_upload", "wake-ups per upload", "", 2), |turn| {
        Some(turn.sample.wakeups as f64 / turn.sample.requests)
    }),
];

impl Turn {
    fn per_gib(&self, seconds: f64) -> f64 {
        seconds * 1e3 / (self.sample.body_bytes as f64 / GIB)
    }
}

impl Upload {
    fn parse(name: &str) -> Option<Upload> {
        let (size, connections) = name.strip_prefix("upload-")?.split_once('-')?;
        let connections = connections.parse().ok().filter(|count| (1..=1000).contains(count))?;
        let (size, len, count, lead) = match size {
            "64k" => ("64k", 64 << 10, 8192.0, CPU_PER_UPLOAD),
            "10m" => ("10m", 10 << 20, 128.0, CPU_PER_GIB),
            "1g" => ("1g", 1 << 30, 2.0, CPU_PER_GIB),
            _ => return None,
        };
        Some(Upload { size, len, count, connections, lead })
    }

    fn files(&self, place: &Place, share: f64) -> Files {
        let count = ((self.count * share).ceil() as u64).max(1);
        Files { prefix: place.prefix.clone(), len: self.len, count }
    }

    /// By the key of a measure. Memory is flat where it grows by no more than some buffers, however large the files.
    fn bounds(&self) -> [(&'static str, Bound); 4] {
        [
            (self.lead, Bound::at_most(Against::Server("nginx"), 1.0)),
            (self.lead, Bound::at_most(Against::Server("nginx-256k"), 1.0)),
            (self.lead, Bound::at_most(Against::Server("caddy"), 1.0)),
            (RSS_GROWTH, Bound::at_most(Against::Value, 16.0)),
        ]
    }
}

impl Case for Upload {
    fn name(&self) -> String {
        format!("upload-{}-{}", self.size, self.connections)
    }

    fn about(&self) -> String {
        let plural = if self.connections == 1 { "" } else { "s" };
        format!(
            "new files of {} bytes by PUT over {} keep-alive connection{plural}",
            self.len, self.connections
        )
    }

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport> {
        limits::require_open_files(self.connections)?;
        let pattern = Pattern::new();
        let share = arena.plan.seconds.as_secs_f64();
        let bytes = (self.count * share).ceil() as u64 * self.len;
        let mut contest = Contest::of(arena, |entrant, server| {
            // Memory is warm, and whoever cannot do it is left out.
            let place = Place::make(&arena.ground, entrant.name(), bytes)?;
            self.send(arena, server.address, &place, &pattern, share).map(drop)
        })?;
        contest.each(arena, |contender| self.count_system_calls(arena, contender, &pattern))?;
        let mut turns = Vec::new();
        for number in 1..=arena.plan.rounds {
            contest.each(arena, |contender| {
                let turn = self.measure(arena, contender, &pattern, share)?;
                arena.show_sample(number, &turn.sample);
                turns.push(turn);
                Ok(())
            })?;
            contest.turn_around();
        }
        let (left_out, calls) = (contest.left_out(), contest.system_calls());
        turns.retain(|turn| left_out.iter().all(|left| left.server != turn.sample.server));
        let raw = serde_json::json!({
            "bytes": self.len,
            "connections": self.connections,
            "disk": Queue::of(&arena.ground.root()),
            "turns": turns,
            "system_calls_per_upload": calls,
        });
        let bounds = self.bounds();
        let mut figures =
            figures::of_own(arena, &FIGURES, &turns, |turn| &turn.sample.server, &bounds);
        figures.extend(figures::of_system_calls(arena, SYSTEM_CALLS, &calls));
        if let Some(lead) = figures.iter().position(|figure| figure.measure.key == self.lead) {
            figures[..=lead].rotate_right(1);
        }
        // What others use is the kernel's writing back for the most part: a figure here, and no warning.
        let still = |mut sample: Sample| {
            sample.others_cpu_seconds = 0.0;
            sample
        };
        let samples = turns.into_iter().map(|turn| still(turn.sample)).collect();
        let mut warnings = warnings::of_quiet(&[Round { samples }]);
        warnings.extend(figures.first().and_then(warnings::of_spread));
        Ok(CaseReport {
            name: self.name(),
            about: self.about(),
            chapter: Chapter::Uploads,
            point: None,
            figures,
            left_out,
            warnings,
            raw,
        })
    }
}

impl Upload {
    /// Uploads, unmeasured; what has come is looked at, and emptied.
    fn send(
        &self,
        arena: &Arena<'_>,
        address: std::net::SocketAddr,
        place: &Place,
        pattern: &Pattern,
        share: f64,
    ) -> Result<crate::load::Work> {
        let files = self.files(place, share);
        let senders =
            Senders::connect(address, self.connections, &files, pattern, arena.interrupt)?;
        let work = senders.run()?;
        place.check(&files, pattern)?;
        place.empty()?;
        Ok(work)
    }

    /// One turn of one server.
    fn measure(
        &self,
        arena: &Arena<'_>,
        contender: &Contender<'_, ()>,
        pattern: &Pattern,
        share: f64,
    ) -> Result<Turn> {
        let server = &contender.server;
        let place = Place::make(&arena.ground, &contender.name, 0)?;
        let files = self.files(&place, share);
        let senders =
            Senders::connect(server.address, self.connections, &files, pattern, arena.interrupt)?;
        memory::forget_peak(server.pid()).context("forgetting the server's peak memory")?;
        let memory_before = Memory::of_tree(server.pid())?;
        let written = || {
            let written = process::sum_of_tree(server.pid(), process::written_to_disk);
            written.context("asking what the server has written")
        };
        let (before, already) = (Reading::of(server)?, written()?);
        let work = senders.run()?;
        arena.interrupt.sleep(SETTLE)?;
        let after = Reading::of(server)?;
        let written_bytes = written()?.saturating_sub(already);
        let memory = Memory::of_tree(server.pid())?;
        place.check(&files, pattern)?;
        place.empty()?;
        let requests = work.requests as f64;
        let sample = Sample::of(&contender.name, requests, &work, (before, after), memory, 0);
        Ok(Turn { sample, written_bytes, memory_before })
    }

    /// In a stretch of its own, for counting is not free.
    fn count_system_calls(
        &self,
        arena: &Arena<'_>,
        contender: &mut Contender<'_, ()>,
        pattern: &Pattern,
    ) -> Result<()> {
        if !arena.counts_system_calls {
            return Ok(());
        }
        let server = &contender.server;
        let place = Place::make(&arena.ground, &contender.name, 0)?;
        let mut counter = SystemCalls::of_tree(server.pid())?;
        let before = counter.count()?;
        let work = self.send(arena, server.address, &place, pattern, 0.05)?;
        contender.system_calls = Some((counter.count()? - before) as f64 / work.requests as f64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_size_and_a_number() {
        let parsed = Upload::parse("upload-10m-4").map(|upload| (upload.len, upload.connections));
        assert_eq!(parsed, Some((10 << 20, 4)));
        for name in ["upload-10m", "upload-10m-0", "upload-2m-1", "10m-4", "uploads-hot"] {
            assert_eq!(Upload::parse(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_demanded_is_measured() {
        for upload in NAMES.iter().filter_map(|name| Upload::parse(name)) {
            for (key, _) in upload.bounds() {
                assert!(FIGURES.iter().any(|(measure, _)| measure.key == key), "{key}");
            }
        }
    }
}
