//! Bytes into a [`Head`]: httparse cuts the lines, one pass over its fields gives them meaning.

use std::mem::MaybeUninit;

use httparse::{Header, Request, Status as Progress};

use super::framing::FramingFields;
use super::{FieldLines, Fields, Head, HeadLimits, Method, Parsed, Refusal, Version};
use crate::authority::is_host_and_port;
use crate::prefer::{Wait, wait};
use crate::status::Status;

/// The most fields a head may have, whatever [`HeadLimits::fields`] says: their slots are on the
/// stack.
pub const MAX_FIELDS: usize = 100;

/// Empty lines tolerated before the request line. RFC 9112 §2.2 asks for one, from clients of old
/// that sent an extra line end after a POST.
const MAX_EMPTY_LINES: usize = 4;

/// Parses one request head from the front of `bytes`.
///
/// Does not allocate. Give it everything received since the end of the last request; while it says
/// [`Parsed::Partial`], read more and call again with the longer buffer ([`worth_parsing`] says
/// when that can make a difference). A [`Refusal`] is final: answer it and close the connection.
///
/// ```
/// use sendrail_http::head::{HeadLimits, Method, Parsed, parse};
///
/// let limits = HeadLimits::default();
/// let wire = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next";
/// assert_eq!(parse(&wire[..20], &limits), Ok(Parsed::Partial));
/// let Ok(Parsed::Complete { head, consumed }) = parse(wire, &limits) else { panic!() };
/// assert_eq!((head.method, head.target, consumed), (Method::Get, &b"/"[..], 27));
/// assert!(head.keep_alive);
///
/// let smuggled = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
/// assert_eq!(parse(smuggled, &limits).unwrap_err().status.code(), 400);
/// ```
pub fn parse<'a>(bytes: &'a [u8], limits: &HeadLimits) -> Result<Parsed<'a>, Refusal> {
    // What lies beyond the limit cannot belong to a head that is accepted.
    let window = &bytes[..bytes.len().min(limits.bytes)];
    let start = skip_empty_lines(window)?;
    let message = &window[start..];

    let mut slots = [const { MaybeUninit::<Header<'a>>::uninit() }; MAX_FIELDS];
    let slots = &mut slots[..limits.fields.min(MAX_FIELDS)];
    let mut request = Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(message, slots) {
        Ok(Progress::Complete(length)) => length,
        Ok(Progress::Partial) if window.len() < limits.bytes => return Ok(Parsed::Partial),
        Ok(Progress::Partial) => return Err(too_long(message)),
        Err(error) => return Err(refusal(error, message)),
    };
    if !has_only_crlf(&message[..length]) {
        return Err(Refusal::bad("a carriage return or line feed stands alone"));
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        unreachable!("httparse sets all three before it says that a head is complete")
    };
    if target.len() > limits.target {
        return Err(Refusal::new(Status::URI_TOO_LONG, "the request target is too long"));
    }
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let mut gathered = Gathered::default();
    for field in request.headers.iter() {
        gathered.add(field.name.as_bytes(), field.value)?;
    }
    let head =
        gathered.finish(Method::new(method), target.as_bytes(), version, &message[..length])?;
    Ok(Parsed::Complete { head, consumed: start + length })
}

/// Whether bytes that arrived after a [`Parsed::Partial`] can change that verdict: `bytes` is the
/// buffer now, `seen` how much of it was parsed before.
///
/// Without it a client that sends one byte at a time makes the parser read its head 16,000 times
/// over. A head can only become complete with a line end, or be refused for its length.
///
/// ```
/// use sendrail_http::head::{HeadLimits, worth_parsing};
/// let limits = HeadLimits::default();
/// assert!(!worth_parsing(b"GET / HTTP/1.1\r\nHos", 16, &limits));
/// assert!(worth_parsing(b"GET / HTTP/1.1\r\nHost: a\r\n", 16, &limits));
/// ```
pub fn worth_parsing(bytes: &[u8], seen: usize, limits: &HeadLimits) -> bool {
    bytes.len() >= limits.bytes || memchr::memchr(b'\n', &bytes[seen.min(bytes.len())..]).is_some()
}

fn skip_empty_lines(bytes: &[u8]) -> Result<usize, Refusal> {
    let mut start = 0;
    while bytes[start..].starts_with(b"\r\n") {
        start += 2;
        if start > 2 * MAX_EMPTY_LINES {
            return Err(Refusal::bad("too many empty lines before the request line"));
        }
    }
    match bytes[start..] {
        // httparse would skip this one.
        [b'\n', ..] => Err(Refusal::bad("a line feed stands alone")),
        _ => Ok(start),
    }
}

/// RFC 9112 §2.2 lets a server take a bare LF for a line end, which httparse does; a proxy that
/// does not then sees another request. Two XORed comparisons per byte, which LLVM vectorises.
fn has_only_crlf(head: &[u8]) -> bool {
    let pairs = head.iter().zip(&head[1..]);
    pairs.fold(0, |odd, (&byte, &next)| odd | (u8::from(byte == b'\r') ^ u8::from(next == b'\n')))
        == 0
}

fn too_long(message: &[u8]) -> Refusal {
    if memchr::memchr(b'\n', message).is_none() {
        Refusal::new(Status::URI_TOO_LONG, "the request line is too long")
    } else {
        Refusal::new(
            Status::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request head is larger than allowed",
        )
    }
}

#[cold]
fn refusal(error: httparse::Error, message: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => {
            Refusal::new(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, "too many header fields")
        }
        httparse::Error::Version => {
            // The third word tells another version of HTTP from noise.
            let version = message.split(|&byte| byte == b' ').nth(2).unwrap_or_default();
            if version.starts_with(b"HTTP/") && version.get(5).is_some_and(u8::is_ascii_digit) {
                Refusal::new(Status::HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.0 and 1.1 are spoken")
            } else {
                Refusal::bad("the request line does not end in an HTTP version")
            }
        }
        httparse::Error::HeaderName => {
            Refusal::bad("a header field name is malformed, or a line is folded")
        }
        httparse::Error::HeaderValue => Refusal::bad("a header field value is malformed"),
        httparse::Error::NewLine => Refusal::bad("a line end is malformed"),
        httparse::Error::Token | httparse::Error::Status => {
            Refusal::bad("the request line is malformed")
        }
    }
}

/// Bits of [`Gathered::repeated`].
const RANGE: u8 = 1;
const IF_RANGE: u8 = 2;
const IF_MODIFIED_SINCE: u8 = 4;
const IF_UNMODIFIED_SINCE: u8 = 8;
/// `Prefer: wait` has stood once, and of several the first counts.
const WAIT: u8 = 16;

/// The fields while they come in.
#[derive(Default)]
struct Gathered<'a> {
    fields: Fields<'a>,
    framing: FramingFields<'a>,
    /// Which of the fields that must stand once stood again.
    repeated: u8,
    close: bool,
    keep_alive: bool,
    expect_continue: bool,
}

impl<'a> Gathered<'a> {
    /// Almost every field is decided by the length of its name alone.
    #[inline]
    fn add(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Refusal> {
        let fields = &mut self.fields;
        match name.len() {
            4 if is(name, b"host") => {
                let before = fields.host.replace(value);
                return before.map_or(Ok(()), |_| Err(Refusal::bad("more than one Host")));
            }
            5 if is(name, b"range") => once(&mut fields.range, value, &mut self.repeated, RANGE),
            6 if is(name, b"accept") => return list(&mut fields.accept, value),
            6 if is(name, b"expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refusal::new(
                        Status::EXPECTATION_FAILED,
                        "the only expectation met here is 100-continue",
                    ));
                }
                self.expect_continue = true;
            }
            6 if is(name, b"prefer") => self.prefer(value),
            7 if is(name, b"referer") => first(&mut fields.referer, value),
            8 if is(name, b"if-match") => return list(&mut fields.if_match, value),
            8 if is(name, b"if-range") => {
                once(&mut fields.if_range, value, &mut self.repeated, IF_RANGE);
            }
            10 if is(name, b"user-agent") => first(&mut fields.user_agent, value),
            10 if is(name, b"connection") => self.connection(value),
            13 if is(name, b"if-none-match") => return list(&mut fields.if_none_match, value),
            14 if is(name, b"content-length") => return self.framing.content_length(value),
            15 if is(name, b"accept-encoding") => return list(&mut fields.accept_encoding, value),
            17 if is(name, b"transfer-encoding") => return self.framing.transfer_encoding(value),
            17 if is(name, b"if-modified-since") => {
                once(&mut fields.if_modified_since, value, &mut self.repeated, IF_MODIFIED_SINCE);
            }
            19 if is(name, b"if-unmodified-since") => {
                let slot = &mut fields.if_unmodified_since;
                once(slot, value, &mut self.repeated, IF_UNMODIFIED_SINCE);
            }
            _ => {}
        }
        Ok(())
    }

    #[cold]
    fn prefer(&mut self, value: &[u8]) {
        if self.repeated & WAIT != 0 {
            return;
        }
        let said = wait(value);
        self.repeated |= if said == Wait::Unsaid { 0 } else { WAIT };
        if let Wait::Seconds(seconds) = said {
            self.fields.wait = Some(seconds);
        }
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn finish(
        mut self,
        method: Method<'a>,
        target: &'a [u8],
        version: Version,
        raw: &'a [u8],
    ) -> Result<Head<'a>, Refusal> {
        let framing = self.framing.decide(version)?;
        match self.fields.host {
            Some(host) if !is_host_and_port(host) => {
                return Err(Refusal::bad("Host is not a host and a port"));
            }
            None if version == Version::Http11 => return Err(Refusal::bad("Host is missing")),
            _ => {}
        }
        let fields = &mut self.fields;
        fields.conditional_or_range = fields.range.is_some()
            || fields.if_range.is_some()
            || fields.if_modified_since.is_some()
            || fields.if_unmodified_since.is_some()
            || !fields.if_match.is_empty()
            || !fields.if_none_match.is_empty();
        if self.repeated != 0 {
            drop_repeated(fields, self.repeated);
        }
        let http11 = version == Version::Http11;
        Ok(Head {
            method,
            target,
            version,
            framing,
            keep_alive: !self.close && (http11 || self.keep_alive),
            // RFC 9110 §10.1.1: from an HTTP/1.0 client the expectation must be ignored.
            expect_continue: self.expect_continue && http11,
            fields: self.fields,
            raw,
        })
    }
}

#[cold]
fn drop_repeated(fields: &mut Fields<'_>, repeated: u8) {
    if repeated & (RANGE | IF_RANGE) != 0 {
        fields.range = None;
        fields.if_range = None;
    }
    if repeated & IF_MODIFIED_SINCE != 0 {
        fields.if_modified_since = None;
    }
    if repeated & IF_UNMODIFIED_SINCE != 0 {
        fields.if_unmodified_since = None;
    }
}

#[inline]
fn once<'a>(slot: &mut Option<&'a [u8]>, value: &'a [u8], repeated: &mut u8, bit: u8) {
    if slot.replace(value).is_some() {
        *repeated |= bit;
    }
}

#[inline]
fn first<'a>(slot: &mut Option<&'a [u8]>, value: &'a [u8]) {
    slot.get_or_insert(value);
}

#[inline]
fn list<'a>(lines: &mut FieldLines<'a>, value: &'a [u8]) -> Result<(), Refusal> {
    if lines.push(value) {
        Ok(())
    } else {
        Err(Refusal::new(
            Status::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "one field is spread over too many lines",
        ))
    }
}

/// Compares a field name with a lower-case one of the same length, without a branch per byte.
///
/// Setting the bit of lower case is exact here: httparse has let through only `tchar`, and no
/// `tchar` but the upper-case letter becomes a letter or a hyphen by it.
#[inline]
fn is<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    <&[u8; N]>::try_from(name).is_ok_and(|name| {
        name.iter().zip(lower).fold(0, |odd, (byte, lower)| odd | ((byte | 0x20) ^ lower)) == 0
    })
}
