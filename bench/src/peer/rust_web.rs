//! Rust's web frameworks with a directory each, by the programs in `bench/peers/rust-web`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Configuration, Peer, Running, program, template::Site};
use crate::interrupt::Interrupt;
use crate::pin::Place;
use crate::root::Ground;

/// What the programs are made of, versions too: they say none themselves.
const MANIFEST: &str = include_str!("../../peers/rust-web/Cargo.toml");

/// No server: what axum costs by itself, of an answer that is in memory.
const CONSTANT: &str = "axum-constant";

/// One of the programs.
#[derive(Debug)]
pub(crate) struct RustWeb {
    name: &'static str,
    source: &'static str,
    /// The dependency that it is named for.
    of: &'static str,
    built: PathBuf,
}

impl RustWeb {
    /// All of them, looked for in `built` first, then in PATH.
    pub(crate) fn all(built: &Path) -> [RustWeb; 4] {
        let one = |name, source, of| RustWeb { name, source, of, built: built.to_owned() };
        [
            one(
                "axum-sendrail",
                include_str!("../../peers/rust-web/src/bin/axum-sendrail.rs"),
                "sendrail-hyper",
            ),
            one(
                "axum-tower-http",
                include_str!("../../peers/rust-web/src/bin/axum-tower-http.rs"),
                "tower-http",
            ),
            one(
                "actix-files",
                include_str!("../../peers/rust-web/src/bin/actix-files.rs"),
                "actix-files",
            ),
            one(CONSTANT, include_str!("../../peers/rust-web/src/bin/axum-constant.rs"), "axum"),
        ]
    }
}

impl Peer for RustWeb {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_floor(&self) -> bool {
        self.name == CONSTANT
    }

    fn version(&self) -> Result<String> {
        program::find(self.name, Some(&self.built))?;
        let line = MANIFEST.lines().find(|line| line.starts_with(self.of)).unwrap_or(self.of);
        Ok(line.to_owned())
    }

    fn configuration(&self) -> Option<Configuration> {
        let text = Cow::Owned([MANIFEST, "\n", self.source].concat());
        Some(Configuration { file: "bench/peers/rust-web", text })
    }

    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running> {
        let site = Site::prepare(ground, self.name, "nothing", "")?;
        let mut command = place.server_command(program::find(self.name, Some(&self.built))?);
        command.arg(format!("127.0.0.1:{}", site.port)).arg(ground.root());
        site.run(command, interrupt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::testing;

    #[test]
    fn each_is_of_what_its_name_says() {
        for peer in RustWeb::all(Path::new("/nowhere")) {
            let configuration = peer.configuration().expect("a program is a configuration");
            assert!(configuration.text.contains(peer.of), "{}", peer.name);
            assert!(peer.version().is_err(), "it is not there");
        }
    }

    #[test]
    fn they_start_answer_and_stop() {
        for peer in RustWeb::all(&testing::built()) {
            testing::starts_answers_and_stops(&peer);
        }
    }
}
