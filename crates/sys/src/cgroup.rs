//! Memory control groups (cgroups(7), versions 1 and 2): which ones this process is in, and what they allow.

use std::fs;
use std::path::{Path, PathBuf};

/// Which of the two interfaces a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A control group of the memory controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryGroup {
    directory: PathBuf,
    version: Version,
}

impl MemoryGroup {
    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The most that its processes may use, in bytes, their page cache included. `None` if there is no limit, or it cannot
    /// be read. (Version 1 says a number beyond all memory for none.)
    pub fn limit(&self) -> Option<u64> {
        self.number(match self.version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max", // "max" is no number
        })
    }

    /// What they use, in bytes.
    pub fn used(&self) -> Option<u64> {
        self.number(match self.version {
            Version::One => "memory.usage_in_bytes",
            Version::Two => "memory.current",
        })
    }

    /// What of that is page cache, which the kernel could throw out, in bytes.
    pub fn page_cache(&self) -> Option<u64> {
        let stat = fs::read_to_string(self.directory.join("memory.stat")).ok()?;
        let prefix = if self.version == Version::One { "total_" } else { "" };
        let field = |name: &str| {
            let name = format!("{prefix}{name} ");
            stat.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse::<u64>().ok())
        };
        let sum = ["active_file", "inactive_file"].into_iter().filter_map(field);
        Some(sum.fold(0, u64::saturating_add))
    }

    fn number(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.directory.join(file)).ok()?.trim().parse().ok()
    }
}

/// The memory control group of this process and all above it, from its own upwards: the limits of all of them hold. Empty
/// where there are none, or `/proc` cannot be read.
///
/// ```
/// for group in sendrail_sys::cgroup::memory_groups() {
///     println!("{}: {:?} of {:?}", group.directory().display(), group.used(), group.limit());
/// }
/// ```
pub fn memory_groups() -> Vec<MemoryGroup> {
    memory_groups_by(Path::new("/proc"))
}

/// The same, as another `/proc` tells it.
pub fn memory_groups_by(proc: &Path) -> Vec<MemoryGroup> {
    let read = |name| fs::read_to_string(proc.join("self").join(name)).unwrap_or_default();
    let (own, mounts) = (read("cgroup"), read("mountinfo"));
    let mut found = Vec::new();
    for line in own.lines() {
        // "4:memory:/path" for version 1, "0::/path" for version 2.
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
            found.push(MemoryGroup { directory: above.to_owned(), version });
        }
    }
    found
}

/// Root and mount point of a line of proc_pid_mountinfo(5), if it is the memory controller's:
/// "36 35 98:0 /root /mount/point options … - type source options".
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use super::*;

    fn directories(cgroup: &str, mountinfo: &str) -> Vec<PathBuf> {
        let proc = tempfile::tempdir().unwrap();
        let own = proc.path().join("self");
        fs::create_dir(&own).unwrap();
        fs::write(own.join("cgroup"), cgroup).unwrap();
        fs::write(own.join("mountinfo"), mountinfo).unwrap();
        let groups = memory_groups_by(proc.path());
        groups.into_iter().map(|group| group.directory).collect()
    }

    #[test]
    fn finds_the_groups_of_both_versions_up_to_the_mount() {
        let mountinfo = "\
            26 25 0:24 / /cg/cpu rw - cgroup cgroup rw,cpu\n\
            27 25 0:25 / /cg/memory rw shared:9 - cgroup cgroup rw,memory\n\
            28 25 0:26 / /cg/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(
            directories("4:memory:/a/b\n3:cpu:/x\n0::/c\n", mountinfo),
            ["/cg/memory/a/b", "/cg/memory/a", "/cg/memory", "/cg/unified/c", "/cg/unified"]
                .map(PathBuf::from)
        );
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_mount() {
        let mountinfo = "28 25 0:26 /docker/1f /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        for path in ["/docker/1f", "/"] {
            assert_eq!(
                directories(&format!("0::{path}\n"), mountinfo),
                [Path::new("/sys/fs/cgroup")]
            );
        }
    }
}
