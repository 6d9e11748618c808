//! `--exchange`: what `sendrail send` costs the machine that sends, beside nc, socat, pv and Java, with one receiver for all.

mod sender;
mod sink;

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::time::{ClockId, clock_gettime};
use sendrail_sys::child;
use serde::Serialize;

use self::sender::Sender;
use self::sink::Sink;
use crate::arena::now;
use crate::cli::Plan;
use crate::cpu::Machine;
use crate::environment::Environment;
use crate::interrupt::Interrupt;
use crate::pin::{Cores, Place};
use crate::report::{
    Against, Bound, CaseReport, Chapter, Figure, LeftOut, Measure, Role, Run, ServerRecord, table,
};
use crate::root::{Document, Ground};
use crate::sample::Taken;
use crate::{java, limits, namespace, residency};

const GIB: f64 = (1_u64 << 30) as f64;
/// Share of a core, above which others disturb.
const OTHERS: f64 = 0.05;

/// What is sent.
#[derive(Debug)]
pub(crate) struct Work {
    name: &'static str,
    about: &'static str,
    len: u64,
    is_cold: bool,
    bounds: &'static [(&'static str, f64)],
}

/// What the subject must reach, as a share of each.
const BOUNDS: &[(&str, f64)] = &[
    ("nc-openbsd", 0.5),
    ("nc-traditional", 0.5),
    ("socat", 0.5),
    ("socat-256k", 0.5),
    ("socat-1m", 0.5),
    ("java", 0.95),
    ("java-lean", 0.95),
];

static WORKS: [Work; 4] = [
    Work {
        name: "send-nothing",
        about: "an empty file: what starting and connecting costs",
        len: 0,
        is_cold: false,
        bounds: &[],
    },
    Work {
        name: "send-1g",
        about: "1 GiB from the page cache, starting and ending included",
        len: 1 << 30,
        is_cold: false,
        bounds: BOUNDS,
    },
    Work {
        name: "send-4g",
        about: "4 GiB from the page cache: starting weighs a quarter of what it does in send-1g",
        len: 4 << 30,
        is_cold: false,
        bounds: BOUNDS,
    },
    Work {
        name: "send-cold-4g",
        about: "4 GiB that are not in the page cache, so that the disk is in it",
        len: 4 << 30,
        is_cold: true,
        bounds: BOUNDS,
    },
];

/// Those of these names; all of them if none is named.
pub(crate) fn works(names: &[String]) -> Result<Vec<&'static Work>> {
    if names.is_empty() {
        return Ok(WORKS.iter().collect());
    }
    let by_name = |name: &String| {
        let found = WORKS.iter().find(|work| work.name == name);
        found.with_context(|| {
            let known: Vec<&str> = WORKS.iter().map(|work| work.name).collect();
            format!("no case {name:?} of the exchange; there are {}", known.join(", "))
        })
    };
    names.iter().map(by_name).collect()
}

/// One sender, once.
#[derive(Debug, Serialize)]
struct Sample {
    sender: String,
    bytes: u64,
    /// User and system time of the process and of those it started, from exec to exit (wait4(2)).
    cpu_seconds: f64,
    user_seconds: f64,
    system_seconds: f64,
    /// From the start of the process to its end.
    wall_seconds: f64,
    voluntary_switches: u64,
    /// Used by neither the sender nor the receiver.
    others_cpu_seconds: f64,
    /// Taken by the hypervisor, all cores together.
    stolen_seconds: f64,
}

const FIGURES: [Taken<Sample>; 4] = [
    (Measure::less("cpu_per_gib", "CPU of the sender per GiB", "ms", 1), |sample| {
        (sample.bytes > 0).then(|| sample.cpu_seconds * 1e3 * GIB / sample.bytes as f64)
    }),
    (Measure::less("cpu", "CPU of the sender", "ms", 1), |sample| Some(sample.cpu_seconds * 1e3)),
    (Measure::less("wall", "time", "ms", 0), |sample| Some(sample.wall_seconds * 1e3)),
    (Measure::less("switches", "voluntary context switches", "", 0), |sample| {
        Some(sample.voluntary_switches as f64)
    }),
];

pub(crate) fn run(plan: &Plan, interrupt: &Interrupt) -> Result<Run> {
    let started = now();
    limits::raise_open_files();
    let cores = Cores::claim()?;
    let ground = Ground::prepare(plan.scratch.as_deref())?;
    let environment = Environment::now(&plan.network, cores, &ground.root());
    let (binary, works) = plan.exchange.as_ref().context("a run of the exchange")?;
    let classes = ground.state("java")?;
    let java =
        java::compile("TransferTo", sender::JAVA, &classes).map_err(|error| format!("{error:#}"));

    let (mut senders, mut servers, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    for sender in sender::all(binary, &classes) {
        let usable = java.as_ref().copied().map_err(|why| anyhow!("{why}"));
        let usable = if sender.is_java() { usable } else { Ok(()) };
        match usable.and_then(|()| sender.find()) {
            Ok(found) => {
                servers.push(ServerRecord {
                    name: sender.name.to_owned(),
                    role: sender.role,
                    version: found.version,
                    command: found.command,
                    configuration: None,
                });
                senders.push(sender);
            }
            Err(error) if sender.role == Role::Subject => return Err(error),
            Err(error) => {
                let (server, why) = (sender.name.to_owned(), format!("{error:#}"));
                eprintln!("{server} is left out: {why}");
                left_out.push(LeftOut { server, why });
            }
        }
    }
    let field = Field { senders, cores, interrupt, rounds: plan.rounds };
    let mut cases = Vec::new();
    for work in works {
        eprintln!("{}: {}", work.name, work.about);
        let document = ground.random(&format!("{}.bin", work.len), work.len)?;
        let report = field.measure(work, &document)?;
        eprintln!("{}", table::of_case(&servers, &report));
        cases.push(report);
    }
    let mut reservations = plan.reservations();
    reservations.extend(cores.reservation());
    Ok(Run {
        schema: 3,
        command: namespace::typed_command(),
        started,
        finished: now(),
        publishable: reservations.is_empty(),
        not_publishable_because: reservations,
        rounds: plan.rounds,
        seconds: plan.seconds.as_secs_f64(),
        environment,
        servers,
        left_out,
        cases,
    })
}

/// Who sends, and where.
struct Field<'a> {
    senders: Vec<Sender>,
    cores: Cores,
    interrupt: &'a Interrupt,
    rounds: u32,
}

impl Field<'_> {
    fn measure(&self, work: &Work, document: &Rc<Document>) -> Result<CaseReport> {
        let mut left_out = Vec::new();
        // Once unmeasured: who fails is not asked again.
        for sender in &self.senders {
            if let Err(error) = self.send(sender, work, document) {
                if sender.role == Role::Subject || self.interrupt.raised() {
                    return Err(error).context(sender.name);
                }
                left_out
                    .push(LeftOut { server: sender.name.to_owned(), why: format!("{error:#}") });
            }
        }
        let takes_part =
            |sender: &&Sender| left_out.iter().all(|left: &LeftOut| left.server != sender.name);
        let mut order: Vec<&Sender> = self.senders.iter().filter(takes_part).collect();
        let mut samples = Vec::new();
        for round in 1..=self.rounds {
            for sender in &order {
                let sample = self.send(sender, work, document).context(sender.name)?;
                let (name, cpu) = (sender.name, sample.cpu_seconds * 1e3);
                eprintln!("    round {round}/{}  {name:18} {cpu:8.1} ms", self.rounds);
                samples.push(sample);
            }
            order.reverse();
        }
        let figures = self.figures(work, &samples);
        let raw = serde_json::to_value(&samples).context("writing the samples as JSON")?;
        Ok(CaseReport {
            name: work.name.to_owned(),
            about: work.about.to_owned(),
            chapter: Chapter::Exchange,
            point: None,
            figures,
            left_out,
            warnings: warnings(&samples),
            raw,
        })
    }

    /// One sender, once: the file is where it should be, and all of it comes.
    fn send(&self, sender: &Sender, work: &Work, document: &Rc<Document>) -> Result<Sample> {
        self.interrupt.check()?;
        if work.is_cold {
            residency::evict(std::slice::from_ref(document), self.interrupt)?;
        }
        let sink = Sink::listen(sender.speaks).context("listening")?;
        let place = Place { cores: self.cores, groups: &[] };
        let mut command = sender.command(place, sink.port, &document.path)?;
        let (machine, own, begun) = (Machine::now()?, own_cpu(), Instant::now());
        let child = command.spawn().context("starting it")?;
        let ended = child::wait(child).context("waiting for it")?;
        let wall = begun.elapsed();
        if !ended.status.success() {
            sink.give_up();
            bail!("it failed: {}", ended.status);
        }
        let bytes = sink.end().context("receiving")?;
        let after = Machine::now()?;
        if bytes != document.len {
            bail!("{bytes} of {} bytes came", document.len);
        }
        let cpu = ended.user + ended.system;
        let ours = cpu + own_cpu().saturating_sub(own);
        let others = after.busy.saturating_sub(machine.busy).saturating_sub(ours);
        Ok(Sample {
            sender: sender.name.to_owned(),
            bytes,
            cpu_seconds: cpu.as_secs_f64(),
            user_seconds: ended.user.as_secs_f64(),
            system_seconds: ended.system.as_secs_f64(),
            wall_seconds: wall.as_secs_f64(),
            voluntary_switches: ended.voluntary_switches,
            others_cpu_seconds: others.as_secs_f64(),
            stolen_seconds: after.stolen.saturating_sub(machine.stolen).as_secs_f64(),
        })
    }

    fn figures(&self, work: &Work, samples: &[Sample]) -> Vec<Figure> {
        let servers: Vec<(&str, Role)> =
            self.senders.iter().map(|sender| (sender.name, sender.role)).collect();
        let figures = FIGURES.iter().map(|(measure, of)| {
            let rounds = servers.iter().map(|(name, _)| {
                let own = samples.iter().filter(|sample| sample.sender == *name);
                own.filter_map(of).collect()
            });
            let bounds = work.bounds.iter().filter(|_| measure.key == FIGURES[0].0.key);
            let bounds: Vec<Bound> =
                bounds.map(|(name, most)| Bound::at_most(Against::Server(name), *most)).collect();
            Figure::of(*measure, &servers, rounds.collect(), &bounds)
        });
        figures.filter(|figure| figure.rounds.iter().any(|rounds| !rounds.is_empty())).collect()
    }
}

/// Of this process without its children: the receiver.
fn own_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("CPU time is never negative")
}

fn warnings(samples: &[Sample]) -> Vec<String> {
    let mut warnings = Vec::new();
    // Of the whole case: a single run may be shorter than the ticks that others are counted in.
    let sum = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>();
    let wall = sum(|sample| sample.wall_seconds);
    let others = sum(|sample| sample.others_cpu_seconds) / wall;
    if others > OTHERS {
        warnings.push(format!("other programs used {:.0} % of a core", others * 100.0));
    }
    let stolen = sum(|sample| sample.stolen_seconds) / wall;
    if stolen > OTHERS {
        warnings.push(format!("the hypervisor took {:.0} % of a core away", stolen * 100.0));
    }
    warnings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn cases_are_taken_by_name() {
        assert_eq!(works(&[]).unwrap().len(), WORKS.len());
        let some = works(&["send-4g".into(), "send-1g".into()]).unwrap();
        assert_eq!(some.iter().map(|work| work.len >> 30).collect::<Vec<_>>(), [4, 1]);
        assert!(works(&["1k-64".into()]).unwrap_err().to_string().contains("send-cold-4g"));
    }

    #[test]
    fn what_comes_is_counted_and_so_is_what_it_cost() {
        let (Ok(ground), Ok(cores)) = (Ground::prepare(None), Cores::claim()) else {
            eprintln!("skipped: no real file system for temporary files here, or no core");
            return;
        };
        let interrupt = Interrupt::default();
        let senders = sender::all(std::path::Path::new("/nowhere"), &ground.root());
        let field = Field { senders, cores, interrupt: &interrupt, rounds: 1 };
        let document = ground.random("file", 3_000_001).unwrap();
        let socat = field.senders.iter().find(|sender| sender.name == "socat").unwrap();
        if socat.find().is_err() {
            eprintln!("skipped: socat is not installed");
            return;
        }
        let sample = field.send(socat, &WORKS[1], &document).unwrap();
        assert!(sample.bytes == 3_000_001 && sample.cpu_seconds > 0.0, "{sample:?}");
        let none = field.senders.first().unwrap();
        let error = field.send(none, &WORKS[1], &document).unwrap_err();
        assert!(error.to_string().contains("it failed"), "{error}");
    }
}
