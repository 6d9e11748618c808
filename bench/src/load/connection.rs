//! One keep-alive connection: what it waits for, and how an answer's body is thrown away without being copied.

use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::response;
use crate::root::Document;

/// One receive takes a small answer whole; of a large one it copies only this much.
const HEAD: usize = 8 * 1024;
/// Bytes discarded by one call. The buffer is never written to, so it costs no memory.
const DISCARD: usize = 16 << 20;
/// Bytes compared at a time.
const COMPARE: usize = 256 * 1024;

/// Shared by all connections of a generator: nothing in them outlives a call.
pub(crate) struct Buffers {
    head: Vec<u8>,
    compare: Vec<u8>,
    discard: Vec<u8>,
}

impl Default for Buffers {
    fn default() -> Buffers {
        Buffers { head: vec![0; HEAD], compare: vec![0; COMPARE], discard: vec![0; DISCARD] }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaiting {
    Nothing,
    Head,
    /// So many more bytes.
    Body(u64),
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    awaiting: Awaiting,
    /// The beginning of a head that came in pieces; empty as a rule.
    partial: Vec<u8>,
    /// The first answer was right byte for byte: later ones are only counted.
    trusted: bool,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address).context("connecting")?;
        stream.set_nodelay(true).context("setting TCP_NODELAY")?;
        stream.set_nonblocking(true).context("making it non-blocking")?;
        Ok(Connection { stream, awaiting: Awaiting::Nothing, partial: Vec::new(), trusted: false })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends a request; the previous answer must be complete.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<()> {
        debug_assert_eq!(self.awaiting, Awaiting::Nothing);
        let sent = send(&self.stream, request, SendFlags::NOSIGNAL).context("sending a request")?;
        if sent != request.len() {
            bail!("only {sent} of a request's {} bytes fitted an empty socket", request.len());
        }
        self.awaiting = Awaiting::Head;
        Ok(())
    }

    /// Takes what has arrived; true when it completes the answer.
    ///
    /// A short receive means the socket is empty and a new edge will tell of more (epoll(7), edge-triggered), so there
    /// is no second receive just to be told EAGAIN.
    pub(crate) fn advance(&mut self, buffers: &mut Buffers, document: &Document) -> Result<bool> {
        loop {
            let (wanted, got) = match self.awaiting {
                Awaiting::Nothing => bail!("closed, or sent something, without being asked"),
                Awaiting::Head => {
                    let Some(got) = receive(&self.stream, &mut buffers.head, RecvFlags::empty())?
                    else {
                        return Ok(false);
                    };
                    self.take_head(&buffers.head[..got], document)?;
                    (HEAD, got)
                }
                Awaiting::Body(left) => {
                    let compared = !self.trusted && document.bytes.is_some();
                    let buffer = if compared { &mut buffers.compare } else { &mut buffers.discard };
                    let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    // MSG_TRUNC on TCP drops the bytes instead of copying them (tcp(7)).
                    let flags = if compared { RecvFlags::empty() } else { RecvFlags::TRUNC };
                    let Some(got) = receive(&self.stream, &mut buffer[..wanted], flags)? else {
                        return Ok(false);
                    };
                    if compared {
                        compare(&buffer[..got], document, document.len - left)?;
                    }
                    self.awaiting = Awaiting::Body(left - got as u64);
                    (wanted, got)
                }
            };
            if self.awaiting == Awaiting::Body(0) {
                self.awaiting = Awaiting::Nothing;
                self.trusted = true;
                return Ok(true);
            }
            if got < wanted {
                return Ok(false);
            }
        }
    }

    /// Bytes that begin with a head, or continue one, and may run on into the body.
    fn take_head(&mut self, arrived: &[u8], document: &Document) -> Result<()> {
        let bytes = if self.partial.is_empty() {
            arrived
        } else {
            self.partial.extend_from_slice(arrived);
            &self.partial
        };
        let Some(head) = response::parse(bytes)? else {
            if self.partial.is_empty() {
                self.partial.extend_from_slice(arrived);
            }
            return Ok(());
        };
        if head.content_length != document.len {
            bail!("Content-Length is {}, the file has {} bytes", head.content_length, document.len);
        }
        let body = &bytes[head.len..];
        let Some(left) = document.len.checked_sub(body.len() as u64) else {
            bail!("{} bytes after the end of the body", body.len() as u64 - document.len);
        };
        if !self.trusted {
            compare(body, document, 0)?;
        }
        self.awaiting = Awaiting::Body(left);
        self.partial.clear();
        Ok(())
    }
}

/// `None` when nothing is there; an end of the stream is an error, since an answer is outstanding.
fn receive(stream: &TcpStream, buffer: &mut [u8], flags: RecvFlags) -> Result<Option<usize>> {
    match recv(stream, buffer, flags) {
        Ok((_, 0)) => bail!("the server closed the connection in the middle of an answer"),
        Ok((_, got)) => Ok(Some(got)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error).context("receiving an answer"),
    }
}

fn compare(arrived: &[u8], document: &Document, at: u64) -> Result<()> {
    let Some(bytes) = &document.bytes else { return Ok(()) };
    let expected = &bytes[at as usize..][..arrived.len()];
    if let Some(first) = arrived.iter().zip(expected).position(|(a, b)| a != b) {
        bail!("byte {} of the body is not the file's", at + first as u64);
    }
    Ok(())
}
