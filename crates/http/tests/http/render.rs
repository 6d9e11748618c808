//! Response heads, byte for byte.

use sendrail_http::answer::{Answer, Body, Representation, answer};
use sendrail_http::date::format_http_date;
use sendrail_http::head::Version;
use sendrail_http::negotiate::Coding;
use sendrail_http::render::{Envelope, date_position, error_page, write_head, write_simple};
use sendrail_http::status::Status;

use crate::{EXAMPLE, complete, example_file, get_with};

const DATE: &[u8; 29] = b"Tue, 15 Nov 1994 08:12:31 GMT";
const ENVELOPE: Envelope<'static> =
    Envelope { date: DATE, server: Some("sendrail"), keep_alive: true, version: Version::Http11 };

fn render(fields: &str, file: &Representation<'_>, envelope: &Envelope<'_>) -> String {
    let mut out = Vec::new();
    write_head(&mut out, &answer(&complete(&get_with(fields)), file, 7), file, envelope);
    String::from_utf8(out).unwrap()
}

#[test]
fn ok() {
    assert_eq!(
        render("", &example_file(), &ENVELOPE),
        "HTTP/1.1 200 OK\r\n\
         Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n\
         Server: sendrail\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: 10000\r\n\
         Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         ETag: \"2ebc98a1.2a-2710\"\r\n\
         Accept-Ranges: bytes\r\n\
         X-Content-Type-Options: nosniff\r\n\
         \r\n"
    );
}

#[test]
fn a_negotiated_variant() {
    let file = Representation {
        coding: Coding::Brotli,
        vary: true,
        cache_control: Some("max-age=60"),
        ..example_file()
    };
    let envelope = Envelope { server: None, keep_alive: false, ..ENVELOPE };
    assert_eq!(
        render("", &file, &envelope),
        "HTTP/1.1 200 OK\r\n\
         Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: 10000\r\n\
         Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         ETag: \"2ebc98a1.2a-2710\"\r\n\
         Vary: Accept-Encoding\r\n\
         Cache-Control: max-age=60\r\n\
         Accept-Ranges: bytes\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Content-Encoding: br\r\n\
         Connection: close\r\n\
         \r\n"
    );
}

#[test]
fn partial() {
    let head = render(
        "Range: bytes=21010-47021\r\n",
        &Representation { len: 47022, ..example_file() },
        &ENVELOPE,
    );
    assert!(head.starts_with("HTTP/1.1 206 Partial Content\r\nDate: "), "{head}");
    assert!(head.contains("\r\nContent-Range: bytes 21010-47021/47022\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Length: 26012\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"), "{head}");
    assert!(head.contains("\r\nETag: ") && head.contains("\r\nLast-Modified: "), "{head}");
}

#[test]
fn several_parts() {
    let head = render("Range: bytes=0-0,-1\r\n", &example_file(), &ENVELOPE);
    let boundary = "00000000000000000000000000000007";
    let content_type = format!("\r\nContent-Type: multipart/byteranges; boundary={boundary}\r\n");
    assert!(head.contains(&content_type), "{head}");
    // Not in the head of a multipart answer (RFC 9110 §15.3.7.2).
    assert!(!head.contains("Content-Range"), "{head}");
    assert!(!head.contains("text/plain"), "{head}");
}

#[test]
fn not_modified() {
    let file = Representation {
        vary: true,
        cache_control: Some("no-cache"),
        coding: Coding::Gzip,
        ..example_file()
    };
    assert_eq!(
        render("If-None-Match: *\r\n", &file, &ENVELOPE),
        "HTTP/1.1 304 Not Modified\r\n\
         Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n\
         Server: sendrail\r\n\
         Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         ETag: \"2ebc98a1.2a-2710\"\r\n\
         Vary: Accept-Encoding\r\n\
         Cache-Control: no-cache\r\n\
         \r\n"
    );
}

#[test]
fn unsatisfiable_and_failed() {
    assert_eq!(
        render("Range: bytes=10000-\r\n", &example_file(), &ENVELOPE),
        "HTTP/1.1 416 Range Not Satisfiable\r\n\
         Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n\
         Server: sendrail\r\n\
         Content-Length: 0\r\n\
         Content-Range: bytes */10000\r\n\
         Accept-Ranges: bytes\r\n\
         X-Content-Type-Options: nosniff\r\n\
         \r\n"
    );
    // There is no content, so no coding of it either.
    let compressed = Representation { coding: Coding::Gzip, ..example_file() };
    let head = render("Range: bytes=10000-\r\n", &compressed, &ENVELOPE);
    assert!(!head.contains("Content-Encoding"), "{head}");
    let head = render("If-Match: \"x\"\r\n", &example_file(), &ENVELOPE);
    assert!(head.starts_with("HTTP/1.1 412 Precondition Failed\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Length: 0\r\n") && !head.contains("ETag"), "{head}");
}

#[test]
fn persistence_is_told_where_it_is_not_the_default() {
    let connection = |keep_alive, version| {
        let head = render("", &example_file(), &Envelope { keep_alive, version, ..ENVELOPE });
        assert!(head.starts_with("HTTP/1.1 "), "{head}");
        head.lines().find_map(|line| line.strip_prefix("Connection: ").map(str::to_owned))
    };
    assert_eq!(connection(true, Version::Http11), None);
    assert_eq!(connection(false, Version::Http11).as_deref(), Some("close"));
    assert_eq!(connection(true, Version::Http10).as_deref(), Some("keep-alive"));
    assert_eq!(connection(false, Version::Http10).as_deref(), Some("close"));
}

#[test]
fn the_date_can_be_patched_in_every_head() {
    let later = format_http_date(EXAMPLE);
    for &status in Status::ALL {
        let mut simple = Vec::new();
        write_simple(&mut simple, status, None, 0, &[], &ENVELOPE);
        let mut file = Vec::new();
        let answer = Answer { status, body: Body::Whole };
        write_head(&mut file, &answer, &example_file(), &ENVELOPE);
        for head in [&mut simple, &mut file] {
            assert_eq!(&head[date_position(head)], DATE);
            let position = date_position(head);
            head[position].copy_from_slice(&later);
            let text = String::from_utf8(head.clone()).unwrap();
            assert_eq!(text.lines().nth(1), Some("Date: Sun, 06 Nov 1994 08:49:37 GMT"));
        }
    }
}

#[test]
fn simple_heads() {
    let mut out = b"before".to_vec();
    let allow = [("Allow", "GET, HEAD, OPTIONS")];
    write_simple(&mut out, Status::NO_CONTENT, None, 0, &allow, &ENVELOPE);
    // RFC 9110 §8.6: no Content-Length in a 204.
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "beforeHTTP/1.1 204 No Content\r\n\
         Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n\
         Server: sendrail\r\n\
         Allow: GET, HEAD, OPTIONS\r\n\
         X-Content-Type-Options: nosniff\r\n\
         \r\n"
    );
    let mut out = Vec::new();
    let html = Some("text/html; charset=utf-8");
    write_simple(&mut out, Status::NOT_FOUND, html, u64::MAX, &[], &ENVELOPE);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{text}");
    assert!(text.contains("\r\nContent-Length: 18446744073709551615\r\n"), "{text}");
}

#[test]
fn values_cannot_split_the_response() {
    let evil = "/a\r\nSet-Cookie: b\n\0\x7f";
    let mut out = Vec::new();
    let extra = [("Location", evil)];
    write_simple(&mut out, Status::FOUND, Some(evil), 0, &extra, &ENVELOPE);
    let file = Representation { content_type: evil, cache_control: Some(evil), ..example_file() };
    let answer = Answer { status: Status::OK, body: Body::Whole };
    let envelope = Envelope { server: Some(evil), ..ENVELOPE };
    write_head(&mut out, &answer, &file, &envelope);
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains("\nSet-Cookie"), "{text}");
    assert!(text.chars().filter(char::is_ascii_control).all(|c| c == '\r' || c == '\n'));
    assert_eq!(text.matches('\r').count(), text.matches("\r\n").count());
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
}

#[test]
fn a_plain_head_fits_into_what_was_reserved() {
    let mut out = Vec::with_capacity(512);
    let answer = Answer { status: Status::OK, body: Body::Whole };
    write_head(&mut out, &answer, &example_file(), &ENVELOPE);
    assert_eq!(out.capacity(), 512);
}

#[test]
fn error_pages_are_escaped() {
    let page = error_page(Status::BAD_REQUEST, "<script>\"&'");
    assert!(page.starts_with("<!doctype html>"));
    assert!(page.contains("<title>400 Bad Request</title>"));
    assert!(page.contains("<p>&lt;script&gt;&quot;&amp;&#39;</p>"));
    assert!(page.contains("color-scheme"));
    assert!(!page.contains("<script>"));
}
