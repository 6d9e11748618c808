//! The servers: one file per peer says how it is started, and `Running` how any of them is stopped.

mod floor;
mod nginx;
mod sendrail;

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
use crate::pin::Cores;
use crate::root::Ground;

pub(crate) use floor::Floor;
pub(crate) use nginx::Nginx;
pub(crate) use sendrail::Sendrail;

const READY_WITHIN: Duration = Duration::from_secs(10);
const STOPPED_WITHIN: Duration = Duration::from_secs(3);

/// A server that can be started with one worker on a document root.
pub(crate) trait Peer {
    /// As the report calls it; unique in a run.
    fn name(&self) -> &str;

    /// What it says of itself, `nginx/1.22.1`; an error when it is not installed.
    fn version(&self) -> Result<String>;

    /// Where its configuration is written down, and what it says, if there is any.
    fn configuration(&self) -> Option<Configuration>;

    /// Starts it on a port of its own and returns when it answers.
    fn start(&self, ground: &Ground, cores: Cores, interrupt: &Interrupt) -> Result<Running>;
}

/// A committed configuration, for the record.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Configuration {
    pub(crate) file: &'static str,
    pub(crate) text: &'static str,
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
    fn spawn(mut command: Command, log: &Path) -> Result<(Child, Vec<String>)> {
        let shown = std::iter::once(command.get_program()).chain(command.get_args());
        let shown: Vec<String> = shown.map(|word| word.to_string_lossy().into_owned()).collect();
        let output =
            fs::File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let errors = output
            .try_clone()
            .with_context(|| format!("duplicating the descriptor of {}", log.display()))?;
        let child =
            command.process_group(0).stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
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

/// Every peer there is.
pub(crate) fn others(_built: &Path) -> Vec<Box<dyn Peer>> {
    vec![Box::new(Nginx::named("nginx"))]
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
