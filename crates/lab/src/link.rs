//! What the bytes go over: loopback, or a pair of virtual devices between two network namespaces, of which
//! one gathers what it sends from where it lies (scatter-gather) or does not.

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    fs::File,
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsFd,
    path::Path,
    process::Command,
};

/// What the bytes go over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// The loopback device.
    Loopback,
    /// A device that gathers: it is given references to pages.
    Gathering,
    /// One that does not: it has to be given each packet in one piece.
    NotGathering,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Gathering => "veth, scatter-gather",
            Self::NotGathering => "veth without it",
        })
    }
}

/// Two network namespaces and what connects them; gone when this is dropped.
#[derive(Debug)]
pub struct Pair {
    sender: String,
    receiver: String,
}

/// For the receiver; the sender has the one before. (RFC 2544 set them aside for measuring.)
const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

/// The sender's device.
const DEVICE: &str = "lab0";

impl Pair {
    /// Makes them, by ip(8).
    ///
    /// # Errors
    ///
    /// It is not installed, or this process may not (it takes root).
    pub fn make() -> io::Result<Self> {
        let number = std::process::id();
        let pair = Self {
            sender: format!("sendrail-lab-{number}-a"),
            receiver: format!("sendrail-lab-{number}-b"),
        };
        let (sender, receiver) = (pair.sender.as_str(), pair.receiver.as_str());
        run("ip", &["netns", "add", sender])?;
        run("ip", &["netns", "add", receiver])?;
        let link = ["link", "add", DEVICE, "netns", sender, "type", "veth"];
        run("ip", &[&link[..], &["peer", "name", "lab1", "netns", receiver]].concat())?;
        for (space, device, address) in
            [(sender, DEVICE, "198.18.0.1/30"), (receiver, "lab1", "198.18.0.2/30")]
        {
            run("ip", &["-n", space, "address", "add", address, "dev", device])?;
            run("ip", &["-n", space, "link", "set", device, "up"])?;
        }
        Ok(pair)
    }

    /// Switches the sender's scatter-gather, by ethtool(8).
    ///
    /// # Errors
    ///
    /// It is not installed, or the device cannot do without.
    pub fn gather(&self, on: bool) -> io::Result<()> {
        let state = if on { "on" } else { "off" };
        let ethtool = ["netns", "exec", &self.sender, "ethtool", "-K", DEVICE, "sg", state];
        run("ip", &ethtool)?;
        if on {
            // Went with it, and does not come back by itself.
            run("ip", &["netns", "exec", &self.sender, "ethtool", "-K", DEVICE, "tso", "on"])?;
        }
        Ok(())
    }

    /// `program`, on the sender's side.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.sender]).arg(program);
        command
    }

    /// Moves this thread to the receiver's side, for good.
    ///
    /// # Errors
    ///
    /// This process may not (`setns(2)`).
    pub fn enter(&self) -> io::Result<IpAddr> {
        enter(&self.receiver)?;
        Ok(ADDRESS.into())
    }
}

/// Moves this thread into a network namespace, for good. Threads and processes that it starts are there too.
pub(crate) fn enter(space: &str) -> io::Result<()> {
    let space = File::open(Path::new("/run/netns").join(space))?;
    let kind = Some(rustix::thread::LinkNameSpaceType::Network);
    Ok(rustix::thread::move_into_link_name_space(space.as_fd(), kind)?)
}

impl Drop for Pair {
    fn drop(&mut self) {
        // What is between them goes with either.
        for space in [&self.sender, &self.receiver] {
            let _ = run("ip", &["netns", "delete", space]);
        }
    }
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program} {}: {}", arguments.join(" "), said.trim())))
}
