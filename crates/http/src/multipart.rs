//! `multipart/byteranges`: several pieces of a file in one answer (RFC 9110 §14.6).

use std::fmt;

use crate::range::ByteRange;

/// The pieces of a multipart answer, ready to be sent as a chain: for each part its head, then
/// that range of the file; at the end the closing delimiter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipart {
    /// The parts, in the order asked for.
    pub parts: Vec<Part>,
    /// Goes after the last part.
    pub closing: Vec<u8>,
    /// The delimiter, to be named in `Content-Type`.
    pub boundary: Boundary,
    /// Bytes of everything together.
    pub content_length: u64,
}

/// One piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Delimiter, fields and empty line: goes before the bytes.
    pub head: Vec<u8>,
    /// The bytes of the file.
    pub range: ByteRange,
}

/// A delimiter that does not occur in the file: 128 random bits in hex, which no file contains
/// that was written before they were drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundary(u128);

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Multipart {
    /// The parts for `ranges` of a file of `len` bytes and the given `Content-Type`; `boundary` is
    /// random, drawn by the caller.
    ///
    /// ```
    /// use sendrail_http::multipart::Multipart;
    /// use sendrail_http::range::ByteRange;
    /// let ranges = [ByteRange { first: 0, len: 1 }, ByteRange { first: 99, len: 1 }];
    /// let multipart = Multipart::new(&ranges, "text/plain", 100, 0xb0);
    /// let head = String::from_utf8(multipart.parts[1].head.clone()).unwrap();
    /// assert_eq!(
    ///     head,
    ///     "\r\n--000000000000000000000000000000b0\r\n\
    ///      Content-Type: text/plain\r\nContent-Range: bytes 99-99/100\r\n\r\n"
    /// );
    /// ```
    pub fn new(ranges: &[ByteRange], content_type: &str, len: u64, boundary: u128) -> Self {
        let boundary = Boundary(boundary);
        let parts: Vec<Part> = ranges
            .iter()
            .enumerate()
            .map(|(i, &range)| Part {
                head: format!(
                    "{before}--{boundary}\r\nContent-Type: {content_type}\r\n\
                     Content-Range: bytes {first}-{last}/{len}\r\n\r\n",
                    before = if i == 0 { "" } else { "\r\n" },
                    first = range.first,
                    last = range.last(),
                )
                .into_bytes(),
                range,
            })
            .collect();
        let closing = format!("\r\n--{boundary}--\r\n").into_bytes();
        let content_length =
            parts.iter().map(|part| part.head.len() as u64 + part.range.len).sum::<u64>()
                + closing.len() as u64;
        Self { parts, closing, boundary, content_length }
    }
}
