//! The kernel's own confinement: openat2(2), since Linux 5.6.

use std::ffi::CStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use sendrail_sys::{self as sys, OpenFlags, Resolve};

use crate::root::Symlinks;

/// openat2(2) answers EAGAIN when a rename elsewhere on the machine kept it from proving that a
/// ".." inside a symbolic link stays beneath. It is worth trying again, but not for ever: someone
/// may be renaming on purpose.
const TRIES: u32 = 16;

pub(super) fn open(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: OpenFlags,
    symlinks: Symlinks,
    cached: bool,
) -> io::Result<OwnedFd> {
    // The magic links of /proc leave any confinement behind, so that no policy follows them.
    let no_magic = Resolve { no_magiclinks: true, cached, ..Resolve::default() };
    let resolve = match symlinks {
        Symlinks::Deny => Resolve { beneath: true, no_symlinks: true, ..no_magic },
        Symlinks::SameRoot => Resolve { beneath: true, ..no_magic },
        Symlinks::Follow => no_magic,
    };
    // It also says that not all names are cached, which trying again would not change. But as a rename
    // or a mount elsewhere is as good a reason for it, there is one more try before anybody waits.
    let mut tries = if cached { TRIES - 1 } else { 1 };
    loop {
        match sys::openat2(root, path, flags, resolve) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && tries < TRIES => tries += 1,
            result => return result,
        }
    }
}
