//! `latency-CASE`: how long requests wait when they come at a fixed rate that leaves the server time to spare: half of
//! what nginx can do at most with the same work. The rate is the same for all; who cannot keep up shows it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::contest::{Contender, Contest};
use super::saturation::{self, Round};
use super::{Case, Work, figures};
use crate::arena::Arena;
use crate::load::Load;
use crate::load::workload::Workload;
use crate::memory::{Memory, Watch};
use crate::report::{Against, Bound, CaseReport, Chapter, Point, warnings};
use crate::root::{Document, Ground};
use crate::sample::{LATENCY_P99, LATENCY_P99_OF_WINDOWS, Reading, Sample};

/// Of the yardstick's rate at saturation.
const SHARE: f64 = 0.5;
const YARDSTICK: &str = "nginx";
/// Saturation is tried so often; the median counts.
const TRIES: usize = 3;
const LENGTH: f64 = 1.5;

pub(super) struct Latency(pub(super) Box<dyn Work>);

#[derive(Serialize)]
struct Raw<'a> {
    offered_per_second: f64,
    rounds: &'a [Round],
    queues: &'a [Queue],
}

/// How far a server fell behind in one round.
#[derive(Serialize)]
struct Queue {
    server: String,
    due: u64,
    given_up: u64,
    /// The most requests that were due and had no connection free.
    longest: usize,
}

impl Case for Latency {
    fn name(&self) -> String {
        format!("latency-{}", self.0.name().trim_end_matches("-64"))
    }

    fn about(&self) -> String {
        format!("{}, at half the rate {YARDSTICK} has at saturation", self.0.about())
    }

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport> {
        if self.0.abandons() {
            bail!("answers of {} are too long for a fixed rate", self.0.name());
        }
        let at_rate = AtRate(self.0.as_ref());
        let mut contest = Contest::prepare(arena, &at_rate)?;
        let yardstick = contest.find(YARDSTICK).context("no server is left")?;
        let rate = SHARE * saturated(arena, self.0.as_ref(), yardstick)?;
        eprintln!("    {rate:.0} requests a second");
        let (mut rounds, mut queues) = (Vec::new(), Vec::new());
        for number in 1..=arena.plan.rounds {
            let mut samples = Vec::new();
            contest.each(arena, |contender| {
                let (sample, queue) = measure(arena, self.0.as_ref(), contender, rate)?;
                arena.show_sample(number, &sample);
                samples.push(sample);
                queues.push(queue);
                Ok(())
            })?;
            rounds.push(Round { samples });
            contest.turn_around();
        }
        let left_out = contest.left_out();
        for round in &mut rounds {
            round.samples.retain(|sample| left_out.iter().all(|left| left.server != sample.server));
        }
        let figures = figures::of_rounds(arena, &at_rate, &rounds, &[]);
        let mut warnings = warnings::of_quiet(&rounds);
        warnings.extend(behind(&queues));
        let raw = Raw { offered_per_second: rate, rounds: &rounds, queues: &queues };
        Ok(CaseReport {
            name: self.name(),
            about: format!("{}: {rate:.0} requests a second", self.about()),
            chapter: Chapter::Latency,
            point: None,
            figures,
            left_out,
            warnings,
            raw: serde_json::to_value(&raw).context("writing the rounds as JSON")?,
        })
    }
}

/// Requests a second at saturation.
fn saturated(arena: &Arena<'_>, work: &dyn Work, yardstick: &Contender<'_>) -> Result<f64> {
    let mut rates = Vec::new();
    for _ in 0..TRIES {
        let sample = saturation::measure(arena, work, yardstick)?;
        rates.push(sample.requests / sample.wall_seconds);
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates[TRIES / 2])
}

fn measure(
    arena: &Arena<'_>,
    work: &dyn Work,
    contender: &Contender<'_>,
    rate: f64,
) -> Result<(Sample, Queue)> {
    let server = &contender.server;
    let length = arena.plan.seconds.mul_f64(LENGTH);
    let connections = work.connections();
    let mut load = Load::open(server.address, &contender.workload, connections, arena.interrupt)?;
    load.offer(rate, length.min(Duration::from_secs(2)) / 8)?; // caches warm
    let before = Reading::of(server)?;
    let offered = load.offer(rate, length)?;
    let after = Reading::of(server)?;
    // Afterwards: whoever looks meanwhile does so on the generator's core, which then is late.
    let watch = Watch::over(server.pid())?;
    let memory = Memory::of_tree(server.pid())?;
    let done = offered.work;
    let requests = done.requests as f64;
    let peak = watch.peak_pss();
    let name = &contender.name;
    let sample = Sample::of(name, requests, &done, (before, after), memory, peak);
    let queue = Queue {
        server: name.clone(),
        due: offered.due,
        given_up: offered.given_up,
        longest: offered.longest_queue,
    };
    Ok((sample, queue))
}

fn behind(queues: &[Queue]) -> Vec<String> {
    let mut names: Vec<&str> = queues
        .iter()
        .filter(|queue| queue.longest as u64 > queue.due / 10)
        .map(|queue| queue.server.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let many = if names.len() == 1 { "has" } else { "have" };
    if names.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "{} could not keep up with this rate and {many} no latency to speak of",
        names.join(" and ")
    )]
}

/// The same work, judged by its latency.
struct AtRate<'a>(&'a dyn Work);

impl Work for AtRate<'_> {
    fn name(&self) -> String {
        self.0.name()
    }

    fn about(&self) -> String {
        self.0.about()
    }

    fn chapter(&self) -> Chapter {
        Chapter::Latency
    }

    fn point(&self) -> Option<Point> {
        None
    }

    fn lay_out(&self, ground: &Ground) -> Result<Vec<std::rc::Rc<Document>>> {
        self.0.lay_out(ground)
    }

    fn workload(
        &self,
        documents: &[std::rc::Rc<Document>],
        server: std::net::SocketAddr,
    ) -> Result<Workload> {
        self.0.workload(documents, server)
    }

    fn lead(&self) -> &'static str {
        LATENCY_P99_OF_WINDOWS
    }

    fn bounds(&self) -> Vec<(&'static str, Bound)> {
        let below_all = Bound::at_most(Against::Best, 1.0);
        vec![(LATENCY_P99_OF_WINDOWS, below_all), (LATENCY_P99, below_all)]
    }
}
