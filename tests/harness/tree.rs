//! A directory of files to serve.

use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A temporary tree; gone when the test ends.
pub(crate) struct Tree(TempDir);

impl Tree {
    /// An empty one, in the build's folder: /tmp may be a tmpfs, which has no disk behind it.
    pub(crate) fn new() -> Self {
        Self(TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    /// Puts a file into it, with the folders above it.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let full = self.0.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, content).unwrap();
        full
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Bytes in which no two nearby places look alike, so that a shifted range is seen.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}
