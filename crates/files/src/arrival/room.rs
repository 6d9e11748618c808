//! How much room there is for what arrives: the length of one file, the quota of the directory, the reserve of the disk.
//!
//! What has been announced counts at once, so that two uploads that fit alone and not together are not both let in.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::{ArrivalError, NoSpace};
use super::id::UploadId;

/// Of a file whose length is not known so much is claimed at once, so that not every window asks.
const STEP: u64 = 64 << 20;

#[derive(Debug)]
pub(super) struct Room {
    most: Option<u64>,
    quota: Option<u64>,
    reserve: u64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Bytes of files that have their names.
    settled: u64,
    /// How often that has changed by an arrival: a count that was made meanwhile is worth nothing.
    changes: u64,
    /// Bytes of those that arrive now.
    arriving: u64,
    /// Bytes of uploads that nobody goes on with at the moment.
    waiting: HashMap<UploadId, u64>,
}

/// What is claimed of the room for one file; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    room: Arc<Room>,
    bytes: u64,
    /// The file cannot become longer than this.
    announced: Option<u64>,
}

impl Room {
    pub(super) fn new(most: Option<u64>, quota: Option<u64>, reserve: u64) -> Arc<Self> {
        Arc::new(Self { most, quota, reserve, held: Mutex::default() })
    }

    pub(super) fn has_quota(&self) -> bool {
        self.quota.is_some()
    }

    /// A claim to nothing yet, for a file that may become so long.
    pub(super) fn claim(self: &Arc<Self>, announced: Option<u64>) -> Claim {
        Claim { room: Arc::clone(self), bytes: 0, announced }
    }

    /// Bytes that count against the quota now.
    pub(super) fn used(&self) -> u64 {
        let held = self.held();
        if self.has_quota() { held.used() } else { held.used() - held.settled }
    }

    /// How often the files that have names have changed so far, for [`counted`](Self::counted).
    pub(super) fn changes(&self) -> u64 {
        self.held().changes
    }

    /// Takes in what was counted of the files that have names, unless one came while that was being done.
    pub(super) fn counted(&self, bytes: u64, changes: u64) -> bool {
        let mut held = self.held();
        if held.changes == changes {
            held.settled = bytes;
        }
        held.changes == changes
    }

    /// An upload that was found on the disk takes up so much.
    pub(super) fn found(&self, id: UploadId, bytes: u64) {
        self.held().waiting.insert(id, bytes);
    }

    /// An upload is gone.
    pub(super) fn forget(&self, id: UploadId) {
        self.held().waiting.remove(&id);
    }

    /// The claim of an upload that is gone on with.
    pub(super) fn take_up(self: &Arc<Self>, id: UploadId, announced: Option<u64>) -> Claim {
        let mut held = self.held();
        let bytes = held.waiting.remove(&id).unwrap_or_default();
        held.arriving += bytes;
        drop(held);
        Claim { room: Arc::clone(self), bytes, announced }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that may be taken of the disk, and what is short if that is not enough.
    fn left_on_disk(&self, folder: BorrowedFd<'_>) -> Result<(u64, NoSpace), ArrivalError> {
        let disk = rustix::fs::fstatvfs(folder)
            .map_err(ArrivalError::doing("asking how much of the disk is free"))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let short = if self.reserve > 0 { NoSpace::Reserve } else { NoSpace::Disk };
        Ok((free.saturating_sub(self.reserve), short))
    }
}

impl Held {
    fn used(&self) -> u64 {
        let waiting = self.waiting.values().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
        self.settled.saturating_add(self.arriving).saturating_add(waiting)
    }
}

impl Claim {
    /// The length becomes known, or is known again.
    pub(super) fn announce(&mut self, len: u64) {
        self.announced = Some(len);
    }

    /// The file may become `len` bytes long, and even as long as what is returned, which is no less.
    pub(super) fn grow(&mut self, folder: BorrowedFd<'_>, len: u64) -> Result<u64, ArrivalError> {
        if let Some(announced) = self.announced.filter(|announced| len > *announced) {
            return Err(ArrivalError::Length { announced, arrived: len });
        }
        if let Some(most) = self.room.most.filter(|most| len > *most) {
            return Err(ArrivalError::TooLarge { most });
        }
        if len <= self.bytes {
            return Ok(self.bytes);
        }
        let (on_disk, short) = self.room.left_on_disk(folder)?;
        let granted = self
            .announced
            .unwrap_or_else(|| len.saturating_add(STEP))
            .min(self.room.most.unwrap_or(u64::MAX))
            .min(self.bytes.saturating_add(on_disk));
        if granted < len {
            return Err(ArrivalError::NoSpace(short));
        }
        let mut held = self.room.held();
        let left = self.room.quota.map_or(u64::MAX, |quota| quota.saturating_sub(held.used()));
        let granted = granted.min(self.bytes.saturating_add(left));
        if granted < len {
            return Err(ArrivalError::NoSpace(NoSpace::Quota));
        }
        held.arriving += granted - self.bytes;
        drop(held);
        self.bytes = granted;
        Ok(granted)
    }

    /// The file has its name, and takes the place of one that was `replaced` bytes long.
    pub(super) fn settle(mut self, len: u64, replaced: u64) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut held = self.room.held();
        held.arriving -= bytes;
        held.settled = held.settled.saturating_add(len).saturating_sub(replaced);
        held.changes += 1;
    }

    /// Nobody goes on with the upload for now, but its bytes stay.
    pub(super) fn wait(&mut self, id: UploadId) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut held = self.room.held();
        held.arriving -= bytes;
        held.waiting.insert(id, bytes);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.room.held().arriving -= self.bytes;
    }
}
