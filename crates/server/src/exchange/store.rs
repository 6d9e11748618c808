//! Where files arrive: beneath one directory, and under their names only when they are whole.

use super::{
    names::Checked,
    protocol::{Entry, Time},
};
use crate::{page_cache::text::printable, trace::Remains};
use rustix::{
    fs::{
        AtFlags, FlockOperation, Mode, OFlags, Timespec, Timestamps, fchmod, flock, fsync,
        futimens, mkdirat, openat, renameat, unlinkat,
    },
    io::Errno,
    process::geteuid,
};
use sendrail_sys::{self as sys, FileKind, OpenFlags, Resolve, fstat};
use std::{
    ffi::{CString, OsStr},
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a path is called that leads through a link, or to one.
const LINK: &str = "a symbolic link is in the way";

/// A directory that files arrive in.
#[derive(Debug)]
pub(super) struct Store {
    root: Arc<OwnedFd>,
    path: PathBuf,
    /// The directory in which the last one arrived: the next one often does too.
    last: Option<(Vec<CString>, Arc<OwnedFd>)>,
    /// Directories that have new names in them which may not be on the disk yet.
    unsynced: Option<Arc<OwnedFd>>,
}

/// Where a file goes.
#[derive(Debug)]
pub(super) struct Place {
    folder: Arc<OwnedFd>,
    name: CString,
    part: CString,
    /// As people know it.
    pub(super) shown: String,
}

/// What is there of a file.
#[derive(Debug)]
pub(super) enum Existing {
    /// Nothing, or nothing that can be gone on with.
    Nothing,
    /// Its beginning, perhaps.
    Part(File, u64),
    /// All of it, perhaps.
    Whole(File, u64),
}

/// A file that arrives.
#[derive(Debug)]
pub(super) struct Arriving {
    place: Place,
    /// The partial file, or the whole one.
    pub(super) file: File,
    is_whole: bool,
}

impl Store {
    /// The directory at `path`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self { root: Arc::new(root), path: path.to_owned(), last: None, unsynced: None })
    }

    /// Where a file of that name goes, and what is there of it. `size`: of the whole, if that is known.
    ///
    /// # Errors
    ///
    /// Why it will not be taken.
    pub(super) fn look(&mut self, name: &Checked, size: Option<u64>) -> Result<Existing, String> {
        let folder = match self.folder(&name.folders, false) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(Existing::Nothing),
            Err(error) => return Err(why_no_folder(error)),
        };
        let place = self.place(folder, name);
        let whole = place.open(&place.name, OFlags::RDONLY)?;
        if let Some((file, len)) = place.open(&place.part, OFlags::RDWR)? {
            // It would be thrown away if it were no beginning of this file.
            let stat = rustix::fs::fstat(&file).map_err(|error| error.to_string())?;
            if stat.st_nlink != 1 || stat.st_uid != geteuid().as_raw() {
                return Err(format!("{} is there, and not of our making", shown(&place.part)));
            }
            lock(&file)?;
            return Ok(Existing::Part(file, len));
        }
        match (whole, size) {
            (Some((file, len)), Some(size)) if len == size => Ok(Existing::Whole(file, len)),
            _ => Ok(Existing::Nothing),
        }
    }

    /// Whether a directory of that name can be made, or is there.
    pub(super) fn look_for_directory(&mut self, name: &Checked) -> Result<Existing, String> {
        match self.folder(&name.whole(), false) {
            Ok(_) | Err(Errno::NOENT) => Ok(Existing::Nothing),
            Err(error) => Err(why_no_folder(error)),
        }
    }

    /// Begins with a file, or goes on with what is there of it. `mode`: as open(2) takes it, until it is whole.
    pub(super) fn begin(
        &mut self,
        name: &Checked,
        existing: Option<Existing>,
        mode: Mode,
    ) -> io::Result<Arriving> {
        let folder = self.folder(&name.folders, true)?;
        let place = self.place(folder, name);
        let (file, is_whole) = match existing {
            Some(Existing::Part(file, _)) => (file, false),
            Some(Existing::Whole(file, _)) => (file, true),
            Some(Existing::Nothing) | None => {
                // Never what is there is written to that is not this file's: it may have other readers, or names.
                match unlinkat(&place.folder, &place.part, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => return Err(error.into()),
                }
                let flags = OFlags::RDWR
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let file = openat(&place.folder, &place.part, flags, mode)?;
                let file = File::from(file);
                lock(&file).map_err(io::Error::other)?;
                (file, false)
            }
        };
        Ok(Arriving { place, file, is_whole })
    }

    /// The file is whole and on the disk: it gets its name.
    pub(super) fn name(&mut self, arriving: &Arriving) -> io::Result<()> {
        let Arriving { place, is_whole, .. } = arriving;
        if !is_whole {
            renameat(&place.folder, &place.part, &place.folder, &place.name)?;
            self.note(&place.folder)?;
        }
        Ok(())
    }

    /// Makes a directory if it is not there, and gives it its permissions and its time.
    pub(super) fn directory(&mut self, name: &Checked, entry: &Entry) -> io::Result<()> {
        let folder = self.folder(&name.whole(), true)?;
        // What has new names is dressed after they are on the disk.
        self.sync()?;
        dress(folder.as_fd(), entry)
    }

    /// All names are on the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some(folder) = self.unsynced.take() {
            fsync(&*folder)?;
        }
        Ok(())
    }

    fn note(&mut self, folder: &Arc<OwnedFd>) -> io::Result<()> {
        if !self.unsynced.as_ref().is_some_and(|unsynced| Arc::ptr_eq(unsynced, folder)) {
            self.sync()?;
            self.unsynced = Some(Arc::clone(folder));
        }
        Ok(())
    }

    fn place(&self, folder: Arc<OwnedFd>, name: &Checked) -> Place {
        let mut path = self.path.clone();
        path.extend(name.folders.iter().map(|folder| OsStr::from_bytes(folder.as_bytes())));
        path.push(OsStr::from_bytes(name.last.as_bytes()));
        let (name, part) = (name.last.clone(), name.part());
        Place { folder, name, part, shown: printable(&path, false) }
    }

    /// Opens the directory of a name; makes what is missing of it if `make`.
    fn folder(&mut self, names: &[CString], make: bool) -> Result<Arc<OwnedFd>, Errno> {
        if names.is_empty() {
            return Ok(Arc::clone(&self.root));
        }
        if let Some((known, folder)) = &self.last
            && known == names
        {
            return Ok(Arc::clone(folder));
        }
        let folder = Arc::new(match beneath(self.root.as_fd(), names) {
            // EAGAIN: something is being renamed at this moment; the others: no openat2 here.
            Err(Errno::NOENT | Errno::NOSYS | Errno::PERM | Errno::AGAIN) => {
                walk(self.root.as_fd(), names, make)?
            }
            other => other?,
        });
        self.last = Some((names.to_vec(), Arc::clone(&folder)));
        Ok(folder)
    }
}

impl Place {
    /// Opens what has this name, if it is a regular file.
    fn open(&self, name: &CString, flags: OFlags) -> Result<Option<(File, u64)>, String> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(&self.folder, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(LINK.into()),
            Err(Errno::ISDIR) => return Err("a directory is in the way".into()),
            Err(error) => return Err(format!("{} cannot be opened: {error}", shown(name))),
        };
        let stat = fstat(file.as_fd()).map_err(|error| error.to_string())?;
        match stat.kind {
            FileKind::File => Ok(Some((file, stat.len))),
            FileKind::Directory => Err("a directory is in the way".into()),
            _ => Err("something that is no regular file is in the way".into()),
        }
    }
}

impl Arriving {
    /// As people know it.
    pub(super) fn shown(&self) -> &str {
        &self.place.shown
    }

    /// It gets its permissions and its time, and is on the disk when this returns.
    pub(super) fn settle(&self, entry: &Entry, remains: Remains) -> io::Result<()> {
        dress(self.file.as_fd(), entry)?;
        self.finish(remains)
    }

    /// It is on the disk when this returns.
    pub(super) fn finish(&self, remains: Remains) -> io::Result<()> {
        fsync(&self.file)?;
        if !self.is_whole {
            remains.forget(self.file.as_fd());
        }
        Ok(())
    }

    /// What is there of it is of no use.
    pub(super) fn throw_away(&self) {
        if !self.is_whole {
            let _ = unlinkat(&self.place.folder, &self.place.part, AtFlags::empty());
        }
    }

    /// Only so many bytes of it are of use.
    pub(super) fn cut(&self, len: u64) -> io::Result<()> {
        if self.is_whole { Ok(()) } else { self.file.set_len(len) }
    }

    /// What is there of it can be gone on with.
    pub(super) fn is_partial(&self) -> bool {
        !self.is_whole
    }
}

fn why_no_folder(error: Errno) -> String {
    match error {
        Errno::LOOP | Errno::XDEV => LINK.into(),
        // Also a link, where it is the last of the directories (open(2), O_DIRECTORY and O_NOFOLLOW).
        Errno::NOTDIR => "a file or a symbolic link is in the way of its directory".into(),
        error => format!("its directory cannot be opened: {error}"),
    }
}

fn shown(name: &CString) -> String {
    printable(Path::new(OsStr::from_bytes(name.as_bytes())), false)
}

/// Nobody else may write to it as long as it is open.
fn lock(file: &File) -> Result<(), String> {
    flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        Errno::WOULDBLOCK => "another recv is receiving it".to_owned(),
        error => format!("it cannot be locked: {error}"),
    })
}

/// In one call, and the kernel itself refuses what leads out.
fn beneath(root: BorrowedFd<'_>, names: &[CString]) -> Result<OwnedFd, Errno> {
    let path = names.iter().map(CString::as_bytes).collect::<Vec<_>>().join(&b'/');
    let path = CString::new(path).map_err(|_| Errno::INVAL)?;
    let resolve =
        Resolve { beneath: true, no_symlinks: true, no_magiclinks: true, ..Resolve::default() };
    let flags = OpenFlags::READ | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW;
    sys::openat2(root, &path, flags, resolve).map_err(|error| errno(&error))
}

/// One component at a time, each held open while the next is looked up in it, and none through a link.
fn walk(root: BorrowedFd<'_>, names: &[CString], make: bool) -> Result<OwnedFd, Errno> {
    let mut held: Option<OwnedFd> = None;
    for name in names {
        let parent = held.as_ref().map_or(root, OwnedFd::as_fd);
        if make {
            match mkdirat(parent, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
        let flags = OpenFlags::READ | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW;
        held = Some(sys::openat(parent, name, flags).map_err(|error| errno(&error))?);
    }
    held.ok_or(Errno::INVAL)
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Permissions without setuid, setgid and the sticky bit, and the time of the last change. Where a file system has no
/// permissions, or they are not ours to change, it goes without.
fn dress(file: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
    let forgive = |result: Result<(), Errno>| match result {
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::INVAL) => Ok(()),
        other => other,
    };
    if let Some(mode) = entry.mode {
        forgive(fchmod(file, Mode::from_raw_mode(mode & 0o777)))?;
    }
    if let Some(Time { seconds, nanoseconds }) = entry.modified {
        let modified = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
        let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
        let times = Timestamps { last_access: now, last_modification: modified };
        forgive(futimens(file, &times))?;
    }
    Ok(())
}
