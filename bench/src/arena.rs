//! A run: prepares the ground, takes the cases one after another, and gathers what they report.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::cli::Plan;
use crate::environment::Environment;
use crate::interrupt::Interrupt;
use crate::peer::{Peer, Running};
use crate::pin::{Cores, Place};
use crate::report::{LeftOut, Role, Run, ServerRecord, table};
use crate::root::Ground;
use crate::sample::Sample;
use crate::system_calls::SystemCalls;
use crate::{limits, namespace};

/// A server of this run.
pub(crate) struct Entrant {
    pub(crate) role: Role,
    pub(crate) peer: Box<dyn Peer>,
}

impl Entrant {
    pub(crate) fn name(&self) -> &str {
        self.peer.name()
    }
}

/// What a case finds when it runs.
pub(crate) struct Arena<'a> {
    pub(crate) plan: &'a Plan,
    /// Those that are installed and start; the subject first.
    entrants: Vec<&'a Entrant>,
    pub(crate) ground: Ground,
    cores: Cores,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) counts_system_calls: bool,
}

impl<'a> Arena<'a> {
    /// The subject first.
    pub(crate) fn entrants(&self) -> &[&'a Entrant] {
        &self.entrants
    }

    /// The same, as figures want them.
    pub(crate) fn servers(&self) -> Vec<(&str, Role)> {
        self.entrants.iter().map(|entrant| (entrant.name(), entrant.role)).collect()
    }

    /// A fresh server, stopped when dropped.
    pub(crate) fn start(&self, entrant: &Entrant) -> Result<Running> {
        self.start_in(entrant, &[])
    }

    /// The same in these control groups.
    pub(crate) fn start_in(&self, entrant: &Entrant, groups: &[PathBuf]) -> Result<Running> {
        let peer = entrant.peer.as_ref();
        let place = Place { cores: self.cores, groups };
        peer.start(&self.ground, place, self.interrupt)
            .with_context(|| format!("starting {}", peer.name()))
    }

    /// Progress, for whoever watches.
    pub(crate) fn show_sample(&self, round: u32, sample: &Sample) {
        let per_request = sample.server_cpu_seconds * 1e6 / sample.requests;
        let (name, rate) = (&sample.server, sample.requests / sample.wall_seconds);
        let p99 = sample.latency.p99.map_or(String::new(), |p99| format!(" p99 {p99:.0} µs"));
        let rounds = self.plan.rounds;
        eprintln!(
            "    round {round}/{rounds}  {name:18} {per_request:10.2} µs/request {rate:9.0} requests/s{p99}"
        );
    }

    /// Starts everybody once, which shows at once who is not there or does not start.
    fn enlist(&mut self) -> Result<(Vec<ServerRecord>, Vec<LeftOut>)> {
        let (mut servers, mut left_out) = (Vec::new(), Vec::new());
        for entrant in &self.plan.entrants {
            self.interrupt.check()?;
            let record = entrant.peer.version().and_then(|version| {
                let command = self.start(entrant)?.command.clone();
                let configuration = entrant.peer.configuration();
                let name = entrant.name().to_owned();
                Ok(ServerRecord { name, role: entrant.role, version, command, configuration })
            });
            match record {
                Ok(record) => {
                    servers.push(record);
                    self.entrants.push(entrant);
                }
                Err(error) if entrant.role == Role::Subject => return Err(error),
                Err(error) => {
                    let (server, why) = (entrant.name().to_owned(), format!("{error:#}"));
                    eprintln!("{server} is left out: {why}");
                    left_out.push(LeftOut { server, why });
                }
            }
        }
        Ok((servers, left_out))
    }
}

pub(crate) fn run(plan: &Plan, interrupt: &Interrupt) -> Result<Run> {
    let started = now();
    limits::raise_open_files();
    let cores = Cores::claim()?;
    let uncounted = SystemCalls::unavailable();
    if let Some(why) = &uncounted {
        eprintln!("system calls are not counted: {why}");
    }
    let ground = Ground::prepare(plan.scratch.as_deref())?;
    let counts_system_calls = uncounted.is_none();
    let entrants = Vec::new();
    let mut arena = Arena { plan, entrants, ground, cores, interrupt, counts_system_calls };
    let environment = Environment::now(&plan.network, cores, &arena.ground.root());
    let (servers, left_out) = arena.enlist()?;

    let mut cases = Vec::new();
    for (number, case) in plan.cases.iter().enumerate() {
        interrupt.check()?;
        eprintln!("[{}/{}] {}: {}", number + 1, plan.cases.len(), case.name(), case.about());
        let report = case.run(&arena).with_context(|| format!("case {}", case.name()))?;
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

/// Seconds are fine enough for a name.
pub(crate) fn now() -> String {
    let now = Timestamp::try_from(SystemTime::now())
        .expect("the clock is between the years -9999 and 9999");
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
