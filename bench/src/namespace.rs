//! A network namespace of our own, with a congestion control that leaves loopback alone.
//!
//! Under BBR its pacing timers dominate bulk transfers over loopback: every server then measures the same, and
//! several times too dear. cubic is restricted outside the first namespace; reno is always allowed.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

const SELF: &str = "/proc/self/ns/net";
const CONGESTION_CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";
const WANTED: &str = "reno";
/// Added to the command line when this program starts itself again.
const MARK: &str = "--left-namespace=";

/// The network this run measures on.
#[derive(Debug)]
pub(crate) struct Network {
    /// In a namespace made for this run.
    pub(crate) own: bool,
    pub(crate) congestion_control: String,
}

impl Network {
    /// The network as it is.
    pub(crate) fn here() -> Network {
        let congestion_control = fs::read_to_string(CONGESTION_CONTROL).unwrap_or_default();
        Network { own: false, congestion_control: congestion_control.trim().to_owned() }
    }

    /// Why figures from this network may not be published.
    pub(crate) fn reservations(&self) -> Vec<String> {
        let mut reservations = Vec::new();
        if !self.own {
            reservations.push("not in a network namespace of its own (--here)".into());
        }
        if self.congestion_control != WANTED {
            reservations
                .push(format!("congestion control is {}, not {WANTED}", self.congestion_control));
        }
        reservations
    }
}

/// Makes the namespace (and one for mounts, see `mount_tracefs`) and goes there: this program replaces itself by itself
/// under `unshare --net --mount` (same process, no thread left behind in the old network), and on the second arrival brings the loopback up and sets reno.
/// The namespace ends with its last process, so nothing is left to clean up.
pub(crate) fn enter(left: Option<&OsStr>) -> Result<Network> {
    let current = fs::read_link(SELF).with_context(|| format!("reading {SELF}"))?;
    match left {
        None => Err(leave(current)),
        Some(left) if left == current.as_os_str() => {
            bail!("unshare --net did not change the network namespace")
        }
        Some(_) => furnish(),
    }
}

/// Only returns when it fails.
fn leave(current: PathBuf) -> anyhow::Error {
    if !rustix::process::geteuid().is_root() {
        return anyhow::anyhow!(
            "a network namespace of its own needs root: run it with sudo, \
             or with --here in this one (such a run is not publishable)"
        );
    }
    let mut mark = OsString::from(MARK);
    mark.push(current);
    let myself = match std::env::current_exe() {
        Ok(path) => path,
        Err(error) => {
            return anyhow::Error::new(error).context("looking for this program's own file");
        }
    };
    let error = Command::new("unshare")
        .args(["--net", "--mount", "--"])
        .arg(myself)
        .args(std::env::args_os().skip(1))
        .arg(mark)
        .exec();
    anyhow::Error::new(error)
        .context("starting unshare(1) of util-linux to make a network namespace")
}

/// The command line as it was typed.
pub(crate) fn typed_command() -> Vec<String> {
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    words.filter(|word| !word.starts_with(MARK)).collect()
}

fn furnish() -> Result<Network> {
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .output()
        .context("starting ip(8) of iproute2")?;
    if !up.status.success() {
        bail!("ip link set lo up: {}", String::from_utf8_lossy(&up.stderr).trim());
    }
    mount_tracefs();
    fs::write(CONGESTION_CONTROL, WANTED)
        .with_context(|| format!("writing {WANTED} to {CONGESTION_CONTROL} (see --here)"))?;
    let network = Network { own: true, ..Network::here() };
    if network.congestion_control != WANTED {
        bail!(
            "{CONGESTION_CONTROL} still says {} after writing {WANTED}",
            network.congestion_control
        );
    }
    Ok(network)
}

/// So that tracepoints can be counted. In our own mount namespace, which nobody else sees; where it does not work, the
/// system calls stay uncounted, and whoever wants to count them says why.
fn mount_tracefs() {
    const PLACE: &str = "/sys/kernel/tracing";
    if fs::read_dir(PLACE).is_ok_and(|mut entries| entries.next().is_none()) {
        let _ = Command::new("mount").args(["-t", "tracefs", "none", PLACE]).output();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn arriving_where_one_left_is_an_error() {
        let current = fs::read_link(SELF).unwrap();
        let error = enter(Some(current.as_os_str())).unwrap_err();
        assert!(error.to_string().contains("did not change"), "{error}");
    }

    #[test]
    fn only_reno_in_an_own_namespace_is_without_reservation() {
        let network = |own, name: &str| Network { own, congestion_control: name.into() };
        assert!(network(true, "reno").reservations().is_empty());
        assert_eq!(network(false, "reno").reservations().len(), 1);
        assert_eq!(network(true, "bbr").reservations().len(), 1);
    }
}
