//! A raw connection: sends what a test writes, to the byte, and reads responses by their framing.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A connection to the server under test.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(super) buffer: Vec<u8>,
}

/// A response, read whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of a field, if there is exactly one line of it.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().skip(1).filter_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        let value = values.next();
        assert!(values.next().is_none(), "{name} stands twice in {}", self.head);
        value
    }
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    /// A connection that has been made.
    pub(crate) fn of(stream: TcpStream) -> Self {
        // Bounds a hang; far above anything a working server takes.
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a GET with further field lines, each ended by CRLF.
    pub(crate) fn get(&mut self, target: &str, fields: &str) -> Response {
        self.ask("GET", target, fields)
    }

    /// Sends a request without a body, and reads the response.
    pub(crate) fn ask(&mut self, method: &str, target: &str, fields: &str) -> Response {
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
        self.response(method == "HEAD")
    }

    /// Reads one response; one to HEAD has no body whatever its Content-Length says.
    pub(crate) fn response(&mut self, to_head: bool) -> Response {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            assert!(
                self.fill(),
                "closed within a head: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = Response { status, head, body: Vec::new() };
        let bodyless = to_head || status < 200 || status == 204 || status == 304;
        if !bodyless {
            let len = response.field("Content-Length").expect("a length").parse().unwrap();
            while self.buffer.len() < len {
                assert!(self.fill(), "closed {} bytes before the end", len - self.buffer.len());
            }
            response.body = self.buffer.drain(..len).collect();
        }
        response
    }

    /// Reads until the server closes; what came, also what an earlier read left over.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.buffer)
    }

    /// Reads some more; says whether anything came. A reset counts as the end.
    pub(super) fn fill(&mut self) -> bool {
        let mut chunk = [0; 16384];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(read) => {
                self.buffer.extend_from_slice(&chunk[..read]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            // With a timeout it is not restarted after a stop or a trace (`signal(7)`).
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => self.fill(),
            Err(error) => panic!("reading: {error}"),
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
