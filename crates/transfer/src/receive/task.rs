//! A reception at work: the two ends that every method works with, and whether it may wait.

use super::{
    Progress, ReceiveFault, ReceiveMethod,
    source::{Kind, Source},
    standing::Standing,
};
use crate::{
    method::is_refusal,
    patience::{Exhausted, Patience},
};
use sendrail_sys::{poll::wait_readable, send};
use std::{
    io,
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

/// Why a method does not go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is refused. All that it has taken off the source is in the file.
    Refused(io::Error),
    /// It is over; with what could not be written.
    Fault(ReceiveFault, Vec<u8>),
    /// There is nothing to be had, and it may not wait.
    Source,
    /// What it holds must be written past the page cache, and it may not wait.
    Disk,
}

impl From<ReceiveFault> for Stop {
    fn from(fault: ReceiveFault) -> Self {
        Self::Fault(fault, Vec::new())
    }
}

/// What `poll(2)` said of the source.
#[derive(PartialEq, Eq)]
enum Polled {
    Readable,
    Nothing,
    Interrupted,
}

pub(super) struct Task<'a> {
    pub(super) source: Source<'a>,
    pub(super) file: BorrowedFd<'a>,
    pub(super) standing: &'a mut Standing,
    /// Without any it may not wait.
    pub(super) patience: Option<Patience>,
    pub(super) progress: &'a mut Progress<'a>,
}

impl Task<'_> {
    pub(super) fn may_wait(&self) -> bool {
        self.patience.is_some()
    }

    pub(super) fn want(&self, most: usize) -> usize {
        self.standing.want(most)
    }

    pub(super) fn call<T>(&mut self, body: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.standing.call(body)
    }

    /// Takes bytes off the source by `take`, which is one system call, and waits until there are some; 0 is the end of the
    /// stream. `sleeps` says that the call itself would wait if there are none, which it may not: a limit would not end it.
    pub(super) fn take(
        &mut self,
        sleeps: bool,
        mut take: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Result<usize, Stop> {
        let source = self.source.fd;
        loop {
            if sleeps && self.poll(Some(Duration::ZERO))? != Polled::Readable {
                self.wait()?;
                continue;
            }
            match self.call(|| take(source)) {
                Ok(count) => {
                    self.standing.taken += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                Err(error) if is_refusal(&error) => return Err(Stop::Refused(error)),
                Err(error) => return Err(ReceiveFault::Socket(error).into()),
            }
        }
    }

    /// Takes bytes into user memory.
    pub(super) fn take_into(&mut self, buffer: &mut [u8]) -> Result<usize, Stop> {
        let count = match self.source.kind {
            // MSG_DONTWAIT: it waits in no mode of the socket.
            Kind::Socket => self.take(false, |source| send::recv_now(source, buffer))?,
            Kind::Pipe | Kind::Other => {
                self.take(self.source.sleeps, |source| send::read(source, buffer))?
            }
        };
        self.standing.received.copied += count as u64;
        Ok(count)
    }

    /// Waits for the source, counted as one wait however often a signal interrupts it. That the time is up is found out by
    /// the next one, after another look: something may have come in the last moment.
    fn wait(&mut self) -> Result<(), Stop> {
        let mut waited = 0;
        loop {
            let taken = self.standing.taken;
            let Some(patience) = &mut self.patience else {
                self.standing.received.waits += 1;
                return Err(Stop::Source);
            };
            match patience.left(taken, Instant::now()) {
                Ok(left) => {
                    self.standing.received.waits += 1 - waited;
                    waited = 1;
                    if self.poll(left)? != Polled::Interrupted {
                        return Ok(());
                    }
                }
                Err(Exhausted) => return Err(ReceiveFault::TimedOut.into()),
            }
        }
    }

    fn poll(&mut self, limit: Option<Duration>) -> Result<Polled, Stop> {
        self.standing.received.system_calls += 1;
        match wait_readable(self.source.fd, limit) {
            Ok(true) => Ok(Polled::Readable),
            Ok(false) => Ok(Polled::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Polled::Interrupted),
            Err(error) => Err(ReceiveFault::Socket(error).into()),
        }
    }

    /// Writes bytes to their place through the page cache.
    pub(super) fn write_out(&mut self, method: ReceiveMethod, bytes: &[u8]) -> Result<(), Stop> {
        self.standing.write_out(self.file, method, bytes)
    }

    /// Tells the caller how far it has come. When everything that was taken is in the file.
    pub(super) fn report(&mut self) -> Result<(), Stop> {
        let Standing { taken, received, .. } = &*self.standing;
        debug_assert_eq!(*taken, received.bytes, "else stopping here would lose bytes");
        match (self.progress)(received.bytes) {
            std::ops::ControlFlow::Continue(()) => Ok(()),
            std::ops::ControlFlow::Break(()) => Err(ReceiveFault::Stopped.into()),
        }
    }
}
