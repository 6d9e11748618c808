//! CPU time: of a server with all its processes and threads, of the generator, and of everybody else.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sendrail_sys::process_cpu_time;

use crate::process::{self, Stat};

/// User and system time spent so far by `root`, its descendants and all their threads.
pub(crate) fn of_tree(root: u32) -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for pid in process::tree(root)? {
        match of_process(pid) {
            Ok(own) => sum += own,
            Err(_) if pid != root => {} // ended since it was listed
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

/// To the nanosecond, with the threads that have ended; children that have ended and were waited for in clock ticks.
fn of_process(pid: u32) -> io::Result<Duration> {
    Ok(process_cpu_time(pid)? + ticks(Stat::of(pid)?.children_ticks))
}

fn ticks(count: u64) -> Duration {
    Duration::from_nanos(count * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
}

/// CPU time of the calling thread: the generator.
pub(crate) fn of_this_thread() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("CPU time is never negative")
}

/// Time of all cores together since boot (proc_stat(5)), in steps of 10 ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    /// Not idle, by whomever.
    pub(crate) busy: Duration,
    /// Taken by the hypervisor for somebody else.
    pub(crate) stolen: Duration,
}

impl Machine {
    pub(crate) fn now() -> io::Result<Machine> {
        Machine::parse(&fs::read_to_string("/proc/stat")?)
            .ok_or_else(|| io::Error::other("/proc/stat is not understood"))
    }

    fn parse(text: &str) -> Option<Machine> {
        let fields = text.lines().next()?.strip_prefix("cpu ")?;
        let fields: Vec<u64> =
            fields.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
        let &[user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = fields.as_slice()
        else {
            return None;
        };
        Some(Machine { busy: ticks(user + nice + system + irq + softirq), stolen: ticks(steal) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn own_work_is_counted() {
        let me = std::process::id();
        let before = of_tree(me).unwrap();
        // Work until the kernel has noticed: no time is asserted, only that the figure moves.
        while of_tree(me).unwrap() <= before {}
    }

    #[test]
    fn idle_and_waiting_are_not_busy() {
        let machine =
            Machine::parse("cpu  1 2 3 1000 2000 4 5 6 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n").unwrap();
        assert_eq!(machine.busy, ticks(15));
        assert_eq!(machine.stolen, ticks(6));
        assert!(Machine::parse("cpu0 1 2 3 4 5 6 7 8\n").is_none());
    }
}
