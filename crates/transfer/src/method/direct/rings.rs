//! Rings that transfers share: lent with their buffers, given back, and never lent while a read is in flight.
//!
//! A ring with its buffers is memory that the disk writes to. What bounds the memory of all direct transfers together is
//! that there are never more than [`SHARED_RINGS`]: lent, free, or waiting for the reads of somebody who has gone.

use super::BUFFER;
use crate::{
    plan::{RING_DEPTH, SHARED_RINGS},
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

#[derive(Debug)]
struct Pool {
    free: Vec<ReadRing>,
    /// Given back with reads in flight: they become free when the last of those is done.
    draining: Vec<ReadRing>,
    lent: usize,
    /// What the kernel said when it was last asked for a ring, and how many loans from now it is asked again.
    refused: Option<(i32, u32)>,
}

static POOL: Mutex<Pool> =
    Mutex::new(Pool { free: Vec::new(), draining: Vec::new(), lent: 0, refused: None });

fn pool() -> MutexGuard<'static, Pool> {
    // The pool is sound between any two of its lines.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A ring that is free, or has become so.
    fn lend(&mut self) -> Option<ReadRing> {
        for at in (0..self.draining.len()).rev() {
            if is_idle(&mut self.draining[at]) {
                let ring = self.draining.swap_remove(at);
                if ring.is_sound() {
                    self.free.push(ring);
                }
            }
        }
        let ring = self.free.pop()?;
        self.lent += 1;
        Some(ring)
    }

    /// Takes a ring in. Gives it back if it is to be closed: it is of no more use, or one of too many.
    #[must_use]
    fn take_back(&mut self, mut ring: ReadRing) -> Option<ReadRing> {
        self.lent -= 1;
        if !is_idle(&mut ring) {
            self.draining.push(ring);
        } else if ring.is_sound() && self.free.len() < SPARE.max(self.lent) {
            self.free.push(ring);
        } else {
            return Some(ring);
        }
        None
    }

    fn all(&self) -> usize {
        self.free.len() + self.draining.len() + self.lent
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
    /// None is free, and this thread must not make one: four MiB of zeroed memory hold up every other client.
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
    pub(super) fn take(disk: Disk, receipt: &mut Receipt) -> Loan {
        let mut pool = pool();
        if let Some(ring) = pool.lend() {
            return Loan::Ring(Self(Some(ring)));
        }
        if disk == Disk::MustNotWait {
            return Loan::NotNow;
        }
        if pool.all() >= SHARED_RINGS {
            return Loan::None;
        }
        if let Some((errno, pause @ 1..)) = pool.refused {
            pool.refused = Some((errno, pause - 1));
            return Loan::Refused(errno);
        }
        pool.lent += 1; // the place of the one that is being made
        drop(pool);
        match ReadRing::new(RING_DEPTH, BUFFER) {
            Ok(ring) => {
                receipt.system_calls += u64::from(ring.system_calls());
                self::pool().refused = None;
                Loan::Ring(Self(Some(ring)))
            }
            Err(NoRing { error, system_calls }) => {
                receipt.system_calls += u64::from(system_calls);
                let errno = error.raw_os_error().unwrap_or_default();
                let mut pool = self::pool();
                pool.lent -= 1;
                pool.refused = Some((errno, pause_after(errno)));
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
