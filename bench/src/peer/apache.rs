//! Apache httpd with the event MPM from packages, configured by `bench/peers/httpd.conf`.

use std::borrow::Cow;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{Configuration, Peer, Running, program, template::Site, version_line};
use crate::interrupt::Interrupt;
use crate::pin::Place;
use crate::root::Ground;

const TEMPLATE: &str = include_str!("../../peers/httpd.conf");

/// Where the configuration loads modules from: Debian's place for them.
const MODULES: &str = "/usr/lib/apache2/modules";

/// <https://httpd.apache.org/docs/2.4/mod/mod_dav.html>; bodies may be of any length, by default 1 GiB.
const FOR_UPLOADS: &str = r#"
LoadModule dav_module /usr/lib/apache2/modules/mod_dav.so
LoadModule dav_fs_module /usr/lib/apache2/modules/mod_dav_fs.so
DavLockDB "@STATE@/locks/db"
LimitRequestBody 0
<Directory "@ROOT@">
    Dav On
</Directory>
"#;

#[derive(Debug)]
pub(crate) struct Apache {
    file: &'static str,
    template: Cow<'static, str>,
}

impl Apache {
    pub(crate) fn serving() -> Apache {
        Apache { file: "bench/peers/httpd.conf", template: TEMPLATE.into() }
    }

    /// PUT by mod_dav.
    pub(crate) fn taking_uploads() -> Apache {
        let template = [TEMPLATE, FOR_UPLOADS].concat();
        let file = "bench/peers/httpd.conf, and mod_dav, mod_dav_fs, LimitRequestBody 0";
        Apache { file, template: template.into() }
    }
}

impl Peer for Apache {
    fn name(&self) -> &'static str {
        "apache"
    }

    fn version(&self) -> Result<String> {
        let line = version_line(&program::find("apache2", None)?, "-v")?;
        if !Path::new(MODULES).join("mod_mpm_event.so").exists() {
            bail!("apache2 is here, but not its modules in {MODULES}");
        }
        Ok(line.trim_start_matches("Server version: ").to_owned())
    }

    fn configuration(&self) -> Option<Configuration> {
        Some(Configuration { file: self.file, text: self.template.clone() })
    }

    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running> {
        let site = Site::prepare(ground, self.name(), "httpd.conf", &self.template)?;
        // Asked for every PUT, whether or not anybody has ever locked anything; by a process that is not root.
        let locks = site.state.join("locks");
        std::fs::create_dir(&locks)
            .and_then(|()| std::fs::set_permissions(&locks, Permissions::from_mode(0o777)))
            .with_context(|| format!("making {}", locks.display()))?;
        let mut command = place.server_command(program::find("apache2", None)?);
        command.args(["-D", "FOREGROUND", "-f"]).arg(&site.configuration);
        site.run(command, interrupt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::template::tests::{directives, promises};
    use crate::peer::testing::{starts_answers_and_stops, starts_takes_and_stops};

    #[test]
    fn the_configuration_is_the_one_the_comparison_promises() {
        promises(
            TEMPLATE,
            &[
                "ServerLimit 1",
                "ThreadsPerChild 640",
                "EnableSendfile On",
                "MaxKeepAliveRequests 0",
                "KeepAliveTimeout 3600",
                "ListenBacklog 4096",
                "AllowOverride None",
            ],
        );
        let dynamic = |line: &str| line.contains("mod_deflate.so") || line.contains("CustomLog");
        assert!(!directives(TEMPLATE).into_iter().any(dynamic));
    }

    #[test]
    fn modules_are_loaded_from_where_they_are_looked_for() {
        for line in directives(&Apache::taking_uploads().template)
            .iter()
            .filter(|line| line.starts_with("LoadModule"))
        {
            assert!(line.contains(MODULES), "{line}");
        }
    }

    #[test]
    fn it_starts_answers_and_stops() {
        starts_answers_and_stops(&Apache::serving());
    }

    #[test]
    fn it_takes_uploads() {
        starts_takes_and_stops(&Apache::taking_uploads());
    }
}
