//! A directory as a confined root: open beneath it, facts, MIME types, variants, listings.
//!
//! The way of a path through this crate:
//!
//! 1. [`Root::find`] opens it beneath the root, and nothing outside; the [`Facts`] (size, times,
//!    identity) are those of the very descriptor the bytes will be sent from.
//! 2. [`OpenFileCache::lookup`] does the same and remembers it: within the validity time a hit
//!    makes no system call.
//!    [`OpenFileCache::lookup_at_once`] is for event loops: it does not wait for a disk, but gives a
//!    [`Lookup`] for a thread that may.
//! 3. [`OpenFileCache::siblings`] says which precompressed variants lie beside a file.
//! 4. [`Directory::list`] reads a directory, and [`Listing`] shows it as HTML or JSON.
//!
//! Files that come the other way arrive in a [`Landing`].
//!
//! ```
//! use sendrail_files::{Found, Root, RootOptions};
//!
//! # let directory = tempfile::tempdir()?;
//! # std::fs::write(directory.path().join("notes.txt"), "hello")?;
//! let root = Root::open(directory.path(), RootOptions::default())?;
//! let Found::File(file) = root.find(b"notes.txt")? else { panic!("notes.txt is a file") };
//! assert_eq!(file.facts().len, 5);
//! assert_eq!(file.media_type(), "text/plain; charset=utf-8");
//! assert!(root.find(b"../etc/passwd").is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arrival;
mod cache;
mod confine;
mod directory;
mod entry;
mod error;
mod facts;
mod folders;
mod ground;
mod listing;
mod lookup;
mod media_table;
mod media_type;
mod mutable;
mod names;
mod open_file;
mod path;
mod root;
mod snapshot;
mod standing;
mod variants;

pub use arrival::{
    Arrival, ArrivalError, Completed, Condition, Digest, Digesting, Landing, LandingError,
    LandingOptions, NoSpace, ResumableTerms, Resumed, Stop, Stored, Swept, Terms, Upload, UploadId,
};
pub use cache::{CacheCounts, CacheOptions, Miss, OpenFileCache, Settled};
pub use confine::Confinement;
pub use directory::Directory;
pub use entry::Entry;
pub use error::{OpenError, RootError};
pub use facts::Facts;
pub use ground::Ground;
pub use listing::{Direction, EntryKind, Listing, ListingEntry, Order, SortBy};
pub use lookup::{Looked, Lookup};
pub use media_type::media_type;
pub use mutable::Mutable;
pub use names::Names;
pub use open_file::OpenFile;
pub use root::{Dotfiles, Found, Root, RootOptions, Symlinks};
pub use sendrail_sys::{FileKind, FileSystem, Timestamp};
pub use snapshot::NoSnapshot;
pub use standing::Standing;
pub use variants::{CodingFlags, Sibling, Siblings};
