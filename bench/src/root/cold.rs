//! Large sets of files that nobody has read yet: on the disk, and not in the page cache.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use rustix::fs::Advice;

use super::{CHUNK, Document, Ground, make_directory};
use crate::disk;
use crate::interrupt::Interrupt;

/// Beneath the document root, and in requests.
const PLACE: &str = "cold";
/// A directory of a million names is a measurement of its own.
const PER_DIRECTORY: usize = 1000;
/// Written pages are given back after so many bytes, lest they crowd out everything else.
const FLUSHED: u64 = 512 << 20;
/// Left free on the disk, in bytes.
const RESERVE: u64 = 4 << 30;

/// `count` files of `len` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ColdSet {
    pub(crate) count: usize,
    pub(crate) len: u64,
}

impl ColdSet {
    pub(crate) fn bytes(self) -> u64 {
        self.count as u64 * self.len
    }

    fn directory(self) -> String {
        format!("{PLACE}/{}x{}", self.count, self.len)
    }

    fn name(self, number: usize) -> String {
        format!("{}/{}/{}.bin", self.directory(), number / PER_DIRECTORY, number % PER_DIRECTORY)
    }
}

impl Ground {
    /// Makes the files, unless an earlier case has made the same; any other set is removed, since together they would
    /// be too large.
    pub(crate) fn cold(&self, set: ColdSet, interrupt: &Interrupt) -> Result<Vec<Rc<Document>>> {
        let documents = (0..set.count).map(|number| {
            let name = set.name(number);
            let (path, target) = (self.root().join(&name), format!("/{name}"));
            Rc::new(Document { target, path, len: set.len })
        });
        let documents: Vec<Rc<Document>> = documents.collect();
        let directory = self.root().join(set.directory());
        let complete = directory.join("complete");
        if !complete.exists() {
            let place = self.root().join(PLACE);
            if place.exists() {
                fs::remove_dir_all(&place)
                    .with_context(|| format!("removing {}", place.display()))?;
            }
            make_directory(&place)?;
            make_directory(&directory)?;
            require_room(&directory, set.bytes())?;
            write_all(&documents, interrupt)?;
            disk::read_once(&documents, interrupt)?;
            File::create(&complete).context("marking the cold files as complete")?;
        }
        Ok(documents)
    }
}

/// An error unless the disk has room for so many bytes, and some.
pub(crate) fn require_room(directory: &Path, bytes: u64) -> Result<()> {
    let disk = rustix::fs::statvfs(directory).context("asking how much room there is")?;
    let free = disk.f_bavail * disk.f_frsize;
    if free < bytes + RESERVE {
        let (need, free) = ((bytes + RESERVE) >> 30, free >> 30);
        bail!("the files need {need} GiB on the disk, and {free} are free (see --scratch)");
    }
    Ok(())
}

fn write_all(documents: &[Rc<Document>], interrupt: &Interrupt) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(documents.len() as u64);
    let mut chunk = vec![0; CHUNK];
    let (mut written, mut unflushed) = (0, Vec::new());
    for document in documents {
        interrupt.check()?;
        let directory = document.path.parent().context("a file in no directory")?;
        if !directory.exists() {
            make_directory(directory)?;
        }
        let mut write = || {
            let mut file = File::create(&document.path)?;
            let mut left = document.len as usize;
            while left > 0 && !interrupt.raised() {
                let now = left.min(CHUNK);
                random.fill(&mut chunk[..now]);
                file.write_all(&chunk[..now])?;
                left -= now;
            }
            file.set_permissions(Permissions::from_mode(0o644)) // whatever the umask
        };
        write().with_context(|| format!("writing {}", document.path.display()))?;
        written += document.len;
        unflushed.push(document);
        if written >= FLUSHED {
            flush(&unflushed)?;
            (written, unflushed) = (0, Vec::new());
        }
    }
    interrupt.check()?;
    flush(&unflushed)
}

/// On the disk, and no longer in memory.
fn flush(documents: &[&Rc<Document>]) -> Result<()> {
    let Some(first) = documents.first() else { return Ok(()) };
    let file = File::open(&first.path).context("opening a cold file")?;
    rustix::fs::syncfs(&file).context("writing the cold files to the disk")?;
    for document in documents {
        let evicted = File::open(&document.path)
            .and_then(|file| Ok(rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?));
        evicted.with_context(|| format!("evicting {}", document.path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;
    use crate::residency::Watched;

    #[test]
    fn a_set_is_made_once_cold_and_alone() {
        let Ok(ground) = Ground::prepare(None) else {
            eprintln!("skipped: no real file system for temporary files here");
            return;
        };
        let interrupt = Interrupt::default();
        let set = ColdSet { count: 1002, len: 5000 };
        let documents = ground.cold(set, &interrupt).unwrap();
        assert_eq!(documents.len(), 1002);
        assert!(documents.iter().all(|one| fs::metadata(&one.path).unwrap().len() == 5000));
        assert_ne!(fs::read(&documents[0].path).unwrap(), fs::read(&documents[1].path).unwrap());
        assert_eq!(documents[1001].target, "/cold/1002x5000/1/1.bin");
        let made = |documents: &[Rc<Document>]| {
            fs::metadata(&documents[3].path).unwrap().modified().unwrap()
        };
        assert_eq!(made(&ground.cold(set, &interrupt).unwrap()), made(&documents));
        assert!(Watched::open(&documents[2..]).unwrap().resident().unwrap() < 0.01);
        let other = ground.cold(ColdSet { count: 1, len: 3 << 20 }, &interrupt).unwrap();
        assert!(other[0].path.exists() && !documents[0].path.exists());
        let too_large = ColdSet { count: 1 << 20, len: 1 << 40 };
        assert!(ground.cold(too_large, &interrupt).unwrap_err().to_string().contains("--scratch"));
        assert!(ground.cold(set, &Interrupt::raised_from_the_start()).is_err());
    }
}
