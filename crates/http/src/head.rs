//! One request head: what was asked, how its body is framed, and the fields a file server acts on.
//!
//! [`parse`] is strict where two parties could read a message differently (RFC 9112 §11.2): such a
//! head is refused with 400 and the connection closes, because nobody knows where the next request
//! begins.

mod fields;
mod framing;
mod method;
mod parse;

use std::fmt;

pub use fields::{FieldLines, Fields};
pub use method::Method;
pub use parse::{MAX_FIELDS, parse, worth_parsing};

use crate::status::Status;

/// What [`parse`] made of the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // lives on the stack for one request; a Box would allocate
pub enum Parsed<'a> {
    /// Valid so far, and not complete: read more.
    Partial,
    /// A whole head.
    Complete {
        /// What it says; borrows from the bytes given.
        head: Head<'a>,
        /// Bytes the head took, with the empty line that ends it (and empty lines before it).
        /// The body, or the next request, begins there.
        consumed: usize,
    },
}

/// A request head, borrowed from the buffer it was read into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The method; whether it is served is not decided here.
    pub method: Method<'a>,
    /// The request target as sent; see [`crate::target::resolve`].
    pub target: &'a [u8],
    /// The protocol version of the client.
    pub version: Version,
    /// How the body after this head is delimited.
    pub framing: Framing,
    /// Whether the client lets the connection live after this request (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub expect_continue: bool,
    /// The fields that matter for a file.
    pub fields: Fields<'a>,
    /// The head as sent, with the empty line that ends it: for fields that no GET has, see [`crate::upload::Fields::read`]. Empty
    /// where there was none on the wire.
    pub raw: &'a [u8],
}

/// Protocol versions spoken here; others are refused with 505.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no persistent connection unless asked for, no chunks, Host is optional.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl Version {
    /// As it stands in the request line and in access logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

/// How a request body is delimited (RFC 9112 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body: the next request follows at once.
    None,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// How much head is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head; more is 431, or 414 while it is still the request line. Browsers
    /// stay under 8 KiB except for cookies, which a file server sees too.
    pub bytes: usize,
    /// Bytes of the request target; more is 414. RFC 9112 §3 wants at least 8000 for the line.
    pub target: usize,
    /// Number of fields, at most [`MAX_FIELDS`]; more is 431.
    pub fields: usize,
}

impl Default for HeadLimits {
    /// 16 KiB, a target of 8 KiB, 100 fields.
    fn default() -> Self {
        Self { bytes: 16 * 1024, target: 8 * 1024, fields: MAX_FIELDS }
    }
}

/// A request that is not answered on its merits.
///
/// From [`parse`] and [`crate::body::Drain`] it means that the connection must be closed after the
/// response, since the rest of the stream cannot be trusted. From [`crate::target::resolve`] the
/// framing is sound, and the connection may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What to answer.
    pub status: Status,
    /// What was wrong, for the error page and the log; holds nothing the client sent.
    pub why: &'static str,
}

impl Refusal {
    pub(crate) const fn new(status: Status, why: &'static str) -> Self {
        Self { status, why }
    }

    pub(crate) const fn bad(why: &'static str) -> Self {
        Self::new(Status::BAD_REQUEST, why)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.why)
    }
}

impl std::error::Error for Refusal {}
