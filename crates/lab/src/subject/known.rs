//! A program whose every copy, call and fault is known beforehand: what the probes are held against.

use super::sending::{Own, PATIENCE, Sent};
use rustix::process::getppid;
use sendrail_sys::{
    ReadRing,
    open::{OpenFlags, reopen},
    pread::pread,
    private::PrivateMapping,
    ring::Read,
    send::send,
    sendfile,
};
use serde::{Deserialize, Serialize};
use socket2::Socket;
use std::{
    error::Error,
    fs::File,
    os::fd::{AsFd, OwnedFd},
    thread,
    time::Duration,
};

/// Of each kind so many bytes.
pub(crate) const BYTES: u64 = 1 << 20;

/// The program sends so many: copied, and passed on.
pub(crate) const SENT: u64 = 2 * BYTES;

const PIECE: usize = 16 << 10;
const PIECES: usize = BYTES as usize / PIECE;

/// Calls that do nothing.
const IDLE: u64 = 500;

/// Times that it sleeps.
const NAPS: u64 = 10;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// System calls.
    pub calls: u64,
    /// Of them, those that gave bytes to a socket.
    pub passes: u64,
    /// Pages that were written to for the first time.
    pub faults: u64,
    /// Bytes read out of the page cache.
    pub read: u64,
    /// The same through a ring; nothing where there is none.
    pub ring_read: u64,
    /// Bytes sent with a copy.
    pub copied: u64,
    /// Bytes sent without.
    pub passed: u64,
    /// Bytes read from the disk past the page cache; nothing where there is no such way.
    pub disk: u64,
    /// Times that it slept.
    pub sleeps: u64,
}

/// What it needs before it begins: an allocation is a call at times.
pub(super) struct Tools {
    buffer: Vec<u8>,
    private: PrivateMapping,
    ring: Option<ReadRing>,
    direct: Option<OwnedFd>,
}

impl Tools {
    pub(super) fn new(file: &File) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            buffer: vec![1; PIECE],
            private: PrivateMapping::new(file.as_fd(), BYTES as usize)?,
            ring: ReadRing::new(1, BYTES as usize).ok(),
            direct: reopen(file.as_fd(), OpenFlags::READ | OpenFlags::DIRECT).ok(),
        })
    }
}

/// Does it.
pub(super) fn act(file: &File, socket: &Socket, tools: &mut Tools) -> Sent {
    let mut known = Known::default();
    for _ in 0..IDLE {
        let _ = getppid();
    }
    known.calls += IDLE;
    let page = sendrail_sys::limits::page_size();
    for at in (0..tools.private.len()).step_by(page) {
        tools.private.write(at, 1);
        known.faults += 1;
    }
    for piece in 0..PIECES {
        let read = pread(file.as_fd(), &mut tools.buffer, (piece * PIECE) as u64)?;
        known.calls += 1;
        known.read += read as u64;
        let mut rest = &tools.buffer[..read];
        while !rest.is_empty() {
            let sent = send(socket.as_fd(), rest, false)?;
            rest = &rest[sent..];
            known.calls += 1;
            known.passes += 1;
            known.copied += sent as u64;
        }
    }
    while known.passed < BYTES {
        let rest = (BYTES - known.passed) as usize;
        let sent = sendfile(socket.as_fd(), file.as_fd(), known.passed, rest)?;
        known.calls += 1;
        known.passes += 1;
        known.passed += sent as u64;
    }
    for _ in 0..NAPS {
        thread::sleep(Duration::from_millis(1));
        known.calls += 1;
        known.sleeps += 1;
    }
    if let Some(ring) = &mut tools.ring {
        known.ring_read = read_all(ring, file, &mut known.calls)?;
        if let Some(direct) = &tools.direct {
            known.disk = read_all(ring, direct, &mut known.calls)?;
        }
    }
    Ok(Own { known: Some(known), ..Own::default() })
}

fn read_all(ring: &mut ReadRing, file: impl AsFd, calls: &mut u64) -> Result<u64, Box<dyn Error>> {
    ring.submit(file.as_fd(), &[Read { buffer: 0, offset: 0, len: BYTES as usize }])?;
    *calls += 1;
    loop {
        if let Some(completed) = ring.completed() {
            return Ok(completed.result? as u64);
        }
        ring.wait(PATIENCE)?;
        *calls += 1;
    }
}
