//! Where files arrive: a directory for each server beneath the document root, and in it one for each turn, looked at and emptied
//! by the harness.
//!
//! Emptied is not removed: for a minute or more ext4 does not use an inode again that was deleted (`recently_deleted` in
//! fs/ext4/ialloc.c), and looks at each of them anew for every file that is made. After some thousands of deleted files a new one
//! costs ten times what it should. So files are cut to nothing, which gives their pages and blocks back, and stay until the end.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::senders::Files;
use crate::case::pattern::Pattern;
use crate::root::{self, Ground};

/// Beneath the document root, and in requests.
const PLACE: &str = "arriving";

pub(super) struct Place {
    /// Of the turn.
    directory: PathBuf,
    /// Of names in requests.
    pub(super) prefix: String,
}

impl Place {
    /// A new directory that a server's unprivileged processes may write to, on a disk with room for so many bytes.
    pub(super) fn make(ground: &Ground, server: &str, bytes: u64) -> Result<Place> {
        let own = ground.root().join(PLACE).join(server);
        fs::create_dir_all(&own).with_context(|| format!("making {}", own.display()))?;
        root::require_room(&own, bytes)?;
        let number = fs::read_dir(&own).context("counting turns")?.count();
        let directory = own.join(number.to_string());
        fs::create_dir(&directory)
            .and_then(|()| fs::set_permissions(&directory, Permissions::from_mode(0o777)))
            .with_context(|| format!("making {}", directory.display()))?;
        Ok(Place { directory, prefix: format!("/{PLACE}/{server}/{number}/") })
    }

    /// All of the files must be there, whole, and nothing else; some are compared byte for byte.
    pub(super) fn check(&self, files: &Files, pattern: &Pattern) -> Result<()> {
        let listed = fs::read_dir(&self.directory).context("listing what has arrived")?;
        let found = listed.filter_map(Result::ok);
        let visible = found.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
        let count = visible.count() as u64;
        ensure!(count == files.count, "{count} files have arrived of {}", files.count);
        for number in 0..files.count {
            let path = self.directory.join(Files::name(number));
            let len = fs::metadata(&path).map(|found| found.len());
            let len = len.with_context(|| format!("looking at {}", path.display()))?;
            ensure!(
                len == files.len,
                "{} has {len} bytes instead of {}",
                path.display(),
                files.len
            );
        }
        for number in [0, files.count / 2, files.count - 1] {
            let path = self.directory.join(Files::name(number));
            compare(&path, Files::begin(number), pattern)
                .with_context(|| format!("comparing {}", path.display()))?;
        }
        Ok(())
    }

    /// Gives back the room of everything, and waits until the disk has nothing left to do for it.
    pub(super) fn empty(&self) -> Result<()> {
        for entry in fs::read_dir(&self.directory).context("listing what has arrived")? {
            let entry = entry.context("listing what has arrived")?;
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                let emptied = File::options().write(true).truncate(true).open(entry.path());
                emptied.with_context(|| format!("emptying {}", entry.path().display()))?;
            }
        }
        let directory = File::open(&self.directory).context("opening the directory")?;
        rustix::fs::syncfs(&directory).context("letting the disk come to rest")
    }
}

fn compare(path: &std::path::Path, begin: u64, pattern: &Pattern) -> Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut offset = begin;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            got => {
                ensure!(pattern.is_at(offset, &buffer[..got]), "other bytes at {}", offset - begin);
                offset += got as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn what_has_arrived_must_be_whole_and_right() {
        let Ok(ground) = Ground::prepare(None) else {
            eprintln!("skipped: no real file system for temporary files here");
            return;
        };
        let pattern = Pattern::new();
        let place = Place::make(&ground, "x", 1).unwrap();
        let files = Files { prefix: place.prefix.clone(), len: 2_000_000, count: 3 };
        assert!(place.check(&files, &pattern).unwrap_err().to_string().contains("0 files"));
        let path = |number| place.directory.join(Files::name(number));
        for number in 0..3 {
            let contents = pattern.bytes(Files::begin(number), 2_000_000);
            fs::write(path(number), contents).unwrap();
        }
        place.check(&files, &pattern).unwrap();
        let mut wrong = fs::read(path(1)).unwrap();
        wrong[1_999_999] ^= 1;
        fs::write(path(1), &wrong).unwrap();
        let why = format!("{:#}", place.check(&files, &pattern).unwrap_err());
        assert!(why.contains("1.bin: other bytes at"), "{why}");
        fs::write(path(1), &wrong[1..]).unwrap();
        let why = place.check(&files, &pattern).unwrap_err().to_string();
        assert!(why.contains("1999999 bytes"), "{why}");
        place.empty().unwrap();
        assert!((0..3).all(|number| fs::metadata(path(number)).unwrap().len() == 0));
        assert_ne!(Place::make(&ground, "x", 1).unwrap().prefix, place.prefix);
        let too_much = Place::make(&ground, "x", 1 << 60).err().unwrap();
        assert!(too_much.to_string().contains("--scratch"));
    }
}
