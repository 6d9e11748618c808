//! What the disk itself can do at this moment, past the page cache and through it. On a virtual machine that changes from
//! minute to minute.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{Advice, OFlags, fadvise, sendfile};
use serde::Serialize;

use crate::interrupt::Interrupt;
use crate::root::Document;

/// Of each way, for a [`Ceiling`].
const LENGTH: Duration = Duration::from_millis(700);
/// Buffers and offsets of direct reads lie on such boundaries (open(2)): more than any disk asks for.
const ALIGNMENT: usize = 4096;

/// How it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// O_DIRECT, 1 MiB at a time, 8 under way, into ordinary memory: as fio(1) would do it, told so and nothing else.
    Direct,
    /// By the kernel's own read-ahead, 4 readers, not copied anywhere (sendfile(2) to /dev/null), then given back.
    Cached,
}

impl Way {
    fn block(self) -> u64 {
        match self {
            Way::Direct => 1 << 20,
            Way::Cached => 64 << 20,
        }
    }

    fn readers(self) -> usize {
        match self {
            Way::Direct => 8,
            Way::Cached => 4,
        }
    }
}

/// Bytes a second.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ceiling {
    pub(crate) direct: f64,
    /// A disk of few segments to a request (`queue/max_segments`) reads faster into the large folios of read-ahead than
    /// into buffers of small pages.
    pub(crate) cached: f64,
}

impl Ceiling {
    /// By reading `documents`, all of one length, for a while. They are as cold afterwards as before.
    pub(crate) fn now(documents: &[Rc<Document>], interrupt: &Interrupt) -> Result<Ceiling> {
        let speed = |way| read(way, documents, Some(LENGTH), interrupt);
        Ok(Ceiling { direct: speed(Way::Direct)?, cached: speed(Way::Cached)? })
    }
}

/// What the kernel knows of a disk and does with it (queue/ in sysfs), so far as that decides about reading.
#[derive(Debug, Serialize)]
pub(crate) struct Queue(BTreeMap<&'static str, String>);

impl Queue {
    /// Of the disk that holds `path`.
    pub(crate) fn of(path: &Path) -> Queue {
        const SETTINGS: [&str; 5] =
            ["read_ahead_kb", "max_sectors_kb", "max_segments", "scheduler", "rotational"];
        let device = std::fs::metadata(path).map(|found| found.st_dev()).unwrap_or_default();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let read = |name: &&'static str| {
            let path = format!("/sys/dev/block/{major}:{minor}/queue/{name}");
            Some((*name, std::fs::read_to_string(path).ok()?.trim().to_owned()))
        };
        Queue(SETTINGS.iter().filter_map(read).collect())
    }
}

/// Has everything read once: what lies beneath the disk may have a cache of its own, which is then as warm for the first
/// server as for the others.
pub(crate) fn read_once(documents: &[Rc<Document>], interrupt: &Interrupt) -> Result<()> {
    read(Way::Cached, documents, None, interrupt).map(|_| ())
}

/// In order; from the beginning again and again for `length`, or else once. Bytes a second.
fn read(
    way: Way,
    documents: &[Rc<Document>],
    length: Option<Duration>,
    interrupt: &Interrupt,
) -> Result<f64> {
    let Some(first) = documents.first() else { bail!("no files to read") };
    let blocks = Blocks {
        way,
        paths: documents.iter().map(|document| document.path.as_path()).collect(),
        len: first.len,
        again: length.is_some(),
        next: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    };
    let (stop, started) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        let readers = (0..way.readers()).map(|_| scope.spawn(|| blocks.read(&stop)));
        let readers: Vec<_> = readers.collect();
        while !interrupt.raised()
            && length.is_none_or(|length| started.elapsed() < length)
            && readers.iter().any(|reader| !reader.is_finished())
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            let read = reader.join().expect("a reader does not panic");
            read.with_context(|| format!("reading from the disk ({way:?})"))?;
        }
        interrupt.check()
    })?;
    Ok(blocks.bytes.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64())
}

/// What the readers share.
struct Blocks<'a> {
    way: Way,
    paths: Vec<&'a Path>,
    len: u64,
    again: bool,
    /// Number of the next block of all files.
    next: AtomicU64,
    bytes: AtomicU64,
}

impl Blocks<'_> {
    /// One of the readers.
    fn read(&self, stop: &AtomicBool) -> io::Result<()> {
        let mut memory = vec![0; Way::Direct.block() as usize + ALIGNMENT];
        let from = memory.as_ptr().align_offset(ALIGNMENT);
        let buffer = &mut memory[from..][..Way::Direct.block() as usize];
        let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
        let mut open: Option<(usize, File)> = None;
        while !stop.load(Ordering::Relaxed) {
            let Some((number, offset)) = self.place(self.next.fetch_add(1, Ordering::Relaxed))
            else {
                break;
            };
            let file = match &open {
                Some((opened, file)) if *opened == number => file,
                _ => &open.insert((number, self.open(number)?)).1,
            };
            let read = match self.way {
                Way::Direct => file.read_at(buffer, offset)? as u64,
                Way::Cached => {
                    let read = through_the_cache(file, offset, self.way.block(), &nowhere)?;
                    fadvise(file, offset, std::num::NonZeroU64::new(read), Advice::DontNeed)?;
                    read
                }
            };
            self.bytes.fetch_add(read, Ordering::Relaxed);
        }
        Ok(())
    }

    fn open(&self, number: usize) -> io::Result<File> {
        let flags = if self.way == Way::Direct { OFlags::DIRECT } else { OFlags::empty() };
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags.bits().cast_signed()).open(self.paths[number])
    }

    /// The file and the offset of a block; `None` after the last.
    fn place(&self, block: u64) -> Option<(usize, u64)> {
        let blocks = self.len.div_ceil(self.way.block()).max(1);
        let file = (block / blocks) as usize;
        let there = self.again || file < self.paths.len();
        there.then(|| (file % self.paths.len(), block % blocks * self.way.block()))
    }
}

fn through_the_cache(file: &File, offset: u64, len: u64, nowhere: &File) -> io::Result<u64> {
    let (mut at, end) = (offset, offset + len);
    while at < end {
        let left = (end - at) as usize;
        if sendfile(nowhere, file, Some(&mut at), left)? == 0 {
            break;
        }
    }
    Ok(at - offset)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;
    use crate::residency::{self, Watched};
    use crate::root::Ground;

    #[test]
    fn blocks_go_through_the_files_once_or_again_and_again() {
        let blocks = |len, again| Blocks {
            way: Way::Direct,
            paths: vec![Path::new("a"), Path::new("b")],
            len,
            again,
            next: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        };
        let places = |len, again| -> Vec<(usize, u64)> {
            let blocks = blocks(len, again);
            (0..7).filter_map(|block| blocks.place(block)).collect()
        };
        let file = |number| [0, 1 << 20, 2 << 20].map(|offset| (number, offset));
        assert_eq!(places((2 << 20) + 1, false), [file(0), file(1)].concat());
        assert_eq!(places((2 << 20) + 1, true)[6], (0, 0));
        assert_eq!(places(10, false), [(0, 0), (1, 0)]);
    }

    #[test]
    fn the_files_stay_cold() {
        let Ok(ground) = Ground::prepare(None) else {
            eprintln!("skipped: no real file system for temporary files here");
            return;
        };
        let files = [("a".into(), 3 << 20), ("b".into(), 3 << 20)];
        let documents = ground.random_files(&files).unwrap();
        let interrupt = Interrupt::default();
        residency::evict(&documents, &interrupt).unwrap();
        read_once(&documents, &interrupt).unwrap();
        match Ceiling::now(&documents, &interrupt) {
            Ok(speed) => assert!(speed.direct > 0.0 && speed.cached > 0.0),
            Err(why) => eprintln!("skipped: {why:#}"),
        }
        assert!(Watched::open(&documents).unwrap().resident().unwrap() < 0.01);
        let raised = Interrupt::raised_from_the_start();
        assert!(read_once(&documents, &raised).unwrap_err().to_string().contains("interrupted"));
    }
}
