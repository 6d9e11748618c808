//! The record of one file that is being read cold: its ledger, for all who read it, and the way to
//! give back what is due.

use super::ledger::Ledger;
use crate::receipt::Receipt;
use sendrail_sys::{
    cachestat::cachestat,
    fadvise::{Advice, fadvise},
};
use std::{
    collections::HashMap,
    fs::File,
    os::fd::AsFd,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

/// A device and an inode on it. It cannot become another file's: a record lives no longer than an
/// open descriptor of it.
pub(super) type FileId = (u64, u64);

static RECORDS: LazyLock<Mutex<HashMap<FileId, Weak<Record>>>> = LazyLock::new(Mutex::default);

/// After a drop that left pages behind, the next try waits: each makes the kernel drain the lists
/// of all processors.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Record {
    id: FileId,
    /// Any descriptor of the inode will do for giving back.
    file: Arc<File>,
    /// Whether cachestat(2) tells what is resident of it, unless it is refused.
    pub(super) sees: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    /// Something due could not be dropped: not to be tried again before this.
    not_before: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is sound between any two of its lines.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Record {
    /// The record of this file, which all its readers share.
    pub(super) fn of(id: FileId, file: &Arc<File>, sees: bool) -> Arc<Self> {
        let mut records = lock(&RECORDS);
        if let Some(record) = records.get(&id).and_then(Weak::upgrade) {
            return record;
        }
        let record = Arc::new(Self { id, file: Arc::clone(file), sees, state: Mutex::default() });
        records.insert(id, Arc::downgrade(&record));
        record
    }

    /// Looks into the ledger, or writes into it. No system call in here: others wait.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> T {
        act(&mut lock(&self.state).ledger)
    }

    /// Gives back what is due, if it is `enough` bytes. May take a while. Says how many bytes are
    /// due after that: pages in packets that are not acknowledged cannot be dropped yet. Where that
    /// cannot be seen, they are taken for gone if that is `likely`.
    pub(super) fn settle(
        &self,
        enough: u64,
        likely: bool,
        now: Instant,
        receipt: &mut Receipt,
    ) -> u64 {
        let (due, may_try) = {
            let state = lock(&self.state);
            (state.ledger.due(), state.not_before.is_none_or(|at| now >= at))
        };
        let total: u64 = due.iter().map(|range| range.end - range.start).sum();
        if total < enough || !may_try {
            return total;
        }
        let file = self.file.as_fd();
        let mut left = 0;
        for range in due {
            let len = range.end - range.start;
            let _ = receipt.call(|| fadvise(file, range.start, len, Advice::DontNeed));
            let gone = self.sees.then(|| receipt.call(|| cachestat(file, range.start, len)));
            let gone = gone.and_then(Result::ok).map_or(likely, |stat| stat.cached == 0);
            let mut state = lock(&self.state);
            if gone {
                state.ledger.given_back(range);
            } else {
                left += len;
                state.not_before = Some(now + AGAIN_AFTER);
            }
        }
        left
    }

    /// What is due and could not be given back for long enough is let be: somebody uses it.
    pub(super) fn forgive(&self) {
        let mut state = lock(&self.state);
        for range in state.ledger.due() {
            state.ledger.keep(range);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let mut records = lock(&RECORDS);
        // Somebody may have made a new one since the last reader of this one left.
        if records.get(&self.id).is_some_and(|record| record.strong_count() == 0) {
            records.remove(&self.id);
        }
    }
}
