//! Files that grow while they are read: what `?follow` asks for, which bytes that is, and how they are framed.
//!
//! A follow is an answer without a length. To HTTP/1.1 it is chunked, and ends with a trailer field that says why; to
//! HTTP/1.0 it ends with the connection. Ranges follow RFC 8673: the length is `*`, and a range that reaches beyond the
//! end is answered as it was asked for, because the bytes will come.

use crate::head::{Fields, Refusal};
use crate::number::{NotDecimal, decimal};
use crate::range::{self, Spec};
use crate::render::{Envelope, field, write_content_length, write_end, write_number, write_start};
use crate::status::Status;
use std::fmt;

/// The trailer field that says why a follow ended.
pub const TRAILER: &str = "Follow-End";

/// Where a follower begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// `?follow`: at the first byte, or where `Range` says.
    Beginning,
    /// `?follow=OFFSET`.
    At(u64),
    /// `?follow=-N`: so many bytes before the end.
    Last(u64),
}

/// Finds `follow` in a query. `None`: the file is not to be followed.
///
/// # Errors
///
/// 400 if it stands twice, or its value is neither an offset nor `-` and a number of bytes.
///
/// ```
/// use sendrail_http::live::{Start, follow};
/// assert_eq!(follow(b"v=2&follow"), Ok(Some(Start::Beginning)));
/// assert_eq!(follow(b"follow=4096"), Ok(Some(Start::At(4096))));
/// assert_eq!(follow(b"follow=-500"), Ok(Some(Start::Last(500))));
/// assert_eq!(follow(b"following=1"), Ok(None));
/// assert_eq!(follow(b"follow=soon").unwrap_err().status.code(), 400);
/// ```
pub fn follow(query: &[u8]) -> Result<Option<Start>, Refusal> {
    let mut found = None;
    for pair in query.split(|&byte| byte == b'&') {
        let start = match pair.strip_prefix(b"follow") {
            Some([] | [b'=']) => Start::Beginning,
            Some([b'=', b'-', count @ ..]) => Start::Last(number(count)?),
            Some([b'=', offset @ ..]) => Start::At(number(offset)?),
            None | Some(_) => continue, // another name
        };
        if found.replace(start).is_some() {
            return Err(Refusal::bad("follow stands twice in the query"));
        }
    }
    Ok(found)
}

/// Beyond the end of any file is a place as well.
fn number(digits: &[u8]) -> Result<u64, Refusal> {
    match decimal(digits) {
        Ok(number) => Ok(number),
        Err(NotDecimal::Overflow) => Ok(u64::MAX),
        Err(NotDecimal::Syntax) => Err(Refusal::bad(
            "follow takes an offset in bytes, or - and a number of bytes before the end",
        )),
    }
}

/// Which bytes a follower gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// From this offset on, until the file is over: 200.
    From(u64),
    /// From the first of these offsets on, as far as the last one if the file gets there: 206.
    Range {
        /// Of the first byte.
        first: u64,
        /// Of the last byte, as the client named it.
        last: u64,
    },
    /// Bytes that are all there: 206, with a length, but that of the file is `*`.
    There {
        /// Of the first byte.
        first: u64,
        /// How many, at least 1.
        len: u64,
    },
    /// It begins beyond the end: 416.
    Beyond,
}

/// Decides which bytes a follower gets of a file that is `len` bytes long now.
///
/// `Range` counts beside a `follow` without a value alone, if it holds one range. `If-Range` makes it void, for a file
/// that grows has no validator. An open range (`bytes=first-`) is what is there (RFC 8673 §2.1), a range that reaches
/// beyond the end is what is there and what will come (§2.2), also if it begins right at the end.
pub fn live(start: Start, fields: &Fields<'_>, len: u64) -> Live {
    match start {
        Start::At(offset) if offset > len => Live::Beyond,
        Start::At(offset) => Live::From(offset),
        Start::Last(count) => Live::From(len.saturating_sub(count)),
        Start::Beginning => {
            let range = fields.range.filter(|_| fields.if_range.is_none());
            match range.and_then(range::only) {
                None => Live::From(0),
                Some(Spec::Between(first, last)) if last != u64::MAX && last >= len => {
                    if first > len { Live::Beyond } else { Live::Range { first, last } }
                }
                Some(spec) => match spec.within(len) {
                    Some(there) => Live::There { first: there.first, len: there.len },
                    None => Live::Beyond,
                },
            }
        }
    }
}

impl Live {
    /// 200, 206 or 416.
    pub fn status(self) -> Status {
        match self {
            Self::From(_) => Status::OK,
            Self::Range { .. } | Self::There { .. } => Status::PARTIAL_CONTENT,
            Self::Beyond => Status::RANGE_NOT_SATISFIABLE,
        }
    }
}

/// How an answer without a length is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimited {
    /// By `Transfer-Encoding: chunked`.
    ByChunks,
    /// By the end of the connection: for HTTP/1.0.
    ByClose,
}

/// Appends the head of `live`, which is not [`Live::Beyond`], to `out`, with the empty line that ends it.
///
/// No validators and `no-store`: what comes is of no version of the file.
///
/// ```
/// use sendrail_http::{date::format_http_date, head::Version, live::*, render::Envelope};
///
/// let date = format_http_date(0);
/// let envelope = Envelope { date: &date, server: None, keep_alive: true, version: Version::Http11 };
/// let mut out = Vec::new();
/// let live = Live::Range { first: 100, last: 999_999_999_999 };
/// write_live_head(&mut out, live, Delimited::ByChunks, "text/plain", &envelope);
/// assert_eq!(
///     String::from_utf8(out).unwrap(),
///     "HTTP/1.1 206 Partial Content\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
///      Content-Type: text/plain\r\nContent-Range: bytes 100-999999999999/*\r\n\
///      Transfer-Encoding: chunked\r\nTrailer: Follow-End\r\nAccept-Ranges: bytes\r\n\
///      Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n"
/// );
/// ```
pub fn write_live_head(
    out: &mut Vec<u8>,
    live: Live,
    delimited: Delimited,
    content_type: &str,
    envelope: &Envelope<'_>,
) {
    out.reserve(512);
    write_start(out, live.status(), envelope);
    field(out, b"Content-Type: ", content_type);
    let range = match live {
        Live::From(_) | Live::Beyond => None,
        Live::Range { first, last } => Some((first, last)),
        Live::There { first, len } => Some((first, first + len - 1)),
    };
    if let Some((first, last)) = range {
        out.extend_from_slice(b"Content-Range: bytes ");
        write_number(out, first);
        out.push(b'-');
        write_number(out, last);
        out.extend_from_slice(b"/*\r\n");
    }
    match (live, delimited) {
        (Live::There { len, .. }, _) => write_content_length(out, len),
        (_, Delimited::ByChunks) => {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            field(out, b"Trailer: ", TRAILER);
        }
        (_, Delimited::ByClose) => {}
    }
    out.extend_from_slice(
        b"Accept-Ranges: bytes\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
    );
    write_end(out, envelope);
}

/// Why a follow ended with all that there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nobody writes to the file any more.
    Finished,
    /// It has another name now: log rotation.
    Renamed,
    /// It has no name any more.
    Removed,
    /// Another file has taken its name.
    Replaced,
    /// It was truncated after all of it had been sent.
    Truncated,
    /// The range that was asked for is full.
    Range,
}

impl Ending {
    /// The value of the trailer field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Renamed => "renamed",
            Self::Removed => "removed",
            Self::Replaced => "replaced",
            Self::Truncated => "truncated",
            Self::Range => "range",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What ends each chunk (RFC 9112 §7.1).
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends the head of a chunk of `len` bytes, which is not 0.
///
/// ```
/// let mut out = Vec::new();
/// sendrail_http::live::write_chunk_head(&mut out, 300);
/// assert_eq!(out, b"12c\r\n");
/// ```
pub fn write_chunk_head(out: &mut Vec<u8>, len: u64) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    let mut left = len;
    while left > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b"0123456789abcdef"[(left & 15) as usize];
        left >>= 4;
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// The last chunk, with the trailer field that says why it is the last.
///
/// ```
/// use sendrail_http::live::{Ending, last_chunk};
/// assert_eq!(last_chunk(Ending::Finished), "0\r\nFollow-End: finished\r\n\r\n");
/// ```
pub fn last_chunk(ending: Ending) -> String {
    format!("0\r\n{TRAILER}: {ending}\r\n\r\n")
}
