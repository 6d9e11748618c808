//! The protocol: requests and answers over a stream. Big-endian, and pure: no I/O in here.
//!
//! A request is a `u32`, the length of what follows; a `u8`, its kind; and
//!
//! | kind | | what follows | answer |
//! |---|---|---|---|
//! | 1 | FETCH | `u64` offset, `u32` most bytes, `u32` longest wait in ms | `u64` first, `u64` next, `u64` end, records |
//! | 2 | APPEND | for each record `u32` length, payload | `u64` first, `u64` next |
//! | 3 | INFO | nothing | `u64` start, `u64` end |
//!
//! An answer is a `u32`, the length of what follows; a `u8`, its status; and what stands above (0), or `u64` start, `u64` end of a log that does
//! not have the offset (1), or a text that says why not (2). Requests may be sent before earlier ones are answered; answers keep their order.
//! Records are as in the segment ([`records`](crate::records)). Whatever is malformed or too long is answered by status 2, and the
//! connection is closed.

use crate::{error::OutOfRange, writer::Appended};

/// Status: done.
pub const OK: u8 = 0;
/// Status: the log does not have the offset.
pub const OUT_OF_RANGE: u8 = 1;
/// Status: refused; a text says why.
pub const REFUSED: u8 = 2;

const FETCH: u8 = 1;
const APPEND: u8 = 2;
const INFO: u8 = 3;

/// Bytes of a FETCH behind its length.
const FETCH_LEN: usize = 17;

/// Bytes of an answer to FETCH before the records.
pub const FETCHED_HEAD: usize = 29;

/// What a consumer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch {
    /// From which record on.
    pub offset: u64,
    /// About so many bytes: see [`Log::fetch`](crate::Log::fetch).
    pub max_bytes: u32,
    /// How long to wait at the end of the log, in milliseconds; then the answer has no records.
    pub max_wait_ms: u32,
}

/// A request, in the bytes that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// Records are wanted.
    Fetch(Fetch),
    /// Records are to be appended.
    Append(Payloads<'a>),
    /// The bounds of the log are wanted.
    Info,
}

/// What stands at the beginning of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A request, and how many bytes it takes.
    Request(Request<'a>, usize),
    /// The beginning of one of so many bytes; 4 as long as that is not known.
    Begun(usize),
    /// Nothing that can be answered, and why.
    Malformed(&'static str),
}

/// What stands at the beginning of `bytes`, if no request is longer than `most`.
///
/// ```
/// use sendrail_segment_log::wire::{Fetch, Parsed, Request, encode_fetch, parse};
/// let fetch = Fetch { offset: 7, max_bytes: 4096, max_wait_ms: 500 };
/// let bytes = encode_fetch(fetch);
/// assert_eq!(parse(&bytes, 1 << 20), Parsed::Request(Request::Fetch(fetch), 21));
/// assert_eq!(parse(&bytes[..9], 1 << 20), Parsed::Begun(21));
/// ```
pub fn parse(bytes: &[u8], most: usize) -> Parsed<'_> {
    let Some((len, rest)) = bytes.split_first_chunk() else { return Parsed::Begun(4) };
    let len = u32::from_be_bytes(*len) as usize;
    if len == 0 {
        return Parsed::Malformed("a request without a kind");
    }
    if len > most {
        return Parsed::Malformed("the request is longer than is allowed here");
    }
    // What cannot become good is not waited for.
    let expected = match rest.first() {
        None | Some(&APPEND) => len,
        Some(&FETCH) => FETCH_LEN,
        Some(&INFO) => 1,
        Some(_) => return Parsed::Malformed("there is no request of this kind"),
    };
    if len != expected {
        return Parsed::Malformed("the request has not the length of its kind");
    }
    let Some(body) = rest.get(1..len) else { return Parsed::Begun(4 + len) };
    let request = match rest[0] {
        FETCH => Request::Fetch(Fetch {
            offset: u64_at(body, 0),
            max_bytes: u32_at(body, 8),
            max_wait_ms: u32_at(body, 12),
        }),
        INFO => Request::Info,
        _ => match Payloads::checked(body) {
            Some(payloads) => Request::Append(payloads),
            None => return Parsed::Malformed("the records do not end where the request does"),
        },
    };
    Parsed::Request(request, 4 + len)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |word| u64::from_be_bytes(*word))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |word| u32::from_be_bytes(*word))
}

/// The payloads of an APPEND, each with its length before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payloads<'a>(&'a [u8]);

impl<'a> Payloads<'a> {
    /// `None` if the last one is cut short.
    pub(crate) fn checked(body: &'a [u8]) -> Option<Self> {
        let mut rest = body;
        while !rest.is_empty() {
            let (len, behind) = rest.split_first_chunk()?;
            rest = behind.get(u32::from_be_bytes(*len) as usize..)?;
        }
        Some(Self(body))
    }

    /// As they came.
    #[cfg(feature = "tokio")]
    pub(crate) fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Iterator for Payloads<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, behind) = self.0.split_first_chunk()?;
        let (payload, rest) = behind.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        self.0 = rest;
        Some(payload)
    }
}

/// A FETCH.
pub fn encode_fetch(fetch: Fetch) -> [u8; 4 + FETCH_LEN] {
    let mut bytes = [0; 4 + FETCH_LEN];
    bytes[..4].copy_from_slice(&(FETCH_LEN as u32).to_be_bytes());
    bytes[4] = FETCH;
    bytes[5..13].copy_from_slice(&fetch.offset.to_be_bytes());
    bytes[13..17].copy_from_slice(&fetch.max_bytes.to_be_bytes());
    bytes[17..].copy_from_slice(&fetch.max_wait_ms.to_be_bytes());
    bytes
}

/// An APPEND, behind what is in `request`. `None`, and nothing is added, if it is longer than a length of 32 bits can say.
pub fn encode_append<'a>(
    payloads: impl IntoIterator<Item = &'a [u8]>,
    request: &mut Vec<u8>,
) -> Option<()> {
    let begins = request.len();
    request.extend_from_slice(&[0, 0, 0, 0, APPEND]);
    for payload in payloads {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        request.extend_from_slice(&len.to_be_bytes());
        request.extend_from_slice(payload);
    }
    let Ok(len) = u32::try_from(request.len() - begins - 4) else {
        request.truncate(begins);
        return None;
    };
    request[begins..begins + 4].copy_from_slice(&len.to_be_bytes());
    Some(())
}

/// An INFO.
pub const INFO_REQUEST: [u8; 5] = [0, 0, 0, 1, INFO];

/// What comes before the records.
#[cfg(feature = "tokio")]
pub(crate) fn answer_fetched(span: &crate::view::Span, answer: &mut Vec<u8>) {
    answer.extend_from_slice(&((FETCHED_HEAD - 4) as u32 + span.len as u32).to_be_bytes());
    answer.push(OK);
    for number in [span.first, span.next, span.end] {
        answer.extend_from_slice(&number.to_be_bytes());
    }
}

#[cfg(feature = "tokio")]
fn answer_two(status: u8, numbers: [u64; 2], answer: &mut Vec<u8>) {
    answer.extend_from_slice(&17_u32.to_be_bytes());
    answer.push(status);
    for number in numbers {
        answer.extend_from_slice(&number.to_be_bytes());
    }
}

#[cfg(feature = "tokio")]
pub(crate) fn answer_appended(appended: Appended, answer: &mut Vec<u8>) {
    answer_two(OK, [appended.first, appended.next], answer);
}

#[cfg(feature = "tokio")]
pub(crate) fn answer_info(start: u64, end: u64, answer: &mut Vec<u8>) {
    answer_two(OK, [start, end], answer);
}

#[cfg(feature = "tokio")]
pub(crate) fn answer_out_of_range(bounds: OutOfRange, answer: &mut Vec<u8>) {
    answer_two(OUT_OF_RANGE, [bounds.start, bounds.end], answer);
}

#[cfg(feature = "tokio")]
pub(crate) fn answer_refused(why: &str, answer: &mut Vec<u8>) {
    answer.extend_from_slice(&(1 + why.len() as u32).to_be_bytes());
    answer.push(REFUSED);
    answer.extend_from_slice(why.as_bytes());
}

/// An answer without its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    Ok(&'a [u8]),
    OutOfRange(OutOfRange),
    Refused(String),
}

/// `None` if it is none.
pub(crate) fn parse_answer(answer: &[u8]) -> Option<Answer<'_>> {
    let (status, body) = answer.split_first()?;
    match *status {
        OK => Some(Answer::Ok(body)),
        OUT_OF_RANGE if body.len() == 16 => {
            let (start, end) = (u64_at(body, 0), u64_at(body, 8));
            Some(Answer::OutOfRange(OutOfRange { start, end }))
        }
        REFUSED => Some(Answer::Refused(String::from_utf8_lossy(body).into_owned())),
        _ => None,
    }
}

/// Both numbers of an answer that has two.
pub(crate) fn two(body: &[u8]) -> Option<(u64, u64)> {
    (body.len() == 16).then(|| (u64_at(body, 0), u64_at(body, 8)))
}

/// What stands before the records, and they.
pub(crate) fn fetched(body: &[u8]) -> Option<([u64; 3], &[u8])> {
    let (numbers, records) = body.split_at_checked(24)?;
    Some(([u64_at(numbers, 0), u64_at(numbers, 8), u64_at(numbers, 16)], records))
}

/// The answer to an APPEND.
pub(crate) fn appended(body: &[u8]) -> Option<Appended> {
    two(body).map(|(first, next)| Appended { first, next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_malformed_is_known_as_soon_as_it_shows() {
        for (bytes, malformed) in [
            (&[0, 0, 0, 0][..], true),
            (&[0, 0, 0, 1, 9], true),
            (&[0, 0, 0, 2, 3], true),
            (&[0, 0, 0, 16, 1], true),
            (&[0, 0, 0, 18, 1], true),
            (&[255, 255, 255, 255], true),
            (&[0, 0, 0, 5, 2, 0, 0, 0, 1], true),
            (&[0, 0, 0, 4, 2, 0, 0, 0], true),
            (&[0, 0, 0, 17, 1], false),
            (&[0, 0, 0, 17], false),
            (&[0, 0, 1], false),
        ] {
            let parsed = parse(bytes, 1000);
            assert_eq!(matches!(parsed, Parsed::Malformed(_)), malformed, "{bytes:?}: {parsed:?}");
        }
        assert_eq!(parse(&INFO_REQUEST, 1000), Parsed::Request(Request::Info, 5));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_parsed_however_it_is_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut request = Vec::new();
            encode_append(payloads.iter().map(Vec::as_slice), &mut request);
            let whole = request.len();
            let cut = cut.index(whole);
            let known = if cut < 4 { 4 } else { whole };
            prop_assert_eq!(parse(&request[..cut], 1000), Parsed::Begun(known));
            request.extend_from_slice(b"the next");
            let Parsed::Request(Request::Append(got), len) = parse(&request, 1000) else {
                panic!("it is an append");
            };
            prop_assert_eq!(len, whole);
            prop_assert!(got.eq(payloads.iter().map(Vec::as_slice)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            parse(&bytes, 1 << 20);
            parse_answer(&bytes);
            let _ = (two(&bytes), fetched(&bytes));
        }
    }
}
