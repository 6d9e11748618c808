//! Rings that transfers share: lent with their buffers, given back, and never lent while a read is in flight.
//!
//! A ring with its buffers is memory that the disk writes to. What bounds the memory of all direct transfers together is
//! that there are never more than [`SHARED_RINGS`] with [`SHARED_BUFFERS`]: lent, free, or waiting for the reads of somebody
//! who has gone. A ring has as many buffers as the reads that it was asked to keep going, its *depth*; who asks for another
//! depth gets another ring, and a free one of a wrong depth is closed when its place is wanted.

use super::BUFFER;
use crate::{
    plan::{RING_DEPTH, SHARED_BUFFERS, SHARED_RINGS},
    receipt::Receipt,
    transfer::Disk,
};
use rustix::io::Errno;
use sendrail_sys::ring::{NoRing, ReadRing};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many loans are asked for before the kernel is, once more, after it has refused to make a ring.
const PAUSE: u32 = 64;

/// As many stay open when nobody uses them: each pins its buffers.
const SPARE: usize = 2;

/// Buffers of those together, unless a single ring has more.
const SPARE_BUFFERS: usize = SPARE * RING_DEPTH;

#[derive(Debug)]
struct Pool {
    free: Vec<ReadRing>,
    /// Given back with reads in flight: they become free when the last of those is done.
    draining: Vec<ReadRing>,
    lent: usize,
    /// Buffers of the rings that are lent.
    lent_buffers: usize,
    refused: Option<Refused>,
}

/// What the kernel said when it was last asked for a ring.
#[derive(Debug)]
struct Refused {
    errno: i32,
    /// How many loans from now it is asked again.
    pause: u32,
    /// The depth that it was asked for: it may give one that takes less memory.
    depth: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool::new());

fn pool() -> MutexGuard<'static, Pool> {
    // The pool is sound between any two of its lines.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn buffers(rings: &[ReadRing]) -> usize {
    rings.iter().map(ReadRing::buffers).sum()
}

impl Pool {
    const fn new() -> Self {
        Self { free: Vec::new(), draining: Vec::new(), lent: 0, lent_buffers: 0, refused: None }
    }

    /// A ring of this depth that is free, or has become so.
    fn lend(&mut self, depth: usize) -> Option<ReadRing> {
        for at in (0..self.draining.len()).rev() {
            if is_idle(&mut self.draining[at]) {
                let ring = self.draining.swap_remove(at);
                if ring.is_sound() {
                    self.free.push(ring);
                }
            }
        }
        let at = self.free.iter().rposition(|ring| ring.buffers() == depth)?;
        self.take_place(depth);
        Some(self.free.swap_remove(at))
    }

    fn take_place(&mut self, depth: usize) {
        self.lent += 1;
        self.lent_buffers += depth;
    }

    fn leave_place(&mut self, depth: usize) {
        self.lent -= 1;
        self.lent_buffers -= depth;
    }

    /// Whether there may be one more ring of this depth, `beside` what is lent and draining.
    fn has_place(&self, depth: usize, beside: &[ReadRing]) -> bool {
        let rings = self.lent + self.draining.len() + beside.len();
        let taken = self.lent_buffers + buffers(&self.draining) + buffers(beside);
        rings < SHARED_RINGS && taken + depth <= SHARED_BUFFERS
    }

    /// Takes a place that there is, for which free rings of another depth may have to go: they are for the caller to close.
    #[must_use]
    fn make_place(&mut self, depth: usize) -> Vec<ReadRing> {
        let mut closed = Vec::new();
        while !self.free.is_empty() && !self.has_place(depth, &self.free) {
            closed.extend(self.free.pop());
        }
        self.take_place(depth);
        closed
    }

    /// Takes a ring in. Gives it back if it is to be closed: it is of no more use, or one of too many.
    #[must_use]
    fn take_back(&mut self, mut ring: ReadRing) -> Option<ReadRing> {
        self.leave_place(ring.buffers());
        if !is_idle(&mut ring) {
            self.draining.push(ring);
        } else if ring.is_sound() && self.has_use_for(&ring) {
            self.free.push(ring);
        } else {
            return Some(ring);
        }
        None
    }

    /// Whether one more may stay open: as many as are lent, and a few in any case.
    fn has_use_for(&self, ring: &ReadRing) -> bool {
        let kept = buffers(&self.free) + ring.buffers();
        self.free.is_empty()
            || self.free.len() < SPARE.max(self.lent)
                && kept <= SPARE_BUFFERS.max(self.lent_buffers)
    }
}

/// Whether no read is in flight, as far as has been heard.
fn is_idle(ring: &mut ReadRing) -> bool {
    while ring.completed().is_some() {}
    ring.in_flight() == 0
}

/// What became of a wish for a ring.
#[derive(Debug)]
pub(super) enum Loan {
    Ring(Lent),
    /// None is free, and this thread must not make one: MiBs of zeroed memory hold up every other client.
    NotNow,
    /// All that there may be are lent.
    None,
    /// The kernel does not make one, with this errno.
    Refused(i32),
}

/// A ring on loan.
#[derive(Debug)]
pub(super) struct Lent(Option<ReadRing>);

impl Lent {
    pub(super) fn take(depth: usize, disk: Disk, receipt: &mut Receipt) -> Loan {
        let mut pool = pool();
        if let Some(ring) = pool.lend(depth) {
            return Loan::Ring(Self(Some(ring)));
        }
        if disk == Disk::MustNotWait {
            return Loan::NotNow;
        }
        if !pool.has_place(depth, &[]) {
            return Loan::None;
        }
        if let Some(Refused { errno, pause: pause @ 1.., depth: refused }) = &mut pool.refused
            && depth >= *refused
        {
            *pause -= 1;
            return Loan::Refused(*errno);
        }
        // The place of the one that is being made.
        let closed = pool.make_place(depth);
        drop(pool);
        for ring in closed {
            receipt.system_calls += u64::from(ring.calls_to_drop());
        }
        match ReadRing::new(depth, BUFFER) {
            Ok(ring) => {
                receipt.system_calls += u64::from(ring.system_calls());
                self::pool().refused = None;
                Loan::Ring(Self(Some(ring)))
            }
            Err(NoRing { error, system_calls }) => {
                receipt.system_calls += u64::from(system_calls);
                let errno = error.raw_os_error().unwrap_or_default();
                let mut pool = self::pool();
                pool.leave_place(depth);
                pool.refused = Some(Refused { errno, pause: pause_after(errno), depth });
                Loan::Refused(errno)
            }
        }
    }

    pub(super) fn ring(&self) -> &ReadRing {
        self.0.as_ref().expect("it is given back only by consuming the loan")
    }

    pub(super) fn ring_mut(&mut self) -> &mut ReadRing {
        self.0.as_mut().expect("it is given back only by consuming the loan")
    }

    /// Counts what it takes if the ring is closed rather than kept.
    pub(super) fn give_back(mut self, receipt: &mut Receipt) {
        receipt.system_calls += u64::from(self.end());
    }

    /// Closed, if at all, without holding the pool. The calls that takes.
    fn end(&mut self) -> u32 {
        let surplus = self.0.take().and_then(|ring| pool().take_back(ring));
        surplus.map_or(0, |ring| ring.calls_to_drop())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.end();
    }
}

/// What this kernel does not have, or an administrator has forbidden, does not come back while the process lives. Memory
/// and descriptors may.
fn pause_after(errno: i32) -> u32 {
    match Errno::from_raw_os_error(errno) {
        Errno::NOSYS | Errno::PERM | Errno::ACCESS => u32::MAX,
        _ => PAUSE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::MOST_RING_DEPTH;

    /// As many rings of this depth, lent by this pool; `None`, and a line that says why, where there are none.
    fn lent(pool: &mut Pool, depth: usize, count: usize) -> Option<Vec<ReadRing>> {
        let make = |_| {
            assert!(pool.has_place(depth, &[]));
            assert_eq!(pool.make_place(depth).len(), 0);
            ReadRing::new(depth, BUFFER)
        };
        let rings: Result<Vec<_>, _> = (0..count).map(make).collect();
        rings.inspect_err(|refused| eprintln!("skipped: no ring: {}", refused.error)).ok()
    }

    #[test]
    fn a_few_rings_stay_open_or_one_that_is_deep() {
        for (depth, kept) in [(1, 2), (RING_DEPTH, 2), (16, 1), (MOST_RING_DEPTH, 1)] {
            let mut pool = Pool::new();
            let count = SHARED_RINGS.min(SHARED_BUFFERS / depth);
            let Some(rings) = lent(&mut pool, depth, count) else { return };
            assert!(!pool.has_place(1, &[]), "{depth}: no more rings than these");
            let closed = rings.into_iter().filter_map(|ring| pool.take_back(ring)).count();
            // While others are lent as many stay as those: half of them, and in the end all of these.
            assert!(closed >= count / 2 - 1, "{depth}: {closed} closed");
            assert_eq!((pool.lent, pool.lent_buffers), (0, 0));
            while pool.free.len() > kept {
                let ring = pool.lend(depth);
                assert!(ring.and_then(|ring| pool.take_back(ring)).is_some(), "{depth}");
            }
            let ring = pool.lend(depth);
            assert!(ring.is_some_and(|ring| pool.take_back(ring).is_none()), "{depth}");
            assert_eq!(pool.free.len(), kept, "{depth}");
        }
    }

    #[test]
    fn a_free_ring_of_another_depth_goes_when_its_place_is_wanted() {
        let mut pool = Pool::new();
        let Some(rings) = lent(&mut pool, MOST_RING_DEPTH, 1) else { return };
        assert!(rings.into_iter().all(|ring| pool.take_back(ring).is_none()));
        assert!(pool.lend(RING_DEPTH).is_none(), "there is none of this depth");
        let usual = (SHARED_BUFFERS - MOST_RING_DEPTH) / RING_DEPTH;
        let closed: Vec<_> = (0..=usual).map(|_| pool.make_place(RING_DEPTH).len()).collect();
        assert_eq!(closed.iter().sum::<usize>(), 1, "{closed:?}");
        assert_eq!(closed.last(), Some(&1), "{closed:?}");
    }
}
