//! Where the bytes come from: a stream socket, a pipe, or whatever read(2) can take.

use super::{ReceiveFault, Received};
use crate::refused::call;
use rustix::{
    fs::{OFlags, fcntl_getfl},
    io::Errno,
    net::{SocketType, sockopt::socket_type},
};
use sendrail_sys::stat::{FileKind, fstat};
use std::os::fd::BorrowedFd;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Socket,
    Pipe,
    /// A terminal, a device, a file.
    Other,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) fd: BorrowedFd<'a>,
    pub(super) kind: Kind,
    /// Whether it is in blocking mode: splice(2) from a TCP socket, and read(2), know no flag that keeps them from waiting.
    pub(super) sleeps: bool,
}

impl<'a> Source<'a> {
    pub(super) fn look(fd: BorrowedFd<'a>, received: &mut Received) -> Result<Self, ReceiveFault> {
        let calls = &mut received.system_calls;
        let kind = match call(calls, || Ok(socket_type(fd)?)) {
            Ok(SocketType::STREAM) => Kind::Socket,
            // A buffer that is shorter than a message would cut it.
            Ok(_) => return Err(ReceiveFault::Socket(Errno::PROTOTYPE.into())),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOTSOCK) => {
                match call(calls, || fstat(fd)).map_err(ReceiveFault::Socket)?.kind {
                    FileKind::Fifo => Kind::Pipe,
                    _ => Kind::Other,
                }
            }
            Err(error) => return Err(ReceiveFault::Socket(error)),
        };
        let mode = call(calls, || Ok(fcntl_getfl(fd)?)).map_err(ReceiveFault::Socket)?;
        Ok(Self { fd, kind, sleeps: !mode.contains(OFlags::NONBLOCK) })
    }
}
