//! What the kernel says of a process's own use of it: time, context switches, the disk.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::fs;

/// What the kernel says of this process.
pub(super) struct Usage {
    pub(super) cpu: u64,
    pub(super) voluntary: u64,
    pub(super) involuntary: u64,
    pub(super) disk: Option<u64>,
}

impl Usage {
    pub(super) fn now() -> Self {
        // The files first: reading them is not to count. All threads together, for some ways have several.
        let (mut voluntary, mut involuntary) = (0, 0);
        for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            voluntary += field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
            involuntary += field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
        }
        let disk = fs::read_to_string("/proc/self/io").ok();
        Self {
            voluntary,
            involuntary,
            disk: disk.and_then(|text| field(&text, "read_bytes:")),
            cpu: nanoseconds(clock_gettime(ClockId::ProcessCPUTime)),
        }
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().parse().ok()
}

/// Since whenever the clock began.
pub(super) fn nanoseconds(time: Timespec) -> u64 {
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_are_found_by_their_whole_name() {
        let text = "voluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t8\nread_bytes: 9\n";
        assert_eq!(field(text, "voluntary_ctxt_switches:"), Some(7));
        assert_eq!(field(text, "nonvoluntary_ctxt_switches:"), Some(8));
        assert_eq!(field(text, "read_bytes:"), Some(9));
        assert_eq!(field(text, "absent:"), None);
    }

    #[test]
    fn all_threads_count() {
        let before = Usage::now();
        std::thread::scope(|scope| {
            let sleeping = || {
                for _ in 0..5 {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                // What a thread that has ended did is nobody's.
                Usage::now().voluntary
            };
            let seen = scope.spawn(sleeping).join().unwrap();
            assert!(seen >= before.voluntary + 5, "{seen} after {}", before.voluntary);
        });
    }
}
