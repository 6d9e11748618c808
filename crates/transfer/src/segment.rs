//! A segment: a piece of what is to be sent, in memory or in an open file.

use crate::plan::Medium;
use bytes::Bytes;
use std::{fs::File, sync::Arc};

/// A piece of a message: bytes in memory, or a range of an open file.
#[derive(Debug, Clone)]
pub enum Segment {
    /// Bytes in memory, such as a head or a boundary.
    Bytes(Bytes),
    /// A range of an open file.
    File(FileRange),
}

impl Segment {
    /// Bytes that are still to be sent.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(range) => range.len,
        }
    }

    /// Whether nothing is left of this segment.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A range of an open file.
///
/// The file is shared, never seeked: every method names its offset, so any number of transfers can
/// read one descriptor at once.
#[derive(Debug, Clone)]
pub struct FileRange {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) medium: Option<Medium>,
    pub(crate) resident: bool,
}

impl FileRange {
    /// The `len` bytes of `file` from byte `offset` on. What reaches beyond byte 2⁶⁴ is cut off: no
    /// file does.
    ///
    /// The range is a promise: if the file turns out to be shorter when its turn comes, the
    /// transfer fails with [`FileFault::Truncated`](crate::FileFault::Truncated).
    pub fn new(file: Arc<File>, offset: u64, len: u64) -> Self {
        Self { file, offset, len: len.min(u64::MAX - offset), medium: None, resident: false }
    }

    /// Says what the file lies on, which saves the engine a `statfs(2)` per transfer.
    #[must_use]
    pub fn on(mut self, medium: Medium) -> Self {
        self.medium = Some(medium);
        self
    }

    /// Says that the range has just been found in the page cache, so that the engine need not look
    /// again until it has to wait for the socket. For a caller that sends the same range thousands of
    /// times a second.
    #[must_use]
    pub fn known_resident(mut self, resident: bool) -> Self {
        self.resident = resident;
        self
    }

    /// The first byte that is still to be sent.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes are still to be sent.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is left of this range.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The open file.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(crate) fn advance(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.len, "no method sends more than it was asked to");
        self.offset += bytes;
        self.len -= bytes;
    }
}
