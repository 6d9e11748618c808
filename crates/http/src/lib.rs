//! The meaning of HTTP, without I/O: heads, targets, conditionals, ranges, negotiation, answers.
//!
//! Everything here is a function of plain values: no socket, no file, no clock. The way of a
//! request through this crate is
//!
//! 1. [`head::parse`] — bytes from the wire into a [`head::Head`], or a [`head::Refusal`] that
//!    closes the connection, since a request whose framing is in doubt can smuggle another one;
//! 2. [`body::Drain`] — throws away a request body, within a bound;
//! 3. [`target::resolve`] — the request target into a decoded path that cannot climb;
//! 4. [`negotiate::choose_coding`] — which stored variant of the file to send;
//! 5. [`answer::answer`] — conditionals and ranges against what was found;
//! 6. [`render::write_head`] — the response head, byte for byte.
//!
//! Requests that bring a file go through [`upload`].
//! [`live`] is the same for files that grow while they are read.
//!
//! ```
//! use sendrail_http::answer::{Body, Representation, answer};
//! use sendrail_http::date::DateLine;
//! use sendrail_http::head::{self, HeadLimits, Parsed};
//! use sendrail_http::negotiate::Coding;
//! use sendrail_http::render::{Envelope, write_head};
//! use sendrail_http::target::{Target, resolve};
//! use sendrail_http::validator::{EntityTag, Strength};
//!
//! let wire = b"GET /a%20b.txt HTTP/1.1\r\nHost: example.com\r\nRange: bytes=0-4\r\n\r\n";
//! let Ok(Parsed::Complete { head, consumed }) = head::parse(wire, &HeadLimits::default()) else {
//!     panic!("a complete and valid head")
//! };
//! assert_eq!(consumed, wire.len());
//! let Ok(Target::Path(target)) = resolve(&head.method, head.target) else { panic!("a path") };
//! assert_eq!(&*target.path, b"a b.txt");
//!
//! let representation = Representation {
//!     len: 11,
//!     modified_seconds: 784_111_777,
//!     modified_is_strong: true,
//!     etag: EntityTag::new(784_111_777, 0, 11, Coding::Identity, Strength::Strong),
//!     content_type: "text/plain; charset=utf-8",
//!     coding: Coding::Identity,
//!     vary: false,
//!     cache_control: None,
//! };
//! let answer = answer(&head, &representation, 0x5eed);
//! assert!(matches!(answer.body, Body::Range(range) if range.first == 0 && range.len == 5));
//!
//! let mut date = DateLine::new();
//! let mut out = Vec::new();
//! let envelope = Envelope {
//!     date: date.at(784_111_800),
//!     server: Some("sendrail"),
//!     keep_alive: head.keep_alive,
//!     version: head.version,
//! };
//! write_head(&mut out, &answer, &representation, &envelope);
//! assert!(out.starts_with(b"HTTP/1.1 206 Partial Content\r\nDate: Sun, 06 Nov 1994 08:50:00 GMT"));
//! ```
#![forbid(unsafe_code)]

pub mod answer;
pub mod body;
pub mod conditional;
pub mod date;
pub mod head;
pub mod live;
pub mod multipart;
pub mod negotiate;
pub mod range;
pub mod redirect;
pub mod render;
pub mod status;
pub mod target;
pub mod upload;
pub mod validator;

mod authority;
mod number;
mod prefer;
