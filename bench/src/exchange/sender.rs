//! Who takes part in the exchange: how each sends one file, and who cannot be had here.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::sink::Speaks;
use crate::pin::Place;
use crate::report::Role;

pub(super) const JAVA: &str = include_str!("../../peers/TransferTo.java");

/// A way to send a file to a port of 127.0.0.1.
pub(super) struct Sender {
    pub(super) name: &'static str,
    pub(super) role: Role,
    pub(super) speaks: Speaks,
    /// `PORT` and `FILE` stand for themselves.
    words: Vec<String>,
    /// nc has its file on standard input.
    reads_stdin: bool,
    /// What says the version, on either output: the first line of it.
    version: &'static [&'static str],
}

/// What the program was found to be.
pub(super) struct Found {
    pub(super) version: String,
    pub(super) command: Vec<String>,
}

/// Everybody, the subject first.
pub(super) fn all(sendrail: &Path, classes: &Path) -> Vec<Sender> {
    let sendrail = sendrail.to_string_lossy();
    let classes = classes.to_string_lossy();
    let send = |options: &str| format!("{sendrail} send --quiet {options} 127.0.0.1:PORT FILE");
    let java = |options: &str| format!("java {options} -cp {classes} TransferTo PORT FILE");
    // What is typed for a short run: no second compiler, no threads of a collector.
    let lean = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC";
    let sender = |name, role, speaks, words: String, version| Sender {
        name,
        role,
        speaks,
        words: words.split_whitespace().map(str::to_owned).collect(),
        reads_stdin: name.starts_with("nc-"),
        version,
    };
    let ours = |name, role, speaks, options| sender(name, role, speaks, send(options), &[]);
    let peer = |name, words: &str, version| {
        sender(name, Role::Peer, Speaks::Plain, words.to_owned(), version)
    };
    let socat = "OPEN:FILE TCP:127.0.0.1:PORT";
    let mut all = vec![
        ours("sendrail", Role::Subject, Speaks::Plain, "--raw"),
        ours("sendrail-framed", Role::Variant, Speaks::Protocol, "--no-checksum"),
        ours("sendrail-blake3", Role::Variant, Speaks::Protocol, ""),
        peer("java", &java(""), &["java", "-version"]),
        peer("java-lean", &java(lean), &["java", "-version"]),
        peer("nc-openbsd", "nc.openbsd -N 127.0.0.1 PORT", &["nc.openbsd", "-h"]),
        peer("nc-traditional", "nc.traditional -q 0 127.0.0.1 PORT", &["nc.traditional", "-h"]),
        peer("socat", &format!("socat -u {socat}"), &["socat", "-V"]),
        peer("socat-256k", &format!("socat -u -b 262144 {socat}"), &["socat", "-V"]),
        peer("socat-1m", &format!("socat -u -b 1048576 {socat}"), &["socat", "-V"]),
    ];
    let mut piped = peer("pv-nc", "sh -c", &["pv", "--version"]);
    piped.words.push("pv -q FILE | nc.openbsd -N 127.0.0.1 PORT".into());
    all.push(piped);
    all
}

impl Sender {
    fn program(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    pub(super) fn is_java(&self) -> bool {
        self.program() == "java"
    }

    /// Looks whether it is there, and what it is.
    pub(super) fn find(&self) -> Result<Found> {
        let (program, arguments) = match self.version {
            [] => (self.program(), &["--version"][..]),
            [program, arguments @ ..] => (*program, arguments),
        };
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("{program} is not installed"))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        // socat says "by Gerhard Rieger ..." first.
        let line = said.lines().find(|line| line.contains("ersion") || line.contains("netcat"));
        let line = line.or(said.lines().next()).unwrap_or_default().trim();
        let mut command = self.words.clone();
        if self.reads_stdin {
            command.push("<FILE".into());
        }
        Ok(Found { version: line.to_owned(), command })
    }

    /// The command, on the sender's core.
    pub(super) fn command(&self, place: Place<'_>, port: u16, file: &Path) -> Result<Command> {
        let (port, shown) = (port.to_string(), file.to_string_lossy());
        let mut words =
            self.words.iter().map(|word| word.replace("PORT", &port).replace("FILE", &shown));
        let Some(program) = words.next() else { bail!("{} has no program", self.name) };
        let mut command = place.server_command(program);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null());
        if self.reads_stdin {
            command.stdin(File::open(file).with_context(|| format!("opening {shown}"))?);
        }
        Ok(command)
    }
}
