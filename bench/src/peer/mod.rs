//! The servers: one file per peer says how it is started, and `Running` how any of them is stopped.

mod apache;
pub(crate) mod broker;
mod caddy;
mod floor;
mod h2o;
mod lighttpd;
mod miniserve;
mod nginx;
mod program;
mod rust_web;
mod sendrail;
mod static_web_server;
mod template;
#[cfg(test)]
mod testing;

use std::borrow::Cow;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;

use crate::interrupt::Interrupt;
use crate::pin::Place;
use crate::root::Ground;

use apache::Apache;
pub(crate) use broker::Broker;
use caddy::Caddy;
pub(crate) use floor::Floor;
use h2o::H2o;
use lighttpd::Lighttpd;
use miniserve::Miniserve;
pub(crate) use nginx::Nginx;
use rust_web::RustWeb;
pub(crate) use sendrail::Sendrail;
use static_web_server::StaticWebServer;

const READY_WITHIN: Duration = Duration::from_secs(10);
const STOPPED_WITHIN: Duration = Duration::from_secs(1);

/// A server that can be started with one worker on a document root.
pub(crate) trait Peer {
    /// As the report calls it; unique in a run.
    fn name(&self) -> &str;

    /// What it says of itself, `nginx/1.22.1`; an error when it is not installed.
    fn version(&self) -> Result<String>;

    /// Where its configuration is written down, and what it says, if there is any.
    fn configuration(&self) -> Option<Configuration>;

    /// Whether it differs from another peer only in how it reads files that are not in memory, so that it takes part in
    /// the cold cases alone.
    fn for_cold_files(&self) -> bool {
        false
    }

    /// Whether it is no server, but shows what part of the cost is not a server's. It takes part where it is named.
    fn is_floor(&self) -> bool {
        false
    }

    /// Starts it on a port of its own and returns when it answers.
    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running>;
}

/// Every other server there is a configuration for, installed or not; those that are built for the comparison are looked
/// for in `built` before PATH.
pub(crate) fn others(built: &Path) -> Vec<Box<dyn Peer>> {
    let mut all: Vec<Box<dyn Peer>> = vec![
        Box::new(Nginx::named("nginx")),
        Box::new(Nginx::copying()),
        Box::new(Nginx::threads()),
        Box::new(Nginx::direct()),
        Box::new(Nginx::kernel_aio(built)),
        Box::new(H2o),
        Box::new(Lighttpd::serving()),
        Box::new(Caddy::serving()),
        Box::new(Apache::serving()),
        Box::new(StaticWebServer::in_directory(built)),
        Box::new(Miniserve::in_directory(built)),
    ];
    all.extend(RustWeb::all(built).map(|peer| Box::new(peer) as Box<dyn Peer>));
    all
}

/// Who answers the fetches of a segment log, besides ours.
pub(crate) fn of_segments() -> Vec<Box<dyn Peer>> {
    broker::Java::all().map(|peer| Box::new(peer) as Box<dyn Peer>).into()
}

/// Who takes uploads, besides ours.
pub(crate) fn of_uploads(built: &Path) -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(Nginx::taking_uploads()),
        Box::new(Nginx::taking_uploads_by_less()),
        Box::new(Lighttpd::taking_uploads()),
        Box::new(Apache::taking_uploads()),
        Box::new(Caddy::taking_uploads(built)),
    ]
}

/// A committed configuration, for the record.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Configuration {
    pub(crate) file: &'static str,
    pub(crate) text: Cow<'static, str>,
}

/// A server that listens; stopped, with all its processes, when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) command: Vec<String>,
}

impl Running {
    /// Starts `command` in a process group of its own: Ctrl-C on the terminal is for the harness alone, which then
    /// stops its servers in its own order. What the server prints goes to `log`.
    fn spawn(command: Command, log: &Path) -> Result<(Child, Vec<String>)> {
        Running::spawn_reading(command, Stdio::null(), log)
    }

    /// `spawn` with something of its own as standard input, a listening socket for instance.
    fn spawn_reading(
        mut command: Command,
        input: Stdio,
        log: &Path,
    ) -> Result<(Child, Vec<String>)> {
        let shown = as_typed(&command);
        let output =
            fs::File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let errors = output
            .try_clone()
            .with_context(|| format!("duplicating the descriptor of {}", log.display()))?;
        let child = command.process_group(0).stdin(input).stdout(output).stderr(errors).spawn();
        Ok((child.with_context(|| format!("starting {}", shown.join(" ")))?, shown))
    }

    /// Waits until the server listens; `address` is asked again and again until it knows where.
    fn when_ready(
        child: Child,
        command: Vec<String>,
        log: &Path,
        interrupt: &Interrupt,
        address: impl Fn() -> Option<SocketAddr>,
    ) -> Result<Running> {
        // From here on an early return stops the server.
        let mut running = Running { child, command, address: (Ipv4Addr::UNSPECIFIED, 0).into() };
        let started = Instant::now();
        loop {
            interrupt.check()?;
            if let Some(status) = running.child.try_wait().context("waiting for the server")? {
                bail!(
                    "{} ended at once ({status}): {}",
                    running.command.join(" "),
                    last_words(log)
                );
            }
            if let Some(found) = address()
                && TcpStream::connect(found).is_ok()
            {
                running.address = found;
                return Ok(running);
            }
            if started.elapsed() > READY_WITHIN {
                bail!(
                    "{} does not listen after {READY_WITHIN:?}: {}",
                    running.command.join(" "),
                    last_words(log)
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The process that was started; its descendants belong to the server too.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.child);
        // The child is not yet waited for, so its process id, which is the group's, cannot have been given away.
        let _ = kill_process_group(group, Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < STOPPED_WITHIN {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The words that would start `command` in a shell, with what is added to the environment in front.
fn as_typed(command: &Command) -> Vec<String> {
    let added = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={}", name.to_string_lossy(), value?.to_string_lossy()))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    added.chain(words.map(|word| word.to_string_lossy().into_owned())).collect()
}

/// A port nobody listens on at the moment.
fn free_port() -> Result<u16> {
    let listener =
        std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr().context("looking for a free port")?.port())
}

/// What a program prints about its version, on either output.
fn version_line(program: &Path, argument: &str) -> Result<String> {
    let output = Command::new(program).arg(argument).output();
    let output = output.with_context(|| format!("starting {}", program.display()))?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or("says nothing").trim().to_owned())
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_have_the_names_the_reports_use() {
        let peers = others(Path::new("/nowhere"));
        let names: Vec<&str> = peers.iter().map(|peer| peer.name()).collect();
        assert_eq!(
            names,
            [
                "nginx",
                "nginx-copy",
                "nginx-aio",
                "nginx-directio",
                "nginx-libaio",
                "h2o",
                "lighttpd",
                "caddy",
                "apache",
                "static-web-server",
                "miniserve",
                "axum-sendrail",
                "axum-tower-http",
                "actix-files",
                "axum-constant"
            ]
        );
        assert!(peers.iter().all(|peer| peer.configuration().is_some()));
    }

    #[test]
    fn a_command_is_shown_with_its_environment() {
        let mut command = Command::new("serve");
        command.args(["--port", "81"]).env("THREADS", "1").env_remove("HOME");
        assert_eq!(as_typed(&command), ["THREADS=1", "serve", "--port", "81"]);
    }
}
