//! A client for threads: what the examples and the tests speak to a broker with.

use crate::{
    error::OutOfRange,
    record::{Record, RecordFault, Records, records},
    wire::{self, Answer, Fetch},
    writer::Appended,
};
use std::{
    fmt,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

/// The longest answer that is believed, in bytes.
const MOST: u32 = 2 << 30;

/// A connection to a broker.
///
/// One request at a time; for several on their way at once, [`wire`] has what it takes.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The connection failed, or was closed.
    Io(io::Error),
    /// The log does not have the offset.
    OutOfRange(OutOfRange),
    /// The broker says why not.
    Refused(String),
    /// That was no answer to what was asked.
    Protocol(&'static str),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the broker has closed the connection")
            }
            Self::Io(error) => write!(f, "the connection to the broker: {error}"),
            Self::OutOfRange(bounds) => write!(f, "out of range: {bounds}"),
            Self::Refused(why) => write!(f, "the broker refused: {why}"),
            Self::Protocol(what) => write!(f, "this is no broker: {what}"),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::OutOfRange(bounds) => Some(bounds),
            Self::Refused(_) | Self::Protocol(_) => None,
        }
    }
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a fetch brought.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The offset that was asked for.
    pub offset: u64,
    /// The offset of the first record in `bytes`.
    pub first: u64,
    /// What to fetch next.
    pub next: u64,
    /// The end of the log.
    pub end: u64,
    /// Whole records, as they are in the segment.
    pub bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The records from `offset` on, each one checked; those before it are checked as well, and left out.
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'a>, RecordFault>> + use<'a> {
        let offset = self.offset;
        let all: Records<'a> = records(self.bytes, self.first);
        all.filter(move |record| record.as_ref().map_or(true, |record| record.offset >= offset))
    }
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// `connect(2)`'s.
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request: Vec::new(), answer: Vec::new() })
    }

    /// Fetches from `offset` on about `max_bytes`; at the end of the log waits for `max_wait` at the longest, and then brings nothing.
    ///
    /// # Errors
    ///
    /// [`ClientError`]. After `Io` and `Protocol` the connection is of no use.
    pub fn fetch(
        &mut self,
        offset: u64,
        max_bytes: u32,
        max_wait: Duration,
    ) -> Result<Batch<'_>, ClientError> {
        let max_wait_ms = max_wait.as_millis().min(u128::from(u32::MAX)) as u32;
        self.stream.write_all(&wire::encode_fetch(Fetch { offset, max_bytes, max_wait_ms }))?;
        let body = self.ok()?;
        let ([first, next, end], bytes) =
            wire::fetched(body).ok_or(ClientError::Protocol("the answer is too short"))?;
        Ok(Batch { offset, first, next, end, bytes })
    }

    /// Appends records, and says which offsets they have.
    ///
    /// # Errors
    ///
    /// [`ClientError`]. After `Refused` none of them is there; after `Io` nobody knows.
    pub fn append<'a>(
        &mut self,
        payloads: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Appended, ClientError> {
        self.request.clear();
        wire::encode_append(payloads, &mut self.request)
            .ok_or_else(|| ClientError::Refused("4 GiB or more in one append".into()))?;
        self.stream.write_all(&self.request)?;
        wire::appended(self.ok()?).ok_or(ClientError::Protocol("no answer to an append"))
    }

    /// The oldest offset, and the one that the next record will have.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn info(&mut self) -> Result<(u64, u64), ClientError> {
        self.stream.write_all(&wire::INFO_REQUEST)?;
        wire::two(self.ok()?).ok_or(ClientError::Protocol("no answer to an info"))
    }

    /// The socket: for timeouts, say.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn ok(&mut self) -> Result<&[u8], ClientError> {
        let mut len = [0; 4];
        self.stream.read_exact(&mut len)?;
        let len = u32::from_be_bytes(len);
        if len > MOST {
            return Err(ClientError::Protocol("an answer of more than 2 GiB"));
        }
        self.answer.clear();
        // Memory for what has come, and not for what somebody says will come.
        (&self.stream).take(u64::from(len)).read_to_end(&mut self.answer)?;
        if self.answer.len() < len as usize {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match wire::parse_answer(&self.answer) {
            Some(Answer::Ok(body)) => Ok(body),
            Some(Answer::OutOfRange(bounds)) => Err(ClientError::OutOfRange(bounds)),
            Some(Answer::Refused(why)) => Err(ClientError::Refused(why)),
            None => Err(ClientError::Protocol("an answer without a status that is known")),
        }
    }
}
