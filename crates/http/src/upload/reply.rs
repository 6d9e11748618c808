//! Answers to those who bring something, byte for byte; errors as problem documents (RFC 9457).

use std::fmt::Write as _;

use super::PARTIAL_UPLOAD;
use super::fields::Interop;
use super::limits::Limits;
use crate::date::format_http_date;
use crate::render::{Envelope, write_simple};
use crate::status::Status;
use crate::validator::EntityTag;

/// An answer. Make one with [`new`](Self::new) or [`error`](Self::error), and add what is to be said besides.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: Status,
    /// Which version of the draft the client speaks.
    pub interop: Option<Interop>,
    /// What went wrong, in words; holds nothing that the client sent.
    pub why: Option<&'static str>,
    /// What went wrong, for programs.
    pub problem: Option<Problem>,
    /// `Location`: of the upload, or of the file.
    pub location: Option<String>,
    /// `Upload-Offset`.
    pub offset: Option<u64>,
    /// `Upload-Complete`.
    pub complete: Option<bool>,
    /// `Upload-Length`.
    pub length: Option<u64>,
    /// `Upload-Limit`.
    pub limits: Option<Limits>,
    /// `ETag` of what is there now.
    pub etag: Option<EntityTag>,
    /// `Last-Modified` of what is there now, in Unix seconds.
    pub last_modified: Option<i64>,
    /// `Allow`.
    pub allow: Option<&'static str>,
    /// `Accept-Patch`, with the one type that PATCH takes.
    pub accept_patch: bool,
    /// `Accept-Encoding`: which codings would have been taken.
    pub accept_encoding: Option<&'static str>,
    /// `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// `Cache-Control: no-store`.
    pub no_store: bool,
}

/// Problems that have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// `mismatching-upload-offset`
    MismatchingOffset {
        /// That of the upload, in bytes.
        expected: u64,
        /// That of the request.
        provided: u64,
    },
    /// `inconsistent-upload-length`
    InconsistentLength,
}

impl Reply {
    /// An answer that says nothing but its status.
    pub fn new(status: Status, interop: Option<Interop>) -> Self {
        Self {
            status,
            interop,
            why: None,
            problem: None,
            location: None,
            offset: None,
            complete: None,
            length: None,
            limits: None,
            etag: None,
            last_modified: None,
            allow: None,
            accept_patch: false,
            accept_encoding: None,
            challenge: None,
            retry_after: None,
            no_store: false,
        }
    }

    /// An error, in words.
    pub fn error(status: Status, why: &'static str, interop: Option<Interop>) -> Self {
        Self { why: Some(why), ..Self::new(status, interop) }
    }

    /// Appends the answer to `out`: the head, and what follows it unless it is one to HEAD.
    ///
    /// ```
    /// use sendrail_http::{date::format_http_date, head::Version, render::Envelope, status::Status, upload::Reply};
    /// let date = format_http_date(0);
    /// let envelope = Envelope { date: &date, server: None, keep_alive: true, version: Version::Http11 };
    /// let mut reply = Reply::new(Status::NO_CONTENT, None);
    /// reply.offset = Some(25_000_000);
    /// let mut out = Vec::new();
    /// reply.write(&mut out, false, &envelope);
    /// assert!(String::from_utf8(out).unwrap().contains("\r\nUpload-Offset: 25000000\r\n"));
    /// ```
    pub fn write(&self, out: &mut Vec<u8>, is_head: bool, envelope: &Envelope<'_>) {
        let body = self.body();
        let fields = self.fields();
        let extra: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let content_type = body.as_ref().map(|_| "application/problem+json");
        let body = body.unwrap_or_default();
        write_simple(out, self.status, content_type, body.len() as u64, &extra, envelope);
        if !is_head {
            out.extend_from_slice(body.as_bytes());
        }
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        let mut say = |name, value: Option<String>| {
            fields.extend(value.map(|value| (name, value)));
        };
        say("Location", self.location.clone());
        say("Upload-Offset", self.offset.map(|offset| offset.to_string()));
        let (name, value) = completeness(self.interop, self.complete);
        say(name, value);
        say("Upload-Length", self.length.map(|length| length.to_string()));
        say("Upload-Limit", self.limits.map(|limits| limits.to_string()));
        say("ETag", self.etag.map(|etag| etag.as_str().to_owned()));
        let date = |seconds| String::from_utf8_lossy(&format_http_date(seconds)).into_owned();
        say("Last-Modified", self.last_modified.map(date));
        say("Allow", self.allow.map(str::to_owned));
        say("Accept-Patch", self.accept_patch.then(|| PARTIAL_UPLOAD.to_owned()));
        say("Accept-Encoding", self.accept_encoding.map(str::to_owned));
        say("WWW-Authenticate", self.challenge.clone());
        say("Retry-After", self.retry_after.map(|seconds| seconds.to_string()));
        say("Cache-Control", self.no_store.then(|| "no-store".to_owned()));
        fields
    }

    /// The problem document. Nothing in it needs to be escaped: the words are ours.
    fn body(&self) -> Option<String> {
        if !self.status.is_error() {
            return None;
        }
        let mut body = String::from("{\"type\":\"");
        let (kind, title) = match self.problem {
            None => ("about:blank", self.status.reason()),
            Some(Problem::MismatchingOffset { .. }) => (
                "https://iana.org/assignments/http-problem-types#mismatching-upload-offset",
                "offset from request does not match offset of resource",
            ),
            Some(Problem::InconsistentLength) => (
                "https://iana.org/assignments/http-problem-types#inconsistent-upload-length",
                "inconsistent length values for upload",
            ),
        };
        let status = self.status.code();
        let written = write!(body, "{kind}\",\"title\":\"{title}\",\"status\":{status}");
        written.expect("writing to a String cannot fail");
        if let Some(Problem::MismatchingOffset { expected, provided }) = self.problem {
            write!(body, ",\"expected-offset\":{expected},\"provided-offset\":{provided}")
                .expect("writing to a String cannot fail");
        }
        if let Some(why) = self.why {
            write!(body, ",\"detail\":\"{why}\"").expect("writing to a String cannot fail");
        }
        body.push_str("}\n");
        Some(body)
    }
}

fn completeness(
    interop: Option<Interop>,
    complete: Option<bool>,
) -> (&'static str, Option<String>) {
    let said = |value| Some(if value { "?1".to_owned() } else { "?0".to_owned() });
    if interop.is_some_and(Interop::says_incomplete) {
        return ("Upload-Incomplete", complete.and_then(|complete| said(!complete)));
    }
    ("Upload-Complete", complete.and_then(said))
}

/// `104 Upload Resumption Supported`: an answer before the answer, while the request is still being received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interim<'a> {
    /// Which version of the draft the client speaks: others must not be told.
    pub interop: Interop,
    /// Where the upload is, said once, right after it was made. Not in answers to PATCH.
    pub location: Option<&'a str>,
    /// How far it has come.
    pub offset: Option<u64>,
    /// What it must keep to.
    pub limits: Option<Limits>,
}

impl Interim<'_> {
    /// Appends it to `out`.
    ///
    /// ```
    /// # use sendrail_http::upload::{Fields, Interim};
    /// # let wire = b"POST / HTTP/1.1\r\nHost: a\r\nUpload-Draft-Interop-Version: 8\r\n\r\n";
    /// # let interop = Fields::read(wire)?.interop.expect("one that is known");
    /// let interim = Interim { interop, location: Some("/u/1"), offset: None, limits: None };
    /// let mut out = Vec::new();
    /// interim.write(&mut out);
    /// assert_eq!(
    ///     String::from_utf8(out).unwrap(),
    ///     "HTTP/1.1 104 Upload Resumption Supported\r\nUpload-Draft-Interop-Version: 8\r\nLocation: /u/1\r\n\r\n"
    /// );
    /// # Ok::<(), sendrail_http::head::Refusal>(())
    /// ```
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut head = format!(
            "HTTP/1.1 104 Upload Resumption Supported\r\nUpload-Draft-Interop-Version: {}\r\n",
            self.interop.version()
        );
        let mut say = |name: &str, value: &str| head += &[name, ": ", value, "\r\n"].concat();
        if let Some(location) = self.location {
            say("Location", location);
        }
        if let Some(offset) = self.offset {
            say("Upload-Offset", &offset.to_string());
        }
        if let Some(limits) = self.limits {
            say("Upload-Limit", &limits.to_string());
        }
        head += "\r\n";
        out.extend_from_slice(head.as_bytes());
    }
}
