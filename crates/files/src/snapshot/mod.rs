//! Snapshots: a clone of a file that shares its blocks until the original is changed, and that nobody else can reach.
//!
//! `ioctl_ficlone(2)` into a file without a name, on the file system of the root. What is sent from such a clone is one moment of the
//! original, whatever becomes of that. The facts that go with it are the original's, so that a look at the path still tells
//! whether the version is the latest.

mod refusal;
mod shelf;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::io::Errno;
use sendrail_sys::{self as sys, FileSystem, OpenFlags, Stat};

use crate::facts::{Facts, wall_clock};
pub use refusal::NoSnapshot;
use refusal::{Doing, Reach};
pub(crate) use shelf::Kept;
use shelf::Shelf;

/// Where snapshots are made, which there are, and what is known of those that cannot be.
#[derive(Debug)]
pub(crate) struct Snapshots {
    directory: OwnedFd,
    path: PathBuf,
    file_system: FileSystem,
    shelf: Shelf,
    refusals: Mutex<Refusals>,
}

#[derive(Debug, Default)]
struct Refusals {
    everything: Option<NoSnapshot>,
    devices: HashMap<u64, NoSnapshot>,
    said: Vec<NoSnapshot>,
}

/// Why there is no snapshot.
#[derive(Debug)]
pub(crate) enum Refused {
    /// This file cannot be cloned.
    Here(NoSnapshot),
    /// There is no descriptor left for a clone (EMFILE, ENFILE).
    OutOfDescriptors(io::Error),
}

impl Snapshots {
    /// Of files beneath `root`, to be made in `directory`, which `path` leads to. Tries it.
    pub(crate) fn try_in(
        directory: OwnedFd,
        path: &Path,
        root: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let snapshots = Self {
            file_system: sys::file_system(directory.as_fd())?,
            directory,
            path: path.to_owned(),
            shelf: Shelf::default(),
            refusals: Mutex::default(),
        };
        if let Err(Refused::Here(refusal)) = snapshots.try_one(root)
            && refusal.reach() != Reach::Once
        {
            // What cannot be cloned within the directory, nothing can be cloned to.
            *snapshots.refusals() = Refusals {
                said: vec![refusal.clone()],
                everything: Some(refusal),
                ..Refusals::default()
            };
        }
        Ok(snapshots)
    }

    /// Where they are made.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn try_one(&self, root: BorrowedFd<'_>) -> Result<(), Refused> {
        let (source, target) = (self.unnamed()?, self.unnamed()?);
        let clone = |source: BorrowedFd<'_>| sys::clone_file(target.as_fd(), source);
        clone(source.as_fd()).map_err(|error| self.no_clone(source.as_fd(), &error))?;
        // That a directory lies on another file system is said before that it is a directory.
        let root = sys::openat(root, c".", OpenFlags::READ | OpenFlags::DIRECTORY);
        match root.map(|root| clone(root.as_fd())) {
            Ok(Err(error)) if Errno::from_io_error(&error) == Some(Errno::XDEV) => {
                Err(self.no_clone(source.as_fd(), &error))
            }
            _ => Ok(()),
        }
    }

    /// What is known of a version without waiting for a disk: a snapshot of it, or that there will be none.
    pub(crate) fn known(&self, facts: &Facts) -> Option<Result<Kept, NoSnapshot>> {
        let refusals = self.refusals();
        let refused = refusals.everything.as_ref().or_else(|| refusals.devices.get(&facts.device));
        if let Some(refused) = refused {
            return Some(Err(refused.clone()));
        }
        drop(refusals);
        self.shelf.find(facts, None).map(Ok)
    }

    /// Makes a snapshot of `original`, whose facts were just found; or shares the one that somebody else has
    /// made since `begun`.
    pub(crate) fn take(
        &self,
        original: &File,
        facts: &Facts,
        begun: Instant,
    ) -> Result<Kept, Refused> {
        let turn = self.shelf.turn(facts);
        let mine = turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = self.shelf.find(facts, Some(begun)) {
            return Ok(kept);
        }
        let begun = Instant::now();
        let made = self.make(original, facts);
        match &made {
            Ok(kept) => drop(self.shelf.put(kept.clone(), begun)),
            Err(refused) => {
                if let Refused::Here(refusal) = refused {
                    self.remember(refusal, facts.device);
                }
                drop(mine);
                self.shelf.leave(facts, turn);
            }
        }
        made
    }

    fn make(&self, original: &File, facts: &Facts) -> Result<Kept, Refused> {
        let clone = self.unnamed()?;
        let at = wall_clock();
        sys::clone_file(clone.as_fd(), original.as_fd())
            .map_err(|error| self.no_clone(original.as_fd(), &error))?;
        let facts = if facts.still_true(&stat(original)?) {
            // A change since then that shows in no time would go unnoticed for ever. At rest there is none; nor can
            // another file that is given the number of this inode later have its times.
            if facts.at_rest() { *facts } else { facts.until_looked_at_again() }
        } else {
            // It is of some moment in between, and nobody knows what the time of the file was then.
            let clone = stat(&clone)?;
            Facts { len: clone.len, modified: at, observed: at, ..*facts }.until_looked_at_again()
        };
        Ok(Kept { file: Arc::new(File::from(clone)), facts, path: path_of(original).into() })
    }

    /// A file to clone into. If there is no descriptor, the shelf gives back what it can.
    fn unnamed(&self) -> Result<OwnedFd, Refused> {
        let unnamed_file = || sys::unnamed_file(self.directory.as_fd());
        let made = match unnamed_file() {
            Err(error) if is_out_of_descriptors(&error) => {
                self.close_unused();
                unnamed_file()
            }
            made => made,
        };
        made.map_err(|error| {
            if is_out_of_descriptors(&error) {
                Refused::OutOfDescriptors(error)
            } else {
                Refused::Here(NoSnapshot::new(Doing::Making(self.path.clone()), &error))
            }
        })
    }

    fn no_clone(&self, source: BorrowedFd<'_>, error: &io::Error) -> Refused {
        // Of a file that is open, and on a file system that has just answered.
        let file_system = sys::file_system(source).unwrap_or(self.file_system);
        Refused::Here(NoSnapshot::new(Doing::Cloning(file_system), error))
    }

    fn remember(&self, refusal: &NoSnapshot, device: u64) {
        match refusal.reach() {
            Reach::Everything => self.refusals().everything = Some(refusal.clone()),
            Reach::Device => drop(self.refusals().devices.insert(device, refusal.clone())),
            Reach::Once => {}
        }
    }

    /// What keeps all of them from being made.
    pub(crate) fn impossible(&self) -> Option<NoSnapshot> {
        self.refusals().everything.clone()
    }

    /// Whether this refusal is new. Then it is not any more.
    pub(crate) fn may_be_said(&self, refusal: &NoSnapshot) -> bool {
        let mut refusals = self.refusals();
        let is_new = !refusals.said.contains(refusal);
        if is_new {
            refusals.said.push(refusal.clone());
        }
        is_new
    }

    /// Where the original of this snapshot was when it was made.
    pub(crate) fn path_of_original(&self, file: &Arc<File>) -> Option<Arc<Path>> {
        self.shelf.path_of_original(file)
    }

    pub(crate) fn close_unused(&self) {
        drop(self.shelf.take_unused());
    }

    pub(crate) fn has_unused(&self) -> bool {
        self.shelf.has_unused()
    }

    /// Nothing in here panics while it holds the lock; if it did, they would be no worse.
    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As the kernel knows it. For the log: empty where there is no `/proc`.
fn path_of(file: &File) -> PathBuf {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default()
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

fn stat(file: impl AsFd) -> Result<Stat, Refused> {
    sys::fstat(file.as_fd()).map_err(|error| Refused::Here(NoSnapshot::new(Doing::Asking, &error)))
}
