//! Room: how much memory is free, in the machine and in the control groups this process is in.
//!
//! As long as memory is free, pages that are brought in cost nobody anything, and may stay.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Free memory and the memory there is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// What can be filled before something has to be thrown out. The page cache is not in here.
    pub(super) free: u64,
    /// The machine's memory, or the lowest limit.
    pub(super) capacity: u64,
}

/// Where to look.
#[derive(Debug)]
pub(super) struct Gauge {
    meminfo: PathBuf,
    /// A limit and what is used of it, for the control group of this process and each above it.
    groups: Vec<(PathBuf, PathBuf)>,
}

impl Gauge {
    /// For this process, wherever its control groups are mounted (cgroups(7)). Reads
    /// `/proc/self/cgroup` and `/proc/self/mountinfo`; whatever cannot be read limits nothing.
    pub(super) fn new() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let groups = groups(&text("/proc/self/cgroup"), &text("/proc/self/mountinfo"));
        Self { meminfo: "/proc/meminfo".into(), groups }
    }

    /// Looks now. Costs some tens of microseconds; nothing here waits for a disk.
    pub(super) fn look(&self) -> Option<Room> {
        let meminfo = fs::read_to_string(&self.meminfo).ok()?;
        let mut room =
            Room { free: field(&meminfo, "MemFree:")?, capacity: field(&meminfo, "MemTotal:")? };
        for (limit, used) in &self.groups {
            // "max" in version 2; in version 1 a number beyond all memory.
            let Some(limit) = number(limit) else { continue };
            if limit < room.capacity {
                room.capacity = limit;
            }
            room.free = room.free.min(limit.saturating_sub(number(used).unwrap_or(0)));
        }
        Some(room)
    }
}

/// A field of `/proc/meminfo`, which is in KiB.
fn field(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The files of the memory controller, from this process's group up to the mount point.
fn groups(cgroup: &str, mountinfo: &str) -> Vec<(PathBuf, PathBuf)> {
    let mut files = Vec::new();
    for line in cgroup.lines() {
        // "4:memory:/path" in version 1, "0::/path" in version 2.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (first, limit, used) = if controllers.is_empty() {
            (mounted(mountinfo, "cgroup2", None, path), "memory.max", "memory.current")
        } else if controllers.split(',').any(|name| name == "memory") {
            let place = mounted(mountinfo, "cgroup", Some("memory"), path);
            (place, "memory.limit_in_bytes", "memory.usage_in_bytes")
        } else {
            continue;
        };
        let Some((mount, group)) = first else { continue };
        let up = group.ancestors().take_while(|above| above.starts_with(&mount));
        files.extend(up.map(|group| (group.join(limit), group.join(used))));
    }
    files
}

/// The mount point of a control group hierarchy, and the directory of the group `path` beneath it.
fn mounted(
    mountinfo: &str,
    file_system: &str,
    controller: Option<&str>,
    path: &str,
) -> Option<(PathBuf, PathBuf)> {
    mountinfo.lines().find_map(|line| {
        // proc_pid_mountinfo(5): "36 35 98:0 /root /mount/point options … - type source options"
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        if right.next()? != file_system {
            return None;
        }
        let options = right.nth(1)?;
        if controller.is_some_and(|name| !options.split(',').any(|option| option == name)) {
            return None;
        }
        let mut left = left.split(' ').skip(3);
        let (root, mount) = (left.next()?, PathBuf::from(left.next()?));
        // In a container the group's path may be told from further above than what is mounted.
        let beneath = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
        Some((mount.clone(), mount.join(beneath)))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    const MOUNTINFO: &str = "\
25 30 0:23 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:24 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
27 25 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
28 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    #[test]
    fn finds_the_groups_of_both_versions_up_to_the_mount() {
        let found = groups("4:memory:/a/b\n3:cpu:/x\n0::/c\n", MOUNTINFO);
        let limits: Vec<_> = found.iter().map(|(limit, _)| limit.to_str().unwrap()).collect();
        assert_eq!(
            limits,
            [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/unified/c/memory.max",
                "/sys/fs/cgroup/unified/memory.max",
            ]
        );
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_mount() {
        let mountinfo = "28 25 0:26 /docker/1f /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        for path in ["/docker/1f", "/"] {
            let found = groups(&format!("0::{path}\n"), mountinfo);
            assert_eq!(found[0].0, Path::new("/sys/fs/cgroup/memory.max"), "{path}");
        }
    }

    #[test]
    fn the_lowest_limit_and_the_least_room_count() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let gauge = Gauge {
            meminfo: file("meminfo", "MemTotal:       1000 kB\nMemFree:         600 kB\n"),
            groups: vec![
                (file("limit", "512000\n"), file("used", "500000\n")),
                (file("limit2", "max\n"), file("used2", "999999\n")),
                (file("limit3", "9223372036854771712\n"), file("used3", "1\n")),
            ],
        };
        assert_eq!(gauge.look(), Some(Room { free: 12_000, capacity: 512_000 }));
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let room = Gauge::new().look().unwrap();
        assert!(room.free <= room.capacity && room.capacity > 0, "{room:?}");
    }
}
