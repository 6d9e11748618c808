//! A peer's own directory, its port, and its configuration there, filled in from the committed template.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Running, free_port};
use crate::interrupt::Interrupt;
use crate::root::Ground;

/// What a server needs that cannot choose a port itself.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) state: PathBuf,
    pub(super) port: u16,
    /// The file to be given to the server.
    pub(super) configuration: PathBuf,
}

impl Site {
    /// Writes `template`, filled in, as `file_name` into a new directory for `peer`.
    pub(super) fn prepare(
        ground: &Ground,
        peer: &str,
        file_name: &str,
        template: &str,
    ) -> Result<Site> {
        let state = ground.state(peer)?;
        let port = free_port()?;
        let configuration = state.join(file_name);
        fs::write(&configuration, fill(template, &state, &ground.root(), port))
            .with_context(|| format!("writing {}", configuration.display()))?;
        Ok(Site { state, port, configuration })
    }

    /// Starts `command` and returns when something listens on the port.
    pub(super) fn run(&self, command: Command, interrupt: &Interrupt) -> Result<Running> {
        let output = self.state.join("output.log");
        let (child, command) = Running::spawn(command, &output)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        Running::when_ready(child, command, &output, interrupt, || Some(address))
    }
}

/// Puts the three things only the harness knows into a template.
pub(super) fn fill(template: &str, state: &Path, root: &Path, port: u16) -> String {
    template
        .replace("@STATE@", &state.to_string_lossy())
        .replace("@ROOT@", &root.to_string_lossy())
        .replace("@PORT@", &port.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What is left to say when the comments, which may name the placeholders, are gone.
    pub(crate) fn directives(template: &str) -> Vec<&str> {
        template
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect()
    }

    /// Fails if a placeholder survives, or if one of `lines` is not said.
    pub(crate) fn promises(template: &str, lines: &[&str]) {
        let filled = fill(template, Path::new("/s"), Path::new("/r"), 81);
        let left: Vec<&str> =
            directives(&filled).into_iter().filter(|line| line.contains('@')).collect();
        assert!(left.is_empty(), "{left:?}");
        let said = directives(template);
        for line in lines {
            assert!(said.iter().any(|said| said.starts_with(line)), "{line} is not in {said:#?}");
        }
    }

    #[test]
    fn all_three_are_filled_in() {
        let filled = fill("a @STATE@/x @ROOT@ @PORT@ @ROOT@", Path::new("/s"), Path::new("/r"), 81);
        assert_eq!(filled, "a /s/x /r 81 /r");
    }

    #[test]
    #[should_panic(expected = "@OTHER@")]
    fn a_forgotten_placeholder_is_noticed() {
        promises("# @FINE@ in a comment\nroot @OTHER@", &[]);
    }

    #[test]
    #[should_panic(expected = "is not in")]
    fn a_missing_line_is_noticed() {
        promises("# sendfile on", &["sendfile on"]);
    }
}
