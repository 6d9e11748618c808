//! lighttpd from packages, configured by `bench/peers/lighttpd.conf`.

use std::borrow::Cow;

use anyhow::{Result, bail};

use super::{Configuration, Peer, Running, program, template::Site, version_line};
use crate::interrupt::Interrupt;
use crate::pin::Place;
use crate::root::Ground;

const TEMPLATE: &str = include_str!("../../peers/lighttpd.conf");

/// The one module that serving takes, and the one that uploads take besides.
const MODULES: &str = r#"( "mod_staticfile" )"#;
const MODULES_FOR_UPLOADS: &str = r#"( "mod_webdav", "mod_staticfile" )"#;
/// Where Debian has it, in a package of its own (`lighttpd-mod-webdav`).
const WEBDAV: &str = "/usr/lib/lighttpd/mod_webdav.so";

/// A body of more than so much would lie in several temporary files, which would then be copied into one: by default 1 MiB.
/// What is in one file is linked under its name. <https://redmine.lighttpd.net/projects/lighttpd/wiki/Docs_ConfigurationOptions>
const FOR_UPLOADS: &str = r#"
webdav.activate = "enable"
server.upload-dirs = ( "@STATE@" )
server.upload-temp-file-size = 4294967295
"#;

#[derive(Debug)]
pub(crate) struct Lighttpd {
    file: &'static str,
    template: Cow<'static, str>,
    takes_uploads: bool,
}

impl Lighttpd {
    pub(crate) fn serving() -> Lighttpd {
        let file = "bench/peers/lighttpd.conf";
        Lighttpd { file, template: TEMPLATE.into(), takes_uploads: false }
    }

    /// PUT by mod_webdav, to a temporary file on the same file system first.
    pub(crate) fn taking_uploads() -> Lighttpd {
        let template = TEMPLATE.replace(MODULES, MODULES_FOR_UPLOADS) + FOR_UPLOADS;
        let file = "bench/peers/lighttpd.conf, and mod_webdav, server.upload-dirs";
        Lighttpd { file, template: template.into(), takes_uploads: true }
    }
}

impl Peer for Lighttpd {
    fn name(&self) -> &'static str {
        "lighttpd"
    }

    fn version(&self) -> Result<String> {
        let version = version_line(&program::find("lighttpd", None)?, "-v")?;
        if self.takes_uploads && !std::path::Path::new(WEBDAV).exists() {
            bail!("lighttpd is here, but not its module {WEBDAV} (lighttpd-mod-webdav)");
        }
        Ok(version)
    }

    fn configuration(&self) -> Option<Configuration> {
        Some(Configuration { file: self.file, text: self.template.clone() })
    }

    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running> {
        let site = Site::prepare(ground, self.name(), "lighttpd.conf", &self.template)?;
        let mut command = place.server_command(program::find("lighttpd", None)?);
        command.arg("-D").arg("-f").arg(&site.configuration); // -D: in the foreground
        site.run(command, interrupt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{
        template::tests::promises,
        testing::{starts_answers_and_stops, starts_takes_and_stops},
    };

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
    fn for_uploads_lines_are_added() {
        let uploads = Lighttpd::taking_uploads().template;
        let modules = format!("server.modules            = {MODULES_FOR_UPLOADS}");
        promises(&uploads, &[&modules, r#"webdav.activate = "enable""#, "server.upload-dirs"]);
    }

    #[test]
    fn it_starts_answers_and_stops() {
        starts_answers_and_stops(&Lighttpd::serving());
    }

    #[test]
    fn it_takes_uploads() {
        starts_takes_and_stops(&Lighttpd::taking_uploads());
    }
}
