//! The arena: Sendrail beside other file servers on the same work in one run.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "banned for serving; here /proc is read, whole")]

mod arena;
mod case;
mod cgroup;
mod cli;
mod cpu;
mod disk;
mod environment;
mod exchange;
mod floor;
mod interrupt;
mod java;
mod limits;
mod load;
mod memory;
mod namespace;
mod peer;
mod pin;
mod process;
mod report;
mod residency;
mod root;
mod sample;
mod slow_disk;
mod spread;
mod system_calls;
mod wakeups;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::cli::{Arguments, Plan};
use crate::interrupt::Interrupt;

fn main() -> ExitCode {
    let interrupt = match Interrupt::catch() {
        Ok(interrupt) => interrupt,
        Err(error) => return fail(&error),
    };
    measure(&interrupt).unwrap_or_else(|error| {
        if !interrupt.raised() {
            return fail(&error);
        }
        eprintln!("interrupted: servers stopped, temporary files removed, nothing written");
        ExitCode::from(130) // 128 + SIGINT, as a shell reports it
    })
}

fn measure(interrupt: &Interrupt) -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.list {
        case::print_names();
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(root) = &arguments.serve_floor {
        return floor::serve(root).map(|()| ExitCode::SUCCESS);
    }
    let plan = Plan::try_from(arguments)?;
    let run = match plan.exchange {
        Some(_) => exchange::run(&plan, interrupt)?,
        None => arena::run(&plan, interrupt)?,
    };
    report::publish(&run, &plan.out(&run))?;
    Ok(if plan.check && run.missed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("sendrail-bench: {error:#}");
    ExitCode::FAILURE
}
