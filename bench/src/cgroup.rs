//! A control group for one server: so much memory, page cache included (cgroups(7), memory controller version 1 or 2).
//!
//! Pages of files are charged to the group of whoever brings them into memory. So the served files are evicted before a
//! server starts, and nobody but the server reads them afterwards.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The kernel ended a process of the server because the group's memory was used up.
#[derive(Debug)]
pub(crate) struct KilledForMemory {
    pub(crate) limit: u64,
}

impl fmt::Display for KilledForMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "killed for memory: it did not make do with {} MiB", self.limit >> 20)
    }
}

impl std::error::Error for KilledForMemory {}

/// A group ends when its last process has ended, which the kernel may notice a little later.
const EMPTY_WITHIN: Duration = Duration::from_secs(2);

/// Groups of this process so far: each has a name of its own.
static MADE: AtomicU32 = AtomicU32::new(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A new group of version 1 or 2; removed when dropped.
#[derive(Debug)]
pub(crate) struct Group {
    version: Version,
    path: PathBuf,
    /// Of version 1, whose controllers have a hierarchy each: the one for disks.
    disks: Option<Box<Group>>,
}

impl Group {
    /// A group in which all processes together have `limit` bytes of memory and no swap space.
    pub(crate) fn of_memory(limit: u64) -> Result<Group> {
        let group = Group::make("memory")?;
        let limit = limit.to_string();
        match group.version {
            Version::One => {
                group.write("memory.limit_in_bytes", &limit)?;
                // Absent where the kernel does not account swap space; the machine may have none anyway.
                let _ = group.write("memory.memsw.limit_in_bytes", &limit);
            }
            Version::Two => {
                group.write("memory.max", &limit)?;
                let _ = group.write("memory.swap.max", "0");
            }
        }
        Ok(group)
    }

    /// Lets the group's processes read only so often a second from a device, `major:minor`; 0 lifts that.
    pub(crate) fn slow_down(&mut self, device: &str, reads_per_second: u32) -> Result<()> {
        match self.version {
            Version::One => {
                if self.disks.is_none() {
                    self.disks = Some(Box::new(Group::make("blkio")?));
                }
                let disks = self.disks.as_ref().context("a group that was just made")?;
                let limit = format!("{device} {reads_per_second}");
                disks.write("blkio.throttle.read_iops_device", &limit)
            }
            Version::Two => {
                let limit = match reads_per_second {
                    0 => "max".to_owned(),
                    limit => limit.to_string(),
                };
                self.write("io.max", &format!("{device} riops={limit}"))
            }
        }
    }

    /// Makes an empty group for `controller`, with a name nobody else has.
    fn make(controller: &str) -> Result<Group> {
        let groups = read("/proc/self/cgroup")?;
        let mounts = read("/proc/self/mountinfo")?;
        let (version, own) = find(controller, &groups, &mounts)
            .with_context(|| format!("no control groups with a {controller} controller here"))?;
        let parent = match version {
            Version::One => own,
            Version::Two => parent_of_two(controller, &own)?,
        };
        let (process, number) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = parent.join(format!("sendrail-bench-{process}-{number}"));
        fs::create_dir(&path)
            .with_context(|| format!("making the control group {}", path.display()))?;
        Ok(Group { version, path, disks: None })
    }

    /// A process that is to belong to it joins all of these.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let disks = self.disks.iter().map(|disks| disks.path.clone());
        std::iter::once(self.path.clone()).chain(disks).collect()
    }

    /// How many processes of the group the kernel has killed because its memory was used up.
    pub(crate) fn killed(&self) -> Result<u64> {
        let name = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        Ok(keyed(&self.read(name)?, "oom_kill").unwrap_or(0))
    }

    /// Starts a new count of what the kernel holds for the group at most. Only version 1 knows.
    pub(crate) fn forget_kernel_peak(&self) {
        let _ = self.write("memory.kmem.max_usage_in_bytes", "0");
    }

    /// The most that the kernel itself held for the group (socket buffers, names, inodes), in bytes.
    pub(crate) fn kernel_peak(&self) -> Option<u64> {
        self.read("memory.kmem.max_usage_in_bytes").ok()?.trim().parse().ok()
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.path.join(name);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    fn write(&self, name: &str, value: &str) -> Result<()> {
        let path = self.path.join(name);
        fs::write(&path, value).with_context(|| format!("writing {value} to {}", path.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Version 1: what is still charged to it is given back, or the group would live on, unseen, as long as that.
        let _ = self.write("memory.force_empty", "0");
        let asked = Instant::now();
        while let Err(error) = fs::remove_dir(&self.path) {
            if asked.elapsed() > EMPTY_WITHIN || error.kind() == io::ErrorKind::NotFound {
                eprintln!("the control group {} is left behind: {error}", self.path.display());
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {path}"))
}

/// The directory of this process's own group for `controller`: of version 1 where that has it, else of version 2.
/// `groups` is /proc/self/cgroup (cgroups(7)), `mounts` /proc/self/mountinfo (proc_pid_mountinfo(5)).
fn find(controller: &str, groups: &str, mounts: &str) -> Option<(Version, PathBuf)> {
    let own = |wanted: &dyn Fn(&str) -> bool| {
        groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            wanted(controllers).then_some(path)
        })
    };
    let has = |list: &str| list.split(',').any(|name| name == controller);
    let one = own(&has).and_then(|path| mounted(mounts, "cgroup", &has, path));
    let two = || own(&str::is_empty).and_then(|path| mounted(mounts, "cgroup2", &|_| true, path));
    one.map(|path| (Version::One, path)).or_else(|| two().map(|path| (Version::Two, path)))
}

/// Where group `path` is seen in the file system: a mount shows its hierarchy from some group on.
fn mounted(
    mounts: &str,
    kind: &str,
    options: &dyn Fn(&str) -> bool,
    path: &str,
) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, place) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (found, super_options) = (after.next()?, after.nth(1)?);
        if found != kind || !options(super_options) {
            return None;
        }
        let inside = Path::new(path).strip_prefix(root).ok()?;
        Some(Path::new(place).join(inside))
    })
}

/// In version 2 a group with processes, other than the first, cannot share out a controller to groups beneath it. So the new
/// group lies beside this process's own, or beneath the nearest group that shares it out.
fn parent_of_two(controller: &str, own: &Path) -> Result<PathBuf> {
    let shares = |path: &&Path| {
        let list = fs::read_to_string(path.join("cgroup.subtree_control")).unwrap_or_default();
        list.split_ascii_whitespace().any(|name| name == controller)
    };
    if let Some(path) = own.ancestors().find(shares) {
        return Ok(path.to_owned());
    }
    let control = own.join("cgroup.subtree_control");
    if let Err(error) = fs::write(&control, format!("+{controller}")) {
        bail!("no group above {} shares out {controller}, nor can it: {error}", own.display());
    }
    Ok(own.to_owned())
}

/// The value of a line `name value`.
fn keyed(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    const MOUNTS: &str = "\
30 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
31 23 0:28 /outer /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup none rw,memory
32 23 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    #[test]
    fn version_1_is_taken_where_it_has_the_controller() {
        let groups = "4:memory:/outer/inner\n3:cpu,cpuacct:/\n0::/user.slice/a.scope\n";
        let memory = find("memory", groups, MOUNTS);
        assert_eq!(memory, Some((Version::One, "/sys/fs/cgroup/memory/inner".into())));
        let io = find("io", groups, MOUNTS);
        assert_eq!(io, Some((Version::Two, "/sys/fs/cgroup/unified/user.slice/a.scope".into())));
        assert_eq!(find("memory", "", MOUNTS), None);
        assert_eq!(find("memory", "4:memory:/elsewhere\n", MOUNTS), None);
    }

    #[test]
    fn version_2_needs_a_group_that_shares_the_controller_out() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("slice/scope");
        fs::create_dir_all(&own).unwrap();
        fs::write(root.path().join("slice/cgroup.subtree_control"), "cpu memory\n").unwrap();
        assert_eq!(parent_of_two("memory", &own).unwrap(), root.path().join("slice"));
        assert_eq!(parent_of_two("io", &own).unwrap(), own, "asks for it");
        assert_eq!(fs::read_to_string(own.join("cgroup.subtree_control")).unwrap(), "+io");
    }

    #[test]
    fn killed_processes_are_found_by_the_whole_name() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(keyed(text, "oom_kill"), Some(3));
        assert_eq!(keyed("oom_kill_disable 0\n", "oom_kill"), None);
    }

    #[test]
    fn a_group_confines_and_vanishes() {
        let group = match Group::of_memory(64 << 20) {
            Ok(group) => group,
            Err(why) => {
                eprintln!("skipped: {why:#}");
                return;
            }
        };
        let path = group.paths().remove(0);
        let child = std::process::Command::new("sh")
            .args(["-c", r#"echo $$ >"$0/cgroup.procs"; head -c 200m /dev/zero | tail | wc -c"#])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&child.stdout).trim(), "0", "tail was to be killed");
        assert_eq!(group.killed().unwrap(), 1);
        drop(group);
        assert!(!path.exists());
    }

    #[test]
    fn a_group_for_disks_goes_with_it() {
        let root = fs::metadata("/").unwrap();
        let device = std::os::linux::fs::MetadataExt::st_dev(&root);
        let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
        let group = Group::of_memory(64 << 20).and_then(|mut group| {
            group.slow_down(&device, 1000)?;
            group.slow_down(&device, 0)?;
            Ok(group)
        });
        let group = match group {
            Ok(group) => group,
            Err(why) => {
                eprintln!("skipped: {why:#}");
                return;
            }
        };
        let paths = group.paths();
        assert!(paths.iter().all(|path| path.exists()));
        drop(group);
        assert!(paths.iter().all(|path| !path.exists()), "{paths:?}");
    }
}
