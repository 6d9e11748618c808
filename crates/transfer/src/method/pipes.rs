//! Pipes that transfers share: lent to large files, given back empty, so that nobody pays for making them.

use super::splice::PIPE;
use crate::{plan::SHARED_PIPES, receipt::Receipt};
use sendrail_sys::splice::Pipe;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Pool {
    free: Vec<Pipe>,
    lent: usize,
    /// How many there may be: all, until the kernel grants less.
    most: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { free: Vec::new(), lent: 0, most: SHARED_PIPES });

fn pool() -> MutexGuard<'static, Pool> {
    // The pool is sound between any two of its lines.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pipe on loan. Dropped, it is closed, for something may be in it.
#[derive(Debug)]
pub(crate) struct Lent(Option<Pipe>);

impl Lent {
    /// `None` when all are lent, or the kernel gives no more.
    pub(crate) fn take(receipt: &mut Receipt) -> Option<Self> {
        let mut pool = pool();
        if let Some(pipe) = pool.free.pop() {
            pool.lent += 1;
            return Some(Self(Some(pipe)));
        }
        if pool.lent >= pool.most {
            return None;
        }
        let Ok(pipe) = Pipe::with_capacity(PIPE) else {
            receipt.system_calls += 1; // no descriptor left: perhaps there is one next time
            return None;
        };
        receipt.system_calls += u64::from(pipe.system_calls());
        if pipe.capacity() < PIPE {
            // A smaller one is no better than sendfile(2). The user's share does not grow soon.
            receipt.system_calls += 2;
            pool.most = pool.lent;
            return None;
        }
        pool.lent += 1;
        Some(Self(Some(pipe)))
    }

    pub(crate) fn pipe(&self) -> &Pipe {
        self.0.as_ref().expect("it is given back only by consuming the loan")
    }

    /// For an empty pipe.
    pub(crate) fn give_back(mut self) {
        if let Some(pipe) = self.0.take() {
            let mut pool = pool();
            pool.lent -= 1;
            pool.free.push(pipe);
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.0.take().is_some() {
            pool().lent -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    /// One test, for the pool is the process's.
    #[test]
    fn pipes_are_made_once_lent_up_to_a_limit_and_closed_when_dropped() {
        let mut receipt = Receipt::default();
        let Some(first) = Lent::take(&mut receipt) else {
            eprintln!("skipped: no pipe of {PIPE} bytes is granted here");
            return;
        };
        assert_eq!(receipt.system_calls, 2); // pipe2, fcntl
        first.give_back();
        let again = Lent::take(&mut receipt).unwrap();
        assert_eq!(receipt.system_calls, 2);
        let mut lent = vec![again];
        while let Some(more) = Lent::take(&mut receipt) {
            lent.push(more);
        }
        assert!(lent.len() <= SHARED_PIPES, "{}", lent.len());
        let all = lent.len();
        lent.pop().unwrap().give_back();
        lent.push(Lent::take(&mut receipt).unwrap());
        drop(lent.pop());
        let calls = receipt.system_calls;
        lent.push(Lent::take(&mut receipt).unwrap());
        assert!(receipt.system_calls > calls, "the dropped one was closed");
        assert_eq!(lent.len(), all);
    }
}
