//! nginx from packages, configured by `bench/peers/nginx.conf`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};

use super::{Configuration, Peer, Running, free_port, version_line};
use crate::interrupt::Interrupt;
use crate::pin::Cores;
use crate::root::Ground;

const TEMPLATE: &str = include_str!("../../peers/nginx.conf");

#[derive(Debug)]
pub(crate) struct Nginx {
    name: &'static str,
}

impl Nginx {
    /// Under a name of its own, so that two can be measured against each other.
    pub(crate) fn named(name: &'static str) -> Nginx {
        Nginx { name }
    }
}

impl Peer for Nginx {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> Result<String> {
        version_line(Path::new("nginx"), "-v")
    }

    fn configuration(&self) -> Option<Configuration> {
        Some(Configuration { file: "bench/peers/nginx.conf", text: TEMPLATE })
    }

    fn start(&self, ground: &Ground, cores: Cores, interrupt: &Interrupt) -> Result<Running> {
        let state = ground.state(self.name)?;
        let port = free_port()?; // nginx cannot choose one itself
        let configuration = state.join("nginx.conf");
        fs::write(&configuration, fill(TEMPLATE, &state, &ground.root(), port))
            .with_context(|| format!("writing {}", configuration.display()))?;
        let log = state.join("error.log");
        let mut command = cores.server_command("nginx");
        // -e: until it has read its configuration it would log to the system's file.
        command.arg("-c").arg(&configuration).arg("-p").arg(&state).arg("-e").arg(&log);
        let output = state.join("output.log");
        let (child, command) = Running::spawn(command, &output)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Running::when_ready(child, command, &output, interrupt, || Some(address))
    }
}

fn fill(template: &str, state: &Path, root: &Path, port: u16) -> String {
    template
        .replace("@STATE@", &state.to_string_lossy())
        .replace("@ROOT@", &root.to_string_lossy())
        .replace("@PORT@", &port.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in() {
        let filled = fill(TEMPLATE, Path::new("/s"), Path::new("/r"), 81);
        assert!(filled.contains("listen 127.0.0.1:81 "), "{filled}");
        let left: Vec<&str> =
            filled.lines().filter(|line| !line.starts_with('#') && line.contains('@')).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn the_configuration_is_the_one_the_comparison_promises() {
        for line in [
            "worker_processes 1;",
            "sendfile on;",
            "tcp_nopush on;",
            "open_file_cache max=1000",
            "access_log off;",
        ] {
            assert!(TEMPLATE.contains(line), "{line}");
        }
    }
}
