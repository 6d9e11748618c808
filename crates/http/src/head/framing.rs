//! Where a request body ends: the rules of RFC 9112 §6, read so that no doubt survives.

use super::{Framing, Refusal, Version};
use crate::number::{NotDecimal, decimal};
use crate::status::Status;

/// The two fields that decide, as they are met.
#[derive(Default)]
pub(super) struct FramingFields<'a> {
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
}

impl<'a> FramingFields<'a> {
    /// Even a repetition of the same number is refused: RFC 9112 §6.3 allows to accept it, but the
    /// only senders seen to do it are trying what a proxy in front of us makes of it.
    pub(super) fn content_length(&mut self, value: &'a [u8]) -> Result<(), Refusal> {
        match self.content_length.replace(value) {
            None => Ok(()),
            Some(_) => Err(Refusal::bad("more than one Content-Length")),
        }
    }

    pub(super) fn transfer_encoding(&mut self, value: &'a [u8]) -> Result<(), Refusal> {
        match self.transfer_encoding.replace(value) {
            None => Ok(()),
            Some(_) => Err(Refusal::bad("more than one Transfer-Encoding")),
        }
    }

    pub(super) fn decide(&self, version: Version) -> Result<Framing, Refusal> {
        match (self.transfer_encoding, self.content_length) {
            (None, None) => Ok(Framing::None),
            (None, Some(digits)) => match decimal(digits) {
                Ok(0) => Ok(Framing::None),
                Ok(length) => Ok(Framing::Length(length)),
                Err(NotDecimal::Syntax) => Err(Refusal::bad("Content-Length is not a number")),
                Err(NotDecimal::Overflow) => Err(Refusal::bad("Content-Length is out of range")),
            },
            (Some(_), Some(_)) => {
                Err(Refusal::bad("both Transfer-Encoding and Content-Length are given"))
            }
            // RFC 9112 §6.1: faulty framing, even if the codings themselves could be read.
            (Some(_), None) if version == Version::Http10 => {
                Err(Refusal::bad("Transfer-Encoding in HTTP/1.0"))
            }
            (Some(codings), None) => transfer_codings(codings),
        }
    }
}

fn transfer_codings(value: &[u8]) -> Result<Framing, Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let mut chunked = false;
    let mut other = None;
    for coding in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        // RFC 9112 §6.3 case 4: with chunked anywhere but last, the length cannot be known.
        if chunked {
            return Err(Refusal::bad("chunked is not the last transfer coding"));
        }
        if coding.is_empty() || !coding.iter().all(|&byte| is_token_byte(byte)) {
            return Err(Refusal::bad("Transfer-Encoding is malformed"));
        }
        chunked = coding.eq_ignore_ascii_case(b"chunked");
        if !chunked {
            other = Some(coding);
        }
    }
    match other {
        // The same case: a registered coding that is last leaves the length unknown …
        Some(coding) if !chunked && is_registered(coding) => {
            Err(Refusal::bad("the last transfer coding is not chunked"))
        }
        // … and §6.1: a coding that is not understood here is 501.
        Some(_) => Err(Refusal::new(
            Status::NOT_IMPLEMENTED,
            "no transfer coding but chunked is understood here",
        )),
        None => Ok(Framing::Chunked),
    }
}

fn is_registered(coding: &[u8]) -> bool {
    [&b"gzip"[..], b"x-gzip", b"deflate", b"compress", b"x-compress", b"identity"]
        .iter()
        .any(|known| coding.eq_ignore_ascii_case(known))
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
