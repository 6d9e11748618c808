//! Memory of a server with all its processes: proc_pid_status(5) and smaps_rollup. Kernel memory (socket buffers, page
//! cache) is in neither: these figures are user space.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use crate::process;

/// Bytes, summed over a server's processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    pub(crate) rss: u64,
    /// Heap and stacks: what the process itself asked for.
    pub(crate) rss_anon: u64,
    /// Mapped files: the program, its libraries, and any served file a server maps.
    pub(crate) rss_file: u64,
    pub(crate) rss_shmem: u64,
    /// The most `rss` has ever been (VmHWM).
    pub(crate) peak_rss: u64,
    /// Shared pages divided among those who share them; 0 where the kernel does not tell.
    pub(crate) pss: u64,
}

impl Memory {
    /// Memory of `root` and its descendants now.
    pub(crate) fn of_tree(root: u32) -> io::Result<Memory> {
        let mut sum = Memory::default();
        for pid in process::tree(root)? {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            sum.rss += field(&status, "VmRSS:");
            sum.rss_anon += field(&status, "RssAnon:");
            sum.rss_file += field(&status, "RssFile:");
            sum.rss_shmem += field(&status, "RssShmem:");
            sum.peak_rss += field(&status, "VmHWM:");
            sum.pss += pss(pid);
        }
        Ok(sum)
    }
}

/// Has `peak_rss` begin anew from what is resident now (`clear_refs` of proc_pid_clear_refs(5)).
pub(crate) fn forget_peak(root: u32) -> io::Result<()> {
    for pid in process::tree(root)? {
        fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
    }
    Ok(())
}

/// Watches a server's PSS from a thread of its own, on the generator's core.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Ten looks a second cost less than a thousandth of a core.
    const EVERY: Duration = Duration::from_millis(100);

    pub(crate) fn over(root: u32) -> io::Result<Watch> {
        let pids = process::tree(root)?;
        let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (stop, peak) = (Arc::clone(&stop), Arc::clone(&peak));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    peak.fetch_max(pids.iter().map(|&pid| pss(pid)).sum(), Ordering::Relaxed);
                    std::thread::park_timeout(Watch::EVERY);
                }
            }
        });
        Ok(Watch { stop, peak, thread: Some(thread) })
    }

    /// The most there was at any look.
    pub(crate) fn peak_pss(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn pss(pid: u32) -> u64 {
    field(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default(), "Pss:")
}

/// The value, in bytes, of a line `Name:   123 kB`; 0 where there is none.
fn field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
    value.and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "Pss_Dirty:  7 kB\nPss:     2 kB\nVmRSS:\t    1736 kB\n";
        assert_eq!(field(text, "Pss:"), 2048);
        assert_eq!(field(text, "VmRSS:"), 1736 * 1024);
        assert_eq!(field(text, "VmHWM:"), 0);
    }

    #[test]
    fn touched_memory_shows() {
        let me = std::process::id();
        let before = Memory::of_tree(me).unwrap();
        let held = vec![1_u8; 256 << 20]; // other tests, in other threads, give some back meanwhile
        let after = Memory::of_tree(me).unwrap();
        assert!(after.rss_anon >= before.rss_anon + (200 << 20), "{before:?} {after:?}");
        let watch = Watch::over(me).unwrap();
        while watch.peak_pss() < 200 << 20 {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(held);
    }
}
