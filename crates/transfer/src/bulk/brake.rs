//! The brake: how much of the memory transfers may hold at once that nobody can take back from them.
//!
//! What a transfer has handed to a socket without a copy is pinned until the peer has taken it: two hundred
//! clients that ask for 4 MiB each hold 800 MiB, whatever is given back behind them, and where there is no
//! more memory than that the hot files go. So each takes a share before it reads, and keeps it until its
//! last page has been given back. Who finds all of it taken goes past the page cache.

use std::sync::atomic::{AtomicU64, Ordering};

/// What one transfer holds at the most, in bytes, as far as can be told before: what it reads ahead and
/// what is in the buffers of its socket.
const MOST: u64 = 4 << 20;

static HELD: AtomicU64 = AtomicU64::new(0);

/// A part of the memory, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    of: &'static AtomicU64,
    bytes: u64,
}

impl Share {
    /// For a transfer of `len` bytes, where all of them together may hold `all`. `None` if others do.
    pub(super) fn take(len: u64, all: u64) -> Option<Self> {
        Self::of(&HELD, len.min(MOST), all)
    }

    fn of(held: &'static AtomicU64, bytes: u64, all: u64) -> Option<Self> {
        let more = |held: u64| (held == 0 || held + bytes <= all).then_some(held + bytes);
        let taken = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        taken.then(|| Self { of: held, bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_taken_and_given_back() {
        static HELD: AtomicU64 = AtomicU64::new(0);
        let mut shares: Vec<Share> = (0..20).map_while(|_| Share::of(&HELD, 10, 100)).collect();
        assert_eq!(shares.len(), 10);
        assert!(Share::of(&HELD, 1, 100).is_none());
        shares.truncate(9);
        assert!(Share::of(&HELD, 11, 100).is_none());
        shares.extend(Share::of(&HELD, 10, 100));
        assert_eq!(shares.len(), 10);
        drop(shares);
        assert_eq!(HELD.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_that_is_larger_than_all_may_be_alone() {
        static HELD: AtomicU64 = AtomicU64::new(0);
        let alone = Share::of(&HELD, 200, 100);
        assert!(alone.is_some() && Share::of(&HELD, 1, 100).is_none());
    }
}
