//! What the server says when it starts: where it is, what the kernel offers, what was decided.

use crate::config::{Config, LogTarget};
use sendrail_files::Confinement;
use sendrail_sys::probe::{Probe, State};
use std::net::SocketAddr;

/// Prints to standard error. The lines `listening on …` are meant to be read by programs too.
pub(crate) fn announce(config: &Config, bound: &[SocketAddr]) {
    let root = &config.root;
    eprintln!("sendrail {} serves {}", env!("CARGO_PKG_VERSION"), config.dir.display());
    for address in bound {
        eprintln!("listening on http://{address}/");
    }
    let probe = Probe::run();
    eprintln!("kernel       {}", probe.kernel);
    for facility in &probe.facilities {
        if let State::Unavailable { why, .. } = &facility.state {
            eprintln!("without      {}: {why}", facility.name);
        }
    }
    let confined = if let Confinement::Walk { why } = root.confinement() {
        format!("a walk with O_NOFOLLOW, symbolic links denied, for openat2 is {why}")
    } else {
        "openat2(RESOLVE_BENEATH)".to_owned()
    };
    eprintln!("files        on {}, confined by {confined}", root.file_system().name());
    match config.transfer.method {
        Some(method) => eprintln!("method       {method}, forced (--method)"),
        None => eprintln!(
            "method       auto: sendfile; copy on network file systems; small files from memory (--method)"
        ),
    }
    eprintln!(
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
    eprintln!(
        "limits       {} workers (--workers), {} connections (--max-connections), {} open files each (--open-files)",
        config.workers, config.max_connections, config.files.open_files
    );
    match &config.access_log {
        LogTarget::Off => eprintln!("access log   off (--access-log - prints it)"),
        LogTarget::Stdout => eprintln!("access log   on standard output"),
        LogTarget::File(path) => eprintln!("access log   {}", path.display()),
    }
}
