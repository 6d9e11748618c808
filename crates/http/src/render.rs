//! Response heads, byte for byte.
//!
//! `Date` is always the first field, so that a head kept for the next request can be brought up to
//! date in place, see [`date_position`].

mod page;

use std::ops::Range;

pub use page::error_page;

use crate::answer::{Answer, Body, Representation};
use crate::date::format_http_date;
use crate::head::Version;
use crate::negotiate::Coding;
use crate::status::Status;

/// The interim response to `Expect: 100-continue` (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What a response says about the connection and the server, and not about the file.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Now, from [`crate::date::DateLine::at`].
    pub date: &'a [u8; 29],
    /// The value of `Server`, if one is to be sent.
    pub server: Option<&'a str>,
    /// Whether the connection stays open after this response.
    pub keep_alive: bool,
    /// The client's version: HTTP/1.0 must be told that the connection stays open.
    pub version: Version,
}

/// Appends the head of `answer` to `out`, with the empty line that ends it.
///
/// The same for GET and HEAD (RFC 9110 §9.3.2). Does not allocate if `out` has 512 bytes to spare
/// and the names in it are of usual length.
pub fn write_head(
    out: &mut Vec<u8>,
    answer: &Answer,
    representation: &Representation<'_>,
    envelope: &Envelope<'_>,
) {
    out.reserve(512);
    write_start(out, answer.status, envelope);
    match &answer.body {
        Body::Whole => {
            field(out, b"Content-Type: ", representation.content_type);
            write_content_length(out, representation.len);
        }
        Body::Range(range) => {
            field(out, b"Content-Type: ", representation.content_type);
            write_content_length(out, range.len);
            out.extend_from_slice(b"Content-Range: bytes ");
            write_number(out, range.first);
            out.push(b'-');
            write_number(out, range.last());
            out.push(b'/');
            write_number(out, representation.len);
            out.extend_from_slice(b"\r\n");
        }
        Body::Multipart(multipart) => {
            let boundary = format!("multipart/byteranges; boundary={}", multipart.boundary);
            field(out, b"Content-Type: ", &boundary);
            write_content_length(out, multipart.content_length);
        }
        Body::Empty => {
            // A 304 would have to state the length of the 200, which helps nobody (§8.6).
            if answer.status.may_have_body() {
                write_content_length(out, 0);
            }
            if answer.status == Status::RANGE_NOT_SATISFIABLE {
                out.extend_from_slice(b"Content-Range: bytes */");
                write_number(out, representation.len);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    // §15.4.5: what a 200 would have said about validators and caching, a 304 says too.
    if !answer.status.is_error() {
        write_validators(out, representation);
    }
    if answer.status != Status::NOT_MODIFIED {
        out.extend_from_slice(b"Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n");
        if answer.body != Body::Empty && representation.coding != Coding::Identity {
            field(out, b"Content-Encoding: ", representation.coding.token());
        }
    }
    write_end(out, envelope);
}

/// The fields of the head of `answer`, in the order of [`write_head`], for who has another writer: name and value,
/// without `Date`, `Server` and `Connection`, which are that writer's.
///
/// ```
/// # use sendrail_http::{answer::*, negotiate::Coding, render::each_field, status::Status, validator::*};
/// # let representation = Representation {
/// #     len: 11,
/// #     modified_seconds: 784_111_777,
/// #     modified_is_strong: true,
/// #     etag: EntityTag::new(784_111_777, 0, 11, Coding::Identity, Strength::Strong),
/// #     content_type: "text/plain",
/// #     coding: Coding::Identity,
/// #     vary: false,
/// #     cache_control: None,
/// # };
/// let answer = Answer { status: Status::OK, body: Body::Whole };
/// let mut names = Vec::new();
/// each_field(&answer, &representation, |name, _| names.push(name));
/// assert_eq!(names[..3], ["content-type", "content-length", "last-modified"]);
/// ```
pub fn each_field(
    answer: &Answer,
    representation: &Representation<'_>,
    mut each: impl FnMut(&'static str, &str),
) {
    let len = representation.len;
    match &answer.body {
        Body::Whole => {
            each("content-type", representation.content_type);
            each("content-length", &len.to_string());
        }
        Body::Range(range) => {
            each("content-type", representation.content_type);
            each("content-length", &range.len.to_string());
            each("content-range", &format!("bytes {}-{}/{len}", range.first, range.last()));
        }
        Body::Multipart(multipart) => {
            let boundary = multipart.boundary;
            each("content-type", &format!("multipart/byteranges; boundary={boundary}"));
            each("content-length", &multipart.content_length.to_string());
        }
        Body::Empty => {
            if answer.status.may_have_body() {
                each("content-length", "0");
            }
            if answer.status == Status::RANGE_NOT_SATISFIABLE {
                each("content-range", &format!("bytes */{len}"));
            }
        }
    }
    if !answer.status.is_error() {
        let date = format_http_date(representation.modified_seconds);
        each("last-modified", std::str::from_utf8(&date).unwrap_or_default());
        each("etag", representation.etag.as_str());
        if representation.vary {
            each("vary", "Accept-Encoding");
        }
        if let Some(cache_control) = representation.cache_control {
            each("cache-control", cache_control);
        }
    }
    if answer.status != Status::NOT_MODIFIED {
        each("accept-ranges", "bytes");
        each("x-content-type-options", "nosniff");
        if answer.body != Body::Empty && representation.coding != Coding::Identity {
            each("content-encoding", representation.coding.token());
        }
    }
}

/// Appends the head of an answer that is not a file: errors, redirects, listings, OPTIONS.
///
/// `body_len` bytes must follow, except for HEAD. Of `extra` each pair is a field name, which must
/// be a token, and a value; a control in a value (an attempt at response splitting) becomes a
/// space.
///
/// ```
/// use sendrail_http::date::format_http_date;
/// use sendrail_http::head::Version;
/// use sendrail_http::render::{Envelope, write_simple};
/// use sendrail_http::status::Status;
///
/// let date = format_http_date(0);
/// let envelope = Envelope { date: &date, server: None, keep_alive: false, version: Version::Http11 };
/// let mut out = Vec::new();
/// write_simple(&mut out, Status::MOVED_PERMANENTLY, None, 0, &[("Location", "/a/")], &envelope);
/// assert_eq!(
///     String::from_utf8(out).unwrap(),
///     "HTTP/1.1 301 Moved Permanently\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
///      Content-Length: 0\r\nLocation: /a/\r\nX-Content-Type-Options: nosniff\r\n\
///      Connection: close\r\n\r\n"
/// );
/// ```
pub fn write_simple(
    out: &mut Vec<u8>,
    status: Status,
    content_type: Option<&str>,
    body_len: u64,
    extra: &[(&str, &str)],
    envelope: &Envelope<'_>,
) {
    out.reserve(512);
    write_start(out, status, envelope);
    if let Some(content_type) = content_type {
        field(out, b"Content-Type: ", content_type);
    }
    if status.may_have_body() {
        write_content_length(out, body_len);
    }
    for (name, value) in extra {
        out.extend_from_slice(name.as_bytes());
        field(out, b": ", value);
    }
    out.extend_from_slice(b"X-Content-Type-Options: nosniff\r\n");
    write_end(out, envelope);
}

/// Where the 29 bytes of the date stand in a head written by this module.
///
/// ```
/// # use sendrail_http::{date::format_http_date, head::Version, render::*, status::Status};
/// # let date = format_http_date(0);
/// # let envelope = Envelope { date: &date, server: None, keep_alive: true, version: Version::Http11 };
/// # let mut head = Vec::new();
/// # write_simple(&mut head, Status::NOT_FOUND, None, 0, &[], &envelope);
/// let date = date_position(&head);
/// head[date].copy_from_slice(&format_http_date(784_111_777));
/// assert!(head.starts_with(b"HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
/// ```
#[inline]
pub fn date_position(head: &[u8]) -> Range<usize> {
    let line_end = memchr::memchr(b'\n', head).expect("a response head begins with a status line");
    let start = line_end + 1 + b"Date: ".len();
    start..start + 29
}

#[inline]
pub(crate) fn write_start(out: &mut Vec<u8>, status: Status, envelope: &Envelope<'_>) {
    out.extend_from_slice(status.line());
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(envelope.date);
    out.extend_from_slice(b"\r\n");
    if let Some(server) = envelope.server {
        field(out, b"Server: ", server);
    }
}

fn write_validators(out: &mut Vec<u8>, representation: &Representation<'_>) {
    out.extend_from_slice(b"Last-Modified: ");
    out.extend_from_slice(&format_http_date(representation.modified_seconds));
    out.extend_from_slice(b"\r\nETag: ");
    representation.etag.write_to(out);
    out.extend_from_slice(b"\r\n");
    if representation.vary {
        out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
    }
    if let Some(cache_control) = representation.cache_control {
        field(out, b"Cache-Control: ", cache_control);
    }
}

#[inline]
pub(crate) fn write_end(out: &mut Vec<u8>, envelope: &Envelope<'_>) {
    out.extend_from_slice(match (envelope.keep_alive, envelope.version) {
        (false, _) => b"Connection: close\r\n\r\n",
        (true, Version::Http10) => b"Connection: keep-alive\r\n\r\n",
        (true, Version::Http11) => b"\r\n",
    });
}

#[inline]
pub(crate) fn write_content_length(out: &mut Vec<u8>, len: u64) {
    out.extend_from_slice(b"Content-Length: ");
    write_number(out, len);
    out.extend_from_slice(b"\r\n");
}

#[inline]
pub(crate) fn write_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A field whose value may come from outside. RFC 9110 §5.5: controls have no place in a value.
#[inline]
pub(crate) fn field(out: &mut Vec<u8>, name: &[u8], value: &str) {
    out.extend_from_slice(name);
    let start = out.len();
    out.extend_from_slice(value.as_bytes());
    for byte in &mut out[start..] {
        if byte.is_ascii_control() {
            *byte = b' ';
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The two writers of a head say the same.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::multipart::Multipart;
    use crate::range::ByteRange;
    use crate::validator::{EntityTag, Strength};

    #[test]
    fn fields_are_those_of_the_head() {
        let ranges = [ByteRange { first: 0, len: 1 }, ByteRange { first: 7, len: 2 }];
        let bodies = [
            (Status::OK, Body::Whole),
            (Status::PARTIAL_CONTENT, Body::Range(ranges[1])),
            (Status::PARTIAL_CONTENT, Body::Multipart(Multipart::new(&ranges, "text/css", 11, 5))),
            (Status::NOT_MODIFIED, Body::Empty),
            (Status::PRECONDITION_FAILED, Body::Empty),
            (Status::RANGE_NOT_SATISFIABLE, Body::Empty),
        ];
        for (coding, vary, cache_control) in
            [(Coding::Identity, false, None), (Coding::Gzip, true, Some("max-age=1"))]
        {
            let representation = Representation {
                len: 11,
                modified_seconds: 784_111_777,
                modified_is_strong: true,
                etag: EntityTag::new(784_111_777, 0, 11, coding, Strength::Strong),
                content_type: "text/css",
                coding,
                vary,
                cache_control,
            };
            for (status, body) in bodies.clone() {
                let answer = Answer { status, body };
                let mut fields = String::new();
                each_field(&answer, &representation, |name, value| {
                    fields += &[name, ": ", value, "\n"].concat();
                });
                let date = format_http_date(0);
                let (keep_alive, version) = (true, Version::Http11);
                let envelope = Envelope { date: &date, server: None, keep_alive, version };
                let mut head = Vec::new();
                write_head(&mut head, &answer, &representation, &envelope);
                let head = String::from_utf8(head).expect("text");
                let expected: String = head
                    .lines()
                    .skip(2) // the status, and the date
                    .filter_map(|line| line.split_once(": "))
                    .map(|(name, value)| [&name.to_lowercase(), ": ", value, "\n"].concat())
                    .collect();
                assert_eq!(fields, expected);
            }
        }
    }
}
