//! The servers of a segment log: our broker, an example program of `sendrail-segment-log`, and the same fetches answered in
//! Java (`bench/peers/SegmentServer.java`). Both serve the segments in [`directory`].

use std::cell::OnceCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Configuration, Peer, Running, free_port, version_line};
use crate::interrupt::Interrupt;
use crate::java;
use crate::pin::Place;
use crate::root::Ground;

/// Bytes of a segment between two entries of its index: as Kafka has it by default (`log.index.interval.bytes`). Fetches begin
/// and end at entries, so that both servers send the same bytes, and what is sent for a small fetch is small.
const INDEX_INTERVAL: &str = "4096";
/// Those that the cases lay out have this length, so that an append begins a new one.
pub(crate) const SEGMENT: u64 = 256 << 20;

const JAVA: &str = include_str!("../../peers/SegmentServer.java");

/// Where the segments are.
pub(crate) fn directory(ground: &Ground) -> PathBuf {
    ground.root().join("log")
}

#[derive(Debug)]
pub(crate) struct Broker {
    binary: PathBuf,
}

impl Broker {
    pub(crate) fn at(binary: PathBuf) -> Broker {
        Broker { binary }
    }
}

impl Peer for Broker {
    fn name(&self) -> &'static str {
        "sendrail"
    }

    fn version(&self) -> Result<String> {
        version_line(&self.binary, "--version")
    }

    fn configuration(&self) -> Option<Configuration> {
        None // its command line says all
    }

    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut command = place.server_command(&self.binary);
        command.arg(made(ground)?).args(["--listen", &address.to_string()]);
        command.args(["--segment-bytes", &SEGMENT.to_string(), "--index-interval", INDEX_INTERVAL]);
        listening(command, ground, self.name(), address, interrupt)
    }
}

/// By which call records leave.
#[derive(Debug)]
pub(crate) struct Java {
    name: &'static str,
    method: &'static str,
    classes: OnceCell<PathBuf>,
}

impl Java {
    /// Kafka's way, and the two by which a small answer is one call.
    pub(crate) fn all() -> [Java; 3] {
        let java = |name, method| Java { name, method, classes: OnceCell::new() };
        [java("java", "transfer"), java("java-mapped", "mapped"), java("java-copy", "copy")]
    }
}

impl Peer for Java {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> Result<String> {
        version_line(Path::new("java"), "-version")
    }

    fn configuration(&self) -> Option<Configuration> {
        Some(Configuration { file: "bench/peers/SegmentServer.java", text: JAVA.into() })
    }

    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running> {
        let classes = if let Some(classes) = self.classes.get() {
            classes
        } else {
            let folder = ground.state("java")?;
            java::compile("SegmentServer", JAVA, &folder)?;
            self.classes.get_or_init(|| folder)
        };
        let port = free_port()?;
        let mut command = place.server_command("java");
        // On one core a collector of one thread is what the virtual machine would choose by itself; stated.
        command.args(["-XX:+UseSerialGC", "-cp"]).arg(classes).arg("SegmentServer");
        command.arg(self.method).arg(port.to_string()).arg(made(ground)?).arg(INDEX_INTERVAL);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        listening(command, ground, self.name, address, interrupt)
    }
}

/// The directory of the segments, empty if nobody has laid out any.
fn made(ground: &Ground) -> Result<PathBuf> {
    let directory = directory(ground);
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("making {}", directory.display()))?;
    Ok(directory)
}

fn listening(
    command: Command,
    ground: &Ground,
    name: &str,
    address: SocketAddr,
    interrupt: &Interrupt,
) -> Result<Running> {
    let log = ground.state(name)?.join("output.log");
    let (child, command) = Running::spawn(command, &log)?;
    Running::when_ready(child, command, &log, interrupt, || Some(address))
}
