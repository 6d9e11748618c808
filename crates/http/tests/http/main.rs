//! The meaning of HTTP held against the RFCs' own examples, against attacks, and against random
//! input. One binary, one module per room of the crate.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod answer;
mod body;
mod conditional;
mod date;
mod head;
mod head_properties;
mod live;
mod multipart;
mod negotiate;
mod range;
mod redirect;
mod render;
mod smuggling;
mod target;
mod upload;
mod upload_names;
mod upload_properties;
mod validator;

use sendrail_http::answer::Representation;
use sendrail_http::head::{Head, HeadLimits, Parsed, parse};
use sendrail_http::negotiate::Coding;
use sendrail_http::validator::{EntityTag, Strength};

/// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples.
const EXAMPLE: i64 = 784_111_777;

/// A head that must be complete, and all there is.
fn complete(wire: &[u8]) -> Head<'_> {
    match parse(wire, &HeadLimits::default()) {
        Ok(Parsed::Complete { head, consumed }) => {
            assert_eq!(consumed, wire.len());
            head
        }
        other => panic!("{other:?} for {:?}", String::from_utf8_lossy(wire)),
    }
}

/// The status that `wire` is refused with.
fn refused(wire: &[u8]) -> u16 {
    match parse(wire, &HeadLimits::default()) {
        Err(refusal) => refusal.status.code(),
        other => panic!("{other:?} for {:?}", String::from_utf8_lossy(wire)),
    }
}

/// A GET with the given field lines, each ended by CRLF.
fn get_with(fields: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
}

/// A plain text file of 10,000 bytes, last modified at [`EXAMPLE`], long ago.
fn example_file() -> Representation<'static> {
    Representation {
        len: 10_000,
        modified_seconds: EXAMPLE,
        modified_is_strong: true,
        etag: EntityTag::new(EXAMPLE, 0x2a, 10_000, Coding::Identity, Strength::Strong),
        content_type: "text/plain; charset=utf-8",
        coding: Coding::Identity,
        vary: false,
        cache_control: None,
    }
}
