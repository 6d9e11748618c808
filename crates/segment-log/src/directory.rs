//! The directory of a log: names, the lock, making and dropping segments.

use crate::index::{IndexFault, IndexFile};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// A log's directory, locked as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// For fsync(2): a file that was made has its name on the disk only then.
    itself: File,
    lock: File,
}

/// The file of the segment that begins with this offset.
pub(crate) fn segment_path(directory: &Path, base: u64) -> PathBuf {
    directory.join(format!("{base:020}.log"))
}

impl Drop for Directory {
    /// Closing alone would not do: a child that is between fork(2) and execve(2) has the descriptor as well, and with it the lock.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

/// Why it cannot be had.
pub(crate) enum Refused {
    InUse,
    Io { doing: &'static str, file: PathBuf, error: io::Error },
}

impl Directory {
    /// Opens it, or makes it in a directory that is there.
    pub(crate) fn open(path: &Path) -> Result<Self, Refused> {
        let refused = |doing, file: PathBuf| move |error| Refused::Io { doing, file, error };
        match fs::create_dir(path) {
            Ok(()) => {
                let above = path.parent().filter(|above| !above.as_os_str().is_empty());
                let above = above.unwrap_or(Path::new("."));
                File::open(above)
                    .and_then(|above| above.sync_all())
                    .map_err(refused("write the name of", path.into()))?;
            }
            Err(_) if path.is_dir() => {}
            Err(error) => return Err(refused("make the directory", path.into())(error)),
        }
        let itself = File::open(path).map_err(refused("open the directory", path.into()))?;
        let lock = path.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&lock);
        let file = file.map_err(refused("make the lock file", lock.clone()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), itself, lock: file }),
            Err(TryLockError::WouldBlock) => Err(Refused::InUse),
            Err(TryLockError::Error(error)) => Err(refused("lock", lock)(error)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn itself(&self) -> &File {
        &self.itself
    }

    pub(crate) fn segment(&self, base: u64) -> PathBuf {
        segment_path(&self.path, base)
    }

    pub(crate) fn index(&self, base: u64) -> PathBuf {
        self.path.join(format!("{base:020}.index"))
    }

    /// Where what is cut off the segment is kept: a name that nothing has.
    pub(crate) fn cut(&self, base: u64, position: u64) -> PathBuf {
        let name = format!("{base:020}.log.from-{position}");
        let mut path = self.path.join(format!("{name}.cut"));
        let mut number = 2;
        while path.exists() {
            path = self.path.join(format!("{name}.{number}.cut"));
            number += 1;
        }
        path
    }

    /// The first offsets of the segments that have a file with this extension, in order.
    pub(crate) fn bases(&self, extension: &str) -> io::Result<Vec<u64>> {
        let mut bases = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(extension));
            let digits = stem.and_then(|stem| stem.strip_suffix('.'));
            if let Some(digits) = digits
                && digits.len() == 20
                && digits.bytes().all(|digit| digit.is_ascii_digit())
                && let Ok(base) = digits.parse()
            {
                bases.push(base);
            }
        }
        bases.sort_unstable();
        Ok(bases)
    }

    /// A new, empty segment. What has the name already is in nobody's way: it was found empty, or left by an append that failed.
    pub(crate) fn make_segment(&self, base: u64) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.segment(base))
    }

    pub(crate) fn open_segment(&self, base: u64) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.segment(base))
    }

    /// Has the names of the files on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.itself.sync_all()
    }

    pub(crate) fn read_index(&self, base: u64, segment_len: u64) -> Result<IndexFile, IndexFault> {
        let bytes = fs::read(self.index(base)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => IndexFault::Missing,
            _ => IndexFault::Unreadable,
        })?;
        IndexFile::decode(&bytes, base, segment_len)
    }

    /// Writes it, or leaves none: without one the segment is scanned at the next opening, and nothing is lost.
    pub(crate) fn write_index(&self, index: &IndexFile) {
        let path = self.index(index.base);
        if fs::write(&path, index.encode()).is_err() {
            let _ = fs::remove_file(path);
        }
    }

    /// Drops a segment. The index goes first, so that none is ever without its segment.
    pub(crate) fn remove(&self, base: u64) -> io::Result<()> {
        self.remove_index(base)?;
        fs::remove_file(self.segment(base))
    }

    pub(crate) fn remove_index(&self, base: u64) -> io::Result<()> {
        match fs::remove_file(self.index(base)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
