//! How much memory the page cache may still take: the machine's, or less where a memory cgroup has a limit.

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
    for (directory, version) in cgroups(proc) {
        if let Some(bytes) = left(&directory, version)
            && bytes < least.bytes
        {
            least = Available { bytes, cgroup: Some(directory) };
        }
    }
    Some(least)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The directories of the memory cgroup of this process and of those above it.
fn cgroups(proc: &Path) -> Vec<(PathBuf, Version)> {
    let read = |name| fs::read_to_string(proc.join("self").join(name)).unwrap_or_default();
    let (own, mounts) = (read("cgroup"), read("mountinfo"));
    let mut found = Vec::new();
    for line in own.lines() {
        // cgroups(7): "4:memory:/path" for version 1, "0::/path" for version 2.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let version = match controllers {
            "" => Version::Two,
            _ if controllers.split(',').any(|name| name == "memory") => Version::One,
            _ => continue,
        };
        let Some((root, point)) = mounts.lines().find_map(|line| mount(line, version)) else {
            continue;
        };
        // What is mounted may be a part of the hierarchy (containers): `root` is where that begins.
        let beneath = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
        let directory = Path::new(point).join(beneath);
        for above in directory.ancestors().take(beneath.components().count() + 1) {
            found.push((above.to_owned(), version));
        }
    }
    found
}

/// Root and mount point of a line of proc_pid_mountinfo(5), if it is the memory controller's.
fn mount(line: &str, version: Version) -> Option<(&str, &str)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, point) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let is_it = match (kind.next()?, version) {
        ("cgroup2", Version::Two) => true,
        ("cgroup", Version::One) => {
            kind.nth(1).is_some_and(|options| options.split(',').any(|name| name == "memory"))
        }
        _ => false,
    };
    is_it.then_some((root, point))
}

/// What a cgroup may still take, with what it could give back of its page cache. `None` if it has no limit.
fn left(directory: &Path, version: Version) -> Option<u64> {
    let (limit, usage, prefix) = match version {
        Version::One => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
        Version::Two => ("memory.max", "memory.current", ""),
    };
    let read = |name| fs::read_to_string(directory.join(name)).ok();
    let number = |name| read(name)?.trim().parse::<u64>().ok(); // "max" is none
    let limit = number(limit)?;
    let stat = read("memory.stat")?;
    let file = |name| field(&stat, &format!("{prefix}{name}")).unwrap_or(0);
    let reclaimable = file("active_file").saturating_add(file("inactive_file"));
    Some(limit.saturating_sub(number(usage)?.saturating_sub(reclaimable)))
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
