//! What has to be known of the machine beside its figures: what it is, and what disturbs them.

use rustix::fs::{major, minor};
use sendrail_sys::{limits::cpus, stat::fstat, statfs::file_system};
use serde::Serialize;
use std::{
    fs::{self, File},
    os::fd::AsFd,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// How long others are watched before it begins.
const LOOK: Duration = Duration::from_millis(500);

/// What it is, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Kernel, processors, memory, disk.
    pub facts: String,
    /// What disturbs its figures.
    pub warnings: Vec<String>,
}

/// A look at the machine that has been begun.
#[derive(Debug)]
pub struct Look {
    before: Times,
    machine: Machine,
}

impl Look {
    /// Looks at the machine, and for a moment at what others do on it. The files of the experiment will be
    /// in `scratch`.
    pub fn begin(scratch: &Path) -> Self {
        let mut machine = Machine { facts: facts(scratch), warnings: standing(scratch) };
        let before = Times::now();
        thread::sleep(LOOK);
        let after = Times::now();
        if let Some(share) = after.busy_since(&before).filter(|share| *share > 0.1) {
            machine.warnings.push(format!(
                "Others kept the processors busy for {:.0} % of the time before it began.",
                share * 100.0
            ));
        }
        Self { before: after, machine }
    }

    /// What there was to be seen until now.
    pub fn end(self) -> Machine {
        let mut machine = self.machine;
        let stolen = Times::now().stolen_since(&self.before);
        if let Some(share) = stolen.filter(|share| *share > 0.01) {
            machine.warnings.push(format!(
                "The host took {:.0} % of the processors' time away meanwhile (steal).",
                share * 100.0
            ));
        }
        machine
    }
}

/// What disturbs figures here whenever they are taken.
fn standing(scratch: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    let info = text("/proc/cpuinfo");
    if info.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor")) {
        let who = text("/sys/class/dmi/id/sys_vendor");
        let who = if who.is_empty() { String::new() } else { format!(" ({who})") };
        warnings.push(format!(
            "This is a virtual machine{who}: caches and disk are shared with strangers, and times differ from \
             run to run. Counts do not."
        ));
    }
    if let Some(warning) = disk(scratch) {
        warnings.push(warning);
    }
    let turbo = text("/sys/devices/system/cpu/cpufreq/boost") == "1"
        || text("/sys/devices/system/cpu/intel_pstate/no_turbo") == "0";
    if turbo {
        warnings
            .push("The processors' clock goes up when it can (turbo): times differ.".to_owned());
    }
    let swapped = text("/proc/swaps")
        .lines()
        .skip(1)
        .any(|line| line.split_whitespace().nth(3).is_some_and(|used| used != "0"));
    if swapped {
        warnings
            .push("Memory is swapped out: what seems to be in memory may be on a disk.".to_owned());
    }
    warnings
}

/// What the disk beneath is, where that matters.
fn disk(scratch: &Path) -> Option<String> {
    let folder = File::open(scratch).ok()?;
    let number = fstat(folder.as_fd()).ok()?.device;
    let block = PathBuf::from(format!("/sys/dev/block/{}:{}", major(number), minor(number)));
    // ../../devices/pci0000:00/0000:00:02.0/virtio1/block/vda
    let device = fs::read_link(block).ok()?;
    let path = device.to_string_lossy();
    if path.contains("/virtual/block/loop") {
        return Some(
            "The file lies on a loop device: the disk reads it through another file.".to_owned(),
        );
    }
    (path.contains("/virtio") || path.contains("/vbd-") || path.contains("xen")).then(|| {
        "The disk is a virtual one: what is DMA here is the host's copy, perhaps out of its own page cache."
            .to_owned()
    })
}

fn facts(scratch: &Path) -> String {
    let info = text("/proc/cpuinfo");
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map_or("?", |(_, model)| model);
    let memory = text("/proc/meminfo");
    let memory = memory.lines().next().and_then(|line| line.split_whitespace().nth(1));
    let memory = memory.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1_048_576.0;
    let kind = File::open(scratch).and_then(|folder| file_system(folder.as_fd()));
    let kind = kind.map_or("?", sendrail_sys::statfs::FileSystem::name);
    format!(
        "Linux {}, {} processors ({model}), {memory:.0} GiB of memory, files on {kind}.",
        text("/proc/sys/kernel/osrelease"),
        cpus(),
    )
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// What all processors did since the machine was started, in ticks (`/proc/stat`, `proc_stat(5)`).
#[derive(Debug, Clone, Default)]
struct Times(Vec<u64>);

impl Times {
    const IDLE: usize = 3;
    const WAITING: usize = 4;
    const STOLEN: usize = 7;
    /// Time for guests is in that of users already.
    const ALL: usize = 8;

    fn now() -> Self {
        Self::parse(&text("/proc/stat"))
    }

    fn parse(stat: &str) -> Self {
        let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu "));
        let fields = line.unwrap_or_default().split_whitespace();
        Self(fields.map_while(|field| field.parse().ok()).take(Self::ALL).collect())
    }

    fn share_since(&self, before: &Self, of: impl Fn(usize) -> bool) -> Option<f64> {
        let spent: Vec<u64> =
            self.0.iter().zip(&before.0).map(|(now, then)| now.saturating_sub(*then)).collect();
        let all: u64 = spent.iter().sum();
        let part: u64 =
            spent.iter().enumerate().filter(|(field, _)| of(*field)).map(|(_, ticks)| ticks).sum();
        (all > 0).then(|| part as f64 / all as f64)
    }

    fn busy_since(&self, before: &Self) -> Option<f64> {
        self.share_since(before, |field| field != Self::IDLE && field != Self::WAITING)
    }

    fn stolen_since(&self, before: &Self) -> Option<f64> {
        self.share_since(before, |field| field == Self::STOLEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_processors_time() {
        let before = Times::parse("cpu  100 0 100 800 0 0 0 0 7 7\ncpu0 1 2\n");
        let after = Times::parse("cpu  150 0 110 820 10 0 0 10 9 9\n");
        assert_eq!(after.busy_since(&before), Some(0.7));
        assert_eq!(after.stolen_since(&before), Some(0.1));
        assert_eq!(before.busy_since(&before), None);
        assert_eq!(Times::parse("").busy_since(&before), None);
    }

    #[test]
    fn a_machine_is_named() {
        let machine = Look::begin(Path::new("/var/tmp")).end();
        assert!(
            machine.facts.starts_with("Linux ") && machine.facts.contains("GiB"),
            "{machine:?}"
        );
    }
}
