//! Reads a directory: the names that a request could have, with their sizes and times.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd;

use rustix::fs::Dir;
use sendrail_sys::{self as sys, FileKind, OpenFlags, Stat};

use super::{EntryKind, Listing, ListingEntry};
use crate::directory::Directory;
use crate::error::OpenError;
use crate::path::is_hidden;

impl Listing {
    /// Reads all names (getdents64) and asks for the facts of each (fstatat).
    pub(crate) fn read(directory: &Directory) -> Result<Self, OpenError> {
        let root = directory.root();
        // A new description each time: the position of getdents belongs to the description, and
        // the one we have is shared (and O_PATH, which cannot be read at all).
        let flags = OpenFlags::READ | OpenFlags::DIRECTORY;
        let readable = sys::openat(directory.as_fd(), c".", flags)
            .map_err(|error| root.refusal("opening the directory for reading", error))?;
        let reading = |error: rustix::io::Errno| OpenError::Io {
            doing: "reading the directory",
            error: io::Error::from(error),
        };

        let at_top = directory.path().as_c_str() == c".";
        let mut entries = Vec::new();
        for entry in Dir::new(readable).map_err(reading)? {
            let entry = entry.map_err(reading)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..")
                || is_hidden(name.to_bytes(), at_top, root.options().dotfiles)
            {
                continue;
            }
            // A name may go away between the two calls, and a link may lead nowhere: what cannot
            // be asked about cannot be served, and is left out.
            if let Some(stat) = look_at(directory, at_top, name) {
                entries.extend(shown(name, &stat));
            }
        }
        Ok(Self { entries })
    }
}

/// What a request for this name would find, as far as the policy lets it.
fn look_at(directory: &Directory, at_top: bool, name: &CStr) -> Option<Stat> {
    let stat = sys::stat_at(directory.as_fd(), name, false).ok()?;
    if stat.kind != FileKind::Symlink {
        return Some(stat);
    }
    // From the root, as a request would come, so that the same policy decides.
    let mut path = Vec::new();
    if !at_top {
        path.extend_from_slice(directory.path().to_bytes());
        path.push(b'/');
    }
    path.extend_from_slice(name.to_bytes());
    let path = CString::new(path).expect("parts of C strings have no NUL");
    let target = directory.root().open_beneath(&path, OpenFlags::PATH).ok()?;
    sys::fstat(target.as_fd()).ok()
}

/// FIFOs, sockets and devices are never served, and so not shown.
fn shown(name: &CStr, stat: &Stat) -> Option<ListingEntry> {
    let (kind, len) = match stat.kind {
        FileKind::Directory => (EntryKind::Directory, None),
        FileKind::File => (EntryKind::File, Some(stat.len)),
        _ => return None,
    };
    Some(ListingEntry { name: name.to_bytes().to_vec(), kind, len, modified: stat.modified })
}
