//! A regular file, open for reading, with the facts of that very descriptor, or of what it is a snapshot of.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use sendrail_sys::{fstat, fstat_cached};

use crate::facts::Facts;
use crate::mutable::Mutable;

/// A regular file beneath the root. Cloning shares the open file description.
///
/// Size, validators and bytes belong together because they come from one description: when the
/// path is given to another file by rename, this one goes on showing the old file, whole.
///
/// Of a snapshot ([`Mutable::Snapshot`]) size and bytes are the clone's, the identity and the times those of the
/// original when the clone was made.
///
/// Read it at explicit offsets only (`sendfile` with an offset, `pread`): the file position is
/// shared with every clone.
#[derive(Clone, Debug)]
pub struct OpenFile {
    file: Arc<File>,
    facts: Facts,
    media_type: &'static str,
    mutable: Mutable,
}

impl OpenFile {
    pub(crate) fn new(
        file: Arc<File>,
        facts: Facts,
        media_type: &'static str,
        mutable: Mutable,
    ) -> Self {
        Self { file, facts, media_type, mutable }
    }

    /// The same description, with facts that were confirmed later.
    pub(crate) fn with_facts(&self, facts: Facts) -> Self {
        Self { facts, ..self.clone() }
    }

    /// The open file; clone the `Arc` to keep it open during a transfer.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// What is done about changes of this file: what was asked for, or [`Mutable::Copy`] where there is no snapshot.
    pub fn mutable(&self) -> Mutable {
        self.mutable
    }

    /// Whether its bytes can still become others: not those of a snapshot.
    pub fn can_change(&self) -> bool {
        self.mutable != Mutable::Snapshot
    }

    /// Whether it is still the version that its facts describe. One system call; none for a snapshot, which cannot change and
    /// whose own times are not in its facts.
    ///
    /// A file system that lies elsewhere (a network, FUSE) is not asked, for it may take its time: what the kernel knows of it
    /// must do.
    pub fn is_unchanged(&self) -> bool {
        if !self.can_change() {
            return true;
        }
        let elsewhere = self.facts.file_system.is_network_or_fuse();
        let look = if elsewhere { fstat_cached } else { fstat };
        look(self.file.as_fd()).is_ok_and(|now| {
            let Facts { len, modified, changed, .. } = self.facts;
            (now.len, now.modified, now.changed) == (len, modified, changed)
        })
    }

    /// What `fstat` said about this descriptor.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The value for `Content-Type`, by the name that was asked for.
    pub fn media_type(&self) -> &'static str {
        self.media_type
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
