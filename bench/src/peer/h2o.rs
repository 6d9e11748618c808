//! H2O from packages, configured by `bench/peers/h2o.conf`.

use anyhow::Result;

use super::{Configuration, Peer, Running, program, template::Site, version_line};
use crate::interrupt::Interrupt;
use crate::pin::Place;
use crate::root::Ground;

const TEMPLATE: &str = include_str!("../../peers/h2o.conf");

#[derive(Debug)]
pub(crate) struct H2o;

impl Peer for H2o {
    fn name(&self) -> &'static str {
        "h2o"
    }

    fn version(&self) -> Result<String> {
        version_line(&program::find("h2o", None)?, "--version")
    }

    fn configuration(&self) -> Option<Configuration> {
        Some(Configuration { file: "bench/peers/h2o.conf", text: TEMPLATE.into() })
    }

    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running> {
        let site = Site::prepare(ground, self.name(), "h2o.conf", TEMPLATE)?;
        let mut command = place.server_command(program::find("h2o", None)?);
        // Its default mode, "worker", stays in the foreground as one process.
        command.arg("--conf").arg(&site.configuration);
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
                "num-threads: 1",
                "max-connections: 12000",
                "http1-request-timeout: 3600",
                "file.send-compressed: ON",
                "compress: OFF",
            ],
        );
        assert!(!TEMPLATE.contains("access-log:"));
    }

    #[test]
    fn it_starts_answers_and_stops() {
        starts_answers_and_stops(&H2o);
    }
}
