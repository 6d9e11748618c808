//! What is said to somebody who uploads, when it is the files that decide.

use sendrail_files::{ArrivalError, Facts, NoSpace, Timestamp};
use sendrail_http::{
    date::UnixTime,
    head::Version,
    negotiate::Coding,
    status::Status,
    upload::{Interop, Reply},
    validator::{EntityTag, last_modified_seconds, strength},
};
use std::io;

/// For whom it is rendered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct To {
    pub(crate) version: Version,
    pub(crate) head_only: bool,
    pub(crate) persist: bool,
    pub(crate) interop: Option<Interop>,
}

/// Who are you?
pub(crate) fn unauthorized(interop: Option<Interop>) -> Reply {
    let why = "uploads need a token";
    let mut reply = Reply::error(Status::UNAUTHORIZED, why, interop);
    // Both, so that programs and browsers can (RFC 9110 §11.6.1).
    let challenge = "Basic realm=\"uploads\", charset=\"UTF-8\", Bearer realm=\"uploads\"";
    reply.challenge = Some(challenge.to_owned());
    reply
}

/// A sender that sends nothing.
pub(crate) fn too_slow(interop: Option<Interop>) -> Reply {
    Reply::error(Status::REQUEST_TIMEOUT, "the upload came too slowly", interop)
}

/// Why a file does not arrive. A fault on the side of the files is logged as one: it is never the client's.
pub(crate) fn refused(error: &ArrivalError, interop: Option<Interop>) -> Reply {
    let (status, why) = match error {
        ArrivalError::PreconditionFailed => {
            (Status::PRECONDITION_FAILED, "what is there is not what was asked for")
        }
        ArrivalError::TooLarge { .. } => {
            (Status::CONTENT_TOO_LARGE, "the file is larger than allowed")
        }
        ArrivalError::Length { .. } => {
            (Status::BAD_REQUEST, "the file is not as long as was announced")
        }
        ArrivalError::Digest { .. } => (
            Status::BAD_REQUEST,
            "the digest is another one: the bytes are not those that were sent",
        ),
        ArrivalError::BadName { why } => (Status::BAD_REQUEST, *why),
        ArrivalError::NoSpace(what) => {
            if matches!(what, NoSpace::Disk | NoSpace::DiskQuota) {
                tracing::error!(why = %what, "there is no room for an upload");
            }
            let why = match what {
                NoSpace::Disk => "the disk is full",
                NoSpace::DiskQuota => "the disk quota is used up",
                NoSpace::Quota => "the directory has no room for it",
                NoSpace::Reserve => "too little of the disk would be left",
                _ => "the file system has no files of this size",
            };
            (Status::INSUFFICIENT_STORAGE, why)
        }
        ArrivalError::ReadOnly => (Status::FORBIDDEN, "the file system is mounted read-only"),
        ArrivalError::NotPermitted => (Status::FORBIDDEN, "the server may not write there"),
        ArrivalError::NoParent => (Status::CONFLICT, "its directory does not exist"),
        ArrivalError::IsDirectory => (Status::CONFLICT, "a directory has this address"),
        ArrivalError::NotAFile { .. } => {
            (Status::CONFLICT, "something that is no file has this address")
        }
        ArrivalError::Busy => (Status::CONFLICT, "another request goes on with this upload"),
        ArrivalError::Elsewhere => (Status::CONFLICT, "another process goes on with this upload"),
        ArrivalError::NotFound => (Status::NOT_FOUND, "there is no such upload"),
        ArrivalError::Io { error, .. } if is_out_of_descriptors(error) => {
            tracing::error!(%error, "no descriptor left for an upload");
            (Status::SERVICE_UNAVAILABLE, "the server is busy")
        }
        other => {
            tracing::error!(error = %other, "an upload failed");
            (Status::INTERNAL_SERVER_ERROR, "the file could not be stored")
        }
    };
    let mut reply = Reply::error(status, why, interop);
    if status == Status::SERVICE_UNAVAILABLE
        || matches!(error, ArrivalError::Busy | ArrivalError::Elsewhere)
    {
        reply.retry_after = Some(1);
    }
    reply
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Says of a file what a GET right after would.
pub(crate) fn add_validators(reply: &mut Reply, facts: &Facts) {
    let (modified, observed) = (unix(facts.modified), unix(facts.observed));
    reply.etag = Some(tag(facts));
    reply.last_modified = Some(last_modified_seconds(modified, observed));
}

/// The entity tag of a file as it is.
pub(crate) fn tag(facts: &Facts) -> EntityTag {
    let (modified, observed) = (unix(facts.modified), unix(facts.observed));
    let strength = strength(modified, observed);
    EntityTag::new(modified.seconds, modified.nanoseconds, facts.len, Coding::Identity, strength)
}

pub(crate) fn unix(time: Timestamp) -> UnixTime {
    UnixTime { seconds: time.seconds, nanoseconds: time.nanoseconds }
}
