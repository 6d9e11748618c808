//! `If-Match`, `If-None-Match` and `If-Unmodified-Since` of a request that changes something (RFC 9110 §13.2.2), kept until the file
//! that it brings is whole.

use crate::conditional::Validators;
use crate::date::{clamp_to_http_date, parse_http_date};
use crate::head::{FieldLines, Fields};
use crate::validator::Comparison;

/// What must be true of what is there for something else to take its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    matching: Vec<Vec<u8>>,
    not_matching: Vec<Vec<u8>>,
    unmodified_since: Option<Vec<u8>>,
}

const IF_MATCH: &[u8] = b"If-Match: ";
const IF_NONE_MATCH: &[u8] = b"If-None-Match: ";
const IF_UNMODIFIED_SINCE: &[u8] = b"If-Unmodified-Since: ";

impl Preconditions {
    /// Those of a request.
    pub fn of(fields: &Fields<'_>) -> Self {
        let owned = |lines: &FieldLines<'_>| lines.iter().map(<[u8]>::to_vec).collect();
        Self {
            matching: owned(&fields.if_match),
            not_matching: owned(&fields.if_none_match),
            unmodified_since: fields.if_unmodified_since.map(<[u8]>::to_vec),
        }
    }

    /// Whether there are none, so that [`hold`](Self::hold) is always true.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nothing may be there: `If-None-Match: *`.
    pub fn only_if_absent(&self) -> bool {
        matches!(&self.not_matching[..], [only] if only == b"*")
    }

    /// Whether they hold for what is there; `None`: nothing. Else the answer is 412.
    pub fn hold(&self, current: Option<&Validators<'_>>) -> bool {
        if !self.matching.is_empty() {
            let lines = lines(&self.matching);
            if !current.is_some_and(|now| now.etag.matches_list(&lines, Comparison::Strong)) {
                return false;
            }
        } else if let Some(date) = self.unmodified_since.as_deref().and_then(parse_http_date)
            && current.is_some_and(|now| clamp_to_http_date(now.last_modified) > date)
        {
            return false;
        }
        // Also "*", which every file matches.
        let lines = lines(&self.not_matching);
        lines.is_empty()
            || !current.is_some_and(|now| now.etag.matches_list(&lines, Comparison::Weak))
    }

    /// As bytes, to be kept; [`from_bytes`](Self::from_bytes) reads them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut line = |name: &[u8], value: &[u8]| {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        };
        self.matching.iter().for_each(|value| line(IF_MATCH, value));
        self.not_matching.iter().for_each(|value| line(IF_NONE_MATCH, value));
        self.unmodified_since.iter().for_each(|value| line(IF_UNMODIFIED_SINCE, value));
        bytes
    }

    /// What [`to_bytes`](Self::to_bytes) has written; `None` if these are no such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut read = Self::default();
        // The value of a field has no line feed in it (RFC 9110 §5.5).
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\n")?;
            if let Some(value) = line.strip_prefix(IF_MATCH) {
                read.matching.push(value.to_vec());
            } else if let Some(value) = line.strip_prefix(IF_NONE_MATCH) {
                read.not_matching.push(value.to_vec());
            } else {
                let value = line.strip_prefix(IF_UNMODIFIED_SINCE)?;
                read.unmodified_since = Some(value.to_vec());
            }
        }
        Some(read)
    }
}

fn lines(values: &[Vec<u8>]) -> FieldLines<'_> {
    let mut lines = FieldLines::new();
    for value in values {
        let fits = lines.push(value);
        debug_assert!(fits, "as many as there were in the request");
    }
    lines
}
