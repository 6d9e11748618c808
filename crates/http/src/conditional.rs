//! Preconditions, in the order of RFC 9110 §13.2.2.

use crate::date::{clamp_to_http_date, parse_http_date};
use crate::head::{Fields, Method};
use crate::validator::{Comparison, EntityTag};

/// What is known of the representation that GET would send.
#[derive(Clone, Copy, Debug)]
pub struct Validators<'a> {
    /// Its entity tag.
    pub etag: &'a EntityTag,
    /// Unix seconds as sent in `Last-Modified`.
    pub last_modified: i64,
    /// Whether that date is a strong validator, see [`crate::validator::date_is_strong`].
    pub last_modified_is_strong: bool,
}

/// What the preconditions of a GET or HEAD come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Perform the method.
    Proceed {
        /// Whether `Range`, if there is one, counts: the method is GET, and If-Range agrees.
        range_allowed: bool,
    },
    /// 304: the client has this representation already.
    NotModified,
    /// 412: the client meant another one.
    Failed,
}

/// Evaluates the `If-*` fields of a GET or HEAD.
///
/// A date that is none is ignored; `If-Modified-Since` beside `If-None-Match` too, and
/// `If-Unmodified-Since` beside `If-Match` (RFC 9110 §13.1).
pub fn evaluate(
    method: &Method<'_>,
    fields: &Fields<'_>,
    validators: &Validators<'_>,
) -> Precondition {
    let Validators { etag, last_modified, .. } = *validators;
    let last_modified = clamp_to_http_date(last_modified);

    // Steps 1 and 2.
    if !fields.if_match.is_empty() {
        if !etag.matches_list(&fields.if_match, Comparison::Strong) {
            return Precondition::Failed;
        }
    } else if let Some(date) = fields.if_unmodified_since.and_then(parse_http_date)
        && last_modified > date
    {
        return Precondition::Failed;
    }
    // Steps 3 and 4.
    if !fields.if_none_match.is_empty() {
        if etag.matches_list(&fields.if_none_match, Comparison::Weak) {
            return Precondition::NotModified;
        }
    } else if let Some(date) = fields.if_modified_since.and_then(parse_http_date)
        && last_modified <= date
    {
        return Precondition::NotModified;
    }
    // Step 5. Range is defined for GET alone (§14.2).
    let range_allowed = *method == Method::Get
        && fields.if_range.is_none_or(|value| if_range_agrees(value, validators));
    Precondition::Proceed { range_allowed }
}

/// If-Range asks whether pieces of two answers may be joined, so only strong validators count
/// (RFC 9110 §13.1.5), and the date must be the very one, not a later one.
fn if_range_agrees(value: &[u8], validators: &Validators<'_>) -> bool {
    match value {
        [b'"', ..] | [b'W', b'/', ..] => validators.etag.matches(value, Comparison::Strong),
        _ => {
            validators.last_modified_is_strong
                && parse_http_date(value) == Some(clamp_to_http_date(validators.last_modified))
        }
    }
}
