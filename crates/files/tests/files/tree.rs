//! A directory tree for one test: a root to serve, and a canary beside it that must stay unread.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use sendrail_files::{Confinement, Found, OpenError, Root, RootOptions, Symlinks};
use tempfile::TempDir;

pub(crate) const CANARY: &[u8] = b"the canary outside the root";

pub(crate) struct Tree {
    directory: TempDir,
}

impl Tree {
    /// An empty `root` beside `outside/canary`.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        fs::create_dir(directory.path().join("outside")).unwrap();
        fs::write(directory.path().join("outside/canary"), CANARY).unwrap();
        Self { directory }
    }

    pub(crate) fn top(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.directory.path().join("outside")
    }

    /// The path of `name` (bytes, not always UTF-8) beneath the root.
    pub(crate) fn at(&self, name: impl AsRef<[u8]>) -> PathBuf {
        self.top().join(OsStr::from_bytes(name.as_ref()))
    }

    /// Writes a file in place, with the directories above it.
    pub(crate) fn write(&self, name: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> &Self {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
        self
    }

    /// Puts a new file in the place of the old, as a deployment does.
    pub(crate) fn replace(&self, name: &str, contents: &str) -> &Self {
        let new = self.directory.path().join("new");
        fs::write(&new, contents).unwrap();
        fs::rename(new, self.at(name)).unwrap();
        self
    }

    pub(crate) fn mkdir(&self, name: &str) -> &Self {
        fs::create_dir_all(self.at(name)).unwrap();
        self
    }

    pub(crate) fn link(&self, name: &str, target: impl AsRef<Path>) -> &Self {
        symlink(target, self.at(name)).unwrap();
        self
    }

    /// Sets the time of the last change to so many seconds ago.
    pub(crate) fn age(&self, name: &str, seconds: u64) -> &Self {
        let file = File::options().append(true).open(self.at(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
        self
    }

    pub(crate) fn root(&self, symlinks: Symlinks) -> Root {
        let options = RootOptions { symlinks, ..RootOptions::default() };
        Root::open(&self.top(), options).unwrap()
    }

    pub(crate) fn walking(&self, symlinks: Symlinks) -> Root {
        let options = RootOptions { symlinks, ..RootOptions::default() };
        let root = Root::open_by_walk(&self.top(), options).unwrap();
        assert!(matches!(root.confinement(), Confinement::Walk { .. }));
        root
    }

    /// One root for every policy and confinement.
    pub(crate) fn all_roots(&self) -> Vec<Root> {
        [Symlinks::Deny, Symlinks::SameRoot, Symlinks::Follow]
            .into_iter()
            .flat_map(|symlinks| [self.root(symlinks), self.walking(symlinks)])
            .collect()
    }
}

/// What is in the file, read through the descriptor that was found.
pub(crate) fn contents(found: &Found) -> Vec<u8> {
    let Found::File(file) = found else { panic!("not a file: {found:?}") };
    let mut bytes = vec![0; 4096];
    let len = file.file().read_at(&mut bytes, 0).unwrap();
    bytes.truncate(len);
    bytes
}

/// A word for each outcome, for tables.
pub(crate) fn outcome(found: &Result<Found, OpenError>) -> &'static str {
    match found {
        Ok(Found::File(_)) => "file",
        Ok(Found::Directory(_)) => "directory",
        Err(OpenError::NotFound) => "absent",
        Err(OpenError::Forbidden { .. }) => "forbidden",
        Err(OpenError::NotAFile { .. }) => "not a file",
        Err(OpenError::NameTooLong) => "too long",
        Err(error) => panic!("{error}"),
    }
}

/// Whether the machine has openat2; if not, prints that `test` is skipped.
pub(crate) fn has_openat2(tree: &Tree, test: &str) -> bool {
    match tree.root(Symlinks::SameRoot).confinement() {
        Confinement::Openat2 => true,
        other => {
            eprintln!("skipped: {test} needs openat2: {other:?}");
            false
        }
    }
}

/// Whether permissions bind this user; if not, prints that `test` is skipped.
pub(crate) fn permissions_bind(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        eprintln!("skipped: {test} needs a user whom permissions bind, and this is root");
    }
    !is_root
}

/// Lets the other thread end when an assertion fails, too.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
