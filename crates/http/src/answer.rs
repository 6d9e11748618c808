//! What HTTP says to a request for a representation that was found: a pure decision.

use crate::conditional::{Precondition, Validators, evaluate};
use crate::head::{Head, Method};
use crate::multipart::Multipart;
use crate::range::{self, ByteRange, MAX_RANGES, Ranges};
use crate::status::Status;
use crate::validator::EntityTag;

use crate::negotiate::Coding;

/// The representation that was selected: a file, or a compressed variant of it, as `fstat` of the
/// open descriptor described it.
#[derive(Clone, Copy, Debug)]
pub struct Representation<'a> {
    /// Size in bytes.
    pub len: u64,
    /// Last modification in Unix seconds, see [`crate::validator::last_modified_seconds`].
    pub modified_seconds: i64,
    /// Whether that second is a strong validator, see [`crate::validator::date_is_strong`].
    pub modified_is_strong: bool,
    /// Its entity tag.
    pub etag: EntityTag,
    /// The whole value of `Content-Type`.
    pub content_type: &'a str,
    /// How it is stored: becomes `Content-Encoding` unless identity.
    pub coding: Coding,
    /// Whether `Accept-Encoding` had a say in selecting it: then all variants, the uncompressed
    /// one too, must say `Vary`.
    pub vary: bool,
    /// The value of `Cache-Control`, if one is to be sent.
    pub cache_control: Option<&'a str>,
}

/// The answer: a status and which bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200, 206, 304, 412 or 416.
    pub status: Status,
    /// The bytes that GET gets; HEAD gets the same head without them, see
    /// [`Answer::sends_body`].
    pub body: Body,
}

/// Which bytes of the representation an answer is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// None: 304, 412 and 416.
    Empty,
    /// All.
    Whole,
    /// One range.
    Range(ByteRange),
    /// Several ranges, with their heads.
    Multipart(Multipart),
}

/// Decides what to answer to a GET or HEAD for `representation`.
///
/// `boundary` is random: it delimits the parts if the answer has several. Allocates only then.
/// Other methods are the caller's to refuse (405 with [`Method::ALLOW`], 501) or to answer
/// (OPTIONS), before it opens anything.
///
/// ```
/// use sendrail_http::answer::{Representation, answer};
/// use sendrail_http::head::{HeadLimits, Parsed, parse};
/// use sendrail_http::negotiate::Coding;
/// use sendrail_http::validator::{EntityTag, Strength};
///
/// let file = Representation {
///     len: 500,
///     modified_seconds: 784_111_777,
///     modified_is_strong: true,
///     etag: EntityTag::new(784_111_777, 1, 500, Coding::Identity, Strength::Strong),
///     content_type: "image/avif",
///     coding: Coding::Identity,
///     vary: false,
///     cache_control: None,
/// };
/// let wire = b"GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"2ebc98a1.1-1f4\"\r\n\r\n";
/// let Ok(Parsed::Complete { head, .. }) = parse(wire, &HeadLimits::default()) else { panic!() };
/// assert_eq!(answer(&head, &file, 0).status.code(), 304);
/// ```
#[inline]
pub fn answer(head: &Head<'_>, representation: &Representation<'_>, boundary: u128) -> Answer {
    if head.fields.conditional_or_range {
        conditional_answer(head, representation, boundary)
    } else {
        Answer { status: Status::OK, body: Body::Whole }
    }
}

fn conditional_answer(
    head: &Head<'_>,
    representation: &Representation<'_>,
    boundary: u128,
) -> Answer {
    let validators = Validators {
        etag: &representation.etag,
        last_modified: representation.modified_seconds,
        last_modified_is_strong: representation.modified_is_strong,
    };
    let len = representation.len;
    let ranges = match evaluate(&head.method, &head.fields, &validators) {
        Precondition::Failed => {
            return Answer { status: Status::PRECONDITION_FAILED, body: Body::Empty };
        }
        Precondition::NotModified => {
            return Answer { status: Status::NOT_MODIFIED, body: Body::Empty };
        }
        Precondition::Proceed { range_allowed } => match head.fields.range {
            Some(value) if range_allowed => range::parse(value, len, MAX_RANGES),
            _ => Ranges::Ignore,
        },
    };
    let (status, body) = match ranges {
        Ranges::Ignore => (Status::OK, Body::Whole),
        Ranges::Unsatisfiable => (Status::RANGE_NOT_SATISFIABLE, Body::Empty),
        Ranges::One(range) => (Status::PARTIAL_CONTENT, Body::Range(range)),
        Ranges::Many(ranges) => {
            let multipart = Multipart::new(&ranges, representation.content_type, len, boundary);
            (Status::PARTIAL_CONTENT, Body::Multipart(multipart))
        }
    };
    Answer { status, body }
}

impl Answer {
    /// Whether bytes follow the head: not for HEAD, and not where there are none.
    pub fn sends_body(&self, head: &Head<'_>) -> bool {
        head.method != Method::Head && self.body != Body::Empty
    }

    /// The value of `Content-Length` for a representation of `len` bytes: what GET would send.
    pub fn content_length(&self, len: u64) -> u64 {
        match &self.body {
            Body::Empty => 0,
            Body::Whole => len,
            Body::Range(range) => range.len,
            Body::Multipart(multipart) => multipart.content_length,
        }
    }
}
