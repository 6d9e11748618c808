//! What this process may use: open files, lengths of files, processors; and the size of a page.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one and returns it. getrlimit(2), and setrlimit(2) if they differ.
///
/// The soft limit is usually 1024, for the sake of programs that use select(2), which cannot name a descriptor beyond
/// that; a server needs one per connection and one per open file.
///
/// ```
/// assert!(sendrail_sys::limits::raise_open_files()? >= 64);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn raise_open_files() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(limit.maximum.unwrap_or(u64::MAX)) // None is RLIM_INFINITY
}

/// How many files this process may have open: the soft limit. getrlimit(2).
///
/// ```
/// assert!(sendrail_sys::limits::open_files() >= 3);
/// ```
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) // None is RLIM_INFINITY
}

/// The length in bytes beyond which this process may not write to a file (`RLIMIT_FSIZE`, soft); `None` if there is no limit. One
/// getrlimit(2).
///
/// Whoever writes at that offset or beyond it is sent SIGXFSZ, which ends a process unless it says otherwise; Rust's startup code does
/// not, as it does for SIGPIPE. A write that begins before it comes up short.
pub fn file_size() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// How many processors this thread may run on: sched_getaffinity(2). At least 1.
///
/// The standard library's `available_parallelism` also weighs CPU quotas of cgroups; here the question is how many
/// workers can be pinned, and a quota is the scheduler's business.
pub fn cpus() -> usize {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (set.count() as usize).max(1),
        // EINVAL on machines with more than 1024 processors, for which rustix's set is too small.
        Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// Bytes in a page: 4096 on x86-64, up to 65536 on AArch64. No system call: the kernel tells at start (getauxval(3)).
pub fn page_size() -> usize {
    rustix::param::page_size()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let hard = getrlimit(Resource::Nofile).maximum;
        // One less, so that the other tests of this process do not miss it.
        let lowered = hard.map_or(Some(4096), |hard| Some(hard - 1));
        setrlimit(Resource::Nofile, Rlimit { current: lowered, maximum: hard }).unwrap();
        let raised = raise_open_files().unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(limit.maximum.unwrap_or(u64::MAX), raised);
        assert_eq!(raise_open_files().unwrap(), raised, "a second time changes nothing");
    }

    #[test]
    fn there_is_a_processor_and_a_page() {
        assert!(cpus() >= 1);
        assert!(page_size() >= 4096 && page_size().is_power_of_two());
    }

    #[test]
    fn processors_are_those_this_thread_may_use() {
        std::thread::spawn(|| {
            let mut one = rustix::thread::CpuSet::new();
            one.set(rustix::thread::sched_getcpu());
            rustix::thread::sched_setaffinity(None, &one).unwrap();
            assert_eq!(cpus(), 1);
        })
        .join()
        .unwrap();
    }
}
