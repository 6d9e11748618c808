//! What a request to an upload does to it.

use super::PARTIAL_UPLOAD;
use super::ask::{check_limits, content_len, length};
use super::digest::{ContentSum, digests};
use super::fields::{Fields, Interop};
use super::limits::Limits;
use super::reply::{Problem, Reply};
use crate::head::{Head, Method, Refusal};
use crate::status::Status;

/// Methods that an upload knows.
const ALLOW: &str = "HEAD, GET, PATCH, DELETE, OPTIONS";

/// How far an upload has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Bytes that have arrived and are safe.
    pub offset: u64,
    /// Bytes that it will have, if that is known.
    pub length: Option<u64>,
    /// Whether the file has its name.
    pub complete: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// HEAD or GET: say how far it has come, by [`offset`].
    Tell,
    /// PATCH: take more.
    Append(Append),
    /// PATCH to one that is complete, by a client that has missed the answer: give it again.
    Again,
    /// DELETE: nothing is to be left of it.
    Cancel,
}

/// More of a file, from the offset on that the upload has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Whether that is the rest of it.
    pub complete: bool,
    /// The length of the file, if it is known with this request.
    pub len: Option<u64>,
    /// Bytes that this request brings, if that is said.
    pub content: Option<u64>,
    /// What the bytes of this request must come to (`Content-Digest`).
    pub content_digests: Vec<ContentSum>,
    /// Whether the client can be told how far it has come while it sends.
    pub interop: Option<Interop>,
}

/// Decides what a request to an upload does, or how it is refused. That there is none is for the caller to know (404), and whose it is.
///
/// For HEAD, PATCH and DELETE, whoever is still sending to this upload is to be stopped before: `state` must be what is true then.
pub fn act(
    head: &Head<'_>,
    fields: &Fields<'_>,
    state: &State,
    limits: &Limits,
) -> Result<Act, Reply> {
    match head.method {
        Method::Head | Method::Get => Ok(Act::Tell),
        Method::Known("PATCH") => append(head, fields, state, limits),
        Method::Known("DELETE") => Ok(Act::Cancel),
        Method::Options => {
            let mut reply = Reply::new(Status::NO_CONTENT, fields.interop);
            reply.allow = Some(ALLOW);
            reply.limits = Some(*limits);
            Err(reply)
        }
        _ => {
            let why = "an upload knows HEAD, PATCH and DELETE";
            let mut reply = Reply::error(Status::METHOD_NOT_ALLOWED, why, fields.interop);
            reply.allow = Some(ALLOW);
            Err(reply)
        }
    }
}

fn append(
    head: &Head<'_>,
    fields: &Fields<'_>,
    state: &State,
    limits: &Limits,
) -> Result<Act, Reply> {
    let refuse = |status, why| {
        let mut reply = Reply::error(status, why, fields.interop);
        reply.complete = Some(false);
        Err(reply)
    };
    let labelled = fields.content_type.is_some_and(is_partial_upload);
    if !labelled && fields.interop.is_none_or(Interop::labels_parts) {
        let why = "PATCH appends what is labelled application/partial-upload";
        let mut reply = Reply::error(Status::UNSUPPORTED_MEDIA_TYPE, why, fields.interop);
        reply.complete = Some(false);
        reply.accept_patch = true;
        return Err(reply);
    }
    let Some(offset) = fields.offset else {
        return refuse(Status::BAD_REQUEST, "Upload-Offset is missing");
    };
    let Some(complete) = fields.complete else {
        return refuse(Status::BAD_REQUEST, "Upload-Complete is missing");
    };
    if offset != state.offset {
        let why = "the offset of the request is not that of the upload";
        let mut reply = Reply::error(Status::CONFLICT, why, fields.interop);
        reply.complete = Some(false);
        reply.offset = Some(state.offset);
        reply.problem =
            Some(Problem::MismatchingOffset { expected: state.offset, provided: offset });
        return Err(reply);
    }
    let content = content_len(head.framing);
    if state.complete {
        return if complete && content == Some(0) {
            Ok(Act::Again)
        } else {
            refuse(Status::BAD_REQUEST, "the upload is complete: nothing can be added to it")
        };
    }
    let len = length(content, offset, complete, fields, state.length)?;
    check_limits(len, content, true, limits, fields)?;
    let refused = |Refusal { status, why }| Reply::error(status, why, fields.interop);
    let content_digests = digests(&fields.content_digest).map_err(refused)?;
    Ok(Act::Append(Append { complete, len, content, content_digests, interop: fields.interop }))
}

/// Whatever parameters it has.
fn is_partial_upload(value: &[u8]) -> bool {
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    value[..end].trim_ascii_end().eq_ignore_ascii_case(PARTIAL_UPLOAD.as_bytes())
}

/// The answer to HEAD: how far the upload has come.
pub fn offset(state: &State, limits: &Limits, interop: Option<Interop>) -> Reply {
    let mut reply = progress(Status::NO_CONTENT, state, limits, interop);
    reply.length = state.length;
    reply.no_store = true;
    reply
}

/// The answer to a creation that has not brought all, 201 with the place of the upload; and without a place (204) that to a PATCH that
/// has not.
pub fn creation(
    location: Option<String>,
    state: &State,
    limits: &Limits,
    interop: Option<Interop>,
) -> Reply {
    let status = if location.is_some() { Status::CREATED } else { Status::NO_CONTENT };
    let mut reply = progress(status, state, limits, interop);
    reply.location = location;
    reply
}

fn progress(status: Status, state: &State, limits: &Limits, interop: Option<Interop>) -> Reply {
    let mut reply = Reply::new(status, interop);
    reply.offset = Some(state.offset);
    reply.complete = Some(state.complete);
    reply.limits = Some(*limits);
    reply
}
