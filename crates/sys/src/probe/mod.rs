//! What this kernel, this process and this file system may use; and, where not, why not.
//!
//! Version numbers prove nothing: distributions port facilities back, container runtimes hide them, administrators
//! switch them off. So each one is tried, on objects that nobody else sees (an anonymous file, a socket pair, a TCP
//! socket that is never connected).

mod file;
mod objects;
mod reason;
mod system;
mod transfer;

use std::fmt;
use std::os::fd::BorrowedFd;

pub use file::FileProbe;
pub use reason::errno_name;

/// What was found out about the running kernel, for this process.
///
/// ```
/// let probe = sendrail_sys::Probe::run();
/// println!("{probe}");
/// if !probe.has("cachestat") {
///     println!("residency will be asked for page by page");
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// Everything that was tried, in the order of [`Probe::run`].
    pub facilities: Vec<Facility>,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facility {
    /// Its name, as in its man page: `"cachestat"`, `"preadv2 RWF_NOWAIT"`.
    pub name: &'static str,
    /// The first kernel version that has it; `""` if any kernel thought of here has.
    pub since: &'static str,
    /// Whether it can be used.
    pub state: State,
    /// More that was learned on the way, such as a version; often empty.
    pub detail: String,
}

/// Whether something can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It was tried and worked.
    Available,
    /// It was tried and did not work.
    Unavailable {
        /// What the kernel said; 0 if the call succeeded without doing what it was asked.
        errno: i32,
        /// The likely reason, for people: `"not in this kernel (ENOSYS)"`.
        why: String,
    },
}

impl State {
    /// Whether it worked.
    pub fn is_available(&self) -> bool {
        matches!(self, State::Available)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Available => f.write_str("yes"),
            State::Unavailable { why, .. } => write!(f, "no: {why}"),
        }
    }
}

impl Probe {
    /// Tries everything once. Takes well under a millisecond where no kernel module has to be looked for.
    ///
    /// The only effect that outlasts the call: asking for kernel TLS may make the kernel load its module, as using it
    /// would.
    pub fn run() -> Probe {
        let mut facilities = transfer::facilities();
        facilities.extend(system::facilities());
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        Probe { kernel, facilities }
    }

    /// What can be done with one open file: this depends on its file system, and on who owns it.
    ///
    /// Reads nothing, and leaves position and page cache alone.
    pub fn of_file(file: BorrowedFd<'_>) -> FileProbe {
        file::probe(file)
    }

    /// The facility of that name, if it is among those tried.
    pub fn facility(&self, name: &str) -> Option<&Facility> {
        self.facilities.iter().find(|facility| facility.name == name)
    }

    /// Whether the facility of that name was tried and worked.
    pub fn has(&self, name: &str) -> bool {
        self.facility(name).is_some_and(|facility| facility.state.is_available())
    }
}

/// A table for people: name, first kernel version, and yes, or no and why.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kernel {}", self.kernel)?;
        let width = self.facilities.iter().map(|facility| facility.name.len()).max().unwrap_or(0);
        for Facility { name, since, state, detail } in &self.facilities {
            write!(f, "  {name:width$}  {since:>4}  {state}")?;
            if detail.is_empty() {
                writeln!(f)?;
            } else {
                writeln!(f, " ({detail})")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_every_kernel_has_is_found() {
        let probe = Probe::run();
        assert!(!probe.kernel.is_empty());
        for name in ["sendfile", "splice", "mincore"] {
            assert!(probe.has(name), "{probe}");
        }
        assert!(!probe.has("no such thing"));
    }

    #[test]
    fn the_table_has_a_line_for_each() {
        let probe = Probe::run();
        let table = probe.to_string();
        assert_eq!(table.lines().count(), 1 + probe.facilities.len());
        for facility in &probe.facilities {
            assert_eq!(table.lines().filter(|line| line.contains(facility.name)).count(), 1);
        }
    }

    #[test]
    fn whatever_is_missing_has_a_reason() {
        for Facility { name, state, .. } in Probe::run().facilities {
            if let State::Unavailable { why, .. } = state {
                assert!(!why.is_empty(), "{name}");
                eprintln!("skipped: {name}: {why}");
            }
        }
    }

    #[test]
    fn a_file_in_memory_has_no_dontcache() {
        let file = objects::memory_file().unwrap();
        let probe = Probe::of_file(file.as_fd());
        assert_eq!(probe.file_system, crate::FileSystem::Tmpfs);
        let State::Unavailable { errno, why } = &probe.dontcache else {
            panic!("{probe}");
        };
        assert_eq!(*errno, libc::EOPNOTSUPP);
        assert!(why.contains("tmpfs"), "{why}");
        assert!(probe.to_string().contains(why));
    }

    #[test]
    fn a_descriptor_that_cannot_be_read_says_so() {
        let root = std::fs::File::open("/").unwrap();
        let path = crate::openat(root.as_fd(), c".", crate::OpenFlags::PATH).unwrap();
        let State::Unavailable { errno, .. } = Probe::of_file(path.as_fd()).nowait else {
            panic!("read from an O_PATH descriptor");
        };
        assert_eq!(errno, libc::EBADF);
    }
}
