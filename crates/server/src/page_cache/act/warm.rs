//! Reads files into the page cache, several at a time.
//!
//! Read, not advised: readahead(2) and POSIX_FADV_WILLNEED return before anything is there, may be ignored, and fill
//! folios of one page, which makes every later sendfile dearer. The kernel's own sequential read-ahead builds large
//! ones. So each file is sent to /dev/null: sendfile(2) reads every page and copies none.

use super::segments::data_segments;
use crate::page_cache::{interrupt::Stop, progress::Progress, walk::Found};
use sendrail_sys::{pread, sendfile};
use std::{
    fs::File,
    io,
    num::NonZeroUsize,
    ops::Range,
    os::fd::AsFd,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
};

/// Read between two looks at whether to stop.
const STEP: u64 = 8 << 20;
/// For file systems without splice_read: as much as stays in a core's cache.
const BUFFER: usize = 256 << 10;

type Job = (Found, Range<u64>);
type Failure = (PathBuf, io::Error);

/// Threads that read files.
pub(in crate::page_cache) struct Readers {
    jobs: SyncSender<Job>,
    failures: Receiver<Failure>,
}

impl Readers {
    /// Has a part of a file read. Waits while all readers are busy, so that few files are open at a time.
    pub(in crate::page_cache) fn give(&self, found: Found, range: Range<u64>) {
        self.jobs.send((found, range)).expect("the readers wait for jobs as long as this is there");
    }

    /// What could not be read so far.
    pub(in crate::page_cache) fn failures(&self) -> impl Iterator<Item = Failure> {
        self.failures.try_iter()
    }
}

/// What the readers share.
struct Shared<'a> {
    jobs: Mutex<Receiver<Job>>,
    null: File,
    stop: &'a Stop,
    progress: &'a Progress,
    read: AtomicU64,
}

/// Starts `count` readers, lets `walk` give them files, and waits until they have been read. Returns the bytes that
/// were read, and what failed and was not yet asked for.
///
/// # Errors
///
/// /dev/null cannot be opened, or no thread be started.
pub(in crate::page_cache) fn warm(
    count: NonZeroUsize,
    stop: &Stop,
    progress: &Progress,
    walk: impl FnOnce(&Readers),
) -> io::Result<(u64, Vec<Failure>)> {
    let (jobs, taken) = sync_channel(count.get());
    let (failed, failures) = channel();
    let null = File::options().write(true).open("/dev/null")?;
    let shared = Shared { jobs: Mutex::new(taken), null, stop, progress, read: AtomicU64::new(0) };
    let readers = Readers { jobs, failures };
    let failures = thread::scope(|scope| {
        for _ in 0..count.get() {
            let (shared, failed) = (&shared, failed.clone());
            let name = "reader".to_owned();
            thread::Builder::new().name(name).spawn_scoped(scope, move || shared.work(&failed))?;
        }
        drop(failed);
        walk(&readers);
        drop(readers.jobs); // which ends the readers
        // Ends when the last reader has.
        Ok::<_, io::Error>(readers.failures.into_iter().collect())
    })?;
    Ok((shared.read.into_inner(), failures))
}

impl Shared<'_> {
    fn work(&self, failed: &Sender<Failure>) {
        loop {
            let job = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((found, range)) = job else { return };
            if let Some(file) = &found.file
                && let Err(error) = self.read(file, &range)
            {
                // Whoever listened has gone only if the program ends.
                let _ = failed.send((found.path, error));
            }
        }
    }

    fn read(&self, file: &File, range: &Range<u64>) -> io::Result<()> {
        let mut buffer = Vec::new();
        for segment in data_segments(file, range) {
            let mut at = segment.start;
            while at < segment.end && !self.stop.is_asked() {
                let want = (segment.end - at).min(STEP) as usize;
                let read = if buffer.is_empty() {
                    sendfile(self.null.as_fd(), file.as_fd(), at, want)
                } else {
                    let want = want.min(buffer.len());
                    pread(file.as_fd(), &mut buffer[..want], at)
                };
                match read {
                    Ok(0) => return Ok(()), // it has become shorter
                    Ok(read) => {
                        at += read as u64;
                        self.read.fetch_add(read as u64, Ordering::Relaxed);
                        self.progress.read(read as u64);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error)
                        if error.kind() == io::ErrorKind::InvalidInput && buffer.is_empty() =>
                    {
                        buffer = vec![0; BUFFER];
                    }
                    Err(error) => {
                        let why = format!("cannot be read at byte {at}: {error}");
                        return Err(io::Error::new(error.kind(), why));
                    }
                }
            }
        }
        Ok(())
    }
}
