//! Heads that are fine, or refused for what they ask rather than for how they are framed.

use sendrail_http::head::{
    Framing, HeadLimits, MAX_FIELDS, Method, Parsed, Version, parse, worth_parsing,
};

use crate::{complete, get_with, refused};

#[test]
fn a_browser_s_head() {
    let wire = b"GET /a?b HTTP/1.1\r\nHost: www.example.com:8080\r\n\
        User-Agent: Mozilla/5.0 (X11)\r\nACCEPT: text/html, */*;q=0.8\r\n\
        Accept-Encoding:gzip, br\t \r\nReferer: http://a/\r\nConnection: keep-alive\r\n\
        Cookie: a=b\r\nIf-None-Match: \"x\"\r\nif-none-match:   W/\"y\"\r\n\
        If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\nRange: bytes=0-\r\n\
        If-Range: \"z\"\r\nIf-Match: *\r\nIf-Unmodified-Since: now\r\nEmpty:\r\n\r\n";
    let head = complete(wire);
    assert_eq!((head.method, head.target), (Method::Get, &b"/a?b"[..]));
    assert_eq!((head.version, head.framing), (Version::Http11, Framing::None));
    assert!(head.keep_alive && !head.expect_continue);
    let fields = head.fields;
    assert_eq!(fields.host, Some(&b"www.example.com:8080"[..]));
    assert_eq!(fields.user_agent, Some(&b"Mozilla/5.0 (X11)"[..]));
    assert_eq!(fields.referer, Some(&b"http://a/"[..]));
    assert_eq!(fields.range, Some(&b"bytes=0-"[..]));
    assert_eq!(fields.if_range, Some(&b"\"z\""[..]));
    assert_eq!(fields.if_modified_since, Some(&b"Sun, 06 Nov 1994 08:49:37 GMT"[..]));
    assert_eq!(fields.if_unmodified_since, Some(&b"now"[..]));
    assert_eq!(fields.accept.iter().collect::<Vec<_>>(), [b"text/html, */*;q=0.8"]);
    assert_eq!(fields.accept_encoding.iter().collect::<Vec<_>>(), [b"gzip, br"]);
    assert_eq!(fields.if_match.iter().collect::<Vec<_>>(), [b"*"]);
    assert_eq!(fields.if_none_match.iter().collect::<Vec<_>>(), [&b"\"x\""[..], b"W/\"y\""]);
    assert!(fields.conditional_or_range);
    assert!(!complete(&get_with("Accept: */*\r\n")).fields.conditional_or_range);
}

#[test]
fn each_conditional_field_is_noticed_by_itself() {
    for name in [
        "Range",
        "If-Range",
        "If-Match",
        "If-None-Match",
        "If-Modified-Since",
        "If-Unmodified-Since",
    ] {
        let wire = get_with(&format!("{name}: x\r\n"));
        assert!(complete(&wire).fields.conditional_or_range, "{name}");
    }
}

#[test]
fn methods() {
    let cases = [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("OPTIONS", Method::Options),
        ("POST", Method::Known("POST")),
        ("CONNECT", Method::Known("CONNECT")),
        ("PROPFIND", Method::Known("PROPFIND")),
        ("get", Method::Unknown("get")),
        ("BREW", Method::Unknown("BREW")),
    ];
    for (name, method) in cases {
        let wire = format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(complete(wire.as_bytes()).method, method);
        assert_eq!(method.as_str(), name);
    }
}

#[test]
fn persistence() {
    // version, Connection lines, whether the connection lives (RFC 9112 §9.3)
    let cases = [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Upgrade, CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: te , keep-alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ];
    for (version, lines, expected) in cases {
        let wire = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(complete(wire.as_bytes()).keep_alive, expected, "{version} {lines}");
    }
}

#[test]
fn body_framing() {
    let cases = [
        ("", Framing::None),
        ("Content-Length: 0\r\n", Framing::None),
        ("Content-Length: 42\r\n", Framing::Length(42)),
        ("content-length: 18446744073709551615\r\n", Framing::Length(u64::MAX)),
        ("Transfer-Encoding: chunked\r\n", Framing::Chunked),
        ("Transfer-Encoding: Chunked\r\n", Framing::Chunked),
    ];
    for (lines, expected) in cases {
        assert_eq!(complete(&get_with(lines)).framing, expected, "{lines}");
    }
}

#[test]
fn expectations() {
    assert!(complete(&get_with("Expect: 100-Continue\r\n")).expect_continue);
    assert_eq!(refused(&get_with("Expect: a-miracle\r\n")), 417);
    assert_eq!(refused(&get_with("Expect: 100-continue, more\r\n")), 417);
    // RFC 9110 §10.1.1: ignored from an HTTP/1.0 client.
    assert!(!complete(b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expect_continue);
}

#[test]
fn what_stands_twice_is_doubted() {
    let head = get_with("Range: bytes=0-1\r\nRange: bytes=0-1\r\nIf-Range: \"a\"\r\n");
    assert_eq!(complete(&head).fields.range, None);
    let head = get_with("Range: bytes=0-1\r\nIf-Range: \"a\"\r\nIf-Range: \"b\"\r\n");
    assert_eq!((complete(&head).fields.range, complete(&head).fields.if_range), (None, None));
    let date = "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    assert_eq!(complete(&get_with(&date.repeat(2))).fields.if_modified_since, None);
    assert_eq!(complete(&get_with(&date.repeat(3))).fields.if_modified_since, None);
    let date = date.replace("Mod", "Unmod");
    assert_eq!(complete(&get_with(&date.repeat(2))).fields.if_unmodified_since, None);
    let agents = get_with("User-Agent: first\r\nUser-Agent: second\r\n");
    assert_eq!(complete(&agents).fields.user_agent, Some(&b"first"[..]));
}

#[test]
fn empty_lines_before_the_request_line() {
    let wire = b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(complete(wire).method, Method::Get);
    for end in 0..4 {
        assert_eq!(parse(&wire[..end], &HeadLimits::default()), Ok(Parsed::Partial), "{end}");
    }
    assert_eq!(refused(&[&b"\r\n".repeat(5)[..], wire].concat()), 400);
    assert_eq!(refused(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(refused(b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

#[test]
fn pipelined_requests_are_left_alone() {
    let wire = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\nrubbish\0";
    let Ok(Parsed::Complete { head, consumed }) = parse(wire, &HeadLimits::default()) else {
        panic!("the first request is complete")
    };
    assert_eq!((head.target, consumed), (&b"/1"[..], 28));
}

#[test]
fn versions() {
    assert_eq!(complete(b"GET / HTTP/1.0\r\n\r\n").version, Version::Http10);
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/3", "HTTP/0.9", "HTTP/9.9"] {
        let wire = format!("GET / {version}\r\nHost: a\r\n\r\n");
        assert_eq!(refused(wire.as_bytes()), 505, "{version}");
    }
    assert_eq!(refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
    for version in ["HTTPS/1.1", "http/1.1", "HTTP/x.y", "FTP/1.1 ", "HTTP/1.10", "HTTP/1.1 "] {
        let wire = format!("GET / {version}\r\nHost: a\r\n\r\n");
        assert_eq!(refused(wire.as_bytes()), 400, "{version}");
    }
    // HTTP/0.9 had no version, TLS has no text.
    assert_eq!(refused(b"GET /\r\n"), 400);
    assert_eq!(refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 400);
}

#[test]
fn limits() {
    let limits = HeadLimits { bytes: 200, target: 50, fields: 3 };
    let status = |wire: &str| match parse(wire.as_bytes(), &limits) {
        Ok(Parsed::Complete { .. }) => 0,
        Ok(Parsed::Partial) => 1,
        Err(refusal) => refusal.status.code(),
    };
    let target = |len: usize| format!("/{}", "a".repeat(len - 1));
    assert_eq!(status(&format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", target(50))), 0);
    assert_eq!(status(&format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", target(51))), 414);
    // Not yet complete: what is too long already cannot become acceptable.
    assert_eq!(status(&format!("GET {}", target(195))), 1);
    assert_eq!(status(&format!("GET {}", target(196))), 414);
    assert_eq!(status(&format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", target(300))), 414);

    let head = |padding: usize| format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(padding));
    assert_eq!(head(174).len(), 200);
    assert_eq!(status(&head(174)), 0);
    assert_eq!(status(&head(175)), 431);
    assert_eq!(status(&head(1000)), 431);
    assert_eq!(status(&head(175)[..199]), 1);
    assert_eq!(status(&head(175)[..200]), 431);

    let fields =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a:\r\n".repeat(count));
    assert_eq!(status(&fields(2)), 0);
    assert_eq!(status(&fields(3)), 431);
}

#[test]
fn no_more_fields_than_there_are_slots_for() {
    let limits = HeadLimits { fields: usize::MAX, ..HeadLimits::default() };
    let with = |count: usize| get_with(&"a: b\r\n".repeat(count - 1));
    assert!(parse(&with(MAX_FIELDS), &limits).is_ok());
    assert_eq!(parse(&with(MAX_FIELDS + 1), &limits).unwrap_err().status.code(), 431);
    let lines = |count: usize| get_with(&"Accept: a/b\r\n".repeat(count));
    assert!(parse(&lines(4), &limits).is_ok());
    assert_eq!(parse(&lines(5), &limits).unwrap_err().status.code(), 431);
}

#[test]
fn parsing_is_not_repeated_for_nothing() {
    let limits = HeadLimits { bytes: 20, ..HeadLimits::default() };
    assert!(!worth_parsing(b"GET / HT", 5, &limits));
    assert!(worth_parsing(b"GET / HTTP/1.1\r\n", 8, &limits));
    assert!(!worth_parsing(b"GET / HTTP/1.1\r\nH", 16, &limits));
    assert!(worth_parsing(b"GET /aaaaaaaaaaaaaaa", 19, &limits));
    assert!(!worth_parsing(b"GET", 9, &limits));
}
