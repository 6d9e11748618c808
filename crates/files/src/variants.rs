//! Precompressed siblings: `page.html.zst`, `.br`, `.gz` beside `page.html`.

use crate::error::OpenError;
use crate::facts::Facts;
use crate::mutable::Mutable;
use crate::names::{Sleep, Unfound};
use crate::root::{Found, Root};

/// Which content codings can be served from a sibling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodingFlags {
    /// `.zst` (RFC 8878)
    pub zstd: bool,
    /// `.br` (RFC 7932)
    pub brotli: bool,
    /// `.gz` (RFC 1952)
    pub gzip: bool,
}

impl CodingFlags {
    /// Whether there is any.
    pub fn any(self) -> bool {
        self.zstd || self.brotli || self.gzip
    }
}

/// What became of one sibling: why a variant is or is not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sibling {
    /// A regular file, readable, not older than the original.
    Present,
    /// Nothing has that name.
    Missing,
    /// Older than the original, and therefore probably of other contents. Make it again, or
    /// `touch` it when it is right.
    Stale,
    /// Not a regular file, or not reachable under the policy of the root.
    Refused,
}

/// The three siblings of one file.
///
/// ```
/// use sendrail_files::{Found, Root, RootOptions, Sibling, Siblings};
///
/// # let directory = tempfile::tempdir()?;
/// # std::fs::write(directory.path().join("a.css"), "p {}")?;
/// # std::fs::write(directory.path().join("a.css.gz"), "…")?;
/// let root = Root::open(directory.path(), RootOptions::default())?;
/// let found = root.find(b"a.css")?;
/// let siblings = Siblings::inspect(&root, b"a.css", found.facts());
/// assert_eq!(siblings.gzip, Sibling::Present);
/// assert_eq!(siblings.brotli, Sibling::Missing);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Siblings {
    /// `.zst`
    pub zstd: Sibling,
    /// `.br`
    pub brotli: Sibling,
    /// `.gz`
    pub gzip: Sibling,
}

impl Siblings {
    const NONE: Self =
        Self { zstd: Sibling::Missing, brotli: Sibling::Missing, gzip: Sibling::Missing };

    /// Looks for the siblings of the file at `path`, whose facts are `original`.
    pub fn inspect(root: &Root, path: &[u8], original: &Facts) -> Self {
        if root.folders().has_no_sibling(root, path, Sleep::Allowed) {
            return Self::NONE;
        }
        let each = Self::of_each(path, |name| {
            // To look at it takes no snapshot of it.
            let found = root.find_with(name, Mutable::Share, Sleep::Allowed);
            Some(judge(found.map_err(Unfound::refusal), original))
        });
        each.expect("each of them is something")
    }

    /// The same without waiting for a disk; nothing if one would have to be waited for.
    pub fn inspect_at_once(root: &Root, path: &[u8], original: &Facts) -> Option<Self> {
        if root.folders().has_no_sibling(root, path, Sleep::Forbidden) {
            return Some(Self::NONE);
        }
        Self::of_each(path, |name| match root.find_with(name, Mutable::Share, Sleep::Forbidden) {
            Err(Unfound::WouldSleep) => None,
            Err(Unfound::Refused(error)) => Some(judge(Err(error), original)),
            Ok(found) => Some(judge(Ok(found), original)),
        })
    }

    fn of_each(path: &[u8], mut sibling: impl FnMut(&[u8]) -> Option<Sibling>) -> Option<Self> {
        let mut name = Vec::with_capacity(path.len() + 4);
        let mut sibling = |extension: &[u8]| {
            name.clear();
            name.extend_from_slice(path);
            name.extend_from_slice(extension);
            sibling(&name)
        };
        Some(Self { zstd: sibling(b".zst")?, brotli: sibling(b".br")?, gzip: sibling(b".gz")? })
    }

    /// Those that can be served.
    pub fn flags(self) -> CodingFlags {
        CodingFlags {
            zstd: self.zstd == Sibling::Present,
            brotli: self.brotli == Sibling::Present,
            gzip: self.gzip == Sibling::Present,
        }
    }
}

/// It has really been opened: a sibling that is offered and then cannot be read would turn a file that
/// can be served into an error.
fn judge(found: Result<Found, OpenError>, original: &Facts) -> Sibling {
    match found {
        // Whole seconds: compressors copy the time of the original to the sibling (`gzip -k` and
        // `zstd` do), and some archives and file systems drop the fraction on the way.
        Ok(Found::File(file)) if file.facts().modified.seconds < original.modified.seconds => {
            Sibling::Stale
        }
        Ok(Found::File(_)) => Sibling::Present,
        // The original's name may be of the greatest length already.
        Err(OpenError::NotFound | OpenError::NameTooLong) => Sibling::Missing,
        Ok(Found::Directory(_)) | Err(_) => Sibling::Refused,
    }
}
