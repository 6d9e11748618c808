//! One relay under way.

use super::{Refused, RelayError, RelayFault, RelayMethod, Relayed, Why};
use crate::{
    ceiling::Ceiling,
    conduit::Conduit,
    method::{is_refusal, splice::PIPE},
    receive::Progress,
    refused::call,
};
use rustix::{
    fs::{FileType, OFlags, SeekFrom, fcntl_getfl},
    io::Errno,
};
use sendrail_sys::{
    poll::{wait_readable, wait_writable},
    send::read,
    splice::splice_between,
};
use std::{io, os::fd::BorrowedFd, time::Duration};

/// What is read at a time, in bytes.
const BUFFER: usize = 256 << 10;

/// What came of a try to move some.
enum Moved {
    Some(usize),
    /// The source has ended.
    End,
}

/// Why a method does not go on.
enum Stop {
    /// It is refused; this is left of what it has taken.
    Refused(io::Error, Vec<u8>),
    Fault(RelayFault, Vec<u8>),
}

impl From<RelayFault> for Stop {
    fn from(fault: RelayFault) -> Self {
        Self::Fault(fault, Vec::new())
    }
}

pub(super) struct Task<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    len: Option<u64>,
    /// How long the target may become, and where writing to it begins.
    ceiling: (Ceiling, u64),
    relayed: Relayed,
    progress: &'a mut Progress<'a>,
}

impl<'a> Task<'a> {
    pub(super) fn new<'p: 'a>(
        from: BorrowedFd<'a>,
        to: BorrowedFd<'a>,
        len: Option<u64>,
        progress: &'a mut Progress<'p>,
    ) -> Self {
        let mut relayed = Relayed::default();
        let ceiling = Ceiling::of(to, &mut relayed.system_calls);
        // What has no position has no limit either.
        let begin = if ceiling.is_none() { 0 } else { begin_of(to, &mut relayed.system_calls) };
        Self { from, to, len, ceiling: (ceiling, begin), relayed, progress }
    }

    pub(super) fn run(mut self) -> Result<Relayed, RelayError> {
        let outcome = match self.splice() {
            Err(Stop::Refused(error, left)) => {
                let why = Why::of(&error);
                self.relayed.refusals.push(Refused { method: RelayMethod::Splice, why });
                self.buffered(&left)
            }
            outcome => outcome,
        };
        let (fault, unwritten) = match outcome {
            Ok(()) => match self.len {
                Some(expected) if self.relayed.bytes < expected => {
                    let relayed = self.relayed.bytes;
                    (RelayFault::TooShort { expected, relayed }, Vec::new())
                }
                _ => return Ok(self.relayed),
            },
            Err(Stop::Fault(fault, unwritten)) => (fault, unwritten),
            Err(Stop::Refused(error, unwritten)) => (RelayFault::Source(error), unwritten),
        };
        Err(RelayError { fault, receipt: Box::new(self.relayed), unwritten })
    }

    fn is_pipe(&mut self, end: BorrowedFd<'_>) -> io::Result<bool> {
        let stat = call(&mut self.relayed.system_calls, || Ok(rustix::fs::fstat(end)?))?;
        Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
    }

    fn splice(&mut self) -> Result<(), Stop> {
        let (from, to) = (self.from, self.to);
        let from_pipe = self.is_pipe(from).map_err(RelayFault::Source)?;
        if from_pipe || self.is_pipe(to).map_err(RelayFault::Target)? {
            return self.at_once(from_pipe);
        }
        let conduit = Conduit::take(&mut self.relayed.system_calls)
            .map_err(|error| Stop::Refused(error, Vec::new()))?;
        let mut inside = 0;
        let outcome = self.through(&conduit, &mut inside);
        let calls = &mut self.relayed.system_calls;
        if inside == 0 {
            conduit.give_back(calls);
        } else {
            conduit.discard(calls);
        }
        outcome
    }

    /// Where one end is a pipe itself.
    fn at_once(&mut self, from_pipe: bool) -> Result<(), Stop> {
        let (from, to) = (self.from, self.to);
        while let Some(want) = self.want(PIPE)? {
            let moved = self.step((from, to), want, |error| {
                let at_source = match Errno::from_io_error(&error) {
                    Some(Errno::PIPE) => false,
                    Some(Errno::BADF) => !is_readable(from),
                    // A pipe that can be read has nothing to fail with.
                    _ => !from_pipe,
                };
                if at_source { RelayFault::Source(error) } else { RelayFault::Target(error) }
            });
            match moved? {
                Moved::End => return Ok(()),
                Moved::Some(count) => self.arrived(RelayMethod::Splice, count)?,
            }
        }
        Ok(())
    }

    /// Where neither is: `inside` the pipe between them is what has not got across yet.
    fn through(&mut self, conduit: &Conduit, inside: &mut usize) -> Result<(), Stop> {
        let (from, to, pipe) = (self.from, self.to, conduit.pipe());
        while let Some(want) = self.want(pipe.capacity())? {
            match self.step((from, pipe.write_end()), want, RelayFault::Source)? {
                Moved::End => return Ok(()),
                Moved::Some(count) => *inside = count,
            }
            while *inside > 0 {
                match self.step((pipe.read_end(), to), *inside, RelayFault::Target) {
                    Ok(Moved::Some(count)) => {
                        *inside -= count;
                        self.count(RelayMethod::Splice, count);
                    }
                    Ok(Moved::End) => {
                        unreachable!("both ends of the pipe are ours, and something is in it")
                    }
                    Err(Stop::Refused(error, _)) => {
                        return Err(Stop::Refused(error, self.drain(conduit, inside)));
                    }
                    Err(Stop::Fault(fault, _)) => {
                        return Err(Stop::Fault(fault, self.drain(conduit, inside)));
                    }
                }
            }
            self.report()?;
        }
        Ok(())
    }

    /// One splice(2) that moved something, after as many waits as that takes.
    fn step(
        &mut self,
        (from, to): (BorrowedFd<'_>, BorrowedFd<'_>),
        want: usize,
        fault: impl Fn(io::Error) -> RelayFault,
    ) -> Result<Moved, Stop> {
        loop {
            // In blocking mode a socket that has nothing would be slept on, or one that is full; no flag keeps it from that,
            // and nothing is lost by it: nobody else is served here.
            match call(&mut self.relayed.system_calls, || splice_between(from, to, want)) {
                Ok(0) => return Ok(Moved::End),
                Ok(count) => return Ok(Moved::Some(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(from, to)?,
                Err(error) if is_refusal(&error) => return Err(Stop::Refused(error, Vec::new())),
                Err(error) => return Err(fault(error).into()),
            }
        }
    }

    /// Waits for the one that has nothing, or else for the one that takes nothing.
    fn wait(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Stop> {
        self.relayed.waits += 1;
        let calls = &mut self.relayed.system_calls;
        let now = Some(Duration::ZERO);
        if call(calls, || wait_readable(from, now)).map_err(RelayFault::Source)? {
            call(calls, || wait_writable(to, None)).map_err(RelayFault::Target)?;
        } else {
            call(calls, || wait_readable(from, None)).map_err(RelayFault::Source)?;
        }
        Ok(())
    }

    /// What is in the pipe has left the source for good: into user memory with it.
    fn drain(&mut self, conduit: &Conduit, inside: &mut usize) -> Vec<u8> {
        let mut bytes = vec![0; *inside];
        let mut filled = 0;
        while filled < bytes.len() {
            let rest = &mut bytes[filled..];
            let pipe = conduit.pipe().read_end();
            match call(&mut self.relayed.system_calls, || read(pipe, rest)) {
                Ok(0) | Err(_) => break, // nobody else knows the pipe
                Ok(count) => filled += count,
            }
        }
        self.relayed.copied += filled as u64;
        bytes.truncate(filled);
        *inside -= filled;
        bytes
    }

    fn buffered(&mut self, left: &[u8]) -> Result<(), Stop> {
        let (from, to) = (self.from, self.to);
        self.write_out(left)?;
        let mut buffer = vec![0; BUFFER];
        while let Some(want) = self.want(BUFFER)? {
            let piece = &mut buffer[..want];
            match call(&mut self.relayed.system_calls, || read(from, piece)) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.relayed.copied += count as u64;
                    self.write_out(&buffer[..count])?;
                    self.report()?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(from, to)?,
                Err(error) => return Err(RelayFault::Source(error).into()),
            }
        }
        Ok(())
    }

    fn write_out(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let (to, mut rest) = (self.to, bytes);
        while !rest.is_empty() {
            let written = call(&mut self.relayed.system_calls, || Ok(rustix::io::write(to, rest)?));
            match written {
                Ok(0) => {
                    let fault = RelayFault::Target(io::ErrorKind::WriteZero.into());
                    return Err(Stop::Fault(fault, rest.to_vec()));
                }
                Ok(count) => {
                    self.relayed.copied += count as u64;
                    self.count(RelayMethod::Buffered, count);
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.relayed.waits += 1;
                    call(&mut self.relayed.system_calls, || wait_writable(to, None))
                        .map_err(|error| Stop::Fault(RelayFault::Target(error), rest.to_vec()))?;
                }
                Err(error) => return Err(Stop::Fault(RelayFault::Target(error), rest.to_vec())),
            }
        }
        Ok(())
    }

    /// How much may be taken next; nothing, if all has been.
    fn want(&mut self, most: usize) -> Result<Option<usize>, Stop> {
        let left = self.len.map_or(u64::MAX, |len| len - self.relayed.bytes);
        if left == 0 {
            return Ok(None);
        }
        let (ceiling, begin) = self.ceiling;
        let want = left.min(most as u64) as usize;
        match ceiling.room(begin.saturating_add(self.relayed.bytes), want) {
            Ok(room) => Ok(Some(room)),
            Err(error) => self.beyond(want.min(BUFFER), error).map(|()| None),
        }
    }

    /// Nothing more may be written. That is an error only if something more comes.
    fn beyond(&mut self, want: usize, error: io::Error) -> Result<(), Stop> {
        let (from, to) = (self.from, self.to);
        let mut bytes = vec![0; want];
        let count = loop {
            match call(&mut self.relayed.system_calls, || read(from, &mut bytes)) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(from, to)?,
                Err(error) => return Err(RelayFault::Source(error).into()),
            }
        };
        if count == 0 {
            return Ok(());
        }
        self.relayed.copied += count as u64;
        bytes.truncate(count);
        Err(Stop::Fault(RelayFault::Target(error), bytes))
    }

    fn count(&mut self, method: RelayMethod, count: usize) {
        self.relayed.bytes += count as u64;
        if !self.relayed.methods.contains(&method) {
            self.relayed.methods.push(method);
        }
    }

    fn arrived(&mut self, method: RelayMethod, count: usize) -> Result<(), Stop> {
        self.count(method, count);
        self.report()
    }

    fn report(&mut self) -> Result<(), Stop> {
        if (self.progress)(self.relayed.bytes).is_break() {
            return Err(RelayFault::Stopped.into());
        }
        Ok(())
    }
}

/// Where a file is written to next: at its position, or at its end if it was opened with O_APPEND.
fn begin_of(file: BorrowedFd<'_>, calls: &mut u64) -> u64 {
    let appends =
        call(calls, || Ok(fcntl_getfl(file)?)).is_ok_and(|mode| mode.contains(OFlags::APPEND));
    let from = if appends { SeekFrom::End(0) } else { SeekFrom::Current(0) };
    call(calls, || Ok(rustix::fs::seek(file, from)?)).unwrap_or(0)
}

fn is_readable(end: BorrowedFd<'_>) -> bool {
    fcntl_getfl(end).is_ok_and(|mode| !mode.contains(OFlags::WRONLY))
}
