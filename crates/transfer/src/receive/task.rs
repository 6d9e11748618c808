//! One reception under way: where it stands, what it cost, and the two ends that every method works with.

use super::{
    Progress, RangeInto, ReceiveFault, ReceiveMethod, Received,
    source::{Kind, Source},
};
use crate::{
    method::is_refusal,
    patience::{Exhausted, Patience},
    refused::call,
};
use sendrail_sys::{poll::wait_readable, pread::pwrite, send};
use std::{
    io,
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

/// Why a method does not go on.
pub(super) enum Stop {
    /// It is refused. All that it has taken off the source is in the file.
    Refused(io::Error),
    /// It is over; with what could not be written.
    Fault(ReceiveFault, Vec<u8>),
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
    range: RangeInto,
    /// Bytes that were taken off the source; those that are in the file are in the receipt.
    taken: u64,
    pub(super) received: Received,
    patience: Patience,
    progress: &'a mut Progress<'a>,
}

impl<'a> Task<'a> {
    pub(super) fn new(
        source: Source<'a>,
        file: BorrowedFd<'a>,
        range: RangeInto,
        timeout: Option<Duration>,
        received: Received,
        progress: &'a mut Progress<'a>,
    ) -> Self {
        let patience = Patience::new(timeout, 0, Instant::now());
        Self { source, file, range, taken: 0, received, patience, progress }
    }

    /// Where the next byte is written.
    pub(super) fn offset(&self) -> u64 {
        self.range.offset + self.received.bytes
    }

    /// How many bytes may be taken off the source at once; 0 when all have been. Never more than are left: what follows them
    /// is somebody else's.
    pub(super) fn want(&self, most: usize) -> usize {
        self.range.len.map_or(most, |len| (len - self.taken).min(most as u64) as usize)
    }

    pub(super) fn call<T>(&mut self, body: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        call(&mut self.received.system_calls, body)
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
                    self.taken += count as u64;
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
        self.received.copied += count as u64;
        Ok(count)
    }

    /// Waits for the source, counted as one wait however often a signal interrupts it. That the time is up is found out by
    /// the next one, after another look: something may have come in the last moment.
    fn wait(&mut self) -> Result<(), Stop> {
        let mut waited = 0;
        loop {
            match self.patience.left(self.taken, Instant::now()) {
                Ok(left) => {
                    self.received.waits += 1 - waited;
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
        self.received.system_calls += 1;
        match wait_readable(self.source.fd, limit) {
            Ok(true) => Ok(Polled::Readable),
            Ok(false) => Ok(Polled::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Polled::Interrupted),
            Err(error) => Err(ReceiveFault::Socket(error).into()),
        }
    }

    /// Notes that the next `count` bytes are in the file.
    pub(super) fn wrote(&mut self, method: ReceiveMethod, count: usize) {
        self.received.bytes += count as u64;
        if !self.received.methods.contains(&method) {
            self.received.methods.push(method);
        }
    }

    /// Writes bytes to their place through the page cache.
    pub(super) fn write_out(&mut self, method: ReceiveMethod, bytes: &[u8]) -> Result<(), Stop> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (file, offset) = (self.file, self.offset());
            match self.call(|| pwrite(file, rest, offset)).and_then(something) {
                Ok(count) => {
                    self.received.copied += count as u64;
                    self.wrote(method, count);
                    rest = &rest[count..];
                }
                Err(error) => return Err(self.file_failed(error, rest.to_vec())),
            }
        }
        Ok(())
    }

    pub(super) fn file_failed(&self, error: io::Error, unwritten: Vec<u8>) -> Stop {
        Stop::Fault(ReceiveFault::File { error, offset: self.offset() }, unwritten)
    }

    /// Tells the caller how far it has come. When everything that was taken is in the file.
    pub(super) fn report(&mut self) -> Result<(), Stop> {
        debug_assert_eq!(self.taken, self.received.bytes, "else stopping here would lose bytes");
        match (self.progress)(self.received.bytes) {
            std::ops::ControlFlow::Continue(()) => Ok(()),
            std::ops::ControlFlow::Break(()) => Err(ReceiveFault::Stopped.into()),
        }
    }

    /// The source has come to its end, or all has been received.
    pub(super) fn end(&self) -> Result<(), Stop> {
        match self.range.len {
            Some(expected) if self.taken < expected => {
                Err(ReceiveFault::TooShort { expected, received: self.taken }.into())
            }
            _ => Ok(()),
        }
    }
}

/// A write of something that wrote nothing would be tried for ever.
pub(super) fn something(count: usize) -> io::Result<usize> {
    if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(count) }
}
