//! `fetch-SIZE-CONSUMERS`: consumers that read a log of 2 GiB, all of which is in the page cache, from random places on, one
//! fetch after another.

use std::time::Duration;

use anyhow::{Context, Result};

use super::consumers::Consumers;
use super::layout::Layout;
use super::trial::Agreed;
use crate::arena::Arena;
use crate::case::contest::{Contender, Contest};
use crate::case::{Case, Round, figures};
use crate::interrupt::Interrupt;
use crate::limits;
use crate::memory::{Memory, Watch};
use crate::report::{Against, Bound, CaseReport, Chapter, Measure, mib, warnings};
use crate::residency::{self, Watched};
use crate::sample::{CPU_PER_GIB, Reading, Sample, Taken};
use crate::system_calls::SystemCalls;

/// Of 256 MiB each.
const SEGMENTS: u64 = 8;
/// Of `--seconds`, before anything is measured: the second compiler of Java's virtual machine has then done its work.
const WARM: f64 = 6.0;
/// Below this the log is no longer in memory.
const HOT: f64 = 0.999;
const GIB: f64 = (1_u64 << 30) as f64;

const CPU_PER_FETCH: &str = "cpu_per_fetch";
const SYSTEM_CALLS: Measure =
    Measure::less("system_calls_per_fetch", "system calls per fetch", "", 2);

const FIGURES: [Taken<Sample>; 9] = [
    (Measure::less(CPU_PER_FETCH, "CPU per fetch", "µs", 2), |sample| {
        Some(sample.server_cpu_seconds * 1e6 / sample.requests)
    }),
    (Measure::less(CPU_PER_GIB, "CPU per GiB", "ms", 1), |sample| {
        Some(sample.server_cpu_seconds * 1e3 / (sample.body_bytes as f64 / GIB))
    }),
    (Measure::more("fetches_per_second", "fetches per second", "", 0), |sample| {
        Some(sample.requests / sample.wall_seconds)
    }),
    (Measure::more("gib_per_second", "GiB per second", "", 2), |sample| {
        Some(sample.body_bytes as f64 / GIB / sample.wall_seconds)
    }),
    (Measure::less("bytes_per_fetch", "bytes per fetch", "", 0), |sample| {
        Some(sample.body_bytes as f64 / sample.requests)
    }),
    (Measure::less("latency_p50", "latency, median", "µs", 0), |sample| sample.latency.p50),
    (Measure::less("latency_p99", "latency, p99", "µs", 0), |sample| sample.latency.p99),
    (Measure::less("wakeups_per_fetch", "wake-ups per fetch", "", 3), |sample| {
        Some(sample.wakeups as f64 / sample.requests)
    }),
    (Measure::less("pss_peak", "memory (PSS), peak", "MiB", 1), |sample| {
        Some(mib(sample.peak_pss))
    }),
];

/// How much is asked for at a time, and by how many.
#[derive(Debug, PartialEq)]
pub(super) struct Fetch {
    size: &'static str,
    max_bytes: u32,
    consumers: usize,
    /// What the case is about, and what the subject must reach: its share of what Java needs.
    lead: &'static str,
    bound: f64,
}

impl Fetch {
    pub(super) fn parse(name: &str) -> Option<Fetch> {
        let (size, consumers) = name.strip_prefix("fetch-")?.split_once('-')?;
        let consumers = consumers.parse().ok().filter(|count| (1..=10_000).contains(count))?;
        let (size, max_bytes, lead, bound) = match size {
            "4k" => ("4k", 4 << 10, CPU_PER_FETCH, 0.6),
            "16k" => ("16k", 16 << 10, CPU_PER_FETCH, 0.6),
            "1m" => ("1m", 1 << 20, CPU_PER_GIB, 1.0),
            _ => return None,
        };
        Some(Fetch { size, max_bytes, consumers, lead, bound })
    }
}

impl Case for Fetch {
    fn name(&self) -> String {
        format!("fetch-{}-{}", self.size, self.consumers)
    }

    fn about(&self) -> String {
        let plural = if self.consumers == 1 { "" } else { "s" };
        format!(
            "{} consumer{plural} of a hot log of 2 GiB, fetches of {} bytes at most, but one index entry's at the least",
            self.consumers, self.max_bytes
        )
    }

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport> {
        limits::require_open_files(self.consumers)?;
        let layout = Layout::prepare(&arena.ground, SEGMENTS, arena.interrupt)?;
        let watched = heat(&layout, arena.interrupt)?;
        let mut agreed = Agreed::default();
        let mut contest =
            Contest::of(arena, |_, server| agreed.with(server.address, self.max_bytes, &layout))?;
        let warm = arena.plan.seconds.mul_f64(WARM);
        contest.each(arena, |contender| {
            self.connect(contender, &layout, arena)?.run(warm)?;
            self.count_system_calls(arena, contender, &layout)
        })?;
        let mut rounds = Vec::new();
        for number in 1..=arena.plan.rounds {
            let mut samples = Vec::new();
            contest.each(arena, |contender| {
                let sample = self.measure(arena, contender, &layout)?;
                arena.show_sample(number, &sample);
                samples.push(sample);
                Ok(())
            })?;
            rounds.push(Round { samples });
            contest.turn_around();
        }
        let resident = watched.resident()?;
        let left_out = contest.left_out();
        for round in &mut rounds {
            round.samples.retain(|sample| left_out.iter().all(|left| left.server != sample.server));
        }
        let calls = contest.system_calls();
        let raw = serde_json::json!({
            "rounds": rounds,
            "system_calls_per_fetch": calls,
            "max_bytes": self.max_bytes,
            "mean_bytes_of_a_fetch": agreed.mean(),
            "log_bytes": layout.bytes(),
            "log_resident_after": resident,
        });
        let mut warnings = warnings::of_rounds(&rounds);
        let samples: Vec<Sample> = rounds.into_iter().flat_map(|round| round.samples).collect();
        let bound = (self.lead, Bound::at_most(Against::Server("java"), self.bound));
        let mut figures =
            figures::of_own(arena, &FIGURES, &samples, |sample| &sample.server, &[bound]);
        figures.extend(figures::of_system_calls(arena, SYSTEM_CALLS, &calls));
        if let Some(lead) = figures.iter().position(|figure| figure.measure.key == self.lead) {
            figures[..=lead].rotate_right(1);
        }
        warnings.extend(figures.first().and_then(warnings::of_spread));
        if resident < HOT {
            warnings.push(format!("only {:.1} % of the log was still in memory", resident * 100.0));
        }
        Ok(CaseReport {
            name: self.name(),
            about: self.about(),
            chapter: Chapter::Segments,
            point: None,
            figures,
            left_out,
            warnings,
            raw,
        })
    }
}

/// Pages left by writing differ in size from those that reading brings in, and a log is mostly read.
fn heat(layout: &Layout, interrupt: &Interrupt) -> Result<Watched> {
    residency::evict(&layout.segments, interrupt)?;
    let mut watched = Watched::open(&layout.segments)?;
    for segment in &layout.segments {
        segment.heat().with_context(|| format!("reading {}", segment.path.display()))?;
    }
    watched.map()?;
    Ok(watched)
}

impl Fetch {
    fn connect<'a>(
        &self,
        contender: &Contender<'_, ()>,
        layout: &'a Layout,
        arena: &'a Arena<'_>,
    ) -> Result<Consumers<'a>> {
        let address = contender.server.address;
        Consumers::connect(address, self.consumers, self.max_bytes, layout, arena.interrupt)
    }

    /// One turn of one server.
    fn measure(
        &self,
        arena: &Arena<'_>,
        contender: &Contender<'_, ()>,
        layout: &Layout,
    ) -> Result<Sample> {
        let (length, server) = (arena.plan.seconds, &contender.server);
        let mut consumers = self.connect(contender, layout, arena)?;
        consumers.run(length.min(Duration::from_secs(1)) / 4)?; // socket buffers grow
        let watch = Watch::over(server.pid())?;
        let before = Reading::of(server)?;
        let work = consumers.run(length)?;
        let after = Reading::of(server)?;
        let memory = Memory::of_tree(server.pid())?;
        let (requests, peak) = (work.requests as f64, watch.peak_pss());
        Ok(Sample::of(&contender.name, requests, &work, (before, after), memory, peak))
    }

    /// In a stretch of its own, for counting is not free.
    fn count_system_calls(
        &self,
        arena: &Arena<'_>,
        contender: &mut Contender<'_, ()>,
        layout: &Layout,
    ) -> Result<()> {
        if !arena.counts_system_calls {
            return Ok(());
        }
        let mut consumers = self.connect(contender, layout, arena)?;
        let mut counter = SystemCalls::of_tree(contender.server.pid())?;
        let before = counter.count()?;
        let work = consumers.run(Duration::from_millis(100))?;
        contender.system_calls = Some((counter.count()? - before) as f64 / work.requests as f64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::super::layout::RECORD_LEN;
    use super::super::mock;
    use super::*;
    use crate::load::trial::OtherWork;
    use crate::peer;
    use crate::pin::Place;
    use crate::root::Ground;

    #[test]
    fn names_are_a_size_and_a_number() {
        let parsed = Fetch::parse("fetch-4k-16").map(|fetch| (fetch.max_bytes, fetch.consumers));
        assert_eq!(parsed, Some((4096, 16)));
        for name in ["fetch-4k", "fetch-4k-0", "fetch-2k-1", "4k-1", "fetch-1m-99999"] {
            assert_eq!(Fetch::parse(name), None, "{name}");
        }
    }

    #[test]
    fn java_sends_the_same_records_by_each_of_its_methods() {
        let Ok(ground) = Ground::prepare(None) else {
            eprintln!("skipped: no real file system for temporary files here");
            return;
        };
        let interrupt = Interrupt::default();
        let layout = Layout::prepare_with(&ground, 3, 3_000_000, &interrupt).unwrap();
        let mut agreed = [Agreed::default(), Agreed::default()];
        for peer in peer::of_segments() {
            let server = match peer.start(&ground, Place::on_its_core(), &interrupt) {
                Ok(server) => server,
                Err(why) => {
                    eprintln!("skipped: {why:#}");
                    return;
                }
            };
            for (agreed, max_bytes) in agreed.iter_mut().zip([4 << 10, 1 << 20]) {
                agreed.with(server.address, max_bytes, &layout).unwrap();
                let mut consumers =
                    Consumers::connect(server.address, 5, max_bytes, &layout, &interrupt).unwrap();
                let work = consumers.run(Duration::from_millis(100)).unwrap();
                assert!(
                    work.requests >= 5 && work.body_bytes.is_multiple_of(RECORD_LEN),
                    "{work:?}"
                );
            }
        }
        let [small, large] = agreed.map(|agreed| agreed.mean());
        assert!(small > 3000.0 && small <= 4160.0, "{small}: four records, fewer at an end");
        assert!(large > 100_000.0 && large <= 1_048_576.0, "{large}");
    }

    #[test]
    fn who_sends_other_records_does_other_work() {
        let Ok(ground) = Ground::prepare(None) else {
            eprintln!("skipped: no real file system for temporary files here");
            return;
        };
        let layout = Layout::prepare_with(&ground, 1, 3_000_000, &Interrupt::default()).unwrap();
        let file = std::fs::read(&layout.segments[0].path).unwrap();
        let payload = |record: &[u8]| record[16..].to_vec();
        let records: Vec<Vec<u8>> = file.chunks(1040).map(payload).collect();
        let mut agreed = Agreed::default();
        let right = mock::serve(records.clone().into_iter());
        agreed.with(right, 4160, &layout).unwrap();
        agreed.with(right, 4160, &layout).unwrap();
        let why = agreed.with(right, 5200, &layout).unwrap_err();
        assert!(why.downcast_ref::<OtherWork>().is_some(), "{why:#}");
        let mut wrong = records;
        wrong[1][5] ^= 1;
        let why = agreed.with(mock::serve(wrong.into_iter()), 4160, &layout).unwrap_err();
        assert!(format!("{why:#}").contains("not those of the file"), "{why:#}");
    }
}
