//! A regular file, open for reading, with the facts of that very descriptor.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::facts::Facts;

/// A regular file beneath the root. Cloning shares the open file description.
///
/// Size, validators and bytes belong together because they come from one description: when the
/// path is given to another file by rename, this one goes on showing the old file, whole.
///
/// Read it at explicit offsets only (`sendfile` with an offset, `pread`): the file position is
/// shared with every clone.
#[derive(Clone, Debug)]
pub struct OpenFile {
    file: Arc<File>,
    facts: Facts,
    media_type: &'static str,
}

impl OpenFile {
    pub(crate) fn new(file: File, facts: Facts, media_type: &'static str) -> Self {
        Self { file: Arc::new(file), facts, media_type }
    }

    /// The same description, with facts that were confirmed later.
    pub(crate) fn with_facts(&self, facts: Facts) -> Self {
        Self { file: Arc::clone(&self.file), facts, media_type: self.media_type }
    }

    /// The open file; clone the `Arc` to keep it open during a transfer.
    pub fn file(&self) -> &Arc<File> {
        &self.file
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
