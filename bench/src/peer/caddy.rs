//! Caddy from packages, configured by `bench/peers/Caddyfile`.

use anyhow::Result;

use super::{Configuration, Peer, Running, program, template::Site, version_line};
use crate::interrupt::Interrupt;
use crate::pin::Place;
use crate::root::Ground;

const TEMPLATE: &str = include_str!("../../peers/Caddyfile");

#[derive(Debug)]
pub(crate) struct Caddy;

impl Peer for Caddy {
    fn name(&self) -> &'static str {
        "caddy"
    }

    fn version(&self) -> Result<String> {
        // It says the number alone.
        Ok(format!("caddy {}", version_line(&program::find("caddy", None)?, "version")?))
    }

    fn configuration(&self) -> Option<Configuration> {
        Some(Configuration { file: "bench/peers/Caddyfile", text: TEMPLATE.into() })
    }

    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running> {
        let site = Site::prepare(ground, self.name(), "Caddyfile", TEMPLATE)?;
        let mut command = place.server_command(program::find("caddy", None)?);
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
    use crate::peer::{template::tests::promises, testing::starts_answers_and_stops};

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
    fn it_starts_answers_and_stops() {
        starts_answers_and_stops(&Caddy);
    }
}
