//! Caddy from packages, configured by `bench/peers/Caddyfile`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Configuration, Peer, Running, program, template::Site, version_line};
use crate::interrupt::Interrupt;
use crate::pin::Place;
use crate::root::Ground;

const TEMPLATE: &str = include_str!("../../peers/Caddyfile");

/// What serves files, and what takes them before that.
const SERVES: &str = "\tfile_server {";
const TAKES: &str = "\troute {\n\t\twebdav * \"@ROOT@\"\n\t}\n\tfile_server {";

/// The package has no handler for PUT: one is built with it (bench/peers/build-caddy).
const WITH_PUT: &str = "caddy-put";

#[derive(Debug)]
pub(crate) struct Caddy {
    file: &'static str,
    template: Cow<'static, str>,
    /// Where the program is that takes PUT.
    with_put: Option<PathBuf>,
}

impl Caddy {
    pub(crate) fn serving() -> Caddy {
        Caddy { file: "bench/peers/Caddyfile", template: TEMPLATE.into(), with_put: None }
    }

    /// PUT by the WebDAV handler of golang.org/x/net; looked for in `built` first, then in PATH.
    pub(crate) fn taking_uploads(built: &Path) -> Caddy {
        let file = "bench/peers/Caddyfile, and webdav (bench/peers/caddy-put)";
        let template = TEMPLATE.replace(SERVES, TAKES).into();
        Caddy { file, template, with_put: Some(built.to_owned()) }
    }

    fn program(&self) -> Result<PathBuf> {
        match &self.with_put {
            None => program::find("caddy", None),
            Some(built) => {
                program::find(WITH_PUT, Some(built)).context("see bench/peers/build-caddy")
            }
        }
    }
}

impl Peer for Caddy {
    fn name(&self) -> &'static str {
        "caddy"
    }

    fn version(&self) -> Result<String> {
        // It says the number alone.
        Ok(format!("caddy {}", version_line(&self.program()?, "version")?))
    }

    fn configuration(&self) -> Option<Configuration> {
        Some(Configuration { file: self.file, text: self.template.clone() })
    }

    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running> {
        let site = Site::prepare(ground, self.name(), "Caddyfile", &self.template)?;
        let mut command = place.server_command(self.program()?);
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&site.configuration);
        // One thread runs Go code at a time, as one worker does.
        command.env("GOMAXPROCS", "1");
        for directory in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(directory, &site.state);
        }
        site.run(command, interrupt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{
        template::tests::promises,
        testing::{built, starts_answers_and_stops, starts_takes_and_stops},
    };

    #[test]
    fn the_configuration_is_the_one_the_comparison_promises() {
        promises(
            TEMPLATE,
            &[
                "admin off",
                "idle 1h",
                "precompressed zstd br gzip",
                "http://:@PORT@ {",
                "bind 127.0.0.1",
            ],
        );
    }

    #[test]
    fn for_uploads_lines_are_added() {
        let uploads = Caddy::taking_uploads(Path::new("/nowhere")).template;
        promises(&uploads, &["webdav * \"@ROOT@\"", "file_server {"]);
    }

    #[test]
    fn it_starts_answers_and_stops() {
        starts_answers_and_stops(&Caddy::serving());
    }

    #[test]
    fn it_takes_uploads() {
        starts_takes_and_stops(&Caddy::taking_uploads(&built()));
    }
}
