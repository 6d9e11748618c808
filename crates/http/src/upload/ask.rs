//! What a request to a file asks for that brings one.

use super::digest::{ContentSum, digests};
use super::fields::{Fields, Interop};
use super::limits::Limits;
use super::preconditions::Preconditions;
use super::reply::{Problem, Reply};
use crate::head::{Framing, Head, Refusal};
use crate::status::Status;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The file comes with this request, whole: it is stored, or nothing is.
    Store(Store),
    /// An upload is to be made, which can be gone on with by other requests.
    Create(Create),
}

/// A file that comes in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Its length in bytes, if that is said (it is not with `Transfer-Encoding: chunked`).
    pub len: Option<u64>,
    /// What must be true of what is there.
    pub preconditions: Preconditions,
    /// What its bytes must come to (`Content-Digest` and `Repr-Digest`, which are the same here).
    pub digests: Vec<ContentSum>,
}

/// A file that may come in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// Whether this request brings all of it.
    pub complete: bool,
    /// The length of the file in bytes, if that is said.
    pub len: Option<u64>,
    /// Bytes that this request brings, if that is said.
    pub content: Option<u64>,
    /// What must be true of what is there.
    pub preconditions: Preconditions,
    /// What the bytes of the file must come to (`Repr-Digest`).
    pub digests: Vec<ContentSum>,
    /// What the bytes of this request must come to (`Content-Digest`).
    pub content_digests: Vec<ContentSum>,
    /// Whether the client can be told of the upload before all has arrived ([`Interim`](super::Interim)), and how.
    pub interop: Option<Interop>,
}

/// Decides what a PUT or POST to a file asks for, or how it is refused. Which methods are taken at all, and from whom, is for the
/// caller to say before; whether the file may be stored, after.
pub fn ask(head: &Head<'_>, fields: &Fields<'_>, limits: &Limits) -> Result<Ask, Reply> {
    let refuse = |status, why| Err(Reply::error(status, why, fields.interop));
    // RFC 9110 §14.4: a server that does not store ranges must refuse it, or it would store a part for the whole.
    if fields.content_range.is_some() {
        return refuse(Status::BAD_REQUEST, "Content-Range: parts of a file are not stored so");
    }
    // Stored as it comes it would be sent without its coding.
    if fields.content_encoding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        let mut reply = Reply::error(
            Status::UNSUPPORTED_MEDIA_TYPE,
            "Content-Encoding: files are stored as they come, without a coding",
            fields.interop,
        );
        reply.accept_encoding = Some("identity");
        return Err(reply);
    }
    let refused = |Refusal { status, why }| Reply::error(status, why, fields.interop);
    let content = content_len(head.framing);
    let preconditions = Preconditions::of(&head.fields);
    let content_digests = digests(&fields.content_digest).map_err(refused)?;
    let repr_digests = digests(&fields.repr_digest).map_err(refused)?;
    // A client that has all of it in this request and cannot be told where to go on gets nothing from an upload.
    let resumable = match fields.complete {
        None => false,
        Some(complete) => !complete || fields.interop.is_some(),
    };
    let complete = fields.complete.unwrap_or(true);
    let len = length(content, 0, complete, fields, None)?;
    check_limits(len, content, resumable, limits, fields)?;
    if !resumable {
        let digests = [content_digests, repr_digests].concat();
        return Ok(Ask::Store(Store { len, preconditions, digests }));
    }
    Ok(Ask::Create(Create {
        complete,
        len,
        content,
        preconditions,
        digests: repr_digests,
        content_digests,
        interop: fields.interop,
    }))
}

/// Bytes that a request brings, if that is said.
pub(super) fn content_len(framing: Framing) -> Option<u64> {
    match framing {
        Framing::None => Some(0),
        Framing::Length(len) => Some(len),
        Framing::Chunked => None,
    }
}

/// The length of the whole file, from all that is said of it: it must be the same.
pub(super) fn length(
    content: Option<u64>,
    offset: u64,
    complete: bool,
    fields: &Fields<'_>,
    known: Option<u64>,
) -> Result<Option<u64>, Reply> {
    let inconsistent = || {
        let why = "the lengths that are given for the upload differ";
        let mut reply = Reply::error(Status::BAD_REQUEST, why, fields.interop);
        reply.complete = Some(false);
        reply.problem = Some(Problem::InconsistentLength);
        Err(reply)
    };
    let end = match content {
        None => None,
        Some(content) => match offset.checked_add(content) {
            None => return inconsistent(),
            end => end,
        },
    };
    let mut len = known;
    for said in [fields.length, end.filter(|_| complete)].into_iter().flatten() {
        if len.is_some_and(|len| len != said) {
            return inconsistent();
        }
        len = Some(said);
    }
    // More than there can be, or less than there is already.
    if len.is_some_and(|len| end.unwrap_or(offset) > len) {
        return inconsistent();
    }
    Ok(len)
}

pub(super) fn check_limits(
    len: Option<u64>,
    content: Option<u64>,
    resumable: bool,
    limits: &Limits,
    fields: &Fields<'_>,
) -> Result<(), Reply> {
    let over = |len: Option<u64>, most: Option<u64>| matches!((len, most), (Some(len), Some(most)) if len > most);
    let why = if over(len, limits.most) || over(content, limits.most) {
        "the file is larger than allowed"
    } else if resumable && over(content, limits.most_at_once) {
        "one request brings more than allowed"
    } else {
        return Ok(());
    };
    let mut reply = Reply::error(Status::CONTENT_TOO_LARGE, why, fields.interop);
    reply.limits = Some(*limits);
    Err(reply)
}
