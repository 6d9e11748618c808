//! PUT: a file in one request.

use super::{begin_put, chunked, content, names, put, serve, serve_by, serve_logged};
use crate::harness::{Journal, Tree, eventually};
use std::{fs, os::unix::fs::PermissionsExt};

#[test]
fn what_is_put_is_there_and_a_get_right_after_agrees() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    let mut connection = server.connect();
    for (round, status) in [(1, 201), (2, 204), (3, 204)] {
        let body = content(10_000 + round);
        let response = put(&mut connection, "/a.bin", "", &body);
        assert_eq!(response.status, status, "{}", response.head);
        let opaque = |tag: Option<&str>| tag.unwrap().trim_start_matches("W/").to_owned();
        // The same connection is the same worker, which has the old file open.
        let got = connection.get("/a.bin", "");
        assert_eq!((got.status, got.body == body), (200, true), "round {round}");
        assert_eq!(opaque(got.field("ETag")), opaque(response.field("ETag")));
        assert_eq!(got.field("Last-Modified"), response.field("Last-Modified"));
        let tag = got.field("ETag").unwrap();
        let same = connection.get("/a.bin", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!(same.status, 304);
    }
    assert_eq!(names(tree.path()), ["a.bin"]);
}

#[test]
fn another_worker_sees_it_at_once_as_well() {
    let tree = Tree::new();
    let files: Vec<String> = (0..40).map(|number| format!("/{number}.bin")).collect();
    // Believed for an hour, unless somebody says otherwise.
    let server = serve_by(4, &tree, &["--open-files-valid", "1h"]);
    for file in &files {
        assert_eq!(put(&mut server.connect(), file, "", b"old").status, 201);
    }
    // So that each worker has some of them open. Which one a connection comes to is for the kernel to say.
    let mut readers: Vec<_> = (0..16).map(|_| server.connect()).collect();
    for reader in &mut readers {
        for file in &files {
            assert_eq!(reader.get(file, "").body, b"old");
        }
    }
    for file in &files {
        assert_eq!(put(&mut server.connect(), file, "", b"newer").status, 204);
        for reader in &mut readers {
            assert_eq!(reader.get(file, "").body, b"newer", "{file}");
        }
    }
}

#[test]
fn a_precompressed_variant_is_seen_when_it_arrives() {
    let tree = Tree::new();
    let server = serve(&tree, &["--open-files-valid", "1h"]);
    let mut connection = server.connect();
    assert_eq!(put(&mut connection, "/a.js", "", b"plain").status, 201);
    let gzip = "Accept-Encoding: gzip\r\n";
    assert_eq!(connection.get("/a.js", gzip).body, b"plain");
    assert_eq!(put(&mut connection, "/a.js.gz", "", b"packed").status, 201);
    let got = connection.get("/a.js", gzip);
    assert_eq!((got.field("Content-Encoding"), &*got.body), (Some("gzip"), &b"packed"[..]));
}

#[test]
fn in_chunks_of_any_size() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    let mut connection = server.connect();
    for len in [0, 1, 16_384, 300_000, 3_000_000] {
        let body = content(len);
        for sizes in [&[100_000][..], &[4096], &[70_001, 5, 33_000]] {
            connection.send(chunked("/c.bin", "", &body, sizes));
            let response = connection.response(false);
            assert!(matches!(response.status, 201 | 204), "{}", response.head);
            assert!(connection.get("/c.bin", "").body == body, "{len} in {sizes:?}");
        }
    }
    // Byte by byte: as much framing as is allowed.
    connection.send(chunked("/c.bin", "", &content(2000), &[1]));
    assert_eq!(connection.response(false).status, 204);
    assert_eq!(fs::read(tree.path().join("c.bin")).unwrap(), content(2000));
}

#[test]
fn nothing_is_seen_before_the_last_byte_and_nothing_is_left_of_a_cut_one() {
    let tree = Tree::new();
    tree.file("a.bin", "old");
    let server = serve(&tree, &[]);
    let body = content(3_000_000);
    for cut in [0, 1, 20_000, 100_000, 2_999_999] {
        let mut connection = server.connect();
        begin_put(&mut connection, "/a.bin", "", body.len());
        connection.send(&body[..cut]);
        let mut reader = server.connect();
        assert_eq!(reader.get("/a.bin", "").body, b"old");
        assert_eq!(names(tree.path()), ["a.bin"]);
        drop(connection);
    }
    eventually("its descriptors are closed", || {
        !crate::harness::process::descriptors(server.child.id())
            .iter()
            .any(|name| name.contains("(deleted)"))
    });
    assert_eq!(fs::read(tree.path().join("a.bin")).unwrap(), b"old");
}

#[test]
fn the_client_is_asked_for_its_body_only_when_all_else_is_well() {
    let tree = Tree::new();
    tree.file("a.bin", "old");
    let server = serve(&tree, &["--upload-max", "1m"]);
    let expect = "Expect: 100-continue\r\n";
    let mut connection = server.connect();
    begin_put(&mut connection, "/new.bin", expect, 5);
    assert_eq!(connection.response(false).status, 100);
    connection.send("hello");
    assert_eq!(connection.response(false).status, 201);
    assert_eq!(connection.get("/new.bin", "").body, b"hello");
    for (target, fields, len, status) in [
        ("/a.bin", "If-None-Match: *\r\n", 5, 412),
        ("/none/a.bin", "", 5, 409),
        ("/large.bin", "", (1 << 20) + 1, 413),
        ("/.hidden", "", 5, 400),
        ("/a.bin", "Content-Range: bytes 0-4/5\r\n", 5, 400),
        ("/a.bin", "If-Match: \"other\"\r\n", 5, 412),
    ] {
        let mut connection = server.connect();
        begin_put(&mut connection, target, &[expect, fields].concat(), len);
        let response = connection.response(false);
        assert_eq!(response.status, status, "{target} {fields}: {}", response.head);
        // Nobody knows whether the body comes now.
        assert_eq!(response.field("Connection"), Some("close"));
        assert!(connection.rest().is_empty());
    }
    assert_eq!(fs::read(tree.path().join("a.bin")).unwrap(), b"old");
}

#[test]
fn preconditions_hold_against_lost_updates() {
    let tree = Tree::new();
    tree.aged("a.txt", "one");
    let server = serve(&tree, &["--open-files-valid", "0s"]);
    let mut connection = server.connect();
    let first = connection.get("/a.txt", "");
    let (tag, date) = (first.field("ETag").unwrap(), first.field("Last-Modified").unwrap());
    let if_match = format!("If-Match: {tag}\r\n");
    let if_unmodified = format!("If-Unmodified-Since: {date}\r\n");
    assert_eq!(put(&mut connection, "/b.txt", "If-None-Match: *\r\n", b"b").status, 201);
    assert_eq!(put(&mut connection, "/b.txt", "If-None-Match: *\r\n", b"c").status, 412);
    assert_eq!(put(&mut connection, "/none.txt", "If-Match: *\r\n", b"c").status, 412);
    assert_eq!(put(&mut connection, "/a.txt", &if_unmodified, b"two").status, 204);
    assert_eq!(put(&mut connection, "/a.txt", &if_unmodified, b"three").status, 412);
    assert_eq!(put(&mut connection, "/a.txt", &if_match, b"four").status, 412);
    assert_eq!(connection.get("/a.txt", "").body, b"two");
    assert_eq!(connection.get("/b.txt", "").body, b"b");
}

#[test]
fn of_two_at_once_each_is_whole_and_of_two_that_must_be_the_first_one_is() {
    let tree = Tree::new();
    let server = serve_by(2, &tree, &[]);
    let bodies: Vec<Vec<u8>> = (0..4_u8).map(|number| vec![number; 700_000]).collect();
    for (fields, expected) in [("", 4), ("If-None-Match: *\r\n", 1)] {
        let target = format!("/{expected}.bin");
        let mut connections: Vec<_> = bodies.iter().map(|_| server.connect()).collect();
        for (connection, body) in connections.iter_mut().zip(&bodies) {
            begin_put(connection, &target, fields, body.len());
            connection.send(&body[..body.len() - 1]);
        }
        for (connection, body) in connections.iter_mut().zip(&bodies) {
            connection.send(&body[body.len() - 1..]);
        }
        let statuses: Vec<u16> =
            connections.iter_mut().map(|connection| connection.response(false).status).collect();
        let stored = statuses.iter().filter(|status| matches!(status, 201 | 204)).count();
        assert_eq!(stored, expected, "{statuses:?}");
        assert!(stored == 4 || statuses.iter().filter(|status| **status == 412).count() == 3);
        let there = fs::read(tree.path().join(&target[1..])).unwrap();
        assert!(bodies.contains(&there), "a mixture");
    }
}

#[test]
fn a_replaced_file_keeps_its_permissions() {
    let tree = Tree::new();
    let path = tree.file("run.sh", "old");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    let server = serve(&tree, &[]);
    assert_eq!(put(&mut server.connect(), "/run.sh", "", b"new").status, 204);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o750);
}

#[test]
fn the_next_request_may_come_with_the_body() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    for len in [0, 5, 20_000, 400_000, 9_000_000] {
        let body = content(len);
        let mut connection = server.connect();
        let get = "GET /p.bin HTTP/1.1\r\nHost: t\r\n\r\n";
        let head = format!("PUT /p.bin HTTP/1.1\r\nHost: t\r\nContent-Length: {len}\r\n\r\n");
        let mut message = [head.as_bytes(), &body, get.as_bytes()].concat();
        message.extend(chunked("/p.bin", "", &body, &[65_536, 7]));
        message.extend(get.as_bytes());
        let mut stream = connection.stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || std::io::Write::write_all(&mut stream, &message));
        for what in ["length", "chunks"] {
            assert!(matches!(connection.response(false).status, 201 | 204), "{len} {what}");
            assert!(connection.response(false).body == body, "{len} {what}");
        }
        sender.join().unwrap().unwrap();
    }
}

#[test]
fn http_1_0_can_put_with_a_length() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    let mut connection = server.connect();
    connection.send("PUT /old.txt HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(connection.response(false).status, 201);
    assert!(connection.rest().is_empty());
    assert_eq!(fs::read(tree.path().join("old.txt")).unwrap(), b"hello");
}

#[test]
fn digests_are_compared_before_anything_is_seen() {
    // printf hello | openssl dgst -sha256 -binary | base64, and -sha512
    const SHA256: &str = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    const SHA512: &str = "sha-512=:m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==:";
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    let mut connection = server.connect();
    for name in ["Content-Digest", "Repr-Digest"] {
        for digest in
            [SHA256, SHA512, &format!("{SHA256}, {SHA512}"), &format!("md5=:AAAA:, {SHA256}")]
        {
            let fields = format!("{name}: {digest}\r\n");
            let response = put(&mut connection, "/d.txt", &fields, b"hello");
            assert!(matches!(response.status, 201 | 204), "{fields}: {}", response.head);
            let response = put(&mut connection, "/d.txt", &fields, b"hallo");
            assert_eq!(response.status, 400, "{fields}");
            let said = String::from_utf8_lossy(&response.body).into_owned();
            assert!(said.contains("digest"), "{said}");
            connection.send(chunked("/d.txt", &fields, b"hello", &[2]));
            assert_eq!(connection.response(false).status, 204);
        }
    }
    assert_eq!(connection.get("/d.txt", "").body, b"hello");
    assert_eq!(
        put(&mut connection, "/d.txt", "Content-Digest: sha-256=nonsense\r\n", b"x").status,
        400
    );
}

#[test]
fn the_log_has_a_line_with_the_receipt_of_each() {
    let tree = Tree::new();
    let journal = Journal::new();
    let server = serve_logged(&tree, &journal, &[]);
    let mut connection = server.connect();
    for (name, len, method) in [
        ("small", 60_000, "buffered"),
        ("middle", 1 << 20, "buffered"),
        ("large", 20 << 20, "direct"),
    ] {
        let target = format!("/{name}.bin");
        assert_eq!(put(&mut connection, &target, "", &content(len)).status, 201);
        let entry = journal.of(&target);
        assert_eq!((&entry["status"], &entry["end"]), (&201.into(), &"complete".into()), "{entry}");
        assert_eq!(entry["received"]["bytes"], len, "{entry}");
        let said = entry["received"]["method"].as_str().unwrap();
        let refused = entry["received"]["refused"].to_string();
        assert!(said.contains(method) || refused.contains(method), "{entry}");
        assert!(entry["received"]["system_calls"].as_u64().unwrap() > 0, "{entry}");
        if name == "small" {
            assert_eq!(entry["received"]["socket_waits"], 0, "one trip to the disk: {entry}");
        }
    }
    begin_put(&mut connection, "/cut.bin", "", 1000);
    connection.send("some");
    eventually("it has begun", || {
        crate::harness::process::descriptors(server.child.id())
            .iter()
            .any(|name| name.contains("(deleted)"))
    });
    drop(connection);
    let entry = journal.of("/cut.bin");
    assert_eq!(entry["received"]["bytes"], 4, "{entry}");
    assert_ne!(entry["status"], 201, "{entry}");
}
