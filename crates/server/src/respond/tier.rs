//! The memory tier: which small files are answered from memory, within a budget.
//!
//! A file of up to 4 KiB costs no more memory than what is kept with it anyway, so its body always
//! stays while the file is kept open. Above that a file has to be asked for again and again, and all
//! of them together take no more than the budget, so that copies come out of the CPU's caches.

use super::{hot::Hot, reply::Cost};
use sendrail_files::{Entry, OpenFile};
use sendrail_http::negotiate::Coding;
use std::{
    cell::Cell,
    rc::{Rc, Weak},
    time::Instant,
};

/// Bodies up to this many bytes are kept without asking the budget.
pub(crate) const ALWAYS: u64 = 4 << 10;

/// How often a file has to be asked for between two [`Tier::tidy`] to be taken in, and to stay: what
/// reads every file once takes no memory.
pub(crate) const OFTEN: u32 = 16;

/// The memory tier of one worker.
#[derive(Debug)]
pub(super) struct Tier {
    limit: u64,
    capacity: u64,
    used: Rc<Cell<u64>>,
    kept: Vec<Weak<Entry<Hot>>>,
}

impl Tier {
    /// Files up to `limit` bytes, together `capacity` bytes.
    pub(super) fn new(limit: u64, capacity: u64) -> Self {
        Self { limit, capacity, used: Rc::default(), kept: Vec::new() }
    }

    /// Takes the body of a kept answer into memory if it is worth it. Says whether it is there, and
    /// counts what that cost.
    pub(super) fn admit(
        &mut self,
        entry: &Rc<Entry<Hot>>,
        coding: Coding,
        file: &OpenFile,
        now: Instant,
        cost: &mut Cost,
    ) -> bool {
        let len = file.facts().len;
        if len > self.limit {
            return false;
        }
        if len <= ALWAYS {
            return cost.of_filling(file, entry.extra.keep_body(coding, file, None));
        }
        // Trying to read what is not in the page cache is not for nothing at this size.
        if entry.extra.asked() < OFTEN || !entry.extra.is_resident(now) {
            return false;
        }
        let Some(lease) = Lease::take(&self.used, len, self.capacity) else {
            return false;
        };
        let there = cost.of_filling(file, entry.extra.keep_body(coding, file, Some(lease)));
        if there {
            let kept = Rc::downgrade(entry);
            // As itself and as a variant, or taken in once more: it is tidied once.
            if !self.kept.iter().any(|known| known.ptr_eq(&kept)) {
                self.kept.push(kept);
            }
        }
        there
    }

    /// Gives up what was not asked for often since the last time. To be called now and then.
    pub(super) fn tidy(&mut self) {
        self.kept.retain(|entry| {
            let Some(entry) = entry.upgrade() else { return false };
            let stays = entry.extra.take_asked() >= OFTEN;
            if !stays {
                entry.extra.drop_bodies();
            }
            stays
        });
    }
}

/// A share of the budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    used: Rc<Cell<u64>>,
    bytes: u64,
}

impl Lease {
    fn take(used: &Rc<Cell<u64>>, bytes: u64, capacity: u64) -> Option<Self> {
        let total = used.get() + bytes;
        (total <= capacity).then(|| {
            used.set(total);
            Self { used: Rc::clone(used), bytes }
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.used.set(self.used.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_never_exceed_the_budget_and_are_given_back() {
        let used = Rc::default();
        let first = Lease::take(&used, 60, 100);
        assert!(first.is_some());
        assert!(Lease::take(&used, 41, 100).is_none());
        let second = Lease::take(&used, 40, 100);
        assert!(second.is_some());
        drop(first);
        assert_eq!(used.get(), 40);
        drop(second);
        assert_eq!(used.get(), 0);
    }
}
