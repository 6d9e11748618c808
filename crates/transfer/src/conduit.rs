//! A pipe of 1 MiB to splice a stream or a file through: one that transfers share, or else its own.

use crate::{
    method::{pipes::Lent, splice::PIPE},
    receipt::Receipt,
};
use sendrail_sys::splice::Pipe;
use std::io;

/// The pipe. Whoever takes it empties it, or drops it: then it is closed, and what is in it is gone.
#[derive(Debug)]
pub(crate) enum Conduit {
    Lent(Lent),
    Own(Pipe),
}

impl Conduit {
    /// Takes one, and adds the calls that this took to `calls`.
    pub(crate) fn take(calls: &mut u64) -> io::Result<Self> {
        let mut made = Receipt::default();
        let lent = Lent::take(&mut made);
        *calls += made.system_calls;
        if let Some(lent) = lent {
            return Ok(Self::Lent(lent));
        }
        match Pipe::with_capacity(PIPE) {
            Ok(pipe) => {
                *calls += u64::from(pipe.system_calls());
                Ok(Self::Own(pipe))
            }
            Err(error) => {
                *calls += 1;
                Err(error)
            }
        }
    }

    pub(crate) fn pipe(&self) -> &Pipe {
        match self {
            Self::Lent(lent) => lent.pipe(),
            Self::Own(pipe) => pipe,
        }
    }

    /// Gives back what was lent, or closes both ends. For an empty pipe.
    pub(crate) fn give_back(self, calls: &mut u64) {
        match self {
            Self::Lent(lent) => lent.give_back(),
            Self::Own(_) => *calls += 2,
        }
    }

    /// Closes both ends, with what may be in it.
    pub(crate) fn discard(self, calls: &mut u64) {
        drop(self);
        *calls += 2;
    }
}
