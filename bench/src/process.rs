//! A server's processes: itself and all it has started (proc_pid_stat(5)).

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// The fields of `/proc/PID/stat` used here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: u32,
    /// User and system time of children that have ended and were waited for, in clock ticks.
    pub(crate) children_ticks: u64,
}

impl Stat {
    pub(crate) fn of(pid: u32) -> io::Result<Stat> {
        let line = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Stat::parse(&line)
            .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not understood: {line}")))
    }

    /// The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    fn parse(line: &str) -> Option<Stat> {
        let (_, after_name) = line.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok(); // field 3 of the man page is index 0
        Some(Stat {
            parent: u32::try_from(number(1)?).ok()?,
            children_ticks: number(13)? + number(14)?,
        })
    }
}

/// The threads of a process.
pub(crate) fn threads(pid: u32) -> io::Result<Vec<u32>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        threads.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(threads)
}

/// Bytes that a process has had read from disks, by all its threads (`read_bytes` of proc_pid_io(5)): what came from the
/// page cache is not in it.
pub(crate) fn read_from_disk(pid: u32) -> io::Result<u64> {
    io_field(pid, "read_bytes: ")
}

/// Bytes that it has had written to disks, counted when they became dirty pages or were written past the page cache
/// (`write_bytes` of proc_pid_io(5)).
pub(crate) fn written_to_disk(pid: u32) -> io::Result<u64> {
    io_field(pid, "write_bytes: ")
}

fn io_field(pid: u32, name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.parse().ok());
    value.ok_or_else(|| io::Error::other(format!("/proc/{pid}/io is not understood: {text}")))
}

/// The sum over `root` and its descendants.
pub(crate) fn sum_of_tree(root: u32, of: fn(u32) -> io::Result<u64>) -> io::Result<u64> {
    Ok(tree(root)?.into_iter().filter_map(|pid| of(pid).ok()).sum()) // one may have ended since it was listed
}

/// `root` and all its descendants.
pub(crate) fn tree(root: u32) -> io::Result<Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end between the listing and the reading.
        let Ok(stat) = Stat::of(pid) else { continue };
        children.entry(stat.parent).or_default().push(pid);
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 50 60 70 80 20 0 1 0 9 1 1";
        assert_eq!(Stat::parse(line), Some(Stat { parent: 3, children_ticks: 150 }));
        assert_eq!(Stat::parse("7 (short) S 3"), None);
    }

    #[test]
    fn descendants_are_found() {
        // The shell, a shell of its own, and that one's sleep.
        let script = "sh -c 'sleep 30 & wait' & wait";
        let mut shell =
            Command::new("sh").args(["-c", script]).stdin(Stdio::null()).spawn().unwrap();
        let mut pids = tree(shell.id()).unwrap();
        for _ in 0..1000 {
            if pids.len() == 3 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
            pids = tree(shell.id()).unwrap();
        }
        for &pid in &pids {
            let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        shell.wait().unwrap();
        assert_eq!(pids.len(), 3);
        assert_eq!(pids[0], shell.id());
    }
}
