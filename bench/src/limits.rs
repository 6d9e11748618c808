//! Enough descriptors for 10,000 connections, here and (inherited) in the servers.

use anyhow::{Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A connection costs one descriptor in the generator and one in the server; both inherit this limit.
const WANTED: u64 = 65_536;

/// Raises RLIMIT_NOFILE as far as allowed, up to 65,536; the new soft limit.
pub(crate) fn raise_open_files() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let soft = now.current.unwrap_or(u64::MAX);
    let hard = now.maximum.unwrap_or(u64::MAX);
    // Above the hard limit needs CAP_SYS_RESOURCE; without it the hard limit must do.
    for goal in [WANTED.max(soft), hard.min(WANTED)] {
        let limit = Rlimit { current: Some(goal), maximum: Some(goal.max(hard)) };
        if goal > soft && setrlimit(Resource::Nofile, limit).is_ok() {
            return goal;
        }
    }
    soft
}

/// An error when `connections` do not fit.
pub(crate) fn require_open_files(connections: usize) -> Result<()> {
    let have = raise_open_files();
    let need = connections as u64 + 100;
    if have < need {
        bail!(
            "{connections} connections need RLIMIT_NOFILE {need}, but only {have} is allowed (ulimit -Hn)"
        );
    }
    Ok(())
}
