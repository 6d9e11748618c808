//! Bringing files into the page cache, and giving them back.

mod evict;
mod segments;
mod warm;

pub(super) use evict::evict;
pub(super) use segments::data_bytes;
pub(super) use warm::warm;

/// What was done to the files before they are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Deed {
    /// Nothing.
    #[default]
    Look,
    /// They were read. All in bytes.
    Warm {
        /// So much.
        read: u64,
        /// Holes that were left out.
        holes: u64,
        /// So much is not resident all the same.
        missing: u64,
    },
    /// Their memory was given back. All in bytes.
    Evict {
        /// Resident before.
        before: u64,
        /// Of that, not yet written to the disk.
        unwritten: u64,
    },
}
