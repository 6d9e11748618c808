//! One keep-alive connection: what it waits for, and how an answer's body is thrown away without being copied.

use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use super::response;
use super::workload::Exchange;

/// One receive takes a small answer whole; of a large one it copies only this much.
const HEAD: usize = 8 * 1024;
/// Bytes discarded by one call at the most. The buffer is never written to, so it costs no memory.
pub(super) const DISCARD: usize = 16 << 20;

/// Shared by all connections of a generator: nothing in them outlives a call.
pub(crate) struct Buffers {
    head: Vec<u8>,
    discard: Vec<u8>,
}

impl Default for Buffers {
    fn default() -> Buffers {
        Buffers { head: vec![0; HEAD], discard: vec![0; DISCARD] }
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
    /// Which exchange is under way.
    pub(crate) exchange: u32,
    /// When the request was sent, or should have been.
    pub(crate) since: Instant,
    /// The beginning of a head that came in pieces; empty as a rule.
    partial: Vec<u8>,
}

/// What one turn brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Of the body.
    pub(crate) bytes: u64,
    pub(crate) complete: bool,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address).context("connecting")?;
        stream.set_nodelay(true).context("setting TCP_NODELAY")?;
        stream.set_nonblocking(true).context("making it non-blocking")?;
        Ok(Connection {
            stream,
            awaiting: Awaiting::Nothing,
            exchange: 0,
            since: Instant::now(),
            partial: Vec::new(),
        })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends the request of exchange `number`; the previous answer must be complete.
    pub(crate) fn ask(&mut self, number: u32, exchange: &Exchange, since: Instant) -> Result<()> {
        debug_assert_eq!(self.awaiting, Awaiting::Nothing);
        let request = &exchange.request;
        let sent = send(&self.stream, request, SendFlags::NOSIGNAL).context("sending a request")?;
        if sent != request.len() {
            bail!("only {sent} of a request's {} bytes fitted an empty socket", request.len());
        }
        (self.awaiting, self.exchange, self.since) = (Awaiting::Head, number, since);
        Ok(())
    }

    /// Has what arrives next acknowledged at once (TCP_QUICKACK, tcp(7)); the kernel forgets it after a while. Else one answer
    /// in a hundred or so waits 40 ms for a delayed acknowledgement, which no network with ordinary segments shows.
    pub(crate) fn acknowledge_at_once(&self) -> Result<()> {
        sockopt::set_tcp_quickack(&self.stream, true).context("setting TCP_QUICKACK")
    }

    /// Takes what has arrived of the answer to `exchange`.
    ///
    /// A short receive means the socket is empty and a new edge will tell of more (epoll(7), edge-triggered), so there
    /// is no second receive just to be told EAGAIN. Of a body no more than `bite` bytes are taken at a time, and if that
    /// is less than [`DISCARD`] once only: who asks for that listens level-triggered.
    pub(super) fn advance(
        &mut self,
        buffers: &mut Buffers,
        exchange: &Exchange,
        bite: usize,
    ) -> Result<Progress> {
        let mut progress = Progress { bytes: 0, complete: false };
        loop {
            let (wanted, got) = match self.awaiting {
                Awaiting::Nothing => bail!("closed, or sent something, without being asked"),
                Awaiting::Head => {
                    let Some(got) = receive(&self.stream, &mut buffers.head, RecvFlags::empty())?
                    else {
                        return Ok(progress);
                    };
                    progress.bytes += self.take_head(&buffers.head[..got], exchange)?;
                    (HEAD, got)
                }
                Awaiting::Body(left) => {
                    let wanted = bite.min(usize::try_from(left).unwrap_or(usize::MAX));
                    // MSG_TRUNC on TCP drops the bytes instead of copying them (tcp(7)).
                    let buffer = &mut buffers.discard[..wanted];
                    let Some(got) = receive(&self.stream, buffer, RecvFlags::TRUNC)? else {
                        return Ok(progress);
                    };
                    self.awaiting = Awaiting::Body(left - got as u64);
                    progress.bytes += got as u64;
                    (wanted, got)
                }
            };
            if self.awaiting == Awaiting::Body(0) {
                self.awaiting = Awaiting::Nothing;
                progress.complete = true;
                return Ok(progress);
            }
            if got < wanted || wanted == bite && bite < DISCARD {
                return Ok(progress);
            }
        }
    }

    /// Bytes that begin with a head, or continue one, and may run on into the body; how many are body.
    fn take_head(&mut self, arrived: &[u8], exchange: &Exchange) -> Result<u64> {
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
            return Ok(0);
        };
        head.answers(exchange)?;
        let body = (bytes.len() - head.len) as u64;
        let Some(left) = head.content_length.checked_sub(body) else {
            bail!("{} bytes after the end of the body", body - head.content_length);
        };
        self.awaiting = Awaiting::Body(left);
        self.partial.clear();
        Ok(body)
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
