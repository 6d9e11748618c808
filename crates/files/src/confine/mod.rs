//! Opening beneath the root and nowhere else: by `openat2` where the kernel has it, else by a walk.

mod openat2;
mod walk;

use std::ffi::CStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use sendrail_sys::OpenFlags;

use crate::root::Symlinks;

/// How a root keeps paths from leading out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Confinement {
    /// `openat2(2)` with RESOLVE_BENEATH, since Linux 5.6: the kernel itself refuses.
    Openat2,
    /// One `openat(2)` with O_NOFOLLOW per path component. Symbolic links are refused, whatever
    /// the policy says, because following them safely is exactly what needs `openat2`.
    Walk {
        /// Why `openat2` is not used.
        why: &'static str,
    },
}

impl Confinement {
    /// Finds out by trying `openat2` on the root itself. Any refusal that is not about `openat2`
    /// (no permission to enter the directory, for one) is the error.
    pub(crate) fn try_on(root: BorrowedFd<'_>, symlinks: Symlinks) -> io::Result<Self> {
        let Err(error) = openat2::open(root, c".", OpenFlags::PATH, symlinks, false) else {
            return Ok(Self::Openat2);
        };
        let Some(why) = why_unusable(&error) else { return Err(error) };
        Self::walk_on(root, why)
    }

    /// Does without `openat2`. A root that may not be entered is an error here as well.
    pub(crate) fn walk_on(root: BorrowedFd<'_>, why: &'static str) -> io::Result<Self> {
        walk::open(root, c".", OpenFlags::PATH)?;
        Ok(Self::Walk { why })
    }

    /// Opens `path` (checked: relative, no "." or "..", or exactly ".") beneath `root`.
    ///
    /// ELOOP and EXDEV say that the confinement refused. EINTR is tried again. With `cached`, EAGAIN
    /// says that a name on the way is not in memory (RESOLVE_CACHED); a walk does not know, and waits.
    pub(crate) fn open(
        self,
        root: BorrowedFd<'_>,
        path: &CStr,
        flags: OpenFlags,
        symlinks: Symlinks,
        cached: bool,
    ) -> io::Result<OwnedFd> {
        loop {
            let opened = match self {
                Self::Openat2 => openat2::open(root, path, flags, symlinks, cached),
                Self::Walk { .. } => walk::open(root, path, flags),
            };
            match opened {
                // open(2): an open on a slow device or a network file system may be interrupted.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

/// Whether an error says that there is no openat2 for this process, rather than that it refused.
fn why_unusable(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::NOSYS => Some("not in this kernel (ENOSYS)"),
        // Sandboxes with a profile older than 5.6 deny calls they do not know with EPERM.
        Errno::PERM => Some("refused, perhaps by seccomp (EPERM)"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_openat2_leads_to_the_walk() {
        for (errno, falls_back) in [
            (Errno::NOSYS, true),
            (Errno::PERM, true),
            (Errno::ACCESS, false), // the directory may not be entered, by whatever call
            (Errno::MFILE, false),
            (Errno::IO, false),
        ] {
            assert_eq!(why_unusable(&errno.into()).is_some(), falls_back, "{errno}");
        }
    }
}
