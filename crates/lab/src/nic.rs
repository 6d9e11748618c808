//! What the features of each network interface mean for sending files without a copy.

use serde::Serialize;
use std::{fs, io, process::Command};

/// An interface, as far as it matters for sending.
#[allow(clippy::struct_excessive_bools)] // they are what ethtool(8) says
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Whether it is the loopback device.
    pub loopback: bool,
    /// Gathers a packet from where its pieces lie (NETIF_F_SG).
    pub scatter_gather: bool,
    /// Cuts packets of up to 64 KiB by itself (TSO).
    pub segmentation: bool,
    /// Computes checksums by itself, without which nothing is gathered.
    pub checksums: bool,
}

impl Interface {
    /// In words.
    pub fn meaning(&self) -> &'static str {
        match self {
            Self { loopback: true, .. } => {
                "there is no device: nothing is gathered from memory, and the receiver copies"
            }
            Self { scatter_gather: false, .. } => {
                "each packet is put together in one piece: sendfile and splice copy every byte once, and what \
                 read+write has copied is copied again"
            }
            Self { checksums: false, .. } => {
                "the processor reads every byte for its checksum, copied or not"
            }
            Self { segmentation: false, .. } => {
                "pages leave without a copy; the kernel cuts packets to the device's size just before it (GSO)"
            }
            Self { .. } => "pages leave without a copy, up to 64 KiB at a time",
        }
    }
}

/// All that this network namespace has, by name.
///
/// # Errors
///
/// ethtool(8) is not installed, or there is no `/sys`.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let mut names = Vec::new();
    for entry in fs::read_dir("/sys/class/net")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    names.iter().map(|name| interface(name)).collect()
}

fn interface(name: &str) -> io::Result<Interface> {
    let output = Command::new("ethtool").args(["-k", name]).output();
    let output =
        output.map_err(|error| io::Error::new(error.kind(), format!("ethtool: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("ethtool -k {name}: {}", said.trim())));
    }
    // ARPHRD_LOOPBACK
    let kind = fs::read_to_string(format!("/sys/class/net/{name}/type"));
    let loopback = kind.is_ok_and(|kind| kind.trim() == "772");
    Ok(parse(name, loopback, &String::from_utf8_lossy(&output.stdout)))
}

/// What `ethtool -k` says: `scatter-gather: on`, with what belongs to it indented beneath.
fn parse(name: &str, loopback: bool, features: &str) -> Interface {
    let on = |feature: &str| {
        let mut states = features.lines().filter_map(|line| line.strip_prefix(feature));
        states.next().is_some_and(|state| state.starts_with(": on"))
    };
    Interface {
        name: name.to_owned(),
        loopback,
        scatter_gather: on("scatter-gather"),
        segmentation: on("tcp-segmentation-offload"),
        checksums: on("tx-checksumming"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEATURES: &str = "\
Features for eth0:
rx-checksumming: on [fixed]
tx-checksumming: on
\ttx-checksum-ipv4: off [fixed]
scatter-gather: on
\ttx-scatter-gather: on
\ttx-scatter-gather-fraglist: off [fixed]
tcp-segmentation-offload: off
\ttx-tcp-segmentation: on
generic-segmentation-offload: on
";

    #[test]
    fn features_are_read_by_their_own_lines() {
        let eth0 = parse("eth0", false, FEATURES);
        assert_eq!(
            (eth0.scatter_gather, eth0.segmentation, eth0.checksums),
            (true, false, true),
            "{eth0:?}"
        );
        assert!(!parse("eth0", false, "").scatter_gather);
    }

    #[test]
    fn each_lack_has_its_meaning() {
        let all = Interface {
            name: String::new(),
            loopback: false,
            scatter_gather: true,
            segmentation: true,
            checksums: true,
        };
        let meanings = [
            all.meaning(),
            Interface { segmentation: false, ..all.clone() }.meaning(),
            Interface { checksums: false, ..all.clone() }.meaning(),
            Interface { scatter_gather: false, ..all.clone() }.meaning(),
            Interface { loopback: true, ..all.clone() }.meaning(),
        ];
        for (at, meaning) in meanings.iter().enumerate() {
            assert!(!meanings[..at].contains(meaning), "{meaning}");
        }
    }
}
