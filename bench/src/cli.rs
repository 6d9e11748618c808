//! What was typed (`Arguments`), and what will be done (`Plan`): checked, complete, ready.

mod entrants;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;

use crate::arena::Entrant;
use crate::case::{Case, Discipline};
use crate::exchange;
use crate::namespace::{self, Network};
use crate::report::Run;

/// A published figure is a median of at least this many interleaved rounds.
const PUBLISHABLE_ROUNDS: u32 = 5;
/// The same where each round of a server takes the better part of a minute, most of which is not the measurement.
const PUBLISHABLE_COLD_ROUNDS: u32 = 3;
/// The same where a round is over in a second.
const PUBLISHABLE_EXCHANGE_ROUNDS: u32 = 7;

/// The arena: measures Sendrail and its peers on the same work in one run: CPU, latency, memory, system calls.
///
/// Runs in a network namespace of its own with congestion control `reno` (needs root), one worker of each server on
/// one core and the load generator on another. Peers that are not installed are left out. Writes report.html,
/// summary.md, raw.json and rounds.csv.
#[derive(Debug, Parser)]
#[allow(clippy::struct_excessive_bools)] // each is a flag on the command line
#[command(name = "sendrail-bench", version)]
pub(crate) struct Arguments {
    /// A look in less than five minutes: fewer cases, 3 rounds of 0.4 seconds. Not publishable
    #[arg(long)]
    pub(crate) quick: bool,

    /// Interleaved rounds per case (default 5; 3 with --quick)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,

    /// Seconds each server is loaded in each round (default 1; 0.4 with --quick)
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<f64>,

    /// Only these cases, e.g. 1k-64,10k-64,idle-10000 (see --list); `cold` is all the cold ones
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) cases: Vec<String>,

    /// Measure `sendrail send` instead of servers: its CPU time beside nc, socat, pv and Java's transferTo, 7 rounds.
    /// With --cases, only those of send-nothing, send-1g, send-4g and send-cold-4g
    #[arg(long, conflicts_with_all = ["quick", "peers", "variant", "self_check", "floor"])]
    pub(crate) exchange: bool,

    /// Measure the broker of `sendrail-segment-log` instead: fetches beside a server in Java, and what consumers at the tail
    /// notice of one that lags behind
    #[arg(long, group = "discipline", conflicts_with_all = ["exchange", "variant", "self_check", "floor"])]
    pub(crate) segments: bool,

    /// The broker to measure (cargo build --release -p sendrail-segment-log --all-features --examples)
    #[arg(long, value_name = "FILE", default_value = "target/release/examples/broker")]
    pub(crate) broker_binary: PathBuf,

    /// Measure followers of files that grow (`?follow`) instead, beside the same bytes as ordinary sends
    #[arg(long, group = "discipline", conflicts_with_all = ["exchange", "variant", "self_check", "floor", "peers"])]
    pub(crate) live: bool,

    /// Measure uploads (PUT) instead, beside every peer that is installed and takes them
    #[arg(long, group = "discipline", conflicts_with_all = ["exchange", "variant", "self_check", "floor"])]
    pub(crate) uploads: bool,

    /// Print the names of the cases
    #[arg(long)]
    pub(crate) list: bool,

    /// Only these peers, e.g. nginx,h2o (default: all that are installed)
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) peers: Vec<String>,

    /// Where peers built for the comparison are installed (`just peers`); elsewhere they are looked for on the PATH
    #[arg(long, value_name = "DIRECTORY", default_value = "target/peers/bin")]
    pub(crate) built_peers: PathBuf,

    /// Measure Sendrail with other options too, e.g. 'splice=--method splice'. Not publishable
    #[arg(long, value_name = "NAME=OPTIONS")]
    pub(crate) variant: Vec<String>,

    /// The Sendrail binary to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/sendrail")]
    pub(crate) server_binary: PathBuf,

    /// Where to write the report
    /// (default bench/runs/DATE-HOST; target/bench-runs/DATE-HOST when the run is not publishable)
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) out: Option<PathBuf>,

    /// Directory, on a real file system, for the document root and the servers' state; removed afterwards
    /// (default: the system's temporary directory, or /var/tmp where that is a tmpfs)
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) scratch: Option<PathBuf>,

    /// Stay in this network namespace, whatever its congestion control. Not publishable
    #[arg(long)]
    pub(crate) here: bool,

    /// Keep the load generator from ever sleeping, so that no server pays for waking it up on loopback.
    /// Shows the servers' own work more clearly, but is not how a client behaves. Not publishable
    #[arg(long)]
    pub(crate) spin: bool,

    /// Measure nginx against nginx: the ratio should be 1.00, and its spread is this machine's noise
    #[arg(long)]
    pub(crate) self_check: bool,

    /// Measure the floor too: a loop of the same system calls that does nothing else (bench/src/floor.rs), by which
    /// a server's own cost can be told from the kernel's
    #[arg(long)]
    pub(crate) floor: bool,

    /// Be the floor: serve this directory until killed
    #[arg(long, hide = true, value_name = "DIRECTORY")]
    pub(crate) serve_floor: Option<PathBuf>,

    /// Exit with status 1 when a bound of the report is missed
    #[arg(long)]
    pub(crate) check: bool,

    /// Set by the harness when it starts itself again inside its own namespace: the namespace it came from
    #[arg(long, hide = true, value_name = "NAMESPACE")]
    pub(crate) left_namespace: Option<OsString>,
}

impl Arguments {
    fn discipline(&self) -> Discipline {
        match self {
            Arguments { segments: true, .. } => Discipline::Segments,
            Arguments { live: true, .. } => Discipline::Live,
            Arguments { uploads: true, .. } => Discipline::Uploads,
            _ => Discipline::Files,
        }
    }
}

/// A run, decided: every value checked, every default filled in.
#[allow(clippy::struct_excessive_bools)] // each was a flag on the command line
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    pub(crate) seconds: Duration,
    pub(crate) cases: Vec<Box<dyn Case>>,
    /// The subject first, then whom it is measured against.
    pub(crate) entrants: Vec<Entrant>,
    pub(crate) scratch: Option<PathBuf>,
    pub(crate) network: Network,
    pub(crate) spin: bool,
    pub(crate) self_check: bool,
    /// The binary whose `send` is measured, if it is that, and in which cases.
    pub(crate) exchange: Option<(PathBuf, Vec<&'static exchange::Work>)>,
    has_variants: bool,
    pub(crate) check: bool,
    out: Option<PathBuf>,
}

impl TryFrom<Arguments> for Plan {
    type Error = anyhow::Error;

    /// Everything a user can get wrong is refused here, before a namespace, a file or a process is made.
    fn try_from(arguments: Arguments) -> Result<Plan> {
        let (rounds, seconds) = if arguments.quick { (3, 0.4) } else { (PUBLISHABLE_ROUNDS, 1.0) };
        let seconds = arguments.seconds.unwrap_or(seconds);
        if !(0.05..=3600.0).contains(&seconds) {
            bail!("--seconds {seconds} is not between 0.05 and 3600");
        }
        let rounds = if arguments.exchange { PUBLISHABLE_EXCHANGE_ROUNDS } else { rounds };
        let discipline = arguments.discipline();
        let cases = if arguments.exchange {
            Vec::new()
        } else {
            discipline.cases(&arguments.cases, arguments.quick)?
        };
        let exchange = if arguments.exchange {
            Some((entrants::sendrail(&arguments)?, exchange::works(&arguments.cases)?))
        } else {
            None
        };
        let cold = cases.iter().any(|case| case.is_cold());
        let entrants = entrants::of(&arguments, discipline, cold)?;
        let network = if arguments.here {
            Network::here()
        } else {
            namespace::enter(arguments.left_namespace.as_deref())?
        };
        Ok(Plan {
            rounds: arguments.rounds.unwrap_or(rounds),
            seconds: Duration::from_secs_f64(seconds),
            cases,
            entrants,
            scratch: arguments.scratch,
            network,
            spin: arguments.spin,
            self_check: arguments.self_check,
            exchange,
            has_variants: !arguments.variant.is_empty(),
            check: arguments.check,
            out: arguments.out,
        })
    }
}

impl Plan {
    /// Why a run of this plan may not be published; empty when it may.
    pub(crate) fn reservations(&self) -> Vec<String> {
        let mut reservations = self.network.reservations();
        let cold = self.cases.iter().all(|case| case.is_cold());
        let least = match (&self.exchange, cold) {
            (Some(_), _) => PUBLISHABLE_EXCHANGE_ROUNDS,
            (None, true) => PUBLISHABLE_COLD_ROUNDS,
            (None, false) => PUBLISHABLE_ROUNDS,
        };
        if self.rounds < least {
            reservations.push(format!("{} rounds instead of {least}", self.rounds));
        }
        if self.seconds < Duration::from_secs(1) {
            reservations.push(format!(
                "{:.2} s per round and server instead of 1 or more",
                self.seconds.as_secs_f64()
            ));
        }
        if self.spin {
            reservations.push("a load generator that never sleeps (--spin)".into());
        }
        if self.self_check {
            reservations.push("a self-check measures no product".into());
        }
        if self.has_variants {
            reservations.push("variants of the subject are no peers (--variant)".into());
        }
        if cfg!(debug_assertions) {
            reservations.push("the harness was built without optimisation".into());
        }
        reservations
    }

    /// Where the report goes.
    pub(crate) fn out(&self, run: &Run) -> PathBuf {
        self.out.clone().unwrap_or_else(|| {
            let parent = if run.publishable { "bench/runs" } else { "target/bench-runs" };
            PathBuf::from(parent).join(run.name())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use clap::CommandFactory;

    use super::*;

    fn plan(line: &[&str]) -> Result<Plan> {
        let words = ["sendrail-bench", "--here", "--self-check"].iter().chain(line);
        Plan::try_from(Arguments::try_parse_from(words)?)
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn quick_is_shorter_and_explicit_values_win() {
        let full = plan(&[]).unwrap();
        assert_eq!((full.rounds, full.seconds.as_millis()), (5, 1000));
        let quick = plan(&["--quick"]).unwrap();
        assert_eq!((quick.rounds, quick.seconds.as_millis()), (3, 400));
        assert!(quick.cases.len() < full.cases.len());
        let mixed = plan(&["--quick", "--rounds", "7"]).unwrap();
        assert_eq!((mixed.rounds, mixed.seconds.as_millis()), (7, 400));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for line in [
            ["--cases", "1k-0"],
            ["--cases", "tea"],
            ["--seconds", "0"],
            ["--seconds", "NaN"],
            ["--rounds", "0"],
        ] {
            assert!(plan(&line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_run_outside_its_own_namespace_says_why_it_is_not_publishable() {
        let reservations = plan(&[]).unwrap().reservations();
        assert!(
            reservations.iter().any(|why| why.contains("network namespace")),
            "{reservations:?}"
        );
    }

    #[test]
    fn cold_cases_need_fewer_rounds() {
        let few = |cases: &str| {
            let reservations = plan(&["--rounds", "3", "--cases", cases]).unwrap().reservations();
            reservations.iter().any(|why| why.contains("3 rounds instead of 5"))
        };
        assert!(!few("cold-1,crawler") && few("cold-1,1k-64"));
    }

    #[test]
    fn an_unknown_peer_is_named() {
        let arguments = Arguments::try_parse_from([
            "sendrail-bench",
            "--here",
            "--server-binary",
            "/proc/self/exe",
            "--peers",
            "nginx,thttpd",
        ]);
        let error = Plan::try_from(arguments.unwrap()).err().unwrap();
        assert!(error.to_string().contains("\"thttpd\""), "{error}");
    }

    #[test]
    fn settings_for_cold_files_take_part_only_there() {
        let plan = |cases: &str, peers: &str| {
            let mut line = vec!["sendrail-bench", "--here", "--server-binary", "/proc/self/exe"];
            line.extend(["--cases", cases]);
            if !peers.is_empty() {
                line.extend(["--peers", peers]);
            }
            Plan::try_from(Arguments::try_parse_from(line)?)
        };
        let has = |plan: Plan| plan.entrants.iter().any(|entrant| entrant.name() == "nginx-aio");
        assert!(has(plan("cold-1,1k-64", "").unwrap()) && !has(plan("1k-64", "").unwrap()));
        assert!(has(plan("cold", "nginx-aio").unwrap()));
        let error = plan("1k-64", "nginx-aio").err().unwrap();
        assert!(error.to_string().contains("cold cases alone"), "{error}");
    }

    #[test]
    fn a_missing_server_is_named() {
        let arguments = Arguments::try_parse_from([
            "sendrail-bench",
            "--here",
            "--server-binary",
            "/nowhere/sendrail",
        ]);
        let error = Plan::try_from(arguments.unwrap()).err().unwrap();
        assert!(error.to_string().contains("/nowhere/sendrail"), "{error}");
    }
}
