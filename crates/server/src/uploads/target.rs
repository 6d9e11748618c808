//! Where a body goes: a file that is there when all of it is, or one that can be gone on with.

use super::answer::{tag, unix};
use sendrail_files::{Arrival, ArrivalError, Condition, Digest, Resumed, Terms, Upload};
use sendrail_http::{
    conditional::Validators,
    upload::{Append, ContentSum, Preconditions, State},
    validator::{date_is_strong, last_modified_seconds},
};
use std::fs::File;

/// A file that arrives.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // one for each upload, in memory of its own with that
pub(crate) enum Target {
    Plain(Arrival),
    Resumable {
        upload: Box<Upload>,
        /// What is asked for of what is there.
        preconditions: Preconditions,
        /// Whether this request brings the rest of it.
        complete: bool,
        /// Whether it has just been made, so that the client is told where it is.
        is_new: bool,
    },
}

impl Target {
    pub(crate) fn file(&self) -> &File {
        match self {
            Self::Plain(arrival) => arrival.file(),
            Self::Resumable { upload, .. } => upload.file(),
        }
    }

    /// Where the next byte belongs.
    pub(crate) fn offset(&self) -> u64 {
        match self {
            Self::Plain(_) => 0,
            Self::Resumable { upload, .. } => upload.offset(),
        }
    }

    /// Asks for room up to `len` bytes. Up to where there is some.
    pub(crate) fn claim(&mut self, len: u64) -> Result<u64, ArrivalError> {
        match self {
            Self::Plain(arrival) => arrival.claim(len),
            Self::Resumable { upload, .. } => upload.claim(len),
        }
    }

    /// Whether somebody else wants to go on with it.
    pub(crate) fn is_wanted(&self) -> bool {
        matches!(self, Self::Resumable { upload, .. } if upload.stop().is_asked())
    }
}

/// What must be true of what is there, as the files ask it.
pub(crate) fn condition(preconditions: &Preconditions) -> Option<Condition> {
    if preconditions.is_empty() {
        return None;
    }
    let preconditions = preconditions.clone();
    Some(Condition::new(move |facts| match facts {
        None => preconditions.hold(None),
        Some(facts) => {
            let (modified, observed) = (unix(facts.modified), unix(facts.observed));
            preconditions.hold(Some(&Validators {
                etag: &tag(facts),
                last_modified: last_modified_seconds(modified, observed),
                last_modified_is_strong: date_is_strong(modified, observed),
            }))
        }
    }))
}

/// Digests, as the files compare them.
pub(crate) fn digests(sums: &[ContentSum]) -> Vec<Digest> {
    sums.iter().filter_map(|sum| Digest::new(sum.algorithm, &sum.value)).collect()
}

/// What is asked of a file when it begins to arrive.
pub(crate) fn terms(preconditions: &Preconditions, len: Option<u64>) -> Terms {
    Terms { only_if_absent: preconditions.only_if_absent(), only_if: condition(preconditions), len }
}

/// How far an upload has come, as HTTP says it.
pub(crate) fn state_of(resumed: &Resumed) -> State {
    match resumed {
        Resumed::Open(upload) => {
            State { offset: upload.offset(), length: upload.len(), complete: false }
        }
        Resumed::Completed(completed) => {
            State { offset: completed.len, length: Some(completed.len), complete: true }
        }
    }
}

/// More of an upload that there is.
pub(crate) fn more_of(mut upload: Box<Upload>, append: &Append) -> Result<Target, ArrivalError> {
    if let Some(len) = append.len {
        upload.announce(len)?;
    }
    let preconditions = Preconditions::from_bytes(upload.note()).unwrap_or_default();
    Ok(Target::Resumable { upload, preconditions, complete: append.complete, is_new: false })
}
