//! Finds the regular files among and beneath the paths, each once, and opens them.

use super::{
    complaint::Complaints,
    interrupt::Stop,
    pseudo::{has_page_cache, without_cache},
};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use sendrail_sys::{FileSystem, file_system};
use std::{
    collections::{HashMap, HashSet},
    fs::{File, Metadata},
    io,
    ops::ControlFlow,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};
use walkdir::{DirEntry, WalkDir};

/// Where to look.
#[derive(Debug)]
pub(super) struct Roots {
    /// Files and directories. Symbolic links here are followed.
    pub(super) paths: Vec<PathBuf>,
    /// Stay on the file system of each of them.
    pub(super) one_file_system: bool,
    /// Follow symbolic links everywhere.
    pub(super) follow: bool,
}

/// A regular file.
#[derive(Debug)]
pub(super) struct Found {
    /// As reached from the path that was typed.
    pub(super) path: PathBuf,
    /// The file, open for reading; `None` for one of no bytes, which there is no reason to open.
    pub(super) file: Option<File>,
    /// Its size in bytes.
    pub(super) len: u64,
    /// Bytes that it takes on the disk: fewer than its size if it has holes or is compressed.
    pub(super) allocated: u64,
    /// Where it lies.
    pub(super) file_system: FileSystem,
}

/// What was met and not looked at, and why that is no error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// Symbolic links that were not followed.
    pub(super) symlinks: u64,
    /// Devices, FIFOs and sockets.
    pub(super) special: u64,
    /// Further names of files (hard links), and directories reached a second time.
    pub(super) repeated: u64,
    /// Directories on other file systems.
    pub(super) other_file_systems: u64,
    /// Directories on file systems without a page cache, such as /proc.
    pub(super) without_cache: u64,
}

/// Device and number of an inode: what makes two names one file.
type Id = (u64, u64);

fn id(metadata: &Metadata) -> Id {
    (metadata.dev(), metadata.ino())
}

/// Walks over the roots and calls `visit` with each regular file, until it is told to stop.
///
/// What it remembers grows with the depth of the tree and the number of files with several names, and, if it follows
/// links, with the number of all.
pub(super) fn walk(
    roots: &Roots,
    stop: &Stop,
    complaints: &mut Complaints,
    mut visit: impl FnMut(Found, &mut Complaints) -> ControlFlow<()>,
) -> Passed {
    let mut walk =
        Walk { roots, given: HashMap::new(), seen: HashSet::new(), passed: Passed::default() };
    for path in &roots.paths {
        if let Ok(metadata) = path.metadata() {
            walk.given.insert(id(&metadata), false);
        }
    }
    for path in &roots.paths {
        if walk.root(path, stop, complaints, &mut visit).is_break() {
            break;
        }
    }
    walk.passed
}

struct Walk<'a> {
    roots: &'a Roots,
    /// The roots, and whether each has been met, as itself or beneath another.
    given: HashMap<Id, bool>,
    /// What may be met again.
    seen: HashSet<Id>,
    passed: Passed,
}

/// A directory on the way from the root to where we are.
#[derive(Clone, Copy)]
struct Level {
    device: u64,
    file_system: FileSystem,
}

impl Walk<'_> {
    fn root(
        &mut self,
        path: &Path,
        stop: &Stop,
        complaints: &mut Complaints,
        visit: &mut impl FnMut(Found, &mut Complaints) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut levels: Vec<Level> = Vec::new();
        let mut entries = WalkDir::new(path).follow_links(self.roots.follow).into_iter();
        while let Some(entry) = entries.next() {
            if stop.is_asked() {
                return ControlFlow::Break(());
            }
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.not_walked(&error, complaints);
                    continue;
                }
            };
            levels.truncate(entry.depth());
            match self.entry(&entry, &levels) {
                Ok(Next::Enter(level)) => levels.push(level),
                Ok(Next::Skip) => entries.skip_current_dir(),
                Ok(Next::File(found)) => visit(*found, complaints)?,
                Ok(Next::Nothing) => {}
                Err(error) => {
                    complaints.add(entry.path(), &error.to_string());
                    // A root that is a link to a directory calls itself a link.
                    if entry.file_type().is_dir() || entry.depth() == 0 {
                        entries.skip_current_dir();
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn entry(&mut self, entry: &DirEntry, levels: &[Level]) -> io::Result<Next> {
        let is_root = entry.depth() == 0;
        let kind = entry.file_type();
        if !is_root && !kind.is_dir() && !kind.is_file() {
            // No stat(2) for what is passed over anyway.
            let passed = &mut self.passed;
            *(if kind.is_symlink() { &mut passed.symlinks } else { &mut passed.special }) += 1;
            return Ok(Next::Nothing);
        }
        // A symbolic link that was typed is followed whatever the rule is.
        let metadata = if is_root {
            entry.path().metadata()?
        } else {
            entry.metadata().map_err(into_io_error)?
        };
        if metadata.is_dir() {
            return self.directory(entry, &metadata, levels);
        }
        if !metadata.is_file() {
            if is_root {
                return Err(io::Error::other("is neither a regular file nor a directory"));
            }
            self.passed.special += 1;
        } else if self.is_repeated(&metadata) {
            self.passed.repeated += 1;
        } else {
            return self.file(entry.path(), &metadata, levels.last(), is_root);
        }
        Ok(Next::Nothing)
    }

    fn directory(
        &mut self,
        entry: &DirEntry,
        metadata: &Metadata,
        levels: &[Level],
    ) -> io::Result<Next> {
        let device = metadata.dev();
        let level = match levels.last() {
            Some(above) if above.device == device => *above,
            Some(_) if self.roots.one_file_system => {
                self.passed.other_file_systems += 1;
                return Ok(Next::Skip);
            }
            _ => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let directory = open(entry.path(), flags, Mode::empty())?;
                Level { device, file_system: file_system(directory.as_fd())? }
            }
        };
        if !has_page_cache(level.file_system) {
            if levels.is_empty() {
                return Err(without_cache(level.file_system));
            }
            self.passed.without_cache += 1;
            return Ok(Next::Skip);
        }
        if self.is_repeated(metadata) {
            self.passed.repeated += 1;
            return Ok(Next::Skip);
        }
        Ok(Next::Enter(level))
    }

    fn file(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        above: Option<&Level>,
        is_root: bool,
    ) -> io::Result<Next> {
        let known = above.filter(|above| above.device == metadata.dev());
        if metadata.len() == 0 && !is_root {
            let file_system = known.map_or(FileSystem::Other(0), |above| above.file_system);
            let path = without_dot(path);
            let found = Found { path, file: None, len: 0, allocated: 0, file_system };
            return Ok(Next::File(Box::new(found)));
        }
        let file = open_to_look(path, self.roots.follow || is_root)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            self.passed.special += 1; // replaced a moment ago
            return Ok(Next::Nothing);
        }
        // On overlayfs files may have other device numbers than their directory, so a number says nothing of the kind.
        let file_system = match known {
            Some(above) => above.file_system,
            None => file_system(file.as_fd())?,
        };
        if !has_page_cache(file_system) {
            return Err(without_cache(file_system));
        }
        Ok(Next::File(Box::new(Found {
            path: without_dot(path),
            len: metadata.len(),
            allocated: metadata.blocks().saturating_mul(512),
            file: (metadata.len() > 0).then_some(file),
            file_system,
        })))
    }

    /// Whether this was met before; remembers it if it may be met again.
    fn is_repeated(&mut self, metadata: &Metadata) -> bool {
        let id = id(metadata);
        let given = self.given.get_mut(&id).is_some_and(|met| std::mem::replace(met, true));
        let several_names = metadata.is_file() && metadata.nlink() > 1;
        given || ((self.roots.follow || several_names) && !self.seen.insert(id))
    }

    fn not_walked(&mut self, error: &walkdir::Error, complaints: &mut Complaints) {
        let path = error.path().unwrap_or(Path::new("?"));
        if error.loop_ancestor().is_some() {
            self.passed.repeated += 1;
        } else if error.depth() > 0 && leads_nowhere(error) {
            self.passed.symlinks += 1;
        } else {
            let why = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
            complaints.add(path, &why);
        }
    }
}

/// What an entry leads to.
enum Next {
    /// What lies beneath this directory.
    Enter(Level),
    /// Not what lies beneath this directory.
    Skip,
    /// A file to look at.
    File(Box<Found>),
    /// The next entry.
    Nothing,
}

/// Whether the error is about a symbolic link that was to be followed and has no target.
fn leads_nowhere(error: &walkdir::Error) -> bool {
    let errno = error.io_error().and_then(Errno::from_io_error);
    matches!(errno, Some(Errno::NOENT | Errno::LOOP)) && error.path().is_some_and(Path::is_symlink)
}

/// The kernel's own words; walkdir puts the path before them, which is said anyway.
fn into_io_error(error: walkdir::Error) -> io::Error {
    let text = error.to_string();
    error.into_io_error().unwrap_or_else(|| io::Error::other(text))
}

/// Opens a file to look at it, and leaves no trace where that is allowed.
fn open_to_look(path: &Path, follow: bool) -> io::Result<File> {
    // NONBLOCK: what was a file a moment ago may be a FIFO now.
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    if !follow {
        flags |= OFlags::NOFOLLOW;
    }
    // Reading to warm a file is not a use of it. Only its owner may say so (open(2)).
    match open(path, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => Ok(open(path, flags, Mode::empty())?.into()),
        opened => Ok(opened?.into()),
    }
}

/// `./a` as it is reached from `.`, which nobody types: `a`.
fn without_dot(path: &Path) -> PathBuf {
    let plain = path.strip_prefix(".").unwrap_or(path);
    if plain.as_os_str().is_empty() { path.to_owned() } else { plain.to_owned() }
}
