//! nginx from packages, configured by `bench/peers/nginx.conf`: as documented, and copying instead of `sendfile`.

use std::borrow::Cow;

use anyhow::Result;

use super::{Configuration, Peer, Running, program, template::Site, version_line};
use crate::interrupt::Interrupt;
use crate::pin::Cores;
use crate::root::Ground;

const TEMPLATE: &str = include_str!("../../peers/nginx.conf");

/// The line that says how bytes leave, and what it is for a server that reads files into buffers: cheaper over loopback
/// for some sizes, and so the better peer there.
const COPYING: (&str, &str) =
    ("    sendfile on; ", "    sendfile off;\n    output_buffers 2 256k;\n    # in place of ");

#[derive(Debug)]
pub(crate) struct Nginx {
    name: &'static str,
    file: &'static str,
    template: Cow<'static, str>,
}

impl Nginx {
    /// Under a name of its own, so that two can be measured against each other.
    pub(crate) fn named(name: &'static str) -> Nginx {
        Nginx { name, file: "bench/peers/nginx.conf", template: TEMPLATE.into() }
    }

    /// Not by `sendfile`.
    pub(crate) fn copying() -> Nginx {
        let (zero_copy, copying) = COPYING;
        Nginx {
            name: "nginx-copy",
            file: "bench/peers/nginx.conf, but for sendfile off and output_buffers 2 256k",
            template: TEMPLATE.replace(zero_copy, copying).into(),
        }
    }
}

impl Peer for Nginx {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> Result<String> {
        version_line(&program::find("nginx", None)?, "-v")
    }

    fn configuration(&self) -> Option<Configuration> {
        Some(Configuration { file: self.file, text: self.template.clone() })
    }

    fn start(&self, ground: &Ground, cores: Cores, interrupt: &Interrupt) -> Result<Running> {
        let site = Site::prepare(ground, self.name, "nginx.conf", &self.template)?;
        let mut command = cores.server_command(program::find("nginx", None)?);
        // -e: until it has read its configuration it would log to the system's file.
        command.arg("-c").arg(&site.configuration).arg("-p").arg(&site.state);
        command.arg("-e").arg(site.state.join("error.log"));
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
                "listen 127.0.0.1:@PORT@ ",
                "worker_processes 1;",
                "sendfile on;",
                "tcp_nopush on;",
                "open_file_cache max=4000",
                "gzip_static on;",
                "access_log off;",
            ],
        );
    }

    #[test]
    fn copying_differs_in_one_line() {
        let copying = Nginx::copying().template;
        promises(&copying, &["sendfile off;", "output_buffers 2 256k;", "tcp_nopush on;"]);
        assert!(!copying.contains("\n    sendfile on;"), "{copying}");
    }

    #[test]
    fn it_starts_answers_and_stops() {
        starts_answers_and_stops(&Nginx::copying());
        starts_answers_and_stops(&Nginx::named("nginx"));
    }
}
