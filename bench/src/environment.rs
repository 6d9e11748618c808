//! What a figure depends on besides the servers: recorded with every run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::namespace::Network;
use crate::pin::Cores;
use crate::root;

/// Settings of the kernel that change what transfers over loopback cost; those a kernel lacks are left out.
const SETTINGS: [&str; 11] = [
    "net/ipv4/tcp_congestion_control",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_wmem",
    "net/ipv4/tcp_notsent_lowat",
    "net/ipv4/tcp_slow_start_after_idle",
    "net/ipv4/tcp_autocorking",
    "net/core/somaxconn",
    "net/core/default_qdisc",
    "kernel/io_uring_disabled",
    "vm/dirty_background_ratio",
    "kernel/randomize_va_space",
];

/// The machine and its settings.
#[derive(Debug, Serialize)]
pub(crate) struct Environment {
    pub(crate) host: String,
    pub(crate) kernel: String,
    pub(crate) architecture: String,
    pub(crate) cpu_model: String,
    pub(crate) cpus: usize,
    pub(crate) memory_bytes: u64,
    /// cpufreq governor of the server's core; none on most virtual machines.
    pub(crate) governor: Option<String>,
    /// Side-channel mitigations weigh on system calls.
    pub(crate) kernel_command_line: String,
    pub(crate) load_average_at_start: String,
    pub(crate) own_network_namespace: bool,
    pub(crate) congestion_control: String,
    /// By sysctl name.
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) cores: Cores,
    /// Of the document root.
    pub(crate) document_file_system: String,
    pub(crate) open_files_limit: u64,
    /// The commit measured, with `-dirty` when it is not quite that one; none outside a repository.
    pub(crate) commit: Option<String>,
}

impl Environment {
    pub(crate) fn now(network: &Network, cores: Cores, documents: &Path) -> Environment {
        let uname = rustix::system::uname();
        let cpuinfo = read("/proc/cpuinfo");
        Environment {
            host: uname.nodename().to_string_lossy().into_owned(),
            kernel: format!(
                "{} {}",
                uname.release().to_string_lossy(),
                uname.version().to_string_lossy()
            ),
            architecture: uname.machine().to_string_lossy().into_owned(),
            cpu_model: value(&cpuinfo, "model name").unwrap_or_else(|| "unknown".into()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from).max(online_cpus()),
            memory_bytes: memory_bytes(),
            governor: line_of(&format!(
                "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor",
                cores.server
            )),
            kernel_command_line: mitigations(&read("/proc/cmdline")),
            load_average_at_start: read("/proc/loadavg").trim().to_owned(),
            own_network_namespace: network.own,
            congestion_control: network.congestion_control.clone(),
            settings: settings(),
            cores,
            document_file_system: root::file_system(documents),
            open_files_limit: crate::limits::raise_open_files(),
            commit: said_by("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
        }
    }
}

fn settings() -> BTreeMap<String, String> {
    let read = |path: &&str| Some((path.replace('/', "."), line_of(&format!("/proc/sys/{path}"))?));
    SETTINGS.iter().filter_map(read).collect()
}

/// Of the kernel's command line only what bears on speed: the rest is the machine's own business.
fn mitigations(command_line: &str) -> String {
    let bears = |word: &&str| {
        ["mitigations", "nospectre", "pti", "nopti", "isolcpus", "nohz", "idle", "preempt"]
            .iter()
            .any(|name| word.starts_with(name))
    };
    command_line.split_ascii_whitespace().filter(bears).collect::<Vec<_>>().join(" ")
}

fn memory_bytes() -> u64 {
    let total = value(&read("/proc/meminfo"), "MemTotal");
    total.and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// `available_parallelism` counts only the core this thread is pinned to.
fn online_cpus() -> usize {
    read("/proc/cpuinfo").lines().filter(|line| line.starts_with("processor")).count()
}

/// The value of the first line `name : value`.
fn value(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn line_of(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

/// What a program prints, when it is there and succeeds.
fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_bears_on_speed_is_kept_of_the_command_line() {
        assert_eq!(
            mitigations("root=/dev/sda quiet mitigations=off token=x isolcpus=3\n"),
            "mitigations=off isolcpus=3"
        );
    }

    #[test]
    fn values_are_found_by_name() {
        assert_eq!(value("a : 1\nmodel name\t: EPYC\n", "model name").as_deref(), Some("EPYC"));
        assert_eq!(value("a : 1\n", "model name"), None);
    }
}
