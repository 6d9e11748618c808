//! What the server says when it starts: where it is, what the kernel offers, what was decided.

use crate::config::{Config, LogTarget};
use sendrail_files::{Confinement, Mutable, Names, Root};
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
    let root = &config.ground.root();
    let probe = Probe::run(); // it needs descriptors, and the address is said when no more are needed
    say!("sendrail {} serves {}", env!("CARGO_PKG_VERSION"), config.dir.display());
    for file in &config.files_read {
        say!("configured   by {} (--config)", file.display());
    }
    for address in bound {
        say!("listening on http://{address}/");
    }
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
    if let Some(limit) = config.transfer.direct_above {
        say!("direct       files of {limit} bytes or more go past the page cache (--direct-above)");
    }
    say!("{}", of_live_files(config));
    if let Some(said) = of_mutable_files(root) {
        say!("mutable      {said} (--mutable)");
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
    say!(
        "disks        {} threads each (--disk-threads), given up if silent for {:?} (--disk-timeout)",
        config.disk_threads,
        config.disk_timeout
    );
    match root.names() {
        Names::Unknown { why } => {
            say!("names        looked up by the event loops, which may wait for a disk: {why}");
        }
        Names::Elsewhere => {
            say!(
                "names        looked up by disk threads, once in {:?} (--open-files-valid)",
                config.files.open_files_valid
            );
        }
        _ => {}
    }
    if let Some(uploads) = &config.uploads {
        say!("uploads      {uploads}");
    }
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

/// What is done about files that grow.
fn of_live_files(config: &Config) -> String {
    let rules = config.live;
    if !rules.on {
        let why = match config.ground.root().options().mutable {
            Mutable::Snapshot => "a snapshot does not grow (--mutable)",
            Mutable::Share | Mutable::Copy => "as --live says",
        };
        return format!("live         files are not followed: {why}");
    }
    let waits = if rules.max_wait.is_zero() {
        "clients cannot wait".to_owned()
    } else {
        format!("clients may wait for {:?}", rules.max_wait)
    };
    format!(
        "live         files are followed until {:?} after the last change (--finished-after), {waits} (--max-wait)",
        rules.finished_after
    )
}

/// What is done about files that change, unless it is what is usual.
fn of_mutable_files(root: &Root) -> Option<String> {
    const COPIED: &str = "files are copied, and a transfer of a file that changes is cut";
    match root.options().mutable {
        Mutable::Share => None,
        Mutable::Copy => Some(COPIED.to_owned()),
        Mutable::Snapshot => Some(match root.no_snapshots() {
            Some(refusal) => format!("{refusal}: {COPIED}"),
            None => "each version of a file is sent from a snapshot of it".to_owned(),
        }),
    }
}
