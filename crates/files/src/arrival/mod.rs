//! Files that arrive: whole under their names or not there at all, within limits, and resumable.
//!
//! 1. A [`Landing`] is a directory that files may arrive in. It is opened beneath a [`Root`](crate::Root), and nothing outside of it
//!    is ever written.
//! 2. [`Landing::begin`] gives an [`Arrival`]: a file without a name, to be written by whatever moves the bytes.
//!    [`Arrival::finish`] makes it visible, in one step. Dropped before, nothing is left.
//! 3. [`Landing::create`] gives an [`Upload`]: the same with an [`UploadId`], for those who may be cut off and come back, also after
//!    this process was killed: [`Landing::resume`], [`Upload::complete`].
//! 4. [`Landing::sweep`] takes away what nobody has gone on with for [`LandingOptions::keep`].
//!
//! All of this waits for disks: it is for threads that may. What is guaranteed when: docs/decisions/0018-arrivals.md.
//!
//! ```
//! use std::io::Write;
//! use sendrail_files::{Landing, LandingOptions, Root, RootOptions, Terms};
//!
//! # let directory = tempfile::tempdir()?;
//! let root = Root::open(directory.path(), RootOptions::default())?;
//! let landing = Landing::open(&root, b"", LandingOptions::default())?;
//! let mut arrival = landing.begin(b"notes.txt", Terms { len: Some(5), ..Terms::default() })?;
//! arrival.file().write_all(b"hello")?;
//! assert!(!directory.path().join("notes.txt").exists());
//! let stored = arrival.finish()?;
//! assert!(stored.created && stored.facts.len == 5);
//! assert_eq!(std::fs::read(directory.path().join("notes.txt"))?, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod about;
mod active;
mod digest;
mod error;
mod id;
mod landing;
mod place;
mod plain;
mod publish;
mod room;
mod temporary;
mod upload;
mod workshop;

use std::fmt;
use std::sync::Arc;

pub use active::Stop;
pub use digest::{Digest, Digesting};
pub use error::{ArrivalError, LandingError, NoSpace};
pub use id::UploadId;
pub use landing::{Landing, LandingOptions, Swept};
pub use plain::Arrival;
pub use upload::{Completed, ResumableTerms, Resumed, Upload};

use crate::facts::Facts;

/// Whether what is there under the name (`None`: nothing) is what was asked for. Of a symbolic link it is the file that it leads to,
/// as a GET would find it.
///
/// It is asked twice: when the file begins to arrive, and when it is about to take the name; the second time no other arrival of this
/// process can come between.
#[derive(Clone)]
pub struct Condition(Arc<Holds>);

type Holds = dyn Fn(Option<&Facts>) -> bool + Send + Sync;

impl Condition {
    /// ```
    /// use sendrail_files::Condition;
    /// let only_if_empty = Condition::new(|facts| facts.is_some_and(|facts| facts.len == 0));
    /// # let _ = only_if_empty;
    /// ```
    pub fn new(holds: impl Fn(Option<&Facts>) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(holds))
    }

    fn holds(&self, facts: Option<&Facts>) -> bool {
        (self.0)(facts)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condition")
    }
}

/// Under which terms a file arrives.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Nothing may be there under the name (`If-None-Match: *`). The kernel sees to it, so that it holds against other processes too.
    pub only_if_absent: bool,
    /// What must be true of what is there (`If-Match`, `If-Unmodified-Since`).
    pub only_if: Option<Condition>,
    /// The length in bytes, if it was announced.
    pub len: Option<u64>,
}

/// A file that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Nothing was there under its name before (201 rather than 204).
    pub created: bool,
    /// What `fstat` says of it, under its name.
    pub facts: Facts,
}
