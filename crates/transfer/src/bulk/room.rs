//! Room: how much memory is free, in the machine and in the control groups this process is in.
//!
//! As long as memory is free, pages that are brought in cost nobody anything, and may stay.

use sendrail_sys::cgroup::{MemoryGroup, memory_groups_by};
use std::{
    fs::File,
    io::Read,
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
    groups: Vec<MemoryGroup>,
}

impl Gauge {
    /// For this process, wherever its control groups are.
    pub(super) fn new() -> Self {
        Self::by(Path::new("/proc"))
    }

    fn by(proc: &Path) -> Self {
        Self { meminfo: proc.join("meminfo"), groups: memory_groups_by(proc) }
    }

    /// Looks now. Nothing here waits for a disk.
    pub(super) fn look(&self) -> Option<Room> {
        // The first lines are enough, and one read: this is done often when memory is short.
        let mut first = [0; 512];
        let len = File::open(&self.meminfo).and_then(|mut file| file.read(&mut first)).ok()?;
        let meminfo = str::from_utf8(&first[..len]).ok()?;
        let mut room =
            Room { free: field(meminfo, "MemFree:")?, capacity: field(meminfo, "MemTotal:")? };
        for group in &self.groups {
            let Some(limit) = group.limit() else { continue };
            room.capacity = room.capacity.min(limit);
            room.free = room.free.min(limit.saturating_sub(group.used().unwrap_or(0)));
        }
        Some(room)
    }
}

/// A field of `/proc/meminfo`, which is in KiB.
fn field(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;
    use std::fs;

    #[test]
    fn the_lowest_limit_and_the_least_room_count() {
        let machine = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = machine.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        file("proc/meminfo", "MemTotal:       1000 kB\nMemFree:         600 kB\n");
        file("proc/self/cgroup", "0::/a/b\n");
        let point = machine.path().join("cg");
        let mount = format!("30 20 0:26 / {} rw - cgroup2 cgroup2 rw\n", point.display());
        file("proc/self/mountinfo", &mount);
        file("cg/a/memory.max", "512000\n");
        file("cg/a/memory.current", "500000\n");
        file("cg/a/b/memory.max", "max\n");
        file("cg/a/b/memory.current", "999999\n");
        file("cg/memory.max", "9223372036854771712\n");
        file("cg/memory.current", "1\n");
        let gauge = Gauge::by(&machine.path().join("proc"));
        assert_eq!(gauge.look(), Some(Room { free: 12_000, capacity: 512_000 }));
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let room = Gauge::new().look().unwrap();
        assert!(room.free <= room.capacity && room.capacity > 0, "{room:?}");
    }
}
