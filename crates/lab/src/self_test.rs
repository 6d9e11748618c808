//! Whether the probes see what is known to have happened. Pure.

use crate::{probe::Counts, subject::known::Known};
use serde::Serialize;

/// What one probe was to see, and saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Of what.
    pub what: &'static str,
    /// What was done.
    pub known: u64,
    /// What was seen. Nothing, if this probe is not to be had here.
    pub seen: Option<u64>,
    /// Whether more may be seen than was done: others are seen as well.
    pub at_least: bool,
}

impl Check {
    /// Whether the probe can be believed.
    pub fn holds(&self) -> bool {
        match self.seen {
            Some(seen) if self.at_least => seen >= self.known,
            Some(seen) => seen == self.known,
            None => true,
        }
    }
}

/// Holds what was seen in the kernel, where anything was, and what `/proc` says, against what was done.
pub fn checks(
    known: &Known,
    counts: Option<&Counts>,
    disk: Option<u64>,
    voluntary: u64,
) -> Vec<Check> {
    let seen = |of: fn(&Counts) -> u64| counts.map(of);
    let mut all = vec![
        Check {
            what: "system calls (sys_enter)",
            known: known.calls,
            seen: seen(|counts| counts.calls),
            at_least: false,
        },
        Check {
            what: "calls that send (sys_exit)",
            known: known.passes,
            seen: seen(|counts| counts.passes),
            at_least: false,
        },
        Check {
            what: "page faults (page_fault_user)",
            known: known.faults,
            seen: seen(|counts| counts.faults),
            // A page of the program's own that it comes to for the first time.
            at_least: true,
        },
        Check {
            what: "bytes copied by read (sys_exit)",
            known: known.read,
            seen: seen(|counts| counts.read),
            at_least: false,
        },
        Check {
            what: "bytes copied by sending (net_dev_start_xmit)",
            known: known.copied,
            // What is lost is sent again.
            seen: seen(|counts| counts.sent_copied),
            at_least: true,
        },
        Check {
            what: "bytes passed on by sending (net_dev_start_xmit)",
            known: known.passed,
            seen: seen(|counts| counts.sent_cache),
            at_least: true,
        },
        Check {
            what: "bytes as they are delivered (tcp_probe)",
            known: known.copied + known.passed,
            seen: seen(|counts| counts.delivered + counts.delivered_else),
            at_least: true,
        },
        Check {
            what: "bytes received (sys_exit)",
            known: known.copied + known.passed,
            seen: seen(|counts| counts.received),
            at_least: false,
        },
        Check {
            what: "context switches (/proc/self/status)",
            known: known.sleeps,
            seen: Some(voluntary),
            at_least: true, // a full socket is waited for as well
        },
    ];
    if known.ring_read > 0 {
        all.push(Check {
            what: "bytes copied by a ring (io_uring_complete)",
            known: known.ring_read,
            seen: seen(|counts| counts.ring_read.unwrap_or(0))
                .filter(|_| counts.is_some_and(|counts| counts.ring_read.is_some())),
            at_least: false,
        });
    }
    if known.disk > 0 {
        all.push(Check {
            what: "bytes of the disk (/proc/self/io)",
            known: known.disk,
            seen: disk,
            at_least: false,
        });
        all.push(Check {
            what: "bytes of all disks (block_rq_complete)",
            known: known.disk,
            seen: seen(|counts| counts.disk),
            at_least: true,
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known { calls: 700, read: 100, copied: 100, passed: 50, sleeps: 10, ..Known::default() }
    }

    #[test]
    fn what_was_not_seen_is_noticed() {
        let counts = Counts {
            calls: 700,
            read: 99,
            sent_copied: 100,
            sent_cache: 51,
            delivered: 150,
            received: 150,
            ..Counts::default()
        };
        let all = checks(&known(), Some(&counts), None, 12);
        let failed: Vec<&str> =
            all.iter().filter(|check| !check.holds()).map(|check| check.what).collect();
        assert_eq!(failed, ["bytes copied by read (sys_exit)"]);
    }

    #[test]
    fn without_a_probe_nothing_is_claimed() {
        let all = checks(&known(), None, None, 10);
        assert!(all.iter().all(Check::holds), "{all:?}");
        assert_eq!(all.iter().filter(|check| check.seen.is_some()).count(), 1);
        assert!(!checks(&known(), None, None, 9).iter().all(Check::holds));
    }

    #[test]
    fn what_this_machine_has_not_is_not_asked_for() {
        let all = checks(&known(), None, None, 10);
        assert!(!all.iter().any(|check| check.what.contains("ring")), "{all:?}");
        let known = Known { ring_read: 7, disk: 7, ..known() };
        let counts = Counts { ring_read: None, ..Counts::default() };
        let ring = checks(&known, Some(&counts), Some(7), 10);
        let ring = ring.iter().find(|check| check.what.contains("ring")).expect("it is there");
        assert_eq!((ring.seen, ring.holds()), (None, true));
    }
}
