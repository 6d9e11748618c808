//! A workload at saturation: all servers take turns in every round, each as fast as it can.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::contest::{Contender, Contest};
use super::{Case, Work, figures};
use crate::arena::Arena;
use crate::load::Load;
use crate::memory::{Memory, Watch};
use crate::report::{CaseReport, warnings};
use crate::sample::{Reading, Sample};

/// After connections were abandoned with much under way, what is left of that must not run into the next server's turn.
const SETTLE: Duration = Duration::from_millis(50);

pub(super) struct Saturation(pub(super) Box<dyn Work>);

/// All servers, in the order of their turns.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) samples: Vec<Sample>,
}

#[derive(Serialize)]
struct Raw<'a> {
    rounds: &'a [Round],
    system_calls_per_request: &'a [(String, f64)],
}

impl Case for Saturation {
    fn name(&self) -> String {
        self.0.name()
    }

    fn about(&self) -> String {
        self.0.about()
    }

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport> {
        let work = self.0.as_ref();
        let mut contest = Contest::prepare(arena, work)?;
        contest.each(arena, |contender| count_system_calls(arena, work, contender))?;
        let mut rounds = Vec::new();
        for number in 1..=arena.plan.rounds {
            let mut samples = Vec::new();
            contest.each(arena, |contender| {
                let sample = measure(arena, work, contender)?;
                arena.show_sample(number, &sample);
                samples.push(sample);
                Ok(())
            })?;
            rounds.push(Round { samples });
            contest.turn_around();
        }
        let left_out = contest.left_out();
        for round in &mut rounds {
            round.samples.retain(|sample| left_out.iter().all(|left| left.server != sample.server));
        }
        let calls = contest.system_calls();
        let raw = Raw { rounds: &rounds, system_calls_per_request: &calls };
        let raw = serde_json::to_value(&raw).context("writing the rounds as JSON")?;
        let figures = figures::of_rounds(arena, work, &rounds, &calls);
        let mut warnings = warnings::of_rounds(&rounds);
        warnings.extend(warnings::of_spread(&figures[0]));
        Ok(CaseReport {
            name: self.name(),
            about: self.about(),
            chapter: work.chapter(),
            point: work.point(),
            figures,
            left_out,
            warnings,
            raw,
        })
    }
}

/// One turn of one server.
pub(super) fn measure(
    arena: &Arena<'_>,
    work: &dyn Work,
    contender: &Contender<'_>,
) -> Result<Sample> {
    let length = arena.plan.seconds.mul_f64(work.weight());
    let warm = length.min(Duration::from_secs(1)) / 4; // socket buffers grow, caches warm
    let (server, workload) = (&contender.server, &contender.workload);
    let connections = work.connections();
    let name = &contender.name;
    if work.abandons() {
        let load = Load::open_silent(server.address, workload, connections, arena.interrupt)?;
        let watch = Watch::over(server.pid())?;
        let mut memory = Memory::default();
        let (done, before, after) = load.window(warm, length, || {
            memory = Memory::of_tree(server.pid())?;
            Reading::of(server)
        })?;
        arena.interrupt.sleep(SETTLE)?;
        let requests = done.body_bytes as f64 / workload.exchanges[0].payload() as f64;
        let peak = watch.peak_pss();
        return Ok(Sample::of(name, requests, &done, (before, after), memory, peak));
    }
    let mut load = Load::open(server.address, workload, connections, arena.interrupt)?;
    if arena.plan.spin {
        load.spin();
    }
    load.run(warm)?;
    let watch = Watch::over(server.pid())?;
    let before = Reading::of(server)?;
    let done = load.run(length)?;
    let after = Reading::of(server)?;
    let memory = Memory::of_tree(server.pid())?;
    let peak = watch.peak_pss();
    Ok(Sample::of(name, done.requests as f64, &done, (before, after), memory, peak))
}

/// In a stretch of its own, for counting is not free.
fn count_system_calls(
    arena: &Arena<'_>,
    work: &dyn Work,
    contender: &mut Contender<'_>,
) -> Result<()> {
    if !arena.counts_system_calls || work.abandons() {
        return Ok(());
    }
    let server = &contender.server;
    let connections = work.connections();
    let mut load = Load::open(server.address, &contender.workload, connections, arena.interrupt)?;
    let mut counter = crate::system_calls::SystemCalls::of_tree(server.pid())?;
    let before = counter.count()?;
    let done = load.run(Duration::from_millis(100))?;
    let made = counter.count()? - before;
    contender.system_calls = Some(made as f64 / done.requests as f64);
    Ok(())
}
