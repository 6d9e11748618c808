//! Where a request ends: RFC 9112 §6 and §11.2. Whatever two parties could read differently is
//! refused, and nothing that follows it is taken for a request.

use crate::harness::{Connection, Response, Server, Tree, bytes};

/// A request of its own, if anybody takes it for one.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// A body of five bytes, and also one in chunks: it is refused for its head, or not at all.
const EITHER: &str = "0\r\n\r\n";

fn serve() -> (Tree, Server) {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree.file("smuggled", "smuggled");
    let server = Server::start(&tree, &["--max-body", "64k"]);
    (tree, server)
}

/// Sends these bytes; exactly one answer must come, with this status, and the connection close.
fn refused(server: &Server, bytes: impl AsRef<[u8]>, status: u16) -> Response {
    let bytes = bytes.as_ref();
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    let mut client = server.connect();
    client.send(bytes);
    let response = client.response(false);
    assert_eq!(response.status, status, "{shown:?}: {}", response.head);
    assert_eq!(response.field("Connection"), Some("close"), "{shown:?}");
    let rest = client.rest();
    assert!(rest.is_empty(), "{shown:?} was followed by {:?}", String::from_utf8_lossy(&rest));
    response
}

/// Sends these bytes; the answers must have these statuses, and the connection live.
fn answered(server: &Server, bytes: impl AsRef<[u8]>, statuses: &[u16]) {
    let mut client = server.connect();
    client.send(&bytes);
    let shown = String::from_utf8_lossy(bytes.as_ref()).into_owned();
    for status in statuses {
        assert_eq!(client.response(false).status, *status, "{shown:?}");
    }
    assert_eq!(client.get("/a.txt", "").body, b"hello", "{shown:?}");
}

fn get_with(fields: &str) -> String {
    format!("GET /a.txt HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

#[test]
fn every_doubt_about_the_length_is_refused() {
    let (_tree, server) = serve();
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5.0",
        "Content-Length: 5 5",
        "Content-Length: five",
        "Content-Length:",
        "Content-Length: \"5\"",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999999999999999",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding:",
        "Transfer-Encoding: ,",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;x=1",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding : chunked",
        "Content-Length : 5",
        "Content-Length\t: 5",
        " Content-Length: 5",
        "X: 1\r\n Content-Length: 5",
        "X: 1\r\n\tfolded",
        "Transfer-Encoding:\r\n chunked",
        "Content\0-Length: 5",
        "Content-Length\r: 5",
    ] {
        refused(&server, get_with(fields) + EITHER + SMUGGLED, 400);
    }
    // A coding that is not understood here, though it could be by others.
    refused(&server, get_with("Transfer-Encoding: xchunked") + EITHER + SMUGGLED, 501);
    refused(&server, get_with("Transfer-Encoding: gzip, chunked") + EITHER + SMUGGLED, 501);
    let http10 = "GET /a.txt HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    refused(&server, http10 + EITHER + SMUGGLED, 400);
}

#[test]
fn every_doubt_about_lines_is_refused() {
    let (_tree, server) = serve();
    for bytes in [
        "GET /a.txt HTTP/1.1\nHost: a\n\n",
        "GET /a.txt HTTP/1.1\r\nHost: a\n\r\n",
        "GET /a.txt HTTP/1.1\nHost: a\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: a\r\n\n",
        "GET /a.txt HTTP/1.1\r\nHost: a\r\nX: 1\nY: 2\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: a\r\nX: 1\r\r\n\r\n",
        "GET /a.txt HTTP/1.1\rHost: a\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\r\nHost: a\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: a\r\nX: 1\0\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: a\r\n: no name\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: a\r\nX(Y): 1\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: a\r\nX\u{e9}: 1\r\n\r\n",
        "GET  /a.txt HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a.txt  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a.txt HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET\t/a.txt\tHTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a.txt\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a.txt\r\nHost: a\r\n\r\n",
        "GET /a.txt http/1.1\r\nHost: a\r\n\r\n",
        "GET /a.txt HTTPS/1.1\r\nHost: a\r\n\r\n",
        " GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n",
        "G(T /a.txt HTTP/1.1\r\nHost: a\r\n\r\n",
        "\n\nGET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\n\r\n\r\n\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03\r\n\r\n", // a TLS client hello
    ] {
        refused(&server, bytes.to_owned() + SMUGGLED, 400);
    }
    // RFC 9112 §2.2: an empty line before the request is forgiven.
    answered(&server, format!("\r\n{}", get_with("X: 1")), &[200]);
}

#[test]
fn every_doubt_about_the_host_is_refused() {
    let (_tree, server) = serve();
    for fields in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: a, b\r\n",
        "Host: user@a\r\n",
        "Host: a:port\r\n",
        "Host: http://a\r\n",
        "Host: [::1\r\n",
        "Host: a#b\r\n",
        "Host : a\r\n",
    ] {
        for target in ["/a.txt", "http://a/a.txt"] {
            let request = format!("GET {target} HTTP/1.1\r\n{fields}\r\n");
            refused(&server, request + SMUGGLED, 400);
        }
    }
    for host in ["a", "A.example:80", "[::1]:8080", "127.0.0.1", "", "a_b"] {
        answered(&server, format!("GET /a.txt HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[200]);
    }
}

#[test]
fn versions() {
    let (_tree, server) = serve();
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3.0", "HTTP/9.9"] {
        refused(&server, format!("GET /a.txt {version}\r\nHost: a\r\n\r\n"), 505);
    }
    refused(&server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505); // a client of HTTP/2
}

#[test]
fn heads_that_are_too_large() {
    let (_tree, server) = serve();
    let long = "a".repeat(20_000);
    let request_line = format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n");
    refused(&server, request_line.clone() + SMUGGLED, 414);
    refused(&server, format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..8192]), 414);
    // Without an end in sight it is refused as soon as that is sure.
    refused(&server, &request_line[..16_384], 414);
    refused(&server, get_with(&format!("X: {long}")) + SMUGGLED, 431);
    refused(&server, &get_with(&format!("X: {long}"))[..16_384], 431);
    refused(&server, get_with(&"X: 1\r\n".repeat(100)) + SMUGGLED, 431);
    refused(&server, get_with(&"Accept: a/b\r\n".repeat(5)) + SMUGGLED, 431);
    // And what must be possible is.
    answered(&server, get_with(&format!("Cookie: {}", &long[..15_000])), &[200]);
    let target = format!("GET /a.txt?{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..8000]);
    answered(&server, target, &[200]);
    answered(&server, get_with(&["X: 1"; 99].join("\r\n")), &[200]);
}

#[test]
fn expectations() {
    let (_tree, server) = serve();
    refused(&server, get_with("Expect: miracles") + SMUGGLED, 417);
    refused(&server, get_with("Expect: 100-continue, x") + SMUGGLED, 417);
    // Without a body there is nothing to continue with.
    answered(&server, get_with("Expect: 100-continue"), &[200]);

    // A body that is wanted is asked for …
    let mut client = server.connect();
    client.send(get_with("Expect: 100-continue\r\nContent-Length: 5"));
    let interim = client.response(false);
    assert_eq!((interim.status, interim.head.as_str()), (100, "HTTP/1.1 100 Continue\r\n\r\n"));
    client.send("12345");
    assert_eq!(client.response(false).body, b"hello");
    client.send(get_with("Expect: 100-Continue\r\nTransfer-Encoding: chunked"));
    assert_eq!(client.response(false).status, 100);
    client.send("5\r\n12345\r\n0\r\n\r\n");
    assert_eq!(client.response(false).body, b"hello");
    // … unless it is there already.
    client.send(get_with("Expect: 100-continue\r\nContent-Length: 5") + "12345");
    assert_eq!(client.response(false).status, 200);

    // A body that is not wanted is not, and whatever comes is no request.
    for (method, length, status) in
        [("POST", "5", 405), ("BREW", "5", 501), ("GET", "65537", 413), ("PUT", "65537", 405)]
    {
        let fields = format!("Expect: 100-continue\r\nContent-Length: {length}");
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        refused(&server, head + SMUGGLED, status);
    }
    // RFC 9110 §10.1.1: HTTP/1.0 knows no interim answers.
    let mut old = server.connect();
    old.send("GET /a.txt HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nxx");
    assert_eq!(old.response(false).status, 200);
}

/// The body is shaped like a request: only who reads its frame knows that it is none.
#[test]
fn bodies_are_drained() {
    let (_tree, server) = serve();
    let sized = format!("Content-Length: {}", SMUGGLED.len());
    let chunk = format!("{:x}\r\n{SMUGGLED}\r\n", SMUGGLED.len());
    let bodies = [
        (sized, SMUGGLED.to_owned()),
        ("Transfer-Encoding: chunked".into(), format!("{chunk}0\r\n\r\n")),
        ("Transfer-Encoding: Chunked".into(), format!("{chunk}{chunk}000\r\n\r\n")),
        ("Transfer-Encoding:chunked ".into(), format!("{chunk}0;last\r\nX: {{}}\r\nY: 1\r\n\r\n")),
        ("Transfer-Encoding: chunked".into(), "1 ;a=\"b\";c\r\nx\r\n0\r\n\r\n".into()),
        ("Transfer-Encoding: chunked".into(), "0\r\n\r\n".into()),
        ("Content-Length: 00".into(), String::new()),
    ];
    for (fields, body) in bodies {
        for (method, status) in [("GET", 200), ("POST", 405), ("OPTIONS", 204), ("BREW", 501)] {
            let request = format!("{method} /a.txt HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}");
            answered(&server, &request, &[status]);
            answered(&server, request.repeat(3), &[status; 3]);
        }
    }
    // In bounds, larger than any buffer; and answered only when it has come.
    let mut client = server.connect();
    client.send(get_with("Content-Length: 65536"));
    client.send(bytes(65_536));
    assert_eq!(client.response(false).body, b"hello");
}

#[test]
fn bodies_out_of_bounds_are_refused() {
    let (_tree, server) = serve();
    for request in [
        get_with("Content-Length: 65537"),
        get_with("Content-Length: 18446744073709551615"),
        get_with("Transfer-Encoding: chunked") + "10001\r\n",
        get_with("Transfer-Encoding: chunked") + &format!("8001\r\n{:32769}\r\n8000\r\n", ""),
    ] {
        refused(&server, request + SMUGGLED, 413);
    }
}

/// Closing at once over bytes that were not read would be a reset, which destroys the answer on
/// its way (RFC 9112 §9.6).
#[test]
fn a_refusal_arrives_though_the_client_still_sends() {
    let (_tree, server) = serve();
    for head in [get_with("Content-Length: 1000000"), get_with("Content-Length: x")] {
        let mut client = server.connect();
        client.send(&head);
        for _ in 0..50 {
            client.send([b'x'; 10_000]);
        }
        assert!(matches!(client.response(false).status, 400 | 413));
        assert!(client.rest().is_empty());
    }
}

#[test]
fn chunks_that_are_malformed_are_refused() {
    let (_tree, server) = serve();
    for body in [
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\n\r\n",
        "0\r\nX: 1\n\r\n",
        "0\r\n\rX",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n",
    ] {
        refused(&server, get_with("Transfer-Encoding: chunked") + body + SMUGGLED, 400);
    }
    // Bounds on everything that is not data (CVE-2023-39326).
    let extension = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(2000));
    let extensions = format!("1;{}\r\nx\r\n", "e".repeat(1000)).repeat(30) + "0\r\n\r\n";
    let trailers = "0\r\n".to_owned() + &"X: 1234567890\r\n".repeat(1000);
    for body in [extension, extensions, trailers] {
        refused(&server, get_with("Transfer-Encoding: chunked") + &body + SMUGGLED, 400);
    }
}

#[test]
fn http_1_0_and_connection_options() {
    let (_tree, server) = serve();
    for (request, closes) in [
        ("GET /a.txt HTTP/1.0\r\n\r\n", true),
        ("GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false),
        ("GET /a.txt HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", false),
        ("GET /a.txt HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", true),
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n", false),
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true),
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE ,y\r\n\r\n", true),
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n", true),
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", false),
        ("GET /absent HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true),
    ] {
        let mut client = server.connect();
        client.send(request.to_owned() + SMUGGLED);
        let response = client.response(false);
        assert!(response.head.starts_with("HTTP/1.1 "), "our own version, whatever was asked");
        let option = response.field("Connection");
        if closes {
            assert_eq!(option, Some("close"), "{request}");
            assert!(client.rest().is_empty(), "{request}");
        } else {
            let expected = request.contains("HTTP/1.0").then_some("keep-alive");
            assert_eq!(option, expected, "{request}");
            assert_eq!(client.response(false).body, b"smuggled", "no smuggling: it may follow");
        }
    }
}

fn send_slowly(client: &mut Connection, bytes: &[u8]) {
    client.stream.set_nodelay(true).unwrap();
    for byte in bytes {
        client.send([*byte]);
    }
}

#[test]
fn byte_by_byte() {
    let (_tree, server) = serve();
    let mut client = server.connect();
    let chunked = get_with("Transfer-Encoding: chunked") + "5;x=y\r\nhello\r\n0\r\nX: 1\r\n\r\n";
    for request in [get_with("X: 1"), get_with("Content-Length: 3") + "abc", chunked] {
        send_slowly(&mut client, request.as_bytes());
        assert_eq!(client.response(false).body, b"hello", "{request}");
    }
    // A refusal comes no later for it, and is the last thing that comes.
    let bad = get_with("Content-Length: 5\r\nTransfer-Encoding: chunked");
    send_slowly(&mut client, bad.as_bytes());
    assert_eq!(client.response(false).status, 400);
    assert!(client.rest().is_empty());
}
