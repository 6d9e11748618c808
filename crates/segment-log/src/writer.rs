//! Appending: one write for a batch, one fdatasync for all that wait for one, and what is done when either fails.

use crate::{
    directory::{Directory, segment_path},
    error::AppendError,
    index::{Entry, IndexFile, is_due},
    log::{Log, Shared},
    options::SyncPolicy,
    record::{HEADER, encode},
    view::{Active, Closed, Edge},
};
use sendrail_sys::limits;
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, MutexGuard, PoisonError},
    time::SystemTime,
};

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record.
    pub first: u64,
    /// The offset behind its last one.
    pub next: u64,
}

/// What whoever appends needs, one at a time.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) directory: Directory,
    base: u64,
    file: Arc<File>,
    last_entry: Vec<Entry>,
    end: Edge,
    /// A failed append has left bytes behind the end, which could not be cut off.
    dirty: bool,
    /// The batch as stored; kept from one append to the next.
    buffer: Vec<u8>,
}

/// A buffer that one long append has made larger than this is not kept, in bytes.
const KEPT: usize = 1 << 20;

/// Who has asked the disk, and what it said.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    /// Somebody is in fdatasync(2) for all that were there before.
    busy: bool,
    failed: Option<AppendError>,
}

impl Writer {
    pub(crate) fn new(
        directory: Directory,
        base: u64,
        file: Arc<File>,
        index: &[Entry],
        end: Edge,
    ) -> Self {
        let last_entry = index.last().copied().into_iter().collect();
        Self { directory, base, file, last_entry, end, dirty: false, buffer: Vec::new() }
    }

    fn cannot(&self, doing: &'static str, base: u64, error: io::Error) -> AppendError {
        AppendError::Io { doing, file: self.directory.segment(base), error: Arc::new(error) }
    }

    /// Makes the records of this batch, in the buffer, and their entries of the index.
    fn render<'a>(
        &mut self,
        payloads: impl IntoIterator<Item = &'a [u8]>,
        most: u64,
    ) -> Result<u64, AppendError> {
        self.buffer.clear();
        let mut next = self.end.next;
        for payload in payloads {
            if (self.buffer.len() + HEADER + payload.len()) as u64 > most {
                return Err(AppendError::TooLong { most });
            }
            encode(next, payload, &mut self.buffer);
            next += 1;
        }
        Ok(next)
    }

    /// The entries of the rendered batch, if it begins at `position`.
    fn entries(&mut self, interval: u64) -> Vec<Entry> {
        let mut due = Vec::new();
        let (mut at, mut offset) = (0, (self.end.next - self.base) as u32);
        while let Some(header) = crate::record::Header::decode(&self.buffer[at..]) {
            let position = self.end.position + at as u64;
            if is_due(&self.last_entry, position, interval) {
                let entry = Entry { offset, position: position as u32 };
                self.last_entry.clear();
                self.last_entry.push(entry);
                due.push(entry);
            }
            at += header.record_len() as usize;
            offset += 1;
        }
        due
    }

    /// Writes the batch behind the end, or leaves nothing of it there.
    fn write(&mut self) -> Result<(), AppendError> {
        self.cut_back()?;
        let end = self.end.position + self.buffer.len() as u64;
        // Beyond the limit the kernel sends SIGXFSZ, which ends the process.
        let written = if limits::file_size().is_some_and(|most| end > most) {
            Err(io::ErrorKind::FileTooLarge.into())
        } else {
            self.file.write_all_at(&self.buffer, self.end.position)
        };
        let Err(error) = written else { return Ok(()) };
        self.dirty = true;
        let error = self.cannot("append to", self.base, error);
        let _ = self.cut_back(); // tried again by the next append, before anything else
        Err(error)
    }

    /// Records of a batch that failed must not stand behind those of the next one.
    fn cut_back(&mut self) -> Result<(), AppendError> {
        if self.dirty {
            self.file
                .set_len(self.end.position)
                .map_err(|error| self.cannot("cut a failed append off", self.base, error))?;
            self.dirty = false;
        }
        Ok(())
    }
}

impl Log {
    /// Appends records, and says which offsets they have. All of them are there then, and on the disk if the policy is
    /// [`SyncPolicy::EveryAppend`]; after an error none is. An empty batch is fine, and does nothing.
    ///
    /// It is one `pwrite(2)`. With `EveryAppend` those who append at the same time share one `fdatasync(2)`. It may wait for the disk, and
    /// belongs into no event loop.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: too long, a full disk, or a disk that has failed.
    ///
    /// ```
    /// use sendrail_segment_log::{Log, Options, SyncPolicy};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path();
    /// let options = Options { sync: SyncPolicy::EveryAppend, ..Options::default() };
    /// let log = Log::open(path, options)?;
    /// assert_eq!(log.append(["one", "two"].map(str::as_bytes))?.next, 2); // both are on the disk
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append<'a>(
        &self,
        payloads: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Appended, AppendError> {
        let appended = self.write(payloads)?;
        self.commit(appended)?;
        Ok(appended)
    }

    /// The first half: the records are in the page cache, and shown to nobody if they have to be on the disk before.
    pub(crate) fn write<'a>(
        &self,
        payloads: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Appended, AppendError> {
        let shared = &self.shared;
        let options = &shared.options;
        let mut writer = shared.writer();
        if let Some(failed) = &shared.commit().failed {
            return Err(failed.clone());
        }
        let next = writer.render(payloads, options.append_bytes)?;
        let first = writer.end.next;
        if next == first {
            return Ok(Appended { first, next });
        }
        let most = limits::file_size().unwrap_or(u64::MAX).min(options.segment_bytes);
        if writer.end.position > 0 && writer.end.position + writer.buffer.len() as u64 > most {
            shared.roll(&mut writer)?;
        }
        writer.write()?;
        if let Some(failed) = &shared.commit().failed {
            // Since it was asked above. What has been written now is behind what was cut off then.
            let _ = writer.file.set_len(shared.view().active.visible.position);
            return Err(failed.clone());
        }

        let entries = writer.entries(options.index_interval);
        let end = Edge { next, position: writer.end.position + writer.buffer.len() as u64 };
        writer.end = end;
        let mut view = shared.view();
        view.active.wrote(&writer.buffer, &entries, end);
        if options.sync == SyncPolicy::Never {
            shared.show(view, end);
        } else {
            drop(view);
        }
        if writer.buffer.capacity() > KEPT {
            writer.buffer = Vec::new();
        }
        Ok(Appended { first, next })
    }

    /// The second half: waits until they are on the disk, if they have to be.
    pub(crate) fn commit(&self, appended: Appended) -> Result<(), AppendError> {
        match self.shared.options.sync {
            SyncPolicy::Never => Ok(()),
            SyncPolicy::EveryAppend => self.shared.on_disk(appended.next),
        }
    }
}

impl Shared {
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self) -> MutexGuard<'_, Commit> {
        self.commit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the segment and begins the next. In the meantime nobody appends.
    fn roll(&self, writer: &mut Writer) -> Result<(), AppendError> {
        writer.cut_back()?;
        if self.options.sync == SyncPolicy::EveryAppend {
            // So that of a log which is all on the disk only the last segment can have a torn tail.
            self.on_disk(writer.end.next)?;
        }
        let base = writer.end.next;
        let file = writer
            .directory
            .make_segment(base)
            .map_err(|error| writer.cannot("make the segment", base, error))?;
        if self.options.sync == SyncPolicy::EveryAppend {
            writer
                .directory
                .sync()
                .map_err(|error| writer.cannot("write the name of the segment", base, error))?;
        }
        let file = Arc::new(file);
        let begin = Edge { next: base, position: 0 };
        let index = {
            let mut view = self.view();
            let active = Active::new(base, Arc::clone(&file), Vec::new(), begin, &self.options);
            let full = std::mem::replace(&mut view.active, active);
            let index = full.index.clone();
            view.closed.push_back(Closed {
                base: full.base,
                end: full.written,
                file: full.file,
                index: full.index,
                modified: SystemTime::now(),
            });
            index
        };
        let (base, segment_len, next) = (writer.base, writer.end.position, writer.end.next);
        writer.directory.write_index(&IndexFile { base, segment_len, next, entries: index });
        writer.base = next;
        writer.file = file;
        writer.last_entry.clear();
        writer.end = begin;
        // What cannot be dropped now can be the next time; this append has nothing to do with it.
        let _ = self.retain_in(&writer.directory);
        Ok(())
    }

    /// Waits until all before `next` is on the disk. Whoever finds nobody at it does it for all that have written so far.
    fn on_disk(&self, next: u64) -> Result<(), AppendError> {
        let mut commit = self.commit();
        loop {
            if self.view().end() >= next {
                return Ok(());
            }
            if let Some(failed) = &commit.failed {
                return Err(failed.clone());
            }
            if commit.busy {
                commit = self.committed.wait(commit).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            commit.busy = true;
            drop(commit);
            let (base, file, written) = {
                let view = self.view();
                (view.active.base, Arc::clone(&view.active.file), view.active.written)
            };
            let synced = file.sync_data();
            commit = self.commit();
            commit.busy = false;
            match synced {
                Ok(()) => self.show(self.view(), written),
                Err(error) => commit.failed = Some(self.has_failed(base, &file, error)),
            }
            self.committed.notify_all();
        }
    }

    /// What was not shown yet may be nowhere but in memory. It is cut off, so that whoever opens the log next does not find it there, and take it
    /// for something that the disk has.
    fn has_failed(&self, base: u64, file: &File, error: io::Error) -> AppendError {
        let visible = self.view().active.visible;
        let _ = file.set_len(visible.position);
        AppendError::SyncFailed { file: segment_path(&self.path, base), error: Arc::new(error) }
    }

    pub(crate) fn sync_all(&self) -> Result<(), AppendError> {
        let writer = self.writer();
        if self.options.sync == SyncPolicy::EveryAppend {
            return self.on_disk(writer.end.next);
        }
        if let Some(failed) = &self.commit().failed {
            return Err(failed.clone());
        }
        writer.file.sync_data().map_err(|error| {
            let file = writer.directory.segment(writer.base);
            let failed = AppendError::SyncFailed { file, error: Arc::new(error) };
            self.commit().failed = Some(failed.clone());
            failed
        })
    }
}
