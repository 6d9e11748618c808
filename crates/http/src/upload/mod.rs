//! What HTTP says to files that arrive: PUT, and uploads that can be resumed (draft-ietf-httpbis-resumable-upload-11, interop
//! versions 3 to 8).
//!
//! 1. [`Fields::read`] — the fields of a request that only such requests have, in a second pass over its head, so that a GET
//!    pays nothing for them;
//! 2. [`ask`] — what a request to a file asks for: [`Ask::Store`] it, or [`Ask::Create`] an upload of it; or the [`Reply`] that
//!    refuses it;
//! 3. [`act`] — what a request to an upload does to it, given its [`State`];
//! 4. [`Preconditions`] — `If-Match` and its kin, which outlive the request;
//! 5. [`Reply`], [`Interim`] — the answers, byte for byte.
//!
//! ```
//! use sendrail_http::head::{HeadLimits, Parsed, parse};
//! use sendrail_http::upload::{Ask, Fields, Limits, ask};
//!
//! let wire = b"PUT /a.iso HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nIf-None-Match: *\r\n\r\n";
//! let Ok(Parsed::Complete { head, .. }) = parse(wire, &HeadLimits::default()) else { panic!() };
//! let fields = Fields::read(head.raw)?;
//! let Ok(Ask::Store(store)) = ask(&head, &fields, &Limits::default()) else { panic!("to be stored") };
//! assert_eq!(store.len, Some(5));
//! assert!(store.preconditions.only_if_absent());
//! # Ok::<(), sendrail_http::head::Refusal>(())
//! ```

#![expect(
    clippy::result_large_err,
    reason = "a refusal is made once per request, and written where it is returned"
)]

mod act;
mod ask;
mod digest;
mod fields;
mod limits;
mod name;
mod preconditions;
mod reply;

pub use act::{Act, Append, State, act, creation, offset};
pub use ask::{Ask, Create, Store, ask};
pub use digest::{ContentSum, digests};
pub use fields::{Fields, Interop};
pub use limits::Limits;
pub use name::file_name;
pub use preconditions::Preconditions;
pub use reply::{Interim, Problem, Reply};

/// The media type of a part of a file, which PATCH appends to an upload.
pub const PARTIAL_UPLOAD: &str = "application/partial-upload";
