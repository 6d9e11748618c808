//! Confinement without `openat2`: one component at a time, never through a symbolic link.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use sendrail_sys::{self as sys, FileKind, OpenFlags};

/// Opens `path` beneath `root`; a symbolic link anywhere in it is ELOOP.
///
/// Each directory is held open while the next name is looked up in it, so that renames meanwhile
/// cannot lead the walk elsewhere; and without ".." and links, every step leads downwards.
pub(super) fn open(root: BorrowedFd<'_>, path: &CStr, flags: OpenFlags) -> io::Result<OwnedFd> {
    let mut held: Option<OwnedFd> = None;
    let mut names = path.to_bytes().split(|&byte| byte == b'/').peekable();
    while let Some(name) = names.next() {
        let parent = held.as_ref().map_or(root, OwnedFd::as_fd);
        let name = CString::new(name).expect("part of a C string has no NUL");
        let opened = if names.peek().is_some() {
            descend(parent, &name)?
        } else {
            last(parent, &name, flags)?
        };
        held = Some(opened);
    }
    Ok(held.expect("split always gives at least one name"))
}

fn descend(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW;
    sys::openat(parent, name, flags).map_err(|error| {
        // open(2): O_DIRECTORY on a link that O_NOFOLLOW keeps from being followed is ENOTDIR.
        let not_a_directory = error.kind() == io::ErrorKind::NotADirectory;
        if not_a_directory && is_link(parent, name) { Errno::LOOP.into() } else { error }
    })
}

fn last(parent: BorrowedFd<'_>, name: &CStr, flags: OpenFlags) -> io::Result<OwnedFd> {
    let opened = sys::openat(parent, name, flags | OpenFlags::NOFOLLOW)?;
    // open(2): with O_PATH, O_NOFOLLOW opens the link itself instead of failing with ELOOP.
    if sys::fstat(opened.as_fd())?.kind == FileKind::Symlink {
        return Err(Errno::LOOP.into());
    }
    Ok(opened)
}

fn is_link(parent: BorrowedFd<'_>, name: &CStr) -> bool {
    sys::stat_at(parent, name, false).is_ok_and(|stat| stat.kind == FileKind::Symlink)
}
