//! One copy under way: where it stands, what it cost, and the three ways of moving a piece.

use super::{Copied, CopyFault, CopyMethod, Progress};
use crate::{
    ceiling::Ceiling,
    conduit::Conduit,
    method::{is_refusal, splice::PIPE},
    refused::{Why, call},
};
use rustix::io::Errno;
use sendrail_sys::{
    copy_range::copy_range,
    pread::{pread, pwrite},
    splice::{Pipe, splice_from_file, splice_to_file},
    stat::fstat,
};
use std::{io, ops::ControlFlow, os::fd::BorrowedFd};

/// The most that is copied by one `copy_file_range(2)`, in bytes: between two of them the caller is told how far it has come,
/// and a process can be ended.
const WINDOW: u64 = 64 << 20;

/// Length of the buffer in bytes; as for receiving.
const BUFFER: u64 = 256 << 10;

/// Why a method does not go on.
pub(super) enum Stop {
    /// It is refused.
    Refused(Why),
    /// It is over.
    Fault(CopyFault),
}

impl From<CopyFault> for Stop {
    fn from(fault: CopyFault) -> Self {
        Self::Fault(fault)
    }
}

pub(super) struct Task<'a> {
    pub(super) source: BorrowedFd<'a>,
    pub(super) from: u64,
    pub(super) target: BorrowedFd<'a>,
    pub(super) to: u64,
    pub(super) len: u64,
    pub(super) copied: Copied,
    pub(super) ceiling: Ceiling,
    pub(super) progress: &'a mut Progress<'a>,
}

impl Task<'_> {
    pub(super) fn left(&self) -> u64 {
        self.len - self.copied.bytes
    }

    /// The next byte of the source.
    pub(super) fn reads_at(&self) -> u64 {
        self.from + self.copied.bytes
    }

    /// The next byte of the target.
    pub(super) fn writes_at(&self) -> u64 {
        self.to + self.copied.bytes
    }

    /// How many of `want` bytes may be written next: see [`Ceiling`].
    pub(super) fn room(&self, want: usize) -> Result<usize, Stop> {
        self.ceiling.room(self.writes_at(), want).map_err(|error| self.target_failed(error))
    }

    pub(super) fn call<T>(&mut self, body: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        call(&mut self.copied.system_calls, body)
    }

    pub(super) fn source_failed(&self, error: io::Error) -> Stop {
        CopyFault::Source { error, offset: self.reads_at() }.into()
    }

    pub(super) fn target_failed(&self, error: io::Error) -> Stop {
        CopyFault::Target { error, offset: self.writes_at() }.into()
    }

    pub(super) fn moved(&mut self, method: CopyMethod, count: u64) {
        self.copied.bytes += count;
        if !self.copied.methods.contains(&method) {
            self.copied.methods.push(method);
        }
    }

    /// Tells the caller how far it has come.
    pub(super) fn report(&mut self) -> Result<(), Stop> {
        match (self.progress)(self.copied.bytes) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(CopyFault::Stopped.into()),
        }
    }

    fn too_short(&self) -> Stop {
        CopyFault::TooShort { expected: self.len, copied: self.copied.bytes }.into()
    }

    /// Copies the next bytes up to that many of the whole, which are no hole.
    pub(super) fn copy_by(&mut self, method: CopyMethod, until: u64) -> Result<(), Stop> {
        match method {
            // All or nothing, and that has been tried.
            CopyMethod::Clone => Err(Stop::Refused(Why::Nothing)),
            CopyMethod::CopyFileRange => self.by_copy_range(until),
            CopyMethod::Splice => self.by_splice(until),
            CopyMethod::Buffered => self.by_buffer(until),
        }
    }

    fn by_copy_range(&mut self, until: u64) -> Result<(), Stop> {
        while self.copied.bytes < until {
            let (source, from, target, to) =
                (self.source, self.reads_at(), self.target, self.writes_at());
            let want = self.room((until - self.copied.bytes).min(WINDOW) as usize)?;
            match self.call(|| copy_range(source, from, target, to, want)) {
                Ok(0) => {
                    // The end; but files of /proc have no length, and give nothing this way.
                    let end =
                        self.call(|| fstat(source)).map_err(|error| self.source_failed(error))?;
                    return Err(if end.len == 0 || end.len > from {
                        Stop::Refused(Why::Nothing)
                    } else {
                        self.too_short()
                    });
                }
                Ok(count) => self.moved(CopyMethod::CopyFileRange, count as u64),
                Err(error) if is_of_target(&error) => return Err(self.target_failed(error)),
                // Refused, or of one of the two; who calls them one by one finds out of which.
                Err(error) => return Err(Stop::Refused(Why::of(&error))),
            }
            self.report()?;
        }
        Ok(())
    }

    fn by_splice(&mut self, until: u64) -> Result<(), Stop> {
        let conduit = Conduit::take(&mut self.copied.system_calls);
        let conduit = conduit.map_err(|error| Stop::Refused(Why::of(&error)))?;
        let result = self.through(conduit.pipe(), until);
        match &result {
            Ok(()) => conduit.give_back(&mut self.copied.system_calls),
            // Something may be in it. The source has it too.
            Err(_) => conduit.discard(&mut self.copied.system_calls),
        }
        result
    }

    fn through(&mut self, pipe: &Pipe, until: u64) -> Result<(), Stop> {
        while self.copied.bytes < until {
            let (source, from) = (self.source, self.reads_at());
            let want = (until - self.copied.bytes).min(PIPE as u64) as usize;
            let mut inside = match self.call(|| splice_from_file(source, from, pipe, want)) {
                Ok(0) => return Err(self.too_short()),
                Ok(count) => count,
                Err(error) if is_refusal(&error) => return Err(Stop::Refused(Why::of(&error))),
                Err(error) => return Err(self.source_failed(error)),
            };
            while inside > 0 {
                let (target, to, room) = (self.target, self.writes_at(), self.room(inside)?);
                match self.call(|| splice_to_file(pipe, target, to, room)) {
                    Ok(0) => return Err(Stop::Refused(Why::Nothing)),
                    Ok(count) => {
                        inside -= count;
                        self.moved(CopyMethod::Splice, count as u64);
                    }
                    Err(error) if is_refusal(&error) => return Err(Stop::Refused(Why::of(&error))),
                    Err(error) => return Err(self.target_failed(error)),
                }
            }
            self.report()?;
        }
        Ok(())
    }

    fn by_buffer(&mut self, until: u64) -> Result<(), Stop> {
        let mut buffer = vec![0; (until - self.copied.bytes).min(BUFFER) as usize];
        while self.copied.bytes < until {
            let (source, from) = (self.source, self.reads_at());
            let want = (until - self.copied.bytes).min(BUFFER) as usize;
            let count = match self.call(|| pread(source, &mut buffer[..want], from)) {
                Ok(0) => return Err(self.too_short()),
                Ok(count) => count,
                Err(error) => return Err(self.source_failed(error)),
            };
            self.copied.copied += count as u64;
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                let (target, to, room) = (self.target, self.writes_at(), self.room(rest.len())?);
                match self.call(|| pwrite(target, &rest[..room], to)) {
                    Ok(0) => return Err(self.target_failed(io::ErrorKind::WriteZero.into())),
                    Ok(count) => {
                        self.copied.copied += count as u64;
                        self.moved(CopyMethod::Buffered, count as u64);
                        rest = &rest[count..];
                    }
                    Err(error) => return Err(self.target_failed(error)),
                }
            }
            self.report()?;
        }
        Ok(())
    }
}

/// What a call that touches both files can only say of the one that is written to.
fn is_of_target(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::ROFS)
    )
}
