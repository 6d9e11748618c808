//! A run: prepares the ground, takes the cases one after another, and gathers what they report.

use std::time::SystemTime;

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::cli::Plan;
use crate::environment::Environment;
use crate::interrupt::Interrupt;
use crate::peer::{Peer, Running};
use crate::pin::Cores;
use crate::report::{Run, ServerRecord, table};
use crate::root::Ground;
use crate::{limits, namespace};

/// What a case finds when it runs.
pub(crate) struct Arena<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) ground: Ground,
    pub(crate) cores: Cores,
    pub(crate) interrupt: &'a Interrupt,
}

impl Arena<'_> {
    /// The subject first.
    pub(crate) fn peers(&self) -> &[Box<dyn Peer>] {
        &self.plan.peers
    }

    /// A fresh server, stopped when dropped.
    pub(crate) fn start(&self, peer: &dyn Peer) -> Result<Running> {
        peer.start(&self.ground, self.cores, self.interrupt)
            .with_context(|| format!("starting {}", peer.name()))
    }
}

pub(crate) fn run(plan: &Plan, interrupt: &Interrupt) -> Result<Run> {
    let started = now();
    limits::raise_open_files();
    let cores = Cores::claim()?;
    let mut servers: Vec<ServerRecord> = Vec::new();
    for peer in &plan.peers {
        let (name, version) = (peer.name().to_owned(), peer.version()?);
        servers.push(ServerRecord {
            name,
            version,
            command: Vec::new(),
            configuration: peer.configuration(),
        });
    }
    let arena = Arena { plan, ground: Ground::prepare(plan.scratch.as_deref())?, cores, interrupt };
    let environment = Environment::now(&plan.network, cores, &arena.ground.root());
    for (peer, server) in plan.peers.iter().zip(&mut servers) {
        server.command.clone_from(&arena.start(peer.as_ref())?.command); // also shows at once whether it starts at all
    }

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
        schema: 1,
        command: namespace::typed_command(),
        started,
        finished: now(),
        publishable: reservations.is_empty(),
        not_publishable_because: reservations,
        rounds: plan.rounds,
        seconds: plan.seconds.as_secs_f64(),
        environment,
        servers,
        cases,
    })
}

/// Seconds are fine enough for a name.
fn now() -> String {
    let now = Timestamp::try_from(SystemTime::now())
        .expect("the clock is between the years -9999 and 9999");
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
