//! Ranges: RFC 9110 §14.

use crate::harness::{Response, Server, Tree, bytes};
use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
};

const LEN: usize = 100_000;

/// A server of `/a.bin` with [`LEN`] bytes, which are returned, and of `/small.txt` with "0123456789".
fn serve() -> (Tree, Vec<u8>, Server) {
    let tree = Tree::new();
    let content = bytes(LEN);
    tree.file("a.bin", &content);
    tree.file("small.txt", "0123456789");
    let server = Server::start(&tree, &[]);
    (tree, content, server)
}

/// The parts of a multipart/byteranges body: `Content-Range` and bytes of each. Reads it by its
/// boundary alone, as a client does.
fn parts(response: &Response) -> Vec<(String, Vec<u8>)> {
    let content_type = response.field("Content-Type").unwrap();
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The CRLF of the first delimiter belongs to it, and may be left out (RFC 2046 §5.1.1).
    let body = [b"\r\n", &response.body[..]].concat();
    let mut starts: Vec<usize> =
        (0..body.len()).filter(|&at| body[at..].starts_with(&delimiter)).collect();
    let closing = starts.pop().unwrap();
    assert_eq!(body[closing + delimiter.len()..], *b"--\r\n");
    assert_eq!(starts[0], 0, "nothing comes before the first part");
    let ends = starts[1..].iter().copied().chain([closing]);
    let part = |(start, end): (&usize, usize)| {
        let part = &body[start + delimiter.len()..end];
        let head_end = part.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(part[..head_end].to_vec()).unwrap();
        assert!(head.contains("\r\nContent-Type: application/octet-stream\r\n"), "{head}");
        let range = head.lines().find_map(|line| line.strip_prefix("Content-Range: "));
        (range.unwrap().to_owned(), part[head_end..].to_vec())
    };
    starts.iter().zip(ends).map(part).collect()
}

#[test]
fn a_single_range_is_those_bytes() {
    let (_tree, content, server) = serve();
    let mut client = server.connect();
    for (asked, first, last) in [
        ("10-19999", 10, 19_999),
        ("0-0", 0, 0),
        ("99999-99999", 99_999, 99_999),
        ("0-", 0, 99_999),
        ("4096-", 4096, 99_999),
        ("-1", 99_999, 99_999),
        ("-4097", 95_903, 99_999),
        // Beyond the end is cut to the end.
        ("-100001", 0, 99_999),
        ("99990-100000", 99_990, 99_999),
        ("5-99999999999999999999999999", 5, 99_999),
        // The unit has no case, a list may have empty elements and white space.
        (" 7-8 ,, ", 7, 8),
    ] {
        let response = client.get("/a.bin", &format!("Range: bytes={asked}\r\n"));
        assert_eq!(response.status, 206, "{asked}");
        let range = format!("bytes {first}-{last}/{LEN}");
        assert_eq!(response.field("Content-Range"), Some(&*range), "{asked}");
        assert_eq!(response.field("Content-Type"), Some("application/octet-stream"));
        assert_eq!(response.field("Accept-Ranges"), Some("bytes"));
        assert!(response.field("ETag").is_some() && response.field("Last-Modified").is_some());
        assert!(response.body == content[first..=last], "{asked}");
    }
    assert_eq!(client.get("/a.bin", "Range: BYTES=1-2\r\n").status, 206);
}

#[test]
fn a_range_of_a_small_file_that_is_kept_in_memory() {
    let (_tree, _, server) = serve();
    let mut client = server.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/small.txt", "").body, b"0123456789");
        assert_eq!(client.get("/small.txt", "Range: bytes=3-5\r\n").body, b"345");
        assert_eq!(client.get("/small.txt", "Range: bytes=-2\r\n").body, b"89");
    }
}

#[test]
fn outside_the_file_is_416_with_its_length() {
    let (tree, _, server) = serve();
    tree.file("empty.bin", "");
    let mut client = server.connect();
    for (target, asked, range) in [
        ("/a.bin", "100000-", "bytes */100000"),
        ("/a.bin", "100000-100001", "bytes */100000"),
        ("/a.bin", "99999999999999999999999-", "bytes */100000"),
        ("/a.bin", "-0", "bytes */100000"),
        ("/a.bin", "100000-,200000-200001,-0", "bytes */100000"),
        ("/empty.bin", "0-", "bytes */0"),
        ("/empty.bin", "0-0", "bytes */0"),
        ("/empty.bin", "-1", "bytes */0"),
    ] {
        let response = client.get(target, &format!("Range: bytes={asked}\r\n"));
        assert_eq!(response.status, 416, "{target} {asked}");
        assert_eq!(response.field("Content-Range"), Some(range), "{target} {asked}");
    }
    // Nothing was closed by it.
    assert_eq!(client.get("/a.bin", "").status, 200);
}

#[test]
fn an_invalid_range_is_ignored() {
    let (_tree, content, server) = serve();
    let mut client = server.connect();
    for field in [
        "Range: bytes=",
        "Range: bytes=-",
        "Range: bytes=,",
        "Range: bytes=5-4",
        "Range: bytes=0-0,5-4",
        "Range: bytes=a-b",
        "Range: bytes=0x0-0x5",
        "Range: bytes=+1-5",
        "Range: bytes=1 - 5",
        "Range: bytes=0-1-2",
        "Range: bytes 0-5",
        "Range: bytes",
        "Range: lines=0-5",
        "Range: 0-5",
        "Range:",
        // Two of them: who knows which one was meant.
        "Range: bytes=0-1\r\nRange: bytes=4-5",
    ] {
        let response = client.get("/a.bin", &format!("{field}\r\n"));
        assert_eq!(response.status, 200, "{field}");
        assert_eq!(response.field("Content-Range"), None, "{field}");
        assert!(response.body == content, "{field}");
    }
}

#[test]
fn several_ranges_are_a_multipart_in_the_order_asked_for() {
    let (_tree, content, server) = serve();
    let mut client = server.connect();
    for asked in ["0-0,-1", "50000-50999,10-19", "0-9,20-29,40-39999,90000-,60000-60000"] {
        let response = client.get("/a.bin", &format!("Range: bytes={asked}\r\n"));
        assert_eq!(response.status, 206, "{asked}");
        assert_eq!(response.field("Content-Range"), None, "it stands in the parts");
        let expected: Vec<_> = asked
            .split(',')
            .map(|range| {
                let (first, last) = match range.split_once('-').unwrap() {
                    ("", suffix) => (LEN - suffix.parse::<usize>().unwrap(), LEN - 1),
                    (first, "") => (first.parse().unwrap(), LEN - 1),
                    (first, last) => (first.parse().unwrap(), last.parse().unwrap()),
                };
                (format!("bytes {first}-{last}/{LEN}"), content[first..=last].to_vec())
            })
            .collect();
        assert!(parts(&response) == expected, "{asked}");
    }
}

#[test]
fn what_lies_outside_is_left_out_of_several() {
    let (_tree, content, server) = serve();
    let response = server.connect().get("/a.bin", "Range: bytes=200000-,7-9,100000-\r\n");
    assert_eq!(response.status, 206);
    assert_eq!(response.field("Content-Range"), Some("bytes 7-9/100000"));
    assert_eq!(response.body, content[7..10]);
}

/// CVE-2011-3192 ("Apache killer"), RFC 9110 §14.2.
#[test]
fn abusive_sets_never_make_more_than_the_file() {
    let (_tree, content, server) = serve();
    let mut client = server.connect();
    let mut ask = |set: &str| client.get("/a.bin", &format!("Range: bytes={set}\r\n"));

    let everything = ask("0-,0-,0-,1-,2-,3-,-5");
    assert_eq!(everything.field("Content-Range"), Some("bytes 0-99999/100000"));
    assert!(everything.body == content);

    let overlapping: Vec<_> = (0..60).map(|i| format!("{i}-{}", i + 2)).collect();
    let joined = ask(&overlapping.join(","));
    assert_eq!(joined.field("Content-Range"), Some("bytes 0-61/100000"));

    let touching = ask("10-19,0-9");
    assert_eq!(touching.field("Content-Range"), Some("bytes 0-19/100000"));

    let many: Vec<_> = (0..2000).map(|i| format!("{0}-{0}", 2 * i)).collect();
    let ignored = ask(&many[..1000].join(","));
    assert_eq!(ignored.status, 200);
    assert!(ignored.body == content);
    let bounded = ask(&many[..64].join(","));
    assert_eq!((bounded.status, parts(&bounded).len()), (206, 64));
}

/// RFC 9110 §14.2: Range is defined for GET alone.
#[test]
fn head_ignores_a_range() {
    let (_tree, _, server) = serve();
    let mut client = server.connect();
    let response = client.ask("HEAD", "/a.bin", "Range: bytes=0-9\r\n");
    assert_eq!((response.status, response.field("Content-Length")), (200, Some("100000")));
    assert_eq!(client.ask("HEAD", "/a.bin", "Range: bytes=100000-\r\n").status, 200);
}

#[test]
fn a_range_beyond_four_gibibytes() {
    let tree = Tree::new();
    let mark: u64 = (5 << 30) + 12_345;
    let mut file = File::create(tree.path().join("sparse.bin")).unwrap();
    file.seek(SeekFrom::Start(mark)).unwrap();
    file.write_all(b"here").unwrap();
    file.set_len(6 << 30).unwrap();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let asked = format!("Range: bytes={}-{}\r\n", mark - 2, mark + 5);
    let response = client.get("/sparse.bin", &asked);
    let range = format!("bytes {}-{}/6442450944", mark - 2, mark + 5);
    assert_eq!(response.field("Content-Range"), Some(&*range));
    assert_eq!(response.body, b"\0\0here\0\0");
    let both = client.get("/sparse.bin", &format!("Range: bytes={mark}-{0},-1\r\n", mark + 3));
    assert_eq!(parts(&both)[0].1, b"here");
    assert_eq!(parts(&both)[1], ("bytes 6442450943-6442450943/6442450944".into(), vec![0]));
}

/// What a video player does: one connection, many places.
#[test]
fn many_ranges_on_one_connection() {
    let tree = Tree::new();
    let content = bytes(5 << 20);
    tree.file("a.bin", &content);
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let mut place = 1_usize;
    for _ in 0..200 {
        place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let first = (place >> 20) % content.len();
        let last = (first + (place >> 40) % (256 << 10)).min(content.len() - 1);
        let response = client.get("/a.bin", &format!("Range: bytes={first}-{last}\r\n"));
        assert_eq!(response.status, 206);
        assert!(response.body == content[first..=last], "{first}-{last}");
    }
}
