//! nginx from packages, configured by `bench/peers/nginx.conf`: as documented, copying instead of `sendfile`, and for cold
//! files in the ways its documentation has for them.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Configuration, Peer, Running, program, template::Site, version_line};
use crate::interrupt::Interrupt;
use crate::pin::Place;
use crate::root::Ground;

const TEMPLATE: &str = include_str!("../../peers/nginx.conf");

/// The line that says how bytes leave.
const ZERO_COPY: &str = "    sendfile on; ";

/// What it is for a server that reads files into buffers: cheaper over loopback for some sizes, and so the better peer
/// there.
const COPYING: &str = "    sendfile off;\n    output_buffers 2 256k;\n    # in place of ";

/// Built with `--with-file-aio`, which Debian's package is not (bench/peers/build-nginx).
const WITH_FILE_AIO: &str = "nginx-file-aio";

/// Past the page cache it reads a buffer, sends it, and reads the next. With the 128 KiB of the documentation's example one
/// stream takes twice the CPU time a GiB, at half the speed; 1 MiB is no better than this, for twice the memory.
const BUFFERS: &str = "output_buffers 1 512k;";

/// Bytes from which on glibc gives memory back as soon as it is free (mallopt(3)). Else it keeps pieces of such buffers: 64
/// streams then hold 100 to 260 MiB, which is the hot set's, instead of 32.
const GIVEN_BACK: &str = "131072";

/// The line that says what is served, and what is added to it for uploads: PUT by its own module, into a temporary file on the
/// same file system (`client_body_temp_path`), which is then renamed. A body goes there by buffers of this size, 16 KiB by
/// default. Tried by hand with 10 MiB by one connection: 16 KiB takes 9 ms of CPU time, 64 KiB 6, 256 KiB 4.1, 1 MiB 3.6, 2 MiB 5,
/// 4 MiB 10. By four connections 1 MiB takes 9 to 20: four such buffers are more than the processor's cache holds. So there are two.
const SERVES: &str = "        root @ROOT@;\n";
const TAKES: &str = "        root @ROOT@;
        dav_methods PUT;
        client_max_body_size 0;
        client_body_buffer_size @BUFFER@;
";

#[derive(Debug)]
pub(crate) struct Nginx {
    name: &'static str,
    file: &'static str,
    template: Cow<'static, str>,
    for_cold_files: bool,
    /// Where the program is that can `aio on`; packages cannot.
    with_file_aio: Option<PathBuf>,
}

impl Nginx {
    /// Under a name of its own, so that two can be measured against each other.
    pub(crate) fn named(name: &'static str) -> Nginx {
        Nginx {
            name,
            file: "bench/peers/nginx.conf",
            template: TEMPLATE.into(),
            for_cold_files: false,
            with_file_aio: None,
        }
    }

    /// Not by `sendfile`.
    pub(crate) fn copying() -> Nginx {
        Nginx {
            name: "nginx-copy",
            file: "bench/peers/nginx.conf, but for sendfile off and output_buffers 2 256k",
            template: TEMPLATE.replace(ZERO_COPY, COPYING).into(),
            ..Nginx::named("nginx")
        }
    }

    /// <https://nginx.org/en/docs/http/ngx_http_dav_module.html>
    pub(crate) fn taking_uploads() -> Nginx {
        Nginx {
            file: "bench/peers/nginx.conf, and dav_methods PUT, client_max_body_size 0, client_body_buffer_size 1m",
            ..Nginx::taking_by("nginx", "1m")
        }
    }

    /// The same by smaller buffers.
    pub(crate) fn taking_uploads_by_less() -> Nginx {
        Nginx {
            file: "bench/peers/nginx.conf, and dav_methods PUT, client_max_body_size 0, client_body_buffer_size 256k",
            ..Nginx::taking_by("nginx-256k", "256k")
        }
    }

    fn taking_by(name: &'static str, buffer: &str) -> Nginx {
        let template = TEMPLATE.replace(SERVES, &TAKES.replace("@BUFFER@", buffer)).into();
        Nginx { template, ..Nginx::named(name) }
    }

    /// `sendfile` by a pool of threads, so that the worker does not sleep on a disk.
    pub(crate) fn threads() -> Nginx {
        Nginx {
            file: "bench/peers/nginx.conf, and aio threads",
            ..Nginx::for_cold("nginx-aio", "aio threads;")
        }
    }

    /// Past the page cache from 4 MiB on, read by a pool of threads:
    /// <https://nginx.org/en/docs/http/ngx_http_core_module.html#directio>
    pub(crate) fn direct() -> Nginx {
        Nginx {
            file: "bench/peers/nginx.conf, and directio 4m, aio threads, output_buffers 1 512k",
            ..Nginx::for_cold("nginx-directio", &format!("directio 4m; aio threads; {BUFFERS}"))
        }
    }

    /// The same by the kernel's asynchronous I/O (io_submit(2)); looked for in `built` first, then in PATH.
    pub(crate) fn kernel_aio(built: &Path) -> Nginx {
        Nginx {
            file: "bench/peers/nginx.conf, and directio 4m, aio on, output_buffers 1 512k",
            with_file_aio: Some(built.to_owned()),
            ..Nginx::for_cold("nginx-libaio", &format!("directio 4m; aio on; {BUFFERS}"))
        }
    }

    fn for_cold(name: &'static str, further: &str) -> Nginx {
        let template = TEMPLATE.replace(ZERO_COPY, &format!("    {further}\n{ZERO_COPY}")).into();
        Nginx { template, for_cold_files: true, ..Nginx::named(name) }
    }

    fn program(&self) -> Result<PathBuf> {
        match &self.with_file_aio {
            None => program::find("nginx", None),
            Some(built) => {
                program::find(WITH_FILE_AIO, Some(built)).context("see bench/peers/build-nginx")
            }
        }
    }
}

impl Peer for Nginx {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> Result<String> {
        version_line(&self.program()?, "-v")
    }

    fn configuration(&self) -> Option<Configuration> {
        Some(Configuration { file: self.file, text: self.template.clone() })
    }

    fn for_cold_files(&self) -> bool {
        self.for_cold_files
    }

    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running> {
        let site = Site::prepare(ground, self.name, "nginx.conf", &self.template)?;
        let mut command = place.server_command(self.program()?);
        if self.for_cold_files {
            command.env("MALLOC_MMAP_THRESHOLD_", GIVEN_BACK);
        }
        // -e: until it has read its configuration it would log to the system's file.
        command.arg("-c").arg(&site.configuration).arg("-p").arg(&site.state);
        command.arg("-e").arg(site.state.join("error.log"));
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
    fn for_uploads_lines_are_added() {
        let uploads = Nginx::taking_uploads().template;
        promises(
            &uploads,
            &["dav_methods PUT;", "client_max_body_size 0;", "client_body_temp_path @STATE@"],
        );
    }

    #[test]
    fn for_cold_files_lines_are_added() {
        promises(&Nginx::threads().template, &["aio threads;", "sendfile on;"]);
        promises(
            &Nginx::direct().template,
            &["directio 4m; aio threads; output_buffers 1 512k;", "sendfile on;"],
        );
        promises(&Nginx::kernel_aio(Path::new("/")).template, &["directio 4m; aio on;"]);
        assert!(Nginx::threads().for_cold_files() && !Nginx::copying().for_cold_files());
    }

    #[test]
    fn it_starts_answers_and_stops() {
        starts_answers_and_stops(&Nginx::threads());
        starts_answers_and_stops(&Nginx::direct());
        starts_answers_and_stops(&Nginx::kernel_aio(&built()));
        starts_answers_and_stops(&Nginx::copying());
        starts_answers_and_stops(&Nginx::named("nginx"));
    }

    #[test]
    fn it_takes_uploads() {
        starts_takes_and_stops(&Nginx::taking_uploads());
    }
}
