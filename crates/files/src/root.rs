//! The root: a directory, the policy for what is beneath it, and the two-step open.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use sendrail_sys::{self as sys, FileKind, FileSystem, OpenFlags, Resolve, Stat, Timestamp};

use crate::confine::Confinement;
use crate::directory::Directory;
use crate::error::{OpenError, RootError};
use crate::facts::{Facts, wall_clock};
use crate::folders::Folders;
use crate::media_type::media_type;
use crate::mutable::Mutable;
use crate::names::{Names, Sleep, Unfound};
use crate::open_file::OpenFile;
use crate::path;
use crate::snapshot::Snapshots;

/// What happens when a path leads through a symbolic link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Symlinks {
    /// No link is followed (RESOLVE_NO_SYMLINKS).
    Deny,
    /// Relative links that stay beneath the root are followed (RESOLVE_BENEATH). An absolute link
    /// is refused even when it leads back inside, because it first leaves the root.
    #[default]
    SameRoot,
    /// Every link is followed, wherever it leads; only the magic links of /proc are not.
    /// Whoever can write beneath the root can then publish any file this process may read.
    Follow,
}

/// What happens to names that begin with a dot (`.git`, `.htpasswd`, `.env`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dotfiles {
    /// They are as if absent, except `.well-known` (RFC 8615) at the top. The rule is about the
    /// names in the path: a link with a plain name may lead to a dot file.
    #[default]
    Deny,
    /// They are files like all others.
    Serve,
}

/// The policy of a [`Root`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootOptions {
    /// The policy for symbolic links.
    pub symlinks: Symlinks,
    /// The policy for dot files.
    pub dotfiles: Dotfiles,
    /// What is done about files that may change while they are being sent.
    pub mutable: Mutable,
}

/// What a path leads to.
#[derive(Clone, Debug)]
pub enum Found {
    /// A regular file, open for reading.
    File(OpenFile),
    /// A directory, not yet read.
    Directory(Directory),
}

impl Found {
    /// The facts of whichever it is.
    pub fn facts(&self) -> &Facts {
        match self {
            Self::File(file) => file.facts(),
            Self::Directory(directory) => directory.facts(),
        }
    }
}

/// A directory beneath which everything is served that the policy allows, and nothing else.
///
/// A root stays the directory it opened, even when that is renamed; [`Ground`](crate::Ground) follows the path. Cloning is cheap.
///
/// ```
/// use sendrail_files::{Found, OpenError, Root, RootOptions};
///
/// # let directory = tempfile::tempdir()?;
/// # std::fs::create_dir(directory.path().join("docs"))?;
/// let root = Root::open(directory.path(), RootOptions::default())?;
/// assert!(matches!(root.find(b"docs")?, Found::Directory(_)));
/// assert!(matches!(root.find(b"absent"), Err(OpenError::NotFound)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Root {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// The same, wherever this process goes.
    absolute: CString,
    directory: OwnedFd,
    device: u64,
    inode: u64,
    file_system: FileSystem,
    options: RootOptions,
    confinement: Confinement,
    names: Names,
    /// Only where they are asked for.
    snapshots: Option<Snapshots>,
    folders: Folders,
    /// Devices of which it is known that they are no network file system nor FUSE.
    local: Mutex<Vec<u64>>,
}

/// Something that was looked at through an O_PATH descriptor, and not opened yet.
pub(crate) struct Located {
    pub(crate) path: CString,
    pub(crate) descriptor: OwnedFd,
    pub(crate) stat: Stat,
    pub(crate) observed: Timestamp,
}

impl Root {
    /// Opens `path` as a root. Snapshots, if [`RootOptions::mutable`] asks for them, are made in it, for which this
    /// process must be allowed to write there; see [`open_with_snapshots_in`](Self::open_with_snapshots_in).
    ///
    /// The search permission (`x`) is enough to serve files; reading (`r`) is only needed for
    /// listings, which fail by themselves without it.
    pub fn open(path: &Path, options: RootOptions) -> Result<Self, RootError> {
        Self::open_with_snapshots_in(path, options, path)
    }

    /// The same with snapshots that are made in another directory of the same file system. They have no names there.
    pub fn open_with_snapshots_in(
        path: &Path,
        options: RootOptions,
        snapshots: &Path,
    ) -> Result<Self, RootError> {
        let opening = |error| RootError::from_kernel(path.to_owned(), "opening", error);
        let directory = open_directory(path).map_err(opening)?;
        let confinement =
            Confinement::try_on(directory.as_fd(), options.symlinks).map_err(opening)?;
        Self::assemble(path, directory, options, confinement, snapshots)
    }

    /// Opens `path` as where `openat2` is missing (before Linux 5.6, or denied by seccomp), so
    /// that the fallback can be tried on any machine.
    pub fn open_by_walk(path: &Path, options: RootOptions) -> Result<Self, RootError> {
        let opening = |error| RootError::from_kernel(path.to_owned(), "opening", error);
        let directory = open_directory(path).map_err(opening)?;
        let confinement =
            Confinement::walk_on(directory.as_fd(), "the walk was asked for").map_err(opening)?;
        Self::assemble(path, directory, options, confinement, path)
    }

    fn assemble(
        path: &Path,
        directory: OwnedFd,
        options: RootOptions,
        confinement: Confinement,
        snapshots: &Path,
    ) -> Result<Self, RootError> {
        let asking = |error| RootError::from_kernel(path.to_owned(), "asking about", error);
        let Stat { device, inode, .. } = sys::fstat(directory.as_fd()).map_err(asking)?;
        let file_system = sys::file_system(directory.as_fd()).map_err(asking)?;
        let names = Names::try_on(directory.as_fd(), confinement, file_system, options.symlinks);
        let snapshots = match options.mutable {
            Mutable::Snapshot => Some(Self::try_snapshots(snapshots, directory.as_fd())?),
            Mutable::Share | Mutable::Copy => None,
        };
        let local = if file_system.is_network_or_fuse() { Vec::new() } else { vec![device] };
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let absolute = CString::new(absolute.into_os_string().into_encoded_bytes());
        let inner = Inner {
            path: path.to_owned(),
            absolute: absolute.expect("it has just been opened"),
            directory,
            device,
            inode,
            file_system,
            options,
            confinement,
            names,
            snapshots,
            folders: Folders::default(),
            local: Mutex::new(local),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    fn try_snapshots(path: &Path, root: BorrowedFd<'_>) -> Result<Snapshots, RootError> {
        let opening = |error| RootError::from_kernel(path.to_owned(), "opening", error);
        let directory = open_directory(path).map_err(opening)?;
        Snapshots::try_in(directory, path, root).map_err(opening)
    }

    /// The directory that its path leads to by now, if that is another: it was removed and made anew, or is a symbolic link that
    /// was switched. Nothing, if it is the same, or none can be opened there. May wait for a disk.
    ///
    /// ```
    /// use sendrail_files::{Root, RootOptions};
    ///
    /// # let parent = tempfile::tempdir()?;
    /// let path = parent.path().join("dist");
    /// std::fs::create_dir(&path)?;
    /// let root = Root::open(&path, RootOptions::default())?;
    /// assert!(root.replaced_by().is_none());
    /// std::fs::rename(&path, parent.path().join("old"))?;
    /// std::fs::create_dir(&path)?;
    /// assert!(root.replaced_by().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replaced_by(&self) -> Option<Self> {
        let Inner { path, absolute, device, inode, options, snapshots, .. } = &*self.inner;
        let absolute = Path::new(OsStr::from_bytes(absolute.as_bytes()));
        let now = std::fs::metadata(absolute).ok()?;
        if (now.dev(), now.ino()) == (*device, *inode) {
            return None;
        }
        let snapshots = match snapshots.as_ref().map(Snapshots::path) {
            Some(elsewhere) if elsewhere != path => elsewhere,
            _ => absolute,
        };
        Self::open_with_snapshots_in(absolute, *options, snapshots).ok()
    }

    /// Whether there is one, if that can be told without waiting for a disk: nothing, if it cannot.
    pub(crate) fn is_replaced_at_once(&self) -> Option<bool> {
        let Inner { absolute, device, inode, names, snapshots, .. } = &*self.inner;
        if *names != Names::AtOnce {
            return None;
        }
        let flags = OpenFlags::PATH | OpenFlags::DIRECTORY;
        let cached = Resolve { cached: true, ..Resolve::default() };
        let now = match sys::openat2(rustix::fs::CWD, absolute, flags, cached) {
            Ok(directory) => sys::fstat_cached(directory.as_fd()).ok()?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => return Some(false), // there is none, or none that may be opened
        };
        let is_replaced = (now.device, now.inode) != (*device, *inode);
        // Snapshots are tried where they are to be made, on the disk.
        (!is_replaced || snapshots.is_none()).then_some(is_replaced)
    }

    /// The path the root was opened by, for messages.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The policy it was opened with.
    pub fn options(&self) -> RootOptions {
        self.inner.options
    }

    /// How paths are kept beneath it, and why not better.
    pub fn confinement(&self) -> Confinement {
        self.inner.confinement
    }

    /// The file system of the root directory itself.
    pub fn file_system(&self) -> FileSystem {
        self.inner.file_system
    }

    /// The device of the root directory itself (`st_dev`).
    pub fn device(&self) -> u64 {
        self.inner.device
    }

    /// What can be told of names beneath it without waiting for a disk.
    pub fn names(&self) -> Names {
        self.inner.names
    }

    /// Opens what `path` leads to: decoded bytes, no leading or trailing slash, `""` is the root.
    ///
    /// In two steps. First O_PATH and `fstat`, which have no side effect on anything: opening a
    /// FIFO wakes its writer, opening a tape rewinds it. Then, if it is a regular file, the open
    /// for reading and `fstat` again on that descriptor, from which the answer is made.
    pub fn find(&self, path: &[u8]) -> Result<Found, OpenError> {
        self.find_with(path, self.inner.options.mutable, Sleep::Allowed).map_err(Unfound::refusal)
    }

    pub(crate) fn find_with(
        &self,
        path: &[u8],
        mutable: Mutable,
        sleep: Sleep,
    ) -> Result<Found, Unfound> {
        self.open_located(self.locate(path, sleep)?, mutable, sleep)
    }

    pub(crate) fn locate(&self, path: &[u8], sleep: Sleep) -> Result<Located, Unfound> {
        let path = path::check(path, self.inner.options.dotfiles)?;
        let descriptor = self.open_with(&path, OpenFlags::PATH, "looking up", sleep)?;
        let observed = wall_clock();
        let stat = self.stat_with(descriptor.as_fd(), sleep)?;
        match stat.kind {
            FileKind::File | FileKind::Directory => {
                Ok(Located { path, descriptor, stat, observed })
            }
            kind => Err(OpenError::NotAFile { kind }.into()),
        }
    }

    pub(crate) fn open_located(
        &self,
        located: Located,
        mutable: Mutable,
        sleep: Sleep,
    ) -> Result<Found, Unfound> {
        let Located { path, descriptor, stat, observed } = located;
        if stat.kind == FileKind::Directory {
            let facts = self.facts(descriptor.as_fd(), &stat, observed)?;
            return Ok(Found::Directory(Directory::new(self.clone(), path, descriptor, facts)));
        }
        // The name may have been given to a FIFO or a terminal since it was looked at:
        // O_NONBLOCK keeps the first from blocking, O_NOCTTY the second from becoming ours.
        let flags = OpenFlags::READ | OpenFlags::NONBLOCK | OpenFlags::NOCTTY;
        let opened = self.open_with(&path, flags, "opening for reading", sleep)?;
        let observed = wall_clock();
        let stat = self.stat_with(opened.as_fd(), sleep)?;
        let facts = self.facts(opened.as_fd(), &stat, observed)?;
        match stat.kind {
            FileKind::File => {
                let name = path.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
                let file = File::from(opened);
                self.keep(file, facts, media_type(name), mutable, sleep).map(Found::File)
            }
            FileKind::Directory => {
                Ok(Found::Directory(Directory::new(self.clone(), path, opened, facts)))
            }
            kind => Err(OpenError::NotAFile { kind }.into()),
        }
    }

    pub(crate) fn open_beneath(&self, path: &CStr, flags: OpenFlags) -> io::Result<OwnedFd> {
        let Inner { directory, options, confinement, .. } = &*self.inner;
        confinement.open(directory.as_fd(), path, flags, options.symlinks, false)
    }

    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.inner.directory.as_fd()
    }

    pub(crate) fn snapshots(&self) -> Option<&Snapshots> {
        self.inner.snapshots.as_ref()
    }

    pub(crate) fn folders(&self) -> &Folders {
        &self.inner.folders
    }

    pub(crate) fn is_known_local(&self, device: u64) -> bool {
        let local = self.inner.local.lock().unwrap_or_else(PoisonError::into_inner);
        local.contains(&device)
    }

    fn facts(
        &self,
        descriptor: BorrowedFd<'_>,
        stat: &Stat,
        observed: Timestamp,
    ) -> Result<Facts, OpenError> {
        // Only a mount point beneath the root can differ, which a device number tells for free.
        let file_system = if stat.device == self.inner.device {
            self.inner.file_system
        } else {
            let file_system = sys::file_system(descriptor)
                .map_err(|error| OpenError::Io { doing: "asking for the file system", error })?;
            if !file_system.is_network_or_fuse() && !self.is_known_local(stat.device) {
                let mut local = self.inner.local.lock().unwrap_or_else(PoisonError::into_inner);
                local.push(stat.device);
            }
            file_system
        };
        Ok(Facts::new(stat, observed, file_system))
    }

    pub(crate) fn refusal(&self, doing: &'static str, error: io::Error) -> OpenError {
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR) => OpenError::NotFound,
            Some(Errno::ACCESS | Errno::PERM) => {
                OpenError::Forbidden { why: "this process may not read it" }
            }
            Some(Errno::XDEV) => {
                OpenError::Forbidden { why: "a symbolic link leads out of the root" }
            }
            Some(Errno::LOOP) => OpenError::Forbidden { why: self.why_no_link() },
            Some(Errno::NAMETOOLONG) => OpenError::NameTooLong,
            Some(Errno::MFILE | Errno::NFILE) => OpenError::TooManyOpenFiles(error),
            _ => OpenError::Io { doing, error },
        }
    }

    fn why_no_link(&self) -> &'static str {
        match (self.inner.confinement, self.inner.options.symlinks) {
            (_, Symlinks::Deny) => "symbolic links are not followed here",
            (Confinement::Walk { .. }, _) => "symbolic links are not followed without openat2",
            _ => "symbolic links that go round in circles, or a magic link of /proc",
        }
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    sys::openat(rustix::fs::CWD, &path, OpenFlags::PATH | OpenFlags::DIRECTORY)
}
