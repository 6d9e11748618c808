//! Sendrail itself, as built: `sendrail serve DIR --listen 127.0.0.1:0 --workers 1`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{Configuration, Peer, Running, version_line};
use crate::interrupt::Interrupt;
use crate::pin::Place;
use crate::root::Ground;

/// Beyond the defaults only what nginx's configuration says too: room for 10,000 idle connections that may stay idle.
const OPTIONS: [&str; 8] = [
    "--listen",
    "127.0.0.1:0",
    "--workers",
    "1",
    "--max-connections",
    "12000",
    "--idle-timeout",
    "3600s",
];

#[derive(Debug)]
pub(crate) struct Sendrail {
    name: String,
    binary: PathBuf,
    further: Vec<String>,
}

impl Sendrail {
    pub(crate) fn at(binary: PathBuf) -> Sendrail {
        Sendrail { name: "sendrail".into(), binary, further: Vec::new() }
    }

    /// Taking uploads into all of the document root: not synced, as no other server here syncs, and synced, as it is by default.
    pub(crate) fn for_uploads(binary: &Path) -> [Sendrail; 2] {
        let taking = |name: &str, sync: &str| {
            let options = ["--uploads", ".", "--upload-auth", "none", "--upload-sync", sync];
            let further = options.map(str::to_owned).to_vec();
            Sendrail { name: name.into(), binary: binary.to_owned(), further }
        };
        [taking("sendrail", "off"), taking("sendrail-synced", "on")]
    }

    /// Under another name and with further options, to be measured beside the plain one: `NAME=OPTIONS`.
    pub(crate) fn variant(binary: PathBuf, typed: &str) -> Result<Sendrail> {
        let Some((name, options)) = typed.split_once('=') else {
            bail!("--variant {typed:?} is not NAME=OPTIONS, e.g. 'splice=--method splice'");
        };
        let further = options.split_ascii_whitespace().map(str::to_owned).collect();
        Ok(Sendrail { name: format!("sendrail-{name}"), binary, further })
    }
}

impl Peer for Sendrail {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> Result<String> {
        version_line(&self.binary, "--version")
    }

    fn configuration(&self) -> Option<Configuration> {
        None // its command line says all
    }

    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running> {
        let log = ground.state(self.name())?.join("output.log");
        let mut command = place.server_command(&self.binary);
        command.arg("serve").arg(ground.root()).args(OPTIONS).args(&self.further);
        let (child, command) = Running::spawn(command, &log)?;
        Running::when_ready(child, command, &log, interrupt, || printed_address(&log))
    }
}

fn printed_address(log: &Path) -> Option<SocketAddr> {
    address_in(&fs::read_to_string(log).ok()?)
}

/// The address in `… listening on http://127.0.0.1:8080 …`; a line still being written has no end and does not count.
pub(super) fn address_in(text: &str) -> Option<SocketAddr> {
    let complete = &text[..=text.rfind('\n')?];
    let (_, after) = complete.split_once("listening on http://")?;
    let end =
        after.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c))).unwrap_or(after.len());
    after[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_address_is_found() {
        let address = |text| address_in(text).map(|address| address.to_string());
        assert_eq!(
            address("INFO listening on http://127.0.0.1:41234/\n").as_deref(),
            Some("127.0.0.1:41234")
        );
        assert_eq!(
            address("probe\nlistening on http://127.0.0.1:80\nmore\n").as_deref(),
            Some("127.0.0.1:80")
        );
        assert_eq!(address("listening on http://[::1]:8080 \n").as_deref(), Some("[::1]:8080"));
        assert_eq!(address("listening on http://127.0.0.1:412"), None);
        assert_eq!(address("nothing yet\n"), None);
    }
}
