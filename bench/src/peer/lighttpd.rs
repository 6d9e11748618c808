//! lighttpd from packages, configured by `bench/peers/lighttpd.conf`.

use anyhow::Result;

use super::{Configuration, Peer, Running, program, template::Site, version_line};
use crate::interrupt::Interrupt;
use crate::pin::Place;
use crate::root::Ground;

const TEMPLATE: &str = include_str!("../../peers/lighttpd.conf");

#[derive(Debug)]
pub(crate) struct Lighttpd;

impl Peer for Lighttpd {
    fn name(&self) -> &'static str {
        "lighttpd"
    }

    fn version(&self) -> Result<String> {
        version_line(&program::find("lighttpd", None)?, "-v")
    }

    fn configuration(&self) -> Option<Configuration> {
        Some(Configuration { file: "bench/peers/lighttpd.conf", text: TEMPLATE.into() })
    }

    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running> {
        let site = Site::prepare(ground, self.name(), "lighttpd.conf", TEMPLATE)?;
        let mut command = place.server_command(program::find("lighttpd", None)?);
        command.arg("-D").arg("-f").arg(&site.configuration); // -D: in the foreground
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
                r#"server.modules            = ( "mod_staticfile" )"#,
                r#"server.network-backend = "sendfile""#,
                r#"server.stat-cache-engine = "simple""#,
                "server.max-connections = 12000",
                "server.listen-backlog  = 4096",
                "server.max-keep-alive-requests = 65535",
            ],
        );
    }

    #[test]
    fn it_starts_answers_and_stops() {
        starts_answers_and_stops(&Lighttpd);
    }
}
