//! Preconditions, in the order of RFC 9110 §13.2.2.

use sendrail_http::conditional::{Precondition, Validators, evaluate};
use sendrail_http::head::Method;
use sendrail_http::negotiate::Coding;
use sendrail_http::validator::{EntityTag, Strength};

use crate::{EXAMPLE, complete, get_with};

const RANGE: Precondition = Precondition::Proceed { range_allowed: true };
const NO_RANGE: Precondition = Precondition::Proceed { range_allowed: false };

const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn with_validators(fields: &str, strength: Strength, strong_date: bool) -> Precondition {
    let wire = get_with(fields);
    let head = complete(&wire);
    let etag = EntityTag::new(1, 2, 3, Coding::Identity, strength);
    let validators =
        Validators { etag: &etag, last_modified: EXAMPLE, last_modified_is_strong: strong_date };
    evaluate(&head.method, &head.fields, &validators)
}

/// For a file with the tag "1.2-3", last modified at [`SAME`], both strong.
fn check(fields: &str, expected: Precondition) {
    assert_eq!(with_validators(fields, Strength::Strong, true), expected, "{fields}");
}

#[test]
fn single_fields() {
    use Precondition::{Failed, NotModified};
    check("", RANGE);
    check("If-Match: \"1.2-3\"\r\n", RANGE);
    check("If-Match: *\r\n", RANGE);
    check("If-Match: \"x\", \"1.2-3\"\r\n", RANGE);
    check("If-Match: \"x\"\r\n", Failed);
    check("If-Match: W/\"1.2-3\"\r\n", Failed);
    check("If-Match: rubbish\r\n", Failed);
    check("If-None-Match: \"1.2-3\"\r\n", NotModified);
    check("If-None-Match: W/\"1.2-3\"\r\n", NotModified);
    check("If-None-Match: *\r\n", NotModified);
    check("If-None-Match: \"x\"\r\n", RANGE);
    check("If-None-Match: rubbish\r\n", RANGE);
    for (date, not_since) in [(BEFORE, RANGE), (SAME, NotModified), (AFTER, NotModified)] {
        check(&format!("If-Modified-Since: {date}\r\n"), not_since);
    }
    for (date, since) in [(BEFORE, Failed), (SAME, RANGE), (AFTER, RANGE)] {
        check(&format!("If-Unmodified-Since: {date}\r\n"), since);
    }
    check("If-Modified-Since: rubbish\r\n", RANGE);
    check("If-Unmodified-Since: rubbish\r\n", RANGE);
    check("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n", NotModified);
    check("If-Unmodified-Since: Sun Nov  6 08:49:36 1994\r\n", Failed);
}

#[test]
fn which_field_goes_before_which() {
    use Precondition::{Failed, NotModified};
    // Step 1 before 2: If-Unmodified-Since is not even looked at.
    check(&format!("If-Match: \"1.2-3\"\r\nIf-Unmodified-Since: {BEFORE}\r\n"), RANGE);
    // Steps 1 and 2 before 3.
    check("If-Match: \"x\"\r\nIf-None-Match: \"1.2-3\"\r\n", Failed);
    check("If-Match: \"1.2-3\"\r\nIf-None-Match: \"1.2-3\"\r\n", NotModified);
    check(&format!("If-Unmodified-Since: {BEFORE}\r\nIf-None-Match: \"1.2-3\"\r\n"), Failed);
    // Step 3 before 4: If-Modified-Since does not count, whichever way.
    check(&format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {AFTER}\r\n"), RANGE);
    check(&format!("If-None-Match: \"1.2-3\"\r\nIf-Modified-Since: {BEFORE}\r\n"), NotModified);
    // Steps before 5.
    check("If-None-Match: \"1.2-3\"\r\nRange: bytes=0-1\r\nIf-Range: \"1.2-3\"\r\n", NotModified);
}

#[test]
fn if_range() {
    let cases = [
        // value, with strong validators, with weak ones
        ("\"1.2-3\"", RANGE, NO_RANGE),
        ("W/\"1.2-3\"", NO_RANGE, NO_RANGE),
        ("\"x\"", NO_RANGE, NO_RANGE),
        ("\"1.2-3\", \"x\"", NO_RANGE, NO_RANGE),
        ("*", NO_RANGE, NO_RANGE),
        ("", NO_RANGE, NO_RANGE),
        ("rubbish", NO_RANGE, NO_RANGE),
        (SAME, RANGE, NO_RANGE),
        ("Sun Nov  6 08:49:37 1994", RANGE, NO_RANGE),
        (BEFORE, NO_RANGE, NO_RANGE),
        (AFTER, NO_RANGE, NO_RANGE),
    ];
    for (value, strong, weak) in cases {
        let fields = format!("Range: bytes=0-1\r\nIf-Range: {value}\r\n");
        check(&fields, strong);
        assert_eq!(with_validators(&fields, Strength::Weak, false), weak, "{value}");
    }
}

#[test]
fn weak_tags_prove_no_match() {
    let weak = |fields: &str| with_validators(fields, Strength::Weak, false);
    assert_eq!(weak("If-Match: W/\"1.2-3\"\r\n"), Precondition::Failed);
    assert_eq!(weak("If-Match: *\r\n"), RANGE);
    assert_eq!(weak("If-None-Match: \"1.2-3\"\r\n"), Precondition::NotModified);
}

#[test]
fn range_is_for_get() {
    let wire = get_with("Range: bytes=0-1\r\n");
    let head = complete(&wire);
    let etag = EntityTag::new(1, 2, 3, Coding::Identity, Strength::Strong);
    let validators =
        Validators { etag: &etag, last_modified: EXAMPLE, last_modified_is_strong: true };
    assert_eq!(evaluate(&Method::Head, &head.fields, &validators), NO_RANGE);
}

#[test]
fn a_file_from_beyond_the_form_can_be_fresh() {
    // What is sent as Last-Modified is the nearest date that can be named.
    for (seconds, sent) in
        [(-5, "Thu, 01 Jan 1970 00:00:00 GMT"), (i64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT")]
    {
        let etag = EntityTag::new(seconds, 2, 3, Coding::Identity, Strength::Strong);
        let validators =
            Validators { etag: &etag, last_modified: seconds, last_modified_is_strong: true };
        for (name, expected) in [
            ("If-Modified-Since", Precondition::NotModified),
            ("If-Unmodified-Since", RANGE),
            ("If-Range", RANGE),
        ] {
            let wire = get_with(&format!("{name}: {sent}\r\n"));
            let head = complete(&wire);
            assert_eq!(evaluate(&head.method, &head.fields, &validators), expected, "{name}");
        }
    }
}
