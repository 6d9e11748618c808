//! The document root: files of random bytes on a real file system, in the page cache, and gone afterwards.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::fs::Advice;
use tempfile::TempDir;

/// Memory, or a layer over something else: neither is what files are served from.
const NOT_REAL: [&str; 4] = ["tmpfs", "ramfs", "overlay", "fuseblk"];

const CHUNK: usize = 1 << 20;

/// A served file, and what its bytes must be.
#[derive(Debug)]
pub(crate) struct Document {
    /// The path in a request, `/1k.bin`.
    pub(crate) target: String,
    pub(crate) len: u64,
    /// For comparing; none for a sparse file.
    pub(crate) bytes: Option<Vec<u8>>,
}

/// A temporary directory with the documents in `root/` and the servers' files in `state/`; removed when dropped.
#[derive(Debug)]
pub(crate) struct Ground {
    directory: TempDir,
}

impl Ground {
    /// Makes the directory beneath `parent`, by default the system's temporary directory, or /var/tmp where that lives
    /// in memory.
    pub(crate) fn prepare(parent: Option<&Path>) -> Result<Ground> {
        let parents: Vec<PathBuf> = match parent {
            Some(parent) => vec![parent.to_owned()],
            None => vec![std::env::temp_dir(), "/var/tmp".into()],
        };
        let Some(parent) =
            parents.iter().find(|path| !NOT_REAL.contains(&file_system(path).as_str()))
        else {
            bail!(
                "{parents:?}: not on a real file system; name a directory that is with --scratch"
            );
        };
        let directory = tempfile::Builder::new()
            .prefix("sendrail-bench-")
            // nginx's worker gives up root and must still find the files.
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .with_context(|| format!("making a temporary directory in {}", parent.display()))?;
        let ground = Ground { directory };
        for path in [ground.root(), ground.path().join("state")] {
            make_directory(&path)?;
        }
        Ok(ground)
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory to be served.
    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    /// A new, empty directory for one server.
    pub(crate) fn state(&self, server: &str) -> Result<PathBuf> {
        let path = (0..1_000_000)
            .map(|number| self.path().join("state").join(format!("{server}-{number}")))
            .find(|path| !path.exists());
        let path = path.context("no free name for a server's directory")?;
        make_directory(&path)?;
        Ok(path)
    }

    /// A file of random bytes, on disk and in the page cache.
    pub(crate) fn random(&self, name: &str, len: u64) -> Result<Document> {
        let path = self.root().join(name);
        let mut bytes = Vec::new();
        File::open("/dev/urandom")
            .and_then(|random| random.take(len).read_to_end(&mut bytes))
            .context("reading random bytes from /dev/urandom")?;
        write_through(&path, &bytes)
            .with_context(|| format!("writing {len} bytes to {}", path.display()))?;
        heat(&path).with_context(|| format!("reading {} into the page cache", path.display()))?;
        Ok(Document { target: format!("/{name}"), len, bytes: Some(bytes) })
    }

    /// A file of `len` bytes that takes no room on the disk.
    pub(crate) fn sparse(&self, name: &str, len: u64) -> Result<Document> {
        let path = self.root().join(name);
        File::create(&path)
            .and_then(|file| file.set_len(len))
            .with_context(|| format!("making {} {len} bytes long", path.display()))?;
        heat(&path).with_context(|| format!("reading {} into the page cache", path.display()))?;
        Ok(Document { target: format!("/{name}"), len, bytes: None })
    }
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755))) // whatever the umask
        .with_context(|| format!("making the directory {}", path.display()))
}

/// The type of the file system that holds `path`, as mounted: `ext4`, where stat(1) only knows `ext2/ext3`. Empty where
/// findmnt of util-linux does not say.
pub(crate) fn file_system(path: &Path) -> String {
    let output = Command::new("findmnt").args(["-n", "-o", "FSTYPE", "-T"]).arg(path).output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.unwrap_or_default()
}

/// Written back before anything is measured, so that the disk is quiet then.
fn write_through(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    for chunk in bytes.chunks(CHUNK) {
        file.write_all(chunk)?;
    }
    file.sync_all()?;
    // Pages left by writing differ in size from those the kernel's read-ahead builds; served files were mostly read.
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    fs::set_permissions(path, Permissions::from_mode(0o644))
}

fn heat(path: &Path) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; CHUNK];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn documents_are_what_they_say_and_vanish() {
        let Ok(ground) = Ground::prepare(None) else {
            eprintln!("skipped: no real file system for temporary files here");
            return;
        };
        let random = ground.random("a.bin", 5000).unwrap();
        assert_eq!(fs::read(ground.root().join("a.bin")).unwrap(), random.bytes.unwrap());
        let sparse = ground.sparse("b.bin", 1 << 20).unwrap();
        assert_eq!((sparse.len, sparse.bytes), (1 << 20, None));
        assert_ne!(ground.state("x").unwrap(), ground.state("x").unwrap());
        let path = ground.path().to_owned();
        drop(ground);
        assert!(!path.exists());
    }

    #[test]
    fn memory_is_not_a_disk() {
        if file_system(Path::new("/dev/shm")) != "tmpfs" {
            eprintln!("skipped: /dev/shm is not a tmpfs here");
            return;
        }
        assert!(Ground::prepare(Some(Path::new("/dev/shm"))).is_err());
    }
}
