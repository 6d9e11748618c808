//! The crate static-web-server, configured by `bench/peers/static-web-server.toml`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Configuration, Peer, Running, program, template::Site, version_line};
use crate::interrupt::Interrupt;
use crate::pin::Place;
use crate::root::Ground;

const TEMPLATE: &str = include_str!("../../peers/static-web-server.toml");

/// As the other servers are given.
const BACKLOG: i32 = 4096;

#[derive(Debug)]
pub(crate) struct StaticWebServer {
    built: PathBuf,
}

impl StaticWebServer {
    /// Looked for in `built` first, then in PATH.
    pub(crate) fn in_directory(built: &Path) -> StaticWebServer {
        StaticWebServer { built: built.to_owned() }
    }

    fn program(&self) -> Result<PathBuf> {
        program::find("static-web-server", Some(&self.built))
    }
}

impl Peer for StaticWebServer {
    fn name(&self) -> &'static str {
        "static-web-server"
    }

    fn version(&self) -> Result<String> {
        let line = version_line(&self.program()?, "--version")?; // "Version:      2.44.1"
        Ok(format!("static-web-server {}", line.trim_start_matches("Version:").trim_start()))
    }

    fn configuration(&self) -> Option<Configuration> {
        Some(Configuration { file: "bench/peers/static-web-server.toml", text: TEMPLATE.into() })
    }

    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running> {
        let site = Site::prepare(ground, self.name(), "static-web-server.toml", TEMPLATE)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("binding a socket")?;
        let address = listener.local_addr().context("asking for the port of a socket")?;
        // A second listen(2) only changes the backlog.
        rustix::net::listen(&listener, BACKLOG).context("making the backlog of a socket longer")?;
        let mut command = place.server_command(self.program()?);
        command.arg("--config-file").arg(&site.configuration);
        // sd_listen_fds(3): how many sockets were passed; the second name says that the first is standard input.
        command.env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", "0");
        let output = site.state.join("output.log");
        let (child, command) =
            Running::spawn_reading(command, OwnedFd::from(listener).into(), &output)?;
        // The socket has listened all the time: it is the server's answer that tells that it has started.
        Running::when_ready(child, command, &output, interrupt, || {
            answers(address).then_some(address)
        })
    }
}

fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        stream.read_exact(&mut [0])
    };
    ask().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{template::tests::promises, testing};

    #[test]
    fn the_configuration_is_the_one_the_comparison_promises() {
        promises(
            TEMPLATE,
            &[
                "fd = 0",
                "threads-multiplier = 1",
                "compression = false",
                "compression-static = true",
                r#"log-level = "error""#,
            ],
        );
    }

    #[test]
    fn it_starts_answers_and_stops() {
        testing::starts_answers_and_stops(&StaticWebServer::in_directory(&testing::built()));
    }
}
