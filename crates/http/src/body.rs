//! Request bodies, thrown away or taken: within a bound, and strictly, since where the body ends is where the next request
//! begins.

use std::ops::Range;

use crate::head::{Framing, Refusal};
use crate::status::Status;

/// Digits, extensions and line end of one chunk head. Extensions are seen in the wild as
/// signatures of a few dozen bytes.
const MAX_CHUNK_HEAD: u32 = 1024;

/// All trailer fields together.
const MAX_TRAILERS: u32 = 8 * 1024;

/// Framing bytes that come with each byte of data: chunks of one byte have 5. More, beyond a
/// start, is an attack by extensions (as in CVE-2023-39326).
const OVERHEAD_PER_BYTE: u64 = 8;
const FREE_OVERHEAD: u64 = 16 * 1024;

/// Decodes a request body: [`feed`](Self::feed) forgets it, [`take`](Self::take) says where in the bytes its data is, and
/// [`ahead`](Self::ahead) how much comes next that nobody needs to look at.
///
/// ```
/// use sendrail_http::body::Drain;
/// use sendrail_http::head::Framing;
///
/// let mut drain = Drain::new(Framing::Chunked, 1024)?;
/// let first = drain.feed(b"5\r\nhel")?;
/// assert!(!first.done && first.consumed == 6);
/// let second = drain.feed(b"lo\r\n0\r\n\r\nGET / HTTP/1.1\r\n")?;
/// assert!(second.done && second.consumed == 9);
/// # Ok::<(), sendrail_http::head::Refusal>(())
/// ```
#[derive(Clone, Debug)]
pub struct Drain {
    state: State,
    /// Bytes of data still allowed, by the bound.
    allowance: u64,
    /// Bytes of chunk heads and trailers still allowed.
    overhead: u64,
}

/// What [`Drain::feed`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Bytes taken from the front of those given; all of them, unless the body ended before.
    pub consumed: usize,
    /// Whether the body is over: what follows is the next request.
    pub done: bool,
}

/// What [`Drain::take`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Bytes taken from the front of those given: the data, and the framing around it.
    pub consumed: usize,
    /// Which of them are data; perhaps none.
    pub data: Range<usize>,
    /// Whether the body is over: what follows is the next request.
    pub done: bool,
}

/// Where in the body the next byte belongs (RFC 9112 §7.1).
#[derive(Clone, Copy, Debug)]
enum State {
    /// `Content-Length` bytes to go.
    Sized(u64),
    /// In the digits of a chunk size: its value so far, how long this chunk head is so far.
    Size { size: u64, line: u32 },
    /// White space after the digits: only a semicolon may follow (BWS before an extension).
    AfterSize { size: u64, line: u32 },
    /// In the extensions.
    Extension { size: u64, line: u32 },
    /// After the CR that ends a chunk head.
    SizeLf { size: u64 },
    /// In the data.
    Data(u64),
    /// After the data.
    DataCr,
    /// After the CR after the data.
    DataLf,
    /// At the start of a trailer line.
    TrailerStart { bytes: u32 },
    /// In a trailer line.
    Trailer { bytes: u32 },
    /// After the CR that ends a trailer line.
    TrailerLf { bytes: u32 },
    /// After the CR of the last, empty line.
    EndLf,
    /// Over.
    Done,
}

impl Drain {
    /// Starts on a body framed as its head says. Refuses with 413 one that is announced to be
    /// longer than `max_bytes`.
    pub fn new(framing: Framing, max_bytes: u64) -> Result<Self, Refusal> {
        let state = match framing {
            Framing::Length(length) if length > max_bytes => return Err(TOO_LARGE),
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Sized(length),
            Framing::Chunked => State::Size { size: 0, line: 0 },
        };
        Ok(Self { state, allowance: max_bytes, overhead: FREE_OVERHEAD })
    }

    /// Whether the body is over, or there was none.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes what belongs to the body from the front of `bytes`.
    ///
    /// Refuses with 400 what is malformed, with 413 what exceeds the bound: close the connection,
    /// and feed no more.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Drained, Refusal> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            at += self.take(&bytes[at..])?.consumed;
        }
        Ok(Drained { consumed: at, done: self.is_done() })
    }

    /// Takes from the front of `bytes` up to the end of the first data in it. If anything is left, and the body is not over, it is to
    /// be called again with that.
    ///
    /// Errors as of [`feed`](Self::feed).
    ///
    /// ```
    /// use sendrail_http::{body::Drain, head::Framing};
    /// let mut body = Drain::new(Framing::Chunked, 1024)?;
    /// let mut bytes = &b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"[..];
    /// let mut data = Vec::new();
    /// while !bytes.is_empty() {
    ///     let taken = body.take(bytes)?;
    ///     data.extend_from_slice(&bytes[taken.data]);
    ///     bytes = &bytes[taken.consumed..];
    /// }
    /// assert!(body.is_done() && data == b"hello world");
    /// # Ok::<(), sendrail_http::head::Refusal>(())
    /// ```
    pub fn take(&mut self, bytes: &[u8]) -> Result<Taken, Refusal> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            let ahead = self.ahead();
            if ahead > 0 {
                let end = at + ahead.min((bytes.len() - at) as u64) as usize;
                self.passed((end - at) as u64);
                return Ok(Taken { consumed: end, data: at..end, done: self.is_done() });
            }
            self.overhead = self.overhead.checked_sub(1).ok_or(TOO_MUCH_OVERHEAD)?;
            self.state = self.framing_byte(bytes[at])?;
            at += 1;
        }
        Ok(Taken { consumed: at, data: at..at, done: self.is_done() })
    }

    /// Bytes of data that come next, with no framing between them: they can go from the socket to the file without being looked at, and
    /// are [`passed`](Self::passed) then. 0 within framing, and at the end.
    pub fn ahead(&self) -> u64 {
        match self.state {
            State::Sized(left) | State::Data(left) => left,
            _ => 0,
        }
    }

    /// So many of the bytes [`ahead`](Self::ahead), and no more, have gone by.
    pub fn passed(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.ahead(), "{bytes} of {}", self.ahead());
        match &mut self.state {
            State::Sized(left) => {
                *left = left.saturating_sub(bytes);
                if *left == 0 {
                    self.state = State::Done;
                }
            }
            State::Data(left) => {
                *left = left.saturating_sub(bytes);
                if *left == 0 {
                    self.state = State::DataCr;
                }
            }
            _ => {}
        }
    }

    fn framing_byte(&mut self, byte: u8) -> Result<State, Refusal> {
        Ok(match (self.state, byte) {
            (State::Size { size, line }, _) if byte.is_ascii_hexdigit() => {
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                let size = size
                    .checked_mul(16)
                    .and_then(|size| size.checked_add(digit))
                    .ok_or(Refusal::bad("a chunk size is out of range"))?;
                State::Size { size, line: longer(line)? }
            }
            (State::Size { line: 0, .. }, _) => return Err(BAD_SIZE),
            (State::Size { size, line } | State::AfterSize { size, line }, b' ' | b'\t') => {
                State::AfterSize { size, line: longer(line)? }
            }
            (State::Size { size, line } | State::AfterSize { size, line }, b';') => {
                State::Extension { size, line: longer(line)? }
            }
            (State::Size { size, .. } | State::Extension { size, .. }, b'\r') => {
                State::SizeLf { size }
            }
            (State::Extension { size, line }, _) if is_field_byte(byte) => {
                State::Extension { size, line: longer(line)? }
            }
            (State::SizeLf { size: 0 }, b'\n') => State::TrailerStart { bytes: 0 },
            (State::SizeLf { size }, b'\n') => {
                self.allowance = self.allowance.checked_sub(size).ok_or(TOO_LARGE)?;
                self.overhead =
                    self.overhead.saturating_add(size.saturating_mul(OVERHEAD_PER_BYTE));
                State::Data(size)
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { size: 0, line: 0 },
            (State::TrailerStart { .. }, b'\r') => State::EndLf,
            (State::TrailerStart { bytes } | State::Trailer { bytes }, _)
                if is_field_byte(byte) =>
            {
                if bytes >= MAX_TRAILERS {
                    return Err(Refusal::bad("the trailers are too long"));
                }
                State::Trailer { bytes: bytes + 1 }
            }
            (State::Trailer { bytes }, b'\r') => State::TrailerLf { bytes },
            (State::TrailerLf { bytes }, b'\n') => State::TrailerStart { bytes },
            (State::EndLf, b'\n') => State::Done,
            (State::Size { .. } | State::AfterSize { .. } | State::Extension { .. }, _) => {
                return Err(BAD_SIZE);
            }
            (State::DataCr | State::DataLf, _) => {
                return Err(Refusal::bad("a chunk is longer than its size says"));
            }
            _ => return Err(Refusal::bad("the chunked body is malformed")),
        })
    }
}

const TOO_LARGE: Refusal =
    Refusal::new(Status::CONTENT_TOO_LARGE, "the request body is larger than allowed");
const TOO_MUCH_OVERHEAD: Refusal = Refusal::bad("the chunked body is mostly framing");
const BAD_SIZE: Refusal = Refusal::bad("a chunk size is malformed");

fn longer(line: u32) -> Result<u32, Refusal> {
    if line >= MAX_CHUNK_HEAD {
        return Err(Refusal::bad("a chunk extension is too long"));
    }
    Ok(line + 1)
}

/// What may stand in a field line or extension: no control but the tab, above all no CR or LF.
fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}
