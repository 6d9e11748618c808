//! What is done about files that somebody may change while they are being sent.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::error::OpenError;
use crate::facts::Facts;
use crate::names::{Sleep, Unfound};
use crate::open_file::OpenFile;
use crate::root::Root;
use crate::snapshot::{Kept, NoSnapshot, Refused, Snapshots};

/// What is done about files that somebody may change while they are being sent.
///
/// As an option ([`RootOptions::mutable`](crate::RootOptions)) it is what is wanted, and of an open file
/// ([`OpenFile::mutable`]) what has come of that.
///
/// ```
/// use sendrail_files::{Found, Mutable, Root, RootOptions};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("a.log");
/// # std::fs::write(&path, "one line")?;
/// let options = RootOptions { mutable: Mutable::Snapshot, ..RootOptions::default() };
/// let root = Root::open(directory.path(), options)?;
/// let Found::File(file) = root.find(b"a.log")? else { panic!("a.log is a file") };
/// std::fs::write(&path, "")?;
/// match root.why_no_snapshot(&file) {
///     None => assert_eq!(file.file().metadata()?.len(), 8), // still one line
///     Some(why) => assert_eq!(file.mutable(), Mutable::Copy, "{why}"), // not on ext4, for one
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutable {
    /// Nothing: the bytes are those that the file has when they are read, or when their pages leave.
    #[default]
    Share,
    /// The file is a copy-on-write clone of one moment of what was asked for, and nobody else's:
    /// `ioctl_ficlone(2)`. Where that cannot be had, [`Mutable::Copy`] takes its place.
    Snapshot,
    /// The bytes have to be copied, and looked at before they leave, so that no transfer mixes versions: it ends when
    /// the file changes.
    Copy,
}

impl Root {
    /// What has just been opened, as it is to be given out if `wanted` is done about changes.
    pub(crate) fn keep(
        &self,
        opened: File,
        facts: Facts,
        media_type: &'static str,
        wanted: Mutable,
        sleep: Sleep,
    ) -> Result<OpenFile, Unfound> {
        if wanted == Mutable::Snapshot {
            match self.snapshot(&opened, &facts, sleep)? {
                Ok(Kept { file, facts, .. }) => {
                    return Ok(OpenFile::new(file, facts, media_type, Mutable::Snapshot));
                }
                Err(refusal) => self.warn_once(&refusal),
            }
        }
        let mutable = if wanted == Mutable::Share { Mutable::Share } else { Mutable::Copy };
        Ok(OpenFile::new(Arc::new(opened), facts, media_type, mutable))
    }

    /// A snapshot, or why there is none of this file.
    fn snapshot(
        &self,
        original: &File,
        facts: &Facts,
        sleep: Sleep,
    ) -> Result<Result<Kept, NoSnapshot>, Unfound> {
        let snapshots = self.snapshots().expect("they were asked for");
        let begun = Instant::now();
        if let Some(known) = snapshots.known(facts) {
            return Ok(known);
        }
        if sleep == Sleep::Forbidden {
            // FICLONE writes what is dirty, and waits for it.
            return Err(Unfound::WouldSleep);
        }
        match snapshots.take(original, facts, begun) {
            Ok(kept) => Ok(Ok(kept)),
            Err(Refused::Here(refusal)) => Ok(Err(refusal)),
            Err(Refused::OutOfDescriptors(error)) => Err(OpenError::TooManyOpenFiles(error).into()),
        }
    }

    fn warn_once(&self, refusal: &NoSnapshot) {
        if self.snapshots().is_some_and(|snapshots| snapshots.may_be_said(refusal)) {
            tracing::warn!(
                root = %self.path().display(),
                "{refusal}: such files are copied, and a transfer of one that changes is cut"
            );
        }
    }

    /// Why there are no snapshots beneath this root at all, if they were asked for. It was tried when it was opened.
    ///
    /// Single files and file systems may have reasons of their own; each of those is logged once.
    pub fn no_snapshots(&self) -> Option<NoSnapshot> {
        self.snapshots()?.impossible()
    }

    /// Why there is no snapshot of this file, if there is none and there should be.
    ///
    /// Tries it (again), so it may wait for the disk: for a person who asks.
    pub fn why_no_snapshot(&self, file: &OpenFile) -> Option<NoSnapshot> {
        if file.mutable() != Mutable::Copy || self.snapshots().is_none() {
            return None;
        }
        self.snapshot(file.file(), file.facts(), Sleep::Allowed).ok()?.err()
    }

    /// The path that led to the original of an open snapshot when that was made; nothing if the file is none. For messages: a
    /// snapshot has no path of its own.
    pub fn path_of_original(&self, file: &Arc<File>) -> Option<Arc<Path>> {
        self.snapshots()?.path_of_original(file)
    }

    /// Closes the snapshots that nobody uses any more. That may wait for the disk, where their space is
    /// given back: so whoever drops the last [`OpenFile`] of one does not close it.
    ///
    /// To be called now and then, by a thread that may sleep.
    pub fn close_unused_snapshots(&self) {
        if let Some(snapshots) = self.snapshots() {
            snapshots.close_unused();
        }
    }

    /// Whether there are any that could be closed.
    pub fn has_unused_snapshots(&self) -> bool {
        self.snapshots().is_some_and(Snapshots::has_unused)
    }
}
