//! bounce: reading through a buffer that belongs to the thread, for the methods whose reads must be large.
//!
//! A buffer per transfer would be memory that grows with the number of clients. So the thread reads into its own, sends
//! what the socket takes, and of the rest no more is kept than `copy` keeps; what is not kept is read again. That this
//! is never much is the doing of [`Bounce::reach`].

use super::{Fault, Moved, Taken, sort_socket};
use crate::receipt::Receipt;
use sendrail_sys::{limits::page_size, send::send};
use std::{cell::Cell, ops::Range, os::fd::BorrowedFd};

/// The most that is kept of what a socket did not take, in bytes, and the length of the first read: to
/// a client that takes little at a time everything is sent from one buffer like `copy`'s.
const KEPT: usize = super::copy::BUFFER;

/// What is read at once is no more than this part of what has just been taken.
const SHARE: u64 = 8;

/// The longest read of any method, in bytes. Fresh from the kernel, pages that no read touches take no memory.
const LONGEST: usize = super::direct::BUFFER;

thread_local! {
    /// Empty until the thread reads this way for the first time, and while it does.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Runs `body` with the first `len` bytes of the thread's buffer, which begin on a page boundary.
pub(crate) fn with_buffer<T>(len: usize, body: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = BUFFER.take();
    let page = page_size();
    if buffer.is_empty() {
        buffer = vec![0; LONGEST + page];
    }
    let lead = buffer.as_ptr().align_offset(page);
    let result = body(&mut buffer[lead..lead + len]);
    BUFFER.set(buffer);
    result
}

/// What a transfer keeps between its reads through the thread's buffer.
#[derive(Debug)]
pub(super) struct Bounce {
    kept: Vec<u8>,
    /// How much of what was kept has been sent since.
    sent: usize,
    /// Bytes that the socket has taken since it was last full.
    run: u64,
    least: usize,
    most: usize,
}

/// What a read through the thread's buffer is to be.
pub(super) struct Offer<'a> {
    pub(super) socket: BorrowedFd<'a>,
    /// Bytes of the buffer that are needed.
    pub(super) buffer: usize,
    /// The most that is to be sent.
    pub(super) want: u64,
    /// Bytes that remain of the range, and whether others follow them.
    pub(super) remaining: u64,
    pub(super) more: bool,
}

impl Offer<'_> {
    fn send(&self, bytes: &[u8], receipt: &mut Receipt) -> Result<Moved, Fault> {
        let offered = &bytes[..bytes.len().min(self.want as usize)];
        let more = self.more || self.remaining > offered.len() as u64;
        match receipt.call(|| send(self.socket, offered, more)) {
            Ok(count) => {
                receipt.copied += count as u64;
                let taken = if count == offered.len() { Taken::Whole } else { Taken::SocketFull };
                Ok(Moved::Bytes { count: count as u64, taken })
            }
            Err(error) => sort_socket(error),
        }
    }
}

impl Bounce {
    /// With reads of at most `most` bytes, the first of which is [`KEPT`] long.
    pub(super) fn new(most: usize) -> Self {
        Self { kept: Vec::new(), sent: 0, run: 0, least: KEPT, most }
    }

    /// The same, with reads of at least `least` bytes: what a socket does not take of the first is lost.
    pub(super) fn eager(least: usize, most: usize) -> Self {
        Self { least, ..Self::new(most) }
    }

    /// With bytes that somebody has read already.
    pub(super) fn with_kept(kept: Vec<u8>, most: usize) -> Self {
        Self { kept, ..Self::new(most) }
    }

    /// Whether bytes are kept that come next.
    pub(super) fn keeps_some(&self) -> bool {
        self.sent < self.kept.len()
    }

    /// How many bytes are worth reading at once: an eighth of what the socket has taken in a row, so that no more than that
    /// share can be read in vain, and nothing for a socket that is full again and again.
    pub(super) fn reach(&self) -> usize {
        let share = (self.run / SHARE).min(self.most as u64) as usize;
        if share < self.least { self.least } else { 1 << share.ilog2() }
    }

    /// Forgets what was kept.
    pub(super) fn forget(&mut self) {
        self.sent = self.kept.len();
    }

    /// Sends what was kept.
    pub(super) fn send_kept(
        &mut self,
        offer: &Offer<'_>,
        receipt: &mut Receipt,
    ) -> Result<Moved, Fault> {
        let moved = offer.send(&self.kept[self.sent..], receipt);
        if let Ok(Moved::Bytes { count, .. }) = &moved {
            self.sent += *count as usize;
        }
        self.note(&moved);
        moved
    }

    /// Has `read` fill the thread's buffer, and sends the part of it that `read` says is to be sent.
    pub(super) fn read_and_send(
        &mut self,
        offer: &Offer<'_>,
        receipt: &mut Receipt,
        read: impl FnOnce(&mut [u8], &mut Receipt) -> Result<Option<Range<usize>>, Fault>,
    ) -> Result<Moved, Fault> {
        with_buffer(offer.buffer, |buffer| {
            let Some(part) = read(buffer, receipt)? else { return Ok(Moved::DiskNotReady) };
            let bytes = &buffer[part];
            let moved = offer.send(bytes, receipt);
            let sent =
                if let Ok(Moved::Bytes { count, .. }) = &moved { *count as usize } else { 0 };
            self.keep(&bytes[sent..]);
            self.note(&moved);
            moved
        })
    }

    fn keep(&mut self, rest: &[u8]) {
        self.sent = 0;
        self.kept.clear();
        self.kept.extend_from_slice(&rest[..rest.len().min(KEPT)]);
    }

    fn note(&mut self, moved: &Result<Moved, Fault>) {
        match moved {
            Ok(Moved::Bytes { count, taken: Taken::Whole }) => self.run += count,
            _ => self.run = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_the_threads_and_begins_on_a_page() {
        let first = with_buffer(10_000, |buffer| {
            assert_eq!(buffer.len(), 10_000);
            buffer.as_ptr().addr()
        });
        assert!(first.is_multiple_of(page_size()));
        assert_eq!(with_buffer(5_000, |buffer| buffer.as_ptr().addr()), first, "the same again");
        with_buffer(LONGEST, |buffer| assert_eq!(buffer.len(), LONGEST));
        // Within one another each has its own.
        with_buffer(8, |outer| with_buffer(8, |inner| assert_ne!(outer.as_ptr(), inner.as_ptr())));
    }

    #[test]
    fn reads_grow_while_the_socket_takes_them() {
        let mut bounce = Bounce::new(4 * KEPT);
        let whole = |count| Ok(Moved::Bytes { count, taken: Taken::Whole });
        let full = || Ok(Moved::Bytes { count: 1, taken: Taken::SocketFull });
        let many = SHARE * KEPT as u64;
        for (moved, reach) in [
            (whole(many), KEPT),
            (whole(many - 1), KEPT),
            (whole(1), 2 * KEPT),
            (whole(many), 2 * KEPT),
            (whole(many), 4 * KEPT),
            (whole(9 * many), 4 * KEPT),
            (full(), KEPT),
            (whole(2 * many), 2 * KEPT),
            (Ok(Moved::SocketFull), KEPT),
        ] {
            bounce.note(&moved);
            assert_eq!(bounce.reach(), reach, "{moved:?}");
        }
    }

    #[test]
    fn no_more_is_kept_than_copy_keeps() {
        let mut bounce = Bounce::new(4 * KEPT);
        for (rest, kept) in [(0, 0), (1, 1), (KEPT, KEPT), (KEPT + 1, KEPT)] {
            bounce.keep(&vec![7; rest]);
            assert_eq!(bounce.kept.len(), kept);
            assert_eq!(bounce.keeps_some(), kept > 0);
        }
        bounce.forget();
        assert!(!bounce.keeps_some());
    }
}
