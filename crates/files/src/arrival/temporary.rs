//! Files that are not visible yet: without a name where the file system has that, else with one in the hidden directory.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, linkat, openat, readlinkat};
use rustix::io::Errno;

use super::error::ArrivalError;
use super::id::UploadId;
use super::landing::{Inner, c_string};
use super::place::Place;

/// What others may do is for the umask to say, as for any program that makes files.
pub(super) const MODE: Mode = Mode::from_raw_mode(0o666);

/// Whether files without a name can be made in the directory, and get one. Nothing is left, whoever is killed when; an error says that
/// no files can be made at all.
pub(super) fn has_unnamed(directory: BorrowedFd<'_>) -> Result<bool, Errno> {
    match unnamed(directory) {
        // What linkat(2) will go by.
        Ok(file) => Ok(readlinkat(CWD, proc_path(&file), Vec::new()).is_ok()),
        Err(error) if is_unknown(error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// open(2): what kernels and file systems say that do not know `O_TMPFILE`.
fn is_unknown(error: Errno) -> bool {
    matches!(error, Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT)
}

/// A file without a name that can get one.
pub(super) fn unnamed(directory: BorrowedFd<'_>) -> Result<File, Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    openat(directory, c".", flags, MODE).map(File::from)
}

/// A new file under this name.
pub(super) fn named(directory: BorrowedFd<'_>, name: &CStr) -> Result<File, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    openat(directory, name, flags, MODE).map(File::from)
}

/// Gives a file without a name one, if it is free (else EEXIST).
pub(super) fn link(file: &File, directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match linkat(CWD, proc_path(file), directory, name, AtFlags::SYMLINK_FOLLOW) {
        // No /proc here. linkat(2): without it, this needs CAP_DAC_READ_SEARCH, or Linux 6.10 and the same credentials.
        Err(Errno::NOENT) => linkat(file, c"", directory, name, AtFlags::EMPTY_PATH),
        other => other,
    }
}

fn proc_path(file: &File) -> CString {
    c_string(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes())
}

/// Who has a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locked {
    ByUs,
    /// Some network file systems have no locks: then there has to be one process, and nobody can tell.
    Never,
}

/// Whoever has this is alone in deciding what becomes of the file, among all processes, until it is closed. EWOULDBLOCK: another is.
pub(super) fn try_lock(file: &File) -> Result<Locked, Errno> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => Ok(Locked::Never),
        other => other.map(|()| Locked::ByUs),
    }
}

/// The same, where a file that cannot be locked is as good as one that is.
pub(super) fn lock(file: &File) -> Result<(), Errno> {
    try_lock(file).map(|_| ())
}

/// Others may have it now, also if a process that has just been forked still has this descriptor too.
pub(super) fn unlock(file: &File) {
    let _ = flock(file, FlockOperation::Unlock);
}

/// A file that is not visible, and gone when it is dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) file: File,
    name: Option<CString>,
}

impl Temporary {
    /// One in the directory of the target, or, where it must have a name, in the hidden one.
    pub(super) fn make(landing: &Inner, place: &Place) -> Result<Self, ArrivalError> {
        if landing.has_unnamed_on(place.device) {
            match unnamed(place.folder.as_fd()) {
                Ok(file) => return Ok(Self { file, name: None }),
                Err(error) if is_unknown(error) => {}
                Err(error) => return Err(ArrivalError::doing("making a file")(error)),
            }
        }
        let name = part_name()?;
        let file = landing.workshop.make(&name)?;
        Ok(Self { file, name: Some(name) })
    }

    /// Its name in the hidden directory, if it has one.
    pub(super) fn name(&self) -> Option<&CStr> {
        self.name.as_deref()
    }

    /// It has been renamed, or is to be taken away.
    pub(super) fn remove(&self, landing: &Inner) {
        if let Some(name) = &self.name {
            landing.workshop.remove(name);
        }
    }
}

/// A name that nobody has, for a file that is about to be visible.
pub(super) fn part_name() -> Result<CString, ArrivalError> {
    let id = UploadId::random().map_err(ArrivalError::doing("asking for random bytes"))?;
    Ok(c_string(format!("{id}.part").as_bytes()))
}
