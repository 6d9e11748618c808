//! How much memory the page cache may still take: the machine's, or less where a memory cgroup has a limit.

use sendrail_sys::cgroup::{MemoryGroup, memory_groups_by};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// Memory that could be filled without swapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Available {
    /// In bytes. Includes what the page cache holds now and could give back.
    pub(super) bytes: u64,
    /// The cgroup whose limit it is; `None` for the machine's own memory.
    pub(super) cgroup: Option<PathBuf>,
}

impl fmt::Display for Available {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", super::text::human(self.bytes))?;
        match &self.cgroup {
            Some(path) => write!(f, " (the limit of the memory cgroup {})", path.display()),
            None => Ok(()),
        }
    }
}

/// What is available to this process; `None` if the kernel does not tell.
///
/// Pages are charged to the memory cgroup of the process that brings them in, so its limits hold for what it warms, and
/// those of all cgroups above.
pub(super) fn available() -> Option<Available> {
    available_by(Path::new("/proc"))
}

fn available_by(proc: &Path) -> Option<Available> {
    let meminfo = fs::read_to_string(proc.join("meminfo")).ok()?;
    // proc_meminfo(5): an estimate that already leaves out what cannot be reclaimed. In KiB.
    let machine = field(&meminfo, "MemAvailable:")?.saturating_mul(1024);
    let mut least = Available { bytes: machine, cgroup: None };
    for group in memory_groups_by(proc) {
        if let Some(bytes) = left(&group)
            && bytes < least.bytes
        {
            least = Available { bytes, cgroup: Some(group.directory().to_owned()) };
        }
    }
    Some(least)
}

/// What a cgroup may still take, with what it could give back of its page cache. `None` if it has no limit.
fn left(group: &MemoryGroup) -> Option<u64> {
    let limit = group.limit()?;
    Some(limit.saturating_sub(group.used()?.saturating_sub(group.page_cache()?)))
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == name).then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::*;
    use tempfile::TempDir;

    /// A /proc and a /sys/fs/cgroup.
    struct Machine(TempDir);

    impl Machine {
        fn new(cgroup: &str, mountinfo: &str) -> Self {
            let machine = Self(TempDir::new().unwrap());
            let here = machine.0.path().display().to_string();
            machine.file("proc/meminfo", "MemTotal: 9999999 kB\nMemAvailable:    1000000 kB\n");
            machine.file("proc/self/cgroup", cgroup);
            machine.file("proc/self/mountinfo", &mountinfo.replace('@', &here));
            machine
        }

        fn file(&self, path: &str, content: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        fn available(&self) -> (u64, Option<String>) {
            let available = available_by(&self.0.path().join("proc")).unwrap();
            let name = |path: PathBuf| {
                path.strip_prefix(self.0.path()).unwrap().to_string_lossy().into_owned()
            };
            (available.bytes, available.cgroup.map(name))
        }
    }

    const ALL: u64 = 1_000_000 * 1024;

    #[test]
    fn without_a_cgroup_it_is_the_machine() {
        assert_eq!(Machine::new("", "").available(), (ALL, None));
    }

    #[test]
    fn version_2_with_a_limit_above() {
        let mounts = "30 20 0:26 / @/cg rw,nosuid - cgroup2 cgroup2 rw\n";
        let machine = Machine::new("0::/a/b\n", mounts);
        assert_eq!(machine.available(), (ALL, None), "no limit anywhere");
        machine.file("cg/a/b/memory.max", "max\n");
        machine.file("cg/a/memory.max", "5000\n");
        machine.file("cg/a/memory.current", "4000\n");
        machine.file("cg/a/memory.stat", "anon 1\nfile 9\nactive_file 100\ninactive_file 200\n");
        assert_eq!(machine.available(), (1300, Some("cg/a".to_owned())));
        machine.file("cg/a/memory.current", "9000\n");
        assert_eq!(machine.available().0, 0, "a limit that was lowered");
    }

    #[test]
    fn version_1_beside_others() {
        let mounts = "\
            29 20 0:25 / @/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
            31 20 0:27 /box @/mem rw shared:9 - cgroup cgroup rw,memory\n";
        let machine = Machine::new("3:cpu,cpuacct:/x\n2:memory:/box/job\n0::/\n", mounts);
        machine.file("mem/job/memory.limit_in_bytes", "7000\n");
        machine.file("mem/job/memory.usage_in_bytes", "6000\n");
        machine.file("mem/job/memory.stat", "active_file 1\ntotal_active_file 500\n");
        machine.file("mem/memory.limit_in_bytes", "9223372036854771712\n");
        machine.file("mem/memory.usage_in_bytes", "6000\n");
        machine.file("mem/memory.stat", "");
        assert_eq!(machine.available(), (1500, Some("mem/job".to_owned())));
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(available().unwrap().bytes > 0);
    }
}
