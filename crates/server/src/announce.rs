//! What the server says when it starts: where it is, what the kernel offers, what was decided.

use crate::config::{Config, LogTarget};
use sendrail_files::Confinement;
use sendrail_sys::probe::{Probe, State};
use std::{
    io::{Write, stderr},
    net::SocketAddr,
};

/// Like `eprintln!`, which would panic when standard error is closed: nobody to read the greeting
/// is no reason not to serve.
macro_rules! say {
    ($($what:tt)*) => {
        let _ = writeln!(stderr(), $($what)*);
    };
}

/// Prints to standard error. The lines `listening on …` are meant to be read by programs too.
pub(crate) fn announce(config: &Config, bound: &[SocketAddr], small_files: &str) {
    let root = &config.root;
    say!("sendrail {} serves {}", env!("CARGO_PKG_VERSION"), config.dir.display());
    for address in bound {
        say!("listening on http://{address}/");
    }
    let probe = Probe::run();
    say!("kernel       {}", probe.kernel);
    for facility in &probe.facilities {
        if let State::Unavailable { why, .. } = &facility.state {
            say!("without      {}: {why}", facility.name);
        }
    }
    let confined = if let Confinement::Walk { why } = root.confinement() {
        format!("a walk with O_NOFOLLOW, symbolic links denied, for openat2 is {why}")
    } else {
        "openat2(RESOLVE_BENEATH)".to_owned()
    };
    say!("files        on {}, confined by {confined}", root.file_system().name());
    match config.transfer.method {
        Some(method) => {
            say!("method       {method}, forced (--method)");
        }
        None => {
            say!("method       auto: sendfile; copy on network file systems (--method)");
        }
    }
    say!(
        "from memory  files up to {} KiB (--small-files): {small_files}",
        config.files.small_limit() >> 10
    );
    say!(
        "links        {} (--symlinks), dot files {} (--dotfiles), listings {} (--listing)",
        match root.options().symlinks {
            sendrail_files::Symlinks::Deny => "not followed",
            sendrail_files::Symlinks::SameRoot => "followed beneath the directory",
            sendrail_files::Symlinks::Follow => "followed anywhere",
        },
        match root.options().dotfiles {
            sendrail_files::Dotfiles::Deny => "hidden",
            sendrail_files::Dotfiles::Serve => "served",
        },
        if config.files.listing { "shown" } else { "not shown" },
    );
    say!(
        "limits       {} workers (--workers), {} connections (--max-connections), {} open files each (--open-files)",
        config.workers,
        config.max_connections,
        config.files.open_files
    );
    match &config.access_log {
        LogTarget::Off => {
            say!("access log   off (--access-log - prints it)");
        }
        LogTarget::Stdout => {
            say!("access log   on standard output");
        }
        LogTarget::File(path) => {
            say!("access log   {}", path.display());
        }
    }
}
