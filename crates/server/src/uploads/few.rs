//! How many uploads may hold a large buffer at once.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Uploads that may hold the buffer of `direct` at once, 1 MiB each. One more goes through the page cache, and leaves no trace there
/// either.
const DIRECT_AT_ONCE: usize = 64;

/// A place among those who hold large buffers.
#[derive(Debug)]
pub(super) struct OneOfFew;

static HOLDING: AtomicUsize = AtomicUsize::new(0);

impl OneOfFew {
    /// One, if there is one left.
    pub(super) fn enter() -> Option<Self> {
        let one = HOLDING.fetch_add(1, Ordering::Relaxed) < DIRECT_AT_ONCE;
        if !one {
            HOLDING.fetch_sub(1, Ordering::Relaxed);
        }
        one.then_some(Self)
    }
}

impl Drop for OneOfFew {
    fn drop(&mut self) {
        HOLDING.fetch_sub(1, Ordering::Relaxed);
    }
}
