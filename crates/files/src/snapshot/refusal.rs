//! Why there is no snapshot of a file, and for how many files that goes.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use sendrail_sys::FileSystem;
use sendrail_sys::probe::errno_name;

/// Why a file cannot be cloned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSnapshot {
    pub(super) doing: Doing,
    pub(super) errno: i32,
}

/// At what it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Making a file without a name in this directory.
    Making(PathBuf),
    /// Cloning a file on such a file system.
    Cloning(FileSystem),
    /// Asking for the facts of the clone or of the file.
    Asking,
}

/// Which other files will meet the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// All of them.
    Everything,
    /// All on the same device.
    Device,
    /// Perhaps none; and this one perhaps not the next time.
    Once,
}

impl NoSnapshot {
    pub(super) fn new(doing: Doing, error: &io::Error) -> Self {
        Self { doing, errno: error.raw_os_error().unwrap_or_default() }
    }

    /// What the kernel said (`errno(3)`).
    pub fn errno(&self) -> i32 {
        self.errno
    }

    pub(super) fn reach(&self) -> Reach {
        let passes = [Errno::NOSPC, Errno::DQUOT, Errno::NOMEM, Errno::IO, Errno::INTR];
        let of_the_device = [Errno::OPNOTSUPP, Errno::NOTTY, Errno::NOSYS, Errno::XDEV];
        let errno = Errno::from_raw_os_error(self.errno);
        match &self.doing {
            Doing::Making(_) if !passes.contains(&errno) => Reach::Everything,
            Doing::Cloning(_) if of_the_device.contains(&errno) => Reach::Device,
            Doing::Making(_) | Doing::Cloning(_) | Doing::Asking => Reach::Once,
        }
    }
}

impl fmt::Display for NoSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.doing, Errno::from_raw_os_error(self.errno)) {
            (Doing::Making(directory), Errno::OPNOTSUPP) => {
                write!(f, "snapshots cannot be made where {} lies", directory.display())?;
            }
            (Doing::Making(directory), _) => {
                write!(f, "snapshots cannot be made in {}", directory.display())?;
            }
            (Doing::Cloning(_), Errno::XDEV) => {
                f.write_str("there are no snapshots from one file system to another")?;
            }
            (Doing::Cloning(file_system), Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) => {
                write!(f, "snapshots cannot be had on {}", file_system.name())?;
            }
            (Doing::Cloning(file_system), Errno::INVAL) => {
                // A file without checksums (btrfs, chattr +C), or on another device (XFS, real time).
                write!(f, "{} cannot make snapshots of every kind of file", file_system.name())?;
            }
            (Doing::Cloning(file_system), _) => {
                write!(f, "{} failed to make a snapshot", file_system.name())?;
            }
            (Doing::Asking, _) => f.write_str("the size of a snapshot could not be asked for")?,
        }
        match errno_name(self.errno) {
            Some(name) => write!(f, " ({name})"),
            None => write!(f, ": {}", io::Error::from_raw_os_error(self.errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_snapshot(doing: Doing, errno: Errno) -> NoSnapshot {
        NoSnapshot::new(doing, &errno.into())
    }

    #[test]
    fn what_a_refusal_means_for_others() {
        let making = || Doing::Making("/srv".into());
        let cloning = || Doing::Cloning(FileSystem::Ext);
        for (doing, errno, reach) in [
            (making(), Errno::ACCESS, Reach::Everything),
            (making(), Errno::ROFS, Reach::Everything),
            (making(), Errno::OPNOTSUPP, Reach::Everything),
            (making(), Errno::NOSPC, Reach::Once),
            (cloning(), Errno::OPNOTSUPP, Reach::Device),
            (cloning(), Errno::XDEV, Reach::Device),
            (cloning(), Errno::INVAL, Reach::Once),
            (cloning(), Errno::TXTBSY, Reach::Once),
            (cloning(), Errno::IO, Reach::Once),
            (Doing::Asking, Errno::IO, Reach::Once),
        ] {
            assert_eq!(no_snapshot(doing.clone(), errno).reach(), reach, "{doing:?} {errno}");
        }
    }

    #[test]
    fn it_says_what_and_where() {
        for (doing, errno, said) in [
            (
                Doing::Cloning(FileSystem::Ext),
                Errno::OPNOTSUPP,
                "snapshots cannot be had on ext4 (EOPNOTSUPP)",
            ),
            (
                Doing::Making("/srv/www".into()),
                Errno::ACCESS,
                "snapshots cannot be made in /srv/www (EACCES)",
            ),
            (
                Doing::Cloning(FileSystem::Xfs),
                Errno::XDEV,
                "there are no snapshots from one file system to another (EXDEV)",
            ),
            (Doing::Cloning(FileSystem::Xfs), Errno::IO, "xfs failed to make a snapshot (EIO)"),
        ] {
            assert_eq!(no_snapshot(doing, errno).to_string(), said);
        }
    }
}
