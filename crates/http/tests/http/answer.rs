//! Whole decisions: a head and a file in, a status and bytes out.

use sendrail_http::answer::{Answer, Body, answer};
use sendrail_http::head::{Head, Method};
use sendrail_http::range::ByteRange;

use crate::{complete, example_file, get_with};

fn decide(fields: &str) -> Answer {
    answer(&complete(&get_with(fields)), &example_file(), 7)
}

#[test]
fn statuses() {
    let etag = example_file().etag;
    let etag = etag.as_str();
    let same = "Sun, 06 Nov 1994 08:49:37 GMT";
    let cases = [
        (String::new(), 200, 10_000),
        ("Range: bytes=0-99\r\n".into(), 206, 100),
        ("Range: bytes=9999-\r\n".into(), 206, 1),
        ("Range: bytes=10000-\r\n".into(), 416, 0),
        ("Range: rubbish\r\n".into(), 200, 10_000),
        ("Range: bytes=0-99\r\nRange: bytes=0-99\r\n".into(), 200, 10_000),
        (format!("If-None-Match: {etag}\r\n"), 304, 0),
        (format!("If-None-Match: {etag}\r\nRange: bytes=10000-\r\n"), 304, 0),
        (format!("If-Modified-Since: {same}\r\n"), 304, 0),
        ("If-Match: \"x\"\r\n".into(), 412, 0),
        ("If-Match: \"x\"\r\nRange: bytes=0-0\r\n".into(), 412, 0),
        (format!("If-Match: {etag}\r\nRange: bytes=0-0\r\n"), 206, 1),
        (format!("If-Range: {etag}\r\nRange: bytes=0-99\r\n"), 206, 100),
        (format!("If-Range: {same}\r\nRange: bytes=0-99\r\n"), 206, 100),
        ("If-Range: \"x\"\r\nRange: bytes=0-99\r\n".into(), 200, 10_000),
        // RFC 9110 §14.2: with If-Range false, an unsatisfiable range is no error either.
        ("If-Range: \"x\"\r\nRange: bytes=10000-\r\n".into(), 200, 10_000),
    ];
    for (fields, status, length) in cases {
        let answer = decide(&fields);
        assert_eq!(
            (answer.status.code(), answer.content_length(10_000)),
            (status, length),
            "{fields}"
        );
    }
}

#[test]
fn bodies() {
    assert_eq!(decide("").body, Body::Whole);
    assert_eq!(decide("Range: bytes=5-9\r\n").body, Body::Range(ByteRange { first: 5, len: 5 }));
    assert_eq!(decide("Range: bytes=10000-\r\n").body, Body::Empty);
    let Body::Multipart(multipart) = decide("Range: bytes=-1,0-0\r\n").body else {
        panic!("two ranges make a multipart answer")
    };
    let firsts: Vec<u64> = multipart.parts.iter().map(|part| part.range.first).collect();
    assert_eq!(firsts, [9999, 0]);
    assert!(multipart.parts[0].head.starts_with(b"--00000000000000000000000000000007\r\n"));
}

#[test]
fn head_is_answered_like_get_without_the_bytes() {
    let wire = get_with("");
    let get = complete(&wire);
    let head = Head { method: Method::Head, ..get };
    let file = example_file();
    assert_eq!(answer(&head, &file, 7), answer(&get, &file, 7));
    assert!(answer(&get, &file, 7).sends_body(&get));
    assert!(!answer(&head, &file, 7).sends_body(&head));

    let wire = get_with("Range: bytes=0-0\r\n");
    let head = Head { method: Method::Head, ..complete(&wire) };
    assert_eq!(answer(&head, &file, 7).status.code(), 200);

    let wire = get_with("If-None-Match: *\r\n");
    let head = complete(&wire);
    assert!(!answer(&head, &file, 7).sends_body(&head));
}

#[test]
fn an_empty_file() {
    let file = sendrail_http::answer::Representation { len: 0, ..example_file() };
    let status = |fields: &str| answer(&complete(&get_with(fields)), &file, 7).status.code();
    assert_eq!(status(""), 200);
    assert_eq!(status("Range: bytes=0-\r\n"), 416);
    assert_eq!(status("Range: bytes=-1\r\n"), 416);
}
