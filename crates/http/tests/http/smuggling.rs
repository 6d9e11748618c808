//! Heads that two parties read differently (RFC 9112 §11.2): each must be refused, whole.

use crate::{complete, get_with, refused};

/// Field lines that put the framing of a request in doubt.
const DOUBTFUL_FRAMING: &[&str] = &[
    // Content-Length
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5\r\nContent-Length: 5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: 5, 6\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: -5\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length: 5a\r\n",
    "Content-Length: 5 5\r\n",
    "Content-Length: 5.0\r\n",
    "Content-Length:\r\n",
    "Content-Length: \"5\"\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Content-Length: 99999999999999999999999\r\n",
    // both
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    "Transfer-Encoding: gzip, chunked\r\nContent-Length: 0\r\n",
    // Transfer-Encoding
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked, gzip\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding: chunked;a=b\r\n",
    "Transfer-Encoding: chunked foo\r\n",
    "Transfer-Encoding: , chunked\r\n",
    "Transfer-Encoding: chunked,\r\n",
    "Transfer-Encoding:\r\n",
    "Transfer-Encoding: \x0bchunked\r\n",
    "Transfer-Encoding: chunked\x0c\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
];

#[test]
fn doubtful_framing() {
    for lines in DOUBTFUL_FRAMING {
        assert_eq!(refused(&get_with(lines)), 400, "{lines:?}");
        // Neither the method nor other fields make it any better.
        let post = format!("POST /x HTTP/1.1\r\nA: b\r\n{lines}Host: a\r\n\r\nbody");
        assert_eq!(refused(post.as_bytes()), 400, "{lines:?}");
    }
    assert_eq!(refused(b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

#[test]
fn unknown_transfer_codings() {
    for codings in ["xchunked", "chunkedx", "foo", "gzip, chunked", "foo, chunked", "x, y"] {
        let lines = format!("Transfer-Encoding: {codings}\r\n");
        assert_eq!(refused(&get_with(&lines)), 501, "{codings}");
    }
}

/// Whole heads in which a line, a name or a value is not what it seems.
const MALFORMED: &[&[u8]] = &[
    // space before the colon, and other names that are none
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\x00: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\x0b: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n[Content-Length]: 5\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\xffContent-Length: 5\r\n\r\n",
    // obs-fold
    b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n",
    b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n \r\n\r\n",
    // bare LF
    b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nContent-Length: 5\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX:\nContent-Length: 5\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\n\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
    // bare CR
    b"GET / HTTP/1.1\rHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX:\rb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n",
    b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
    b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    // NUL and other controls
    b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
    b"G\x00ET / HTTP/1.1\r\nHost: a\r\n\r\n",
    // request line
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"(GET) / HTTP/1.1\r\nHost: a\r\n\r\n",
    // Host
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a:8o\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \"a\"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n",
    b"GET http://a/ HTTP/1.1\r\n\r\n",
];

#[test]
fn malformed() {
    for wire in MALFORMED {
        assert_eq!(refused(wire), 400, "{:?}", String::from_utf8_lossy(wire));
    }
}

#[test]
fn what_only_looks_odd_is_taken() {
    // Other names than those that frame: not ours to judge.
    complete(&get_with("Content_Length: 5\r\nX-Transfer-Encoding: chunked\r\n"));
    complete(&get_with("X: \t many   words \t \r\nY: caf\u{e9}\r\n"));
    complete(b"GET / HTTP/1.1\r\nHost:\r\n\r\n");
    complete(b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
    complete(b"GET / HTTP/1.0\r\n\r\n");
}
