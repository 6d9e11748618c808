//! Conditional requests: RFC 9110 §13, and the validators of §8.8 that they compare.

use crate::harness::{AGED, AGED_DATE, Connection, Server, Tree, age, bytes, eventually};
use std::{
    fs::File,
    time::{Duration, SystemTime},
};

/// The same moment as [`AGED_DATE`] in the two obsolete forms (RFC 9110 §5.6.7).
const AGED_RFC850: &str = "Sunday, 13-Sep-20 12:26:40 GMT";
const AGED_ASCTIME: &str = "Sun Sep 13 12:26:40 2020";
const BEFORE: &str = "Sun, 13 Sep 2020 12:26:39 GMT";
const AFTER: &str = "Sun, 13 Sep 2020 12:26:41 GMT";

const LEN: usize = 10_000;

/// A server of `/a.bin`, last modified [`AGED`], and its entity tag.
fn serve() -> (Tree, Server, String) {
    let tree = Tree::new();
    tree.aged("a.bin", bytes(LEN));
    let server = Server::start(&tree, &["--cache-control", "max-age=60"]);
    let etag = etag(&mut server.connect(), "/a.bin");
    (tree, server, etag)
}

fn etag(client: &mut Connection, target: &str) -> String {
    client.ask("HEAD", target, "").field("ETag").unwrap().to_owned()
}

/// Asks for `/a.bin` once for each row: fields, expected status. GET and HEAD must agree.
fn check(server: &Server, rows: &[(String, u16)]) {
    let mut client = server.connect();
    for (fields, expected) in rows {
        let fields = format!("{fields}\r\n");
        assert_eq!(client.get("/a.bin", &fields).status, *expected, "GET {fields}");
        assert_eq!(client.ask("HEAD", "/a.bin", &fields).status, *expected, "HEAD {fields}");
    }
}

#[test]
fn validators_of_an_old_file_are_strong_and_stay() {
    let (_tree, server, etag) = serve();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "{etag}");
    for _ in 0..3 {
        let response = server.connect().get("/a.bin", "");
        assert_eq!(response.field("ETag"), Some(&*etag));
        assert_eq!(response.field("Last-Modified"), Some(AGED_DATE));
    }
}

/// Two writes within the clock's grain would leave the same time: until that is past, the tag
/// must not promise identical bytes (RFC 9110 §8.8.2.2). A time in the future is never past.
#[test]
fn validators_of_a_file_that_may_still_change_are_weak() {
    let tree = Tree::new();
    age(&tree.file("future.bin", "x"), 4_000_000_000);
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let response = client.get("/future.bin", "");
    let etag = response.field("ETag").unwrap();
    assert!(etag.starts_with("W/\""), "{etag}");
    // §8.8.2.1: no Last-Modified later than Date.
    assert_ne!(response.field("Last-Modified"), Some("Thu, 02 Oct 2096 07:06:40 GMT"));
    // Good enough for "has it changed", not for "is it the same bytes".
    assert_eq!(client.get("/future.bin", &format!("If-None-Match: {etag}\r\n")).status, 304);
    assert_eq!(client.get("/future.bin", &format!("If-Match: {etag}\r\n")).status, 412);
    let resumed = client.get("/future.bin", &format!("Range: bytes=0-0\r\nIf-Range: {etag}\r\n"));
    assert_eq!(resumed.status, 200);
}

/// The open file is the same all the while, only known for longer.
#[test]
fn a_weak_tag_becomes_strong_with_time() {
    let tree = Tree::new();
    let file = File::create(tree.path().join("a.bin")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
    let server = Server::start(&tree, &["--open-files-valid", "1ms"]);
    let mut client = server.connect();
    let weak = etag(&mut client, "/a.bin");
    assert!(weak.starts_with("W/\""), "{weak}");
    let strong = weak.trim_start_matches("W/");
    eventually("a strong tag", || etag(&mut client, "/a.bin") == strong);
    assert_eq!(client.get("/a.bin", &format!("If-Match: {strong}\r\n")).status, 200);
}

#[test]
fn the_tag_changes_with_length_and_time() {
    let tree = Tree::new();
    for (name, content, time) in [
        ("a", "12", AGED),
        ("b", "123", AGED),
        ("c", "12", AGED + 1),
        ("same", "34", AGED), // what no validator of this kind can tell; the way of all servers
    ] {
        age(&tree.file(name, content), time);
    }
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let [a, b, c, same] = ["/a", "/b", "/c", "/same"].map(|target| etag(&mut client, target));
    assert!(a != b && a != c && b != c);
    assert_eq!(a, same);
}

#[test]
fn a_304_says_what_a_cache_needs_and_no_more() {
    let (_tree, server, etag) = serve();
    let mut client = server.connect();
    let response = client.get("/a.bin", &format!("If-None-Match: {etag}\r\n"));
    assert_eq!(response.status, 304);
    assert_eq!(response.field("ETag"), Some(&*etag));
    assert_eq!(response.field("Last-Modified"), Some(AGED_DATE));
    assert_eq!(response.field("Cache-Control"), Some("max-age=60"));
    assert!(response.field("Date").is_some());
    for absent in ["Content-Length", "Content-Type", "Content-Range", "Transfer-Encoding"] {
        assert_eq!(response.field(absent), None, "{absent}");
    }
    // Nothing follows the head: the next answer is the next answer.
    assert_eq!(client.get("/a.bin", "").body, bytes(LEN));
}

#[test]
fn if_none_match() {
    let (_tree, server, etag) = serve();
    check(
        &server,
        &[
            (format!("If-None-Match: {etag}"), 304),
            (format!("If-None-Match: W/{etag}"), 304),
            ("If-None-Match: *".into(), 304),
            (format!("If-None-Match: \"x\", {etag}"), 304),
            (format!("If-None-Match: , W/\"y\" ,\t{etag} , \"a,b\""), 304),
            (format!("If-None-Match: \"x\"\r\nIf-None-Match: {etag}"), 304),
            ("If-None-Match: \"x\"".into(), 200),
            ("If-None-Match: \"\"".into(), 200),
            // Not quoted, hence no tag; within quotes a comma separates nothing.
            (format!("If-None-Match: {}", etag.trim_matches('"')), 200),
            (format!("If-None-Match: \"x, {}\"", etag.trim_matches('"')), 200),
            (format!("If-None-Match: {}", etag.replace('"', "'")), 200),
            ("If-None-Match:".into(), 200),
        ],
    );
}

#[test]
fn if_match() {
    let (_tree, server, etag) = serve();
    check(
        &server,
        &[
            (format!("If-Match: {etag}"), 200),
            ("If-Match: *".into(), 200),
            (format!("If-Match: \"x\", {etag}"), 200),
            (format!("If-Match: \"x\"\r\nIf-Match: \"y\", {etag}"), 200),
            // Strong comparison.
            (format!("If-Match: W/{etag}"), 412),
            ("If-Match: \"x\"".into(), 412),
            ("If-Match: \"x\", \"y\"".into(), 412),
        ],
    );
    let failed = server.connect().get("/a.bin", "If-Match: \"x\"\r\n");
    assert_eq!((failed.field("Content-Length"), failed.field("ETag")), (Some("0"), None));
}

#[test]
fn dates_in_all_three_forms() {
    let (_tree, server, _) = serve();
    let mut rows = Vec::new();
    for same in [AGED_DATE, AGED_RFC850, AGED_ASCTIME] {
        rows.push((format!("If-Modified-Since: {same}"), 304));
        rows.push((format!("If-Unmodified-Since: {same}"), 200));
    }
    rows.extend([
        (format!("If-Modified-Since: {AFTER}"), 304),
        (format!("If-Modified-Since: {BEFORE}"), 200),
        ("If-Modified-Since: Sunday, 13-Sep-20 12:26:39 GMT".into(), 200),
        ("If-Modified-Since: Sun Sep 13 12:26:39 2020".into(), 200),
        (format!("If-Unmodified-Since: {AFTER}"), 200),
        (format!("If-Unmodified-Since: {BEFORE}"), 412),
        ("If-Unmodified-Since: Sunday, 13-Sep-20 12:26:39 GMT".into(), 412),
        ("If-Unmodified-Since: Sun Sep 13 12:26:39 2020".into(), 412),
        // RFC 850 has two digits for the year: 94 was 1994, for 2094 is too far ahead.
        ("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT".into(), 200),
    ]);
    check(&server, &rows);
}

#[test]
fn an_invalid_date_is_ignored() {
    let (_tree, server, _) = serve();
    let mut rows = Vec::new();
    for date in [
        "",
        "yesterday",
        "0",
        "1600000000",
        "2020-09-13T12:26:40Z",
        "Sun, 13 Sep 2020 12:26:40",
        "Sun, 13 Sep 2020 25:26:40 GMT",
        "Sun, 31 Feb 2030 12:26:40 GMT",
        "Sun, 13 Sep 2020 12:26:40 +0200",
        "\u{e9}",
    ] {
        rows.push((format!("If-Modified-Since: {date}"), 200));
        rows.push((format!("If-Unmodified-Since: {date}"), 200));
    }
    // Twice is none.
    rows.push((format!("If-Modified-Since: {AFTER}\r\nIf-Modified-Since: {AFTER}"), 200));
    rows.push((format!("If-Unmodified-Since: {BEFORE}\r\nIf-Unmodified-Since: {BEFORE}"), 200));
    check(&server, &rows);
}

/// RFC 9110 §13.2.2, step by step.
#[test]
fn precedence() {
    let (_tree, server, etag) = serve();
    check(
        &server,
        &[
            // If-Match makes If-Unmodified-Since void.
            (format!("If-Match: {etag}\r\nIf-Unmodified-Since: {BEFORE}"), 200),
            (format!("If-Match: \"x\"\r\nIf-Unmodified-Since: {AFTER}"), 412),
            // If-None-Match makes If-Modified-Since void.
            (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {AFTER}"), 200),
            (format!("If-None-Match: {etag}\r\nIf-Modified-Since: {BEFORE}"), 304),
            // 412 comes before 304.
            (format!("If-None-Match: {etag}\r\nIf-Match: \"x\""), 412),
            (format!("If-None-Match: {etag}\r\nIf-Unmodified-Since: {BEFORE}"), 412),
            (format!("If-Modified-Since: {AFTER}\r\nIf-Unmodified-Since: {BEFORE}"), 412),
            // And if the first holds, the second is asked.
            (format!("If-Match: {etag}\r\nIf-None-Match: {etag}"), 304),
            (format!("If-Unmodified-Since: {AFTER}\r\nIf-Modified-Since: {AGED_DATE}"), 304),
        ],
    );
    let mut client = server.connect();
    // Range comes last.
    for (fields, expected) in [
        (format!("If-None-Match: {etag}"), 304),
        ("If-Match: \"x\"".into(), 412),
        (format!("If-Match: {etag}"), 206),
        ("If-None-Match: \"x\"".into(), 206),
    ] {
        let response = client.get("/a.bin", &format!("Range: bytes=0-9\r\n{fields}\r\n"));
        assert_eq!(response.status, expected, "{fields}");
    }
    // Conditions are about a file that is there.
    assert_eq!(client.get("/absent", "If-Match: \"x\"\r\n").status, 404);
    assert_eq!(client.get("/absent", "If-None-Match: *\r\n").status, 404);
}

#[test]
fn if_range_guards_the_range() {
    let (_tree, server, etag) = serve();
    let mut client = server.connect();
    for (guard, expected) in [
        (etag.clone(), 206),
        (AGED_DATE.into(), 206),
        (AGED_RFC850.into(), 206),
        // Not the very same: the whole file, never pieces of two.
        (format!("W/{etag}"), 200),
        ("\"x\"".into(), 200),
        (format!("{etag}, \"x\""), 200),
        ("*".into(), 200),
        (BEFORE.into(), 200),
        (AFTER.into(), 200),
        ("nonsense".into(), 200),
        (String::new(), 200),
    ] {
        let fields = format!("Range: bytes=1-2\r\nIf-Range: {guard}\r\n");
        let response = client.get("/a.bin", &fields);
        assert_eq!(response.status, expected, "{guard}");
        let whole = bytes(LEN);
        assert!(response.body == if expected == 206 { &whole[1..3] } else { &whole[..] });
    }
    // An If-Range that agrees lets 416 through; one that does not makes the range void.
    let outside = format!("Range: bytes={LEN}-\r\n");
    assert_eq!(client.get("/a.bin", &format!("{outside}If-Range: {etag}\r\n")).status, 416);
    assert_eq!(client.get("/a.bin", &format!("{outside}If-Range: \"x\"\r\n")).status, 200);
    // Twice, or without a range, it says nothing; and never lets through what it did not check.
    let twice = format!("Range: bytes=1-2\r\nIf-Range: {etag}\r\nIf-Range: \"x\"\r\n");
    assert_eq!(client.get("/a.bin", &twice).status, 200);
    assert_eq!(client.get("/a.bin", "If-Range: \"x\"\r\n").status, 200);
}
