//! How often a server went to sleep of its own accord, and so had to be woken up (proc_pid_status(5)).

use std::fs;
use std::io;

use crate::process;

/// `voluntary_ctxt_switches` of all living threads of `root` and its descendants.
pub(crate) fn of_tree(root: u32) -> io::Result<u64> {
    let mut sum = 0;
    for pid in process::tree(root)? {
        for thread in process::threads(pid)? {
            let path = format!("/proc/{pid}/task/{thread}/status");
            // A thread may end between the listing and the reading.
            let Ok(status) = fs::read_to_string(path) else { continue };
            sum += switches(&status).unwrap_or(0);
        }
    }
    Ok(sum)
}

fn switches(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    value?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    #[test]
    fn sleeping_is_counted() {
        // A process of its own, since the threads of other tests end, and their switches with them.
        let mut child = Command::new("sh")
            .args(["-c", "while read -r line; do :; done"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let before = of_tree(child.id()).unwrap();
        let counted = (0..10_000).any(|_| {
            input.write_all(b"\n").unwrap();
            std::thread::sleep(Duration::from_millis(1));
            of_tree(child.id()).unwrap() >= before + 20
        });
        drop(input);
        child.wait().unwrap();
        assert!(counted);
    }

    #[test]
    fn involuntary_switches_are_something_else() {
        let status = "voluntary_ctxt_switches:\t17\nnonvoluntary_ctxt_switches:\t4\n";
        assert_eq!(switches(status), Some(17));
        assert_eq!(switches("nonvoluntary_ctxt_switches:\t4\n"), None);
    }
}
