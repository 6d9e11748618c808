//! A directory of files to serve.

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};
use tempfile::TempDir;

/// A temporary tree; gone when the test ends.
pub(crate) struct Tree(TempDir);

impl Tree {
    /// An empty one, in the build's folder: /tmp may be a tmpfs, which has no disk behind it.
    pub(crate) fn new() -> Self {
        Self::new_in(build_folder())
    }

    /// An empty one in this folder.
    pub(crate) fn new_in(folder: &Path) -> Self {
        Self(TempDir::new_in(folder).unwrap())
    }

    /// Puts a file into it, with the folders above it.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let full = self.0.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, content).unwrap();
        full
    }

    /// The same, last modified at [`AGED`]: long ago, so that its validators are strong.
    pub(crate) fn aged(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let full = self.file(path, content);
        age(&full, AGED);
        full
    }

    /// Makes a symbolic link in it.
    pub(crate) fn link(&self, path: &str, target: impl AsRef<Path>) {
        let full = self.0.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        symlink(target, full).unwrap();
    }

    /// Makes a FIFO, a socket or the device /dev/zero in it (mknod(2)); none if that is refused.
    pub(crate) fn node(&self, path: &str, kind: FileType) -> Option<PathBuf> {
        let full = self.0.path().join(path);
        let device = if kind == FileType::CharacterDevice { makedev(1, 5) } else { 0 };
        match mknodat(CWD, &full, kind, Mode::from_raw_mode(0o666), device) {
            Ok(()) => Some(full),
            Err(error) => {
                eprintln!("skipped: mknod of {kind:?}: {error}");
                None
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// The build's folder for what tests make.
pub(crate) fn build_folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// A time in the past in Unix seconds, and as HTTP writes it.
pub(crate) const AGED: u64 = 1_600_000_000;
pub(crate) const AGED_DATE: &str = "Sun, 13 Sep 2020 12:26:40 GMT";

/// Sets when a file was last modified.
pub(crate) fn age(path: &Path, unix_seconds: u64) {
    let time = UNIX_EPOCH + Duration::from_secs(unix_seconds);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Bytes in which no two nearby places look alike, so that a shifted range is seen.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}
