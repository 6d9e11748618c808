//! Retention: whole segments are dropped, the oldest first.

use crate::{directory::Directory, log::Shared};
use std::{io, sync::PoisonError, time::SystemTime};

/// A segment that is gone. Who is reading it goes on to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// The offset of its first record.
    pub first: u64,
    /// The offset behind its last one: where the log begins now, at the least.
    pub next: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl Shared {
    pub(crate) fn retain(&self) -> io::Result<Vec<Dropped>> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.retain_in(&writer.directory)
    }

    /// For who has the writer's lock: nobody else drops or makes segments meanwhile.
    pub(crate) fn retain_in(&self, directory: &Directory) -> io::Result<Vec<Dropped>> {
        let mut dropped = Vec::new();
        while let Some(oldest) = self.oldest_to_drop() {
            directory.remove(oldest.first)?;
            // Its file is closed, and its blocks are freed, when nobody reads it any more: not under the lock.
            let gone = self.view().closed.pop_front();
            drop(gone);
            dropped.push(oldest);
        }
        Ok(dropped)
    }

    fn oldest_to_drop(&self) -> Option<Dropped> {
        let retention = self.options.retention;
        let view = self.view();
        let oldest = view.closed.front()?;
        let bytes = oldest.end.position;
        let enough = retention.bytes.is_some_and(|keep| view.bytes() - bytes >= keep);
        let age = || SystemTime::now().duration_since(oldest.modified).unwrap_or_default();
        let old = retention.age.is_some_and(|most| age() > most);
        (enough || old).then_some(Dropped { first: oldest.base, next: oldest.end.next, bytes })
    }
}
