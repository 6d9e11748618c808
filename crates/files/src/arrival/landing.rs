//! A directory that files may arrive in: opening it, and the ways in.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use sendrail_sys::{self as sys, FileSystem, OpenFlags};

use super::Terms;
use super::active::Active;
use super::error::{ArrivalError, LandingError};
use super::id::UploadId;
use super::place::Place;
use super::plain::Arrival;
use super::room::Room;
use super::temporary::{self, part_name};
use super::upload::{ResumableTerms, Resumed, Upload};
use super::workshop::Workshop;
use crate::confine::Confinement;
use crate::path;
use crate::root::{Dotfiles, Root, Symlinks};

/// How many targets can get their names at once. Two that share a turn only wait for each other's rename.
const TURNS: usize = 64;

/// Under which rules files arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LandingOptions {
    /// What is acknowledged is on the disk: fdatasync(2) before a file gets its name and before an offset is told, fsync(2) of the
    /// directory after. Without it, a power failure can take back what was acknowledged; a killed process cannot, either way.
    pub sync: bool,
    /// Bytes that one file may have.
    pub most: Option<u64>,
    /// Bytes that all files below the directory may have together, those that are still arriving included. It is the sum of their
    /// lengths, counted when the directory is opened and by each [`Landing::sweep`].
    pub quota: Option<u64>,
    /// Bytes of the file system that must stay free (statvfs(3), as for users who are not root).
    pub reserve: u64,
    /// How long an upload that nobody goes on with is kept, and how long the result of one that is complete is remembered.
    pub keep: Duration,
}

impl Default for LandingOptions {
    /// On the disk; no limits but 256 MiB that stay free; a day.
    fn default() -> Self {
        Self {
            sync: true,
            most: None,
            quota: None,
            reserve: 256 << 20,
            keep: Duration::from_hours(24),
        }
    }
}

/// A directory that files may arrive in. Cloning is cheap, and all clones share what they know.
///
/// One landing and its clones should be all there is of a directory in a process: [`Terms::only_if`] guards against what arrives by
/// them. Two processes may have the same directory (a server that is replaced by its successor): they do not take each other's
/// unfinished uploads away, but each counts only what itself lets in until its next [`sweep`](Self::sweep).
#[derive(Clone, Debug)]
pub struct Landing {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) directory: OwnedFd,
    pub(super) options: LandingOptions,
    pub(super) file_system: FileSystem,
    pub(super) device: u64,
    pub(super) room: Arc<Room>,
    pub(super) workshop: Workshop,
    pub(super) active: Arc<Active>,
    confinement: Confinement,
    symlinks: Symlinks,
    dotfiles: Dotfiles,
    has_unnamed: bool,
    may_be_unnamed: bool,
    turns: [Mutex<()>; TURNS],
}

/// What [`Landing::sweep`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads and remains of uploads that are gone now.
    pub removed: u64,
    /// Bytes that they had.
    pub bytes: u64,
    /// Unfinished uploads that are there.
    pub unfinished: u64,
}

impl Landing {
    /// Opens the directory `path` beneath `root` (`""`: the root itself) for files to arrive in.
    ///
    /// Tries whether files can be made in it. Takes up the unfinished uploads that an earlier process left, and takes away what is of
    /// no use of it. With a quota it also looks at every file below, which may take long.
    pub fn open(root: &Root, path: &[u8], options: LandingOptions) -> Result<Self, LandingError> {
        Self::open_and(root, path, options, true)
    }

    /// Whether the directory has been removed since it was opened (`st_nlink` is 0, `stat(2)`): nothing can arrive there any more.
    pub fn is_gone(&self) -> bool {
        sys::fstat(self.inner.directory.as_fd()).is_ok_and(|stat| stat.links == 0)
    }

    /// Opens it as where files cannot be without a name (before Linux 3.11, or on a file system without `O_TMPFILE`), so that the
    /// fallback can be tried on any machine.
    pub fn open_by_names(
        root: &Root,
        path: &[u8],
        options: LandingOptions,
    ) -> Result<Self, LandingError> {
        Self::open_and(root, path, options, false)
    }

    fn open_and(
        root: &Root,
        path: &[u8],
        options: LandingOptions,
        may_be_unnamed: bool,
    ) -> Result<Self, LandingError> {
        let shown = || root.path().join(OsStr::from_bytes(path));
        let checked = path::check(path, root.options().dotfiles)
            .map_err(|_| LandingError::Forbidden { path: shown() })?;
        let opening = |error| LandingError::from_kernel(shown(), "opening", error);
        let directory =
            root.open_beneath(&checked, OpenFlags::READ | OpenFlags::DIRECTORY).map_err(opening)?;
        let asking = |error| LandingError::from_kernel(shown(), "asking about", error);
        let device = sys::fstat(directory.as_fd()).map_err(asking)?.device;
        let file_system = sys::file_system(directory.as_fd()).map_err(asking)?;
        let trying = |error| LandingError::from_kernel(shown(), "making a file in", error);
        let has_unnamed = temporary::has_unnamed(directory.as_fd())
            .map_err(|error| trying(error.into()))?
            && may_be_unnamed;
        let again = rustix::io::fcntl_dupfd_cloexec(&directory, 0)
            .map_err(|error| opening(error.into()))?;
        let inner = Inner {
            workshop: Workshop::new(again),
            directory,
            options,
            file_system,
            device,
            room: Room::new(options.most, options.quota, options.reserve),
            active: Arc::default(),
            confinement: root.confinement(),
            // Following links elsewhere is for readers: nothing is written where nobody said that it may be.
            symlinks: match root.options().symlinks {
                Symlinks::Deny => Symlinks::Deny,
                Symlinks::SameRoot | Symlinks::Follow => Symlinks::SameRoot,
            },
            dotfiles: root.options().dotfiles,
            has_unnamed,
            may_be_unnamed,
            turns: std::array::from_fn(|_| Mutex::default()),
        };
        let landing = Self { inner: Arc::new(inner) };
        landing.take_up().map_err(|error| match error {
            ArrivalError::Io { doing, error } => LandingError::from_kernel(shown(), doing, error),
            ArrivalError::ReadOnly => LandingError::ReadOnly { path: shown() },
            _ => LandingError::NotPermitted { path: shown() },
        })?;
        Ok(landing)
    }

    /// The rules it was opened with.
    pub fn options(&self) -> LandingOptions {
        self.inner.options
    }

    /// The file system of the directory itself.
    pub fn file_system(&self) -> FileSystem {
        self.inner.file_system
    }

    /// The device of the directory itself (`st_dev`).
    pub fn device(&self) -> u64 {
        self.inner.device
    }

    /// Whether files arrive without a name (`O_TMPFILE`, open(2)), so that a killed process leaves nothing. Else they have one in
    /// `.uploads` until they are whole, which the next process takes away.
    pub fn has_unnamed_files(&self) -> bool {
        self.inner.has_unnamed
    }

    /// Bytes that count against the quota now; without one, only those of files that arrive.
    pub fn used(&self) -> u64 {
        self.inner.room.used()
    }

    /// Lets a file arrive under `path`: decoded bytes relative to this directory, without leading or trailing slash.
    ///
    /// What can be known now is checked now: the name, what is there, the length.
    pub fn begin(&self, path: &[u8], terms: Terms) -> Result<Arrival, ArrivalError> {
        Arrival::begin(self, path, terms)
    }

    /// Lets a file arrive that may be gone on with after the connection was cut or this process was killed. It is on the disk when
    /// this returns that there is such an upload (with [`LandingOptions::sync`]).
    pub fn create(
        &self,
        path: &[u8],
        terms: Terms,
        resumable: ResumableTerms,
    ) -> Result<Upload, ArrivalError> {
        Upload::create(self, path, terms, resumable)
    }

    /// Goes on with an upload, or says what has come of it.
    ///
    /// Only one goes on with an upload at once. Whoever does is told to [stop](Upload::stop), and this returns
    /// [`ArrivalError::Busy`]; when he has dropped his [`Upload`], [`when_free`](Self::when_free) calls. Nothing that he was told to be
    /// stored is lost by that. An upload of another owner is [`ArrivalError::NotFound`].
    pub fn resume(&self, id: UploadId, owner: Option<&str>) -> Result<Resumed, ArrivalError> {
        Upload::resume(self, id, owner)
    }

    /// Calls `then` when nobody (in this process) goes on with this upload: at once, or in the thread that drops the [`Upload`].
    pub fn when_free(&self, id: UploadId, then: impl FnOnce() + Send + 'static) {
        self.inner.active.when_free(id, Box::new(then));
    }

    /// Takes away unfinished uploads that nobody has gone on with for [`LandingOptions::keep`], and what killed processes left; and
    /// counts the files below anew, if there is a quota. To be called now and then, by a thread that may sleep.
    pub fn sweep(&self) -> Result<Swept, ArrivalError> {
        let swept = super::workshop::sweep(self)?;
        if self.inner.room.has_quota() {
            self.count()?;
        }
        Ok(swept)
    }

    /// What an earlier process left; and whether files can be made where they need names.
    fn take_up(&self) -> Result<(), ArrivalError> {
        if !self.inner.has_unnamed {
            let name = part_name()?;
            self.inner.workshop.make(&name)?;
            self.inner.workshop.remove(&name);
        }
        self.sweep().map(|_| ())
    }

    fn count(&self) -> Result<(), ArrivalError> {
        let changes = self.inner.room.changes();
        let bytes = super::workshop::count(self.inner.directory.as_fd())?;
        self.inner.room.counted(bytes, changes);
        Ok(())
    }
}

impl Inner {
    /// Whether it is worth trying to make a file without a name on this device: on another than that of the landing nobody has yet.
    pub(super) fn has_unnamed_on(&self, device: u64) -> bool {
        self.has_unnamed || (self.may_be_unnamed && device != self.device)
    }

    /// Opens what lies beneath the directory, and nothing else.
    pub(super) fn open_beneath(&self, path: &CStr, flags: OpenFlags) -> std::io::Result<OwnedFd> {
        self.confinement.open(self.directory(), path, flags, self.symlinks, false)
    }

    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Where a path leads, if a file can be there.
    pub(super) fn place(&self, path: &[u8]) -> Result<Place, ArrivalError> {
        let checked =
            path::check(path, self.dotfiles).map_err(|error| super::place::why_bad(&error))?;
        if path.is_empty() {
            return Err(ArrivalError::IsDirectory);
        }
        Place::open(self, checked)
    }

    /// Whoever holds this is alone in giving a name to what goes to this place.
    pub(super) fn turn(&self, place: &Place) -> MutexGuard<'_, ()> {
        let turn = &self.turns[place.key as usize % TURNS];
        turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Part of a path, of which it is known that it has no NUL.
pub(super) fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).expect("checked for NUL, or made of digits")
}

/// Whether an error says that a call is not known here, rather than that it failed.
pub(super) fn is_refusal(errno: Errno) -> bool {
    matches!(errno, Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP | Errno::PERM)
}
