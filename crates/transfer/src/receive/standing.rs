//! Where a reception stands, and the writing: what needs no socket, and is kept from call to call by who may not wait.

use super::{RangeInto, ReceiveFault, ReceiveMethod, Received, direct::Direct, task::Stop};
use crate::{ceiling::Ceiling, refused::call};
use sendrail_sys::pread::pwrite;
use std::{io, os::fd::BorrowedFd};

#[derive(Debug)]
pub(crate) struct Standing {
    pub(super) range: RangeInto,
    /// Bytes that were taken off the source; those that are in the file are in the receipt.
    pub(super) taken: u64,
    pub(crate) received: Received,
    pub(super) ceiling: Ceiling,
    /// What `direct` keeps while it waits. Nothing else keeps anything: what it has taken is in the file by then.
    pub(super) direct: Option<Direct>,
}

impl Standing {
    pub(super) fn new(range: RangeInto) -> Self {
        Self {
            range,
            taken: 0,
            received: Received::default(),
            ceiling: Ceiling::NONE,
            direct: None,
        }
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

    /// How many of `want` bytes may be written next: see [`Ceiling`].
    pub(super) fn room(&self, want: usize) -> io::Result<usize> {
        self.ceiling.room(self.offset(), want)
    }

    pub(super) fn call<T>(&mut self, body: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        call(&mut self.received.system_calls, body)
    }

    /// Notes that the next `count` bytes are in the file.
    pub(super) fn wrote(&mut self, method: ReceiveMethod, count: usize) {
        self.received.bytes += count as u64;
        if !self.received.methods.contains(&method) {
            self.received.methods.push(method);
        }
    }

    /// Writes bytes to their place through the page cache.
    pub(super) fn write_out(
        &mut self,
        file: BorrowedFd<'_>,
        method: ReceiveMethod,
        bytes: &[u8],
    ) -> Result<(), Stop> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let offset = self.offset();
            let written = self
                .room(rest.len())
                .and_then(|room| self.call(|| pwrite(file, &rest[..room], offset)));
            match written.and_then(something) {
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
