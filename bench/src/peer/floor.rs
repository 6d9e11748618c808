//! The floor as a peer: this binary again, doing nothing but the system calls of an answer.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Configuration, Peer, Running, sendrail::address_in};
use crate::interrupt::Interrupt;
use crate::pin::Place;
use crate::root::Ground;

#[derive(Debug)]
pub(crate) struct Floor;

impl Peer for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn version(&self) -> Result<String> {
        Ok("bench/src/floor.rs".to_owned())
    }

    fn configuration(&self) -> Option<Configuration> {
        None
    }

    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running> {
        let log = ground.state(self.name())?.join("output.log");
        let binary = std::env::current_exe().context("finding this binary")?;
        let mut command = place.server_command(&binary);
        command.arg("--serve-floor").arg(ground.root());
        let (child, command) = Running::spawn(command, &log)?;
        let address = |log: &Path| address_in(&fs::read_to_string(log).ok()?);
        Running::when_ready(child, command, &log, interrupt, || address(&log))
    }
}
