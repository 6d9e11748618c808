//! A client that chooses how fast it reads: not at all, in small sips, or until the server closes.

use super::{Connection, Response};
use socket2::{Domain, Socket, Type};
use std::{net::SocketAddr, time::Duration};

impl Connection {
    /// A connection whose receive buffer is small, so that a client that does not read is soon
    /// felt by the server (SO_RCVBUF counts only before the handshake, `tcp(7)`).
    pub(crate) fn narrow(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        socket.connect(&address.into()).unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        Self { stream: socket.into(), buffer: Vec::new() }
    }

    /// Asks for a path and reads the head of the answer alone; the body is left for later.
    pub(crate) fn begin(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.head()
    }

    /// Reads a head, and leaves the body for later.
    pub(crate) fn head(&mut self) -> Response {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.fill(), "closed within a head");
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Response { status, head, body: Vec::new() }
    }

    /// Exactly the next `len` bytes, or fewer if the server closes before.
    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        while self.buffer.len() < len && self.fill() {}
        let len = len.min(self.buffer.len());
        self.buffer.drain(..len).collect()
    }

    /// Reads and throws away until nothing more comes (MSG_TRUNC, `tcp(7)`); how many bytes it was.
    pub(crate) fn discard(&mut self, len: u64) -> u64 {
        use std::os::fd::AsFd;
        let mut gone = self.buffer.len() as u64;
        self.buffer.clear();
        while gone < len {
            let most = (len - gone).min(1 << 20) as usize;
            match sendrail_sys::send::recv_discard(self.stream.as_fd(), most) {
                Ok(0) => break,
                Ok(count) => gone += count as u64,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("reading: {error}"),
            }
        }
        gone
    }

    /// Whether the server closed without another byte. Waits for it.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.rest().is_empty()
    }
}
