//! Waiting: `Prefer: wait` is one answer, as soon as it is another than "nothing there" or "nothing new".

use super::{Follower, NEVER, append, shared::watches};
use crate::harness::{Connection, Journal, Response, Server, Tree, eventually};
use std::{fs, path::Path, thread, time::Duration};

const WAIT: &str = "Prefer: wait=60\r\n";

/// Asks, does something when the request waits, and gives the answer.
fn asked_before(server: &Server, target: &str, fields: &str, then: impl FnOnce()) -> Response {
    eventually("nobody waits", || watches(server.child.id()) == 0);
    let mut client = server.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
    until_somebody_waits(server);
    then();
    client.response(false)
}

fn until_somebody_waits(server: &Server) {
    eventually("somebody waits", || watches(server.child.id()) > 0);
}

/// Puts a file there whole, as an upload does.
fn publish(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn for_a_file_that_is_not_there_yet() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let came =
        asked_before(&server, "/new.bin", WAIT, || publish(&tree.path().join("new.bin"), "new"));
    assert_eq!((came.status, &*came.body), (200, &b"new"[..]));
    assert_eq!(came.field("Preference-Applied"), Some("wait"));
    let linked = asked_before(&server, "/linked", WAIT, || {
        fs::hard_link(tree.path().join("new.bin"), tree.path().join("linked")).unwrap();
    });
    assert_eq!(linked.body, b"new");
}

#[test]
fn for_one_in_folders_that_are_not_there_either() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let came = asked_before(&server, "/a/b/c/new.bin", WAIT, || {
        for folder in ["a", "a/b", "a/b/c"] {
            fs::create_dir(tree.path().join(folder)).unwrap();
            thread::sleep(Duration::from_millis(50));
        }
        publish(&tree.path().join("a/b/c/new.bin"), "new");
    });
    assert_eq!(came.body, b"new");
}

/// A live playlist: what the client has is the version that is there, until another takes its name.
#[test]
fn for_another_version() {
    let tree = Tree::new();
    let path = tree.aged("live.m3u8", "one");
    let server = Server::start(&tree, &["--open-files-valid", "1h"]);
    let mut etag = server.connect().get("/live.m3u8", "").field("ETag").unwrap().to_owned();
    for version in ["two", "three"] {
        let fields = format!("If-None-Match: {etag}\r\n{WAIT}");
        let came = asked_before(&server, "/live.m3u8", &fields, || publish(&path, version));
        assert_eq!((came.status, &*came.body), (200, version.as_bytes()));
        assert_eq!(came.field("Preference-Applied"), Some("wait"));
        etag = came.field("ETag").unwrap().to_owned();
    }
    let fields = format!("If-None-Match: {etag}\r\n{WAIT}");
    let came =
        asked_before(&server, "/live.m3u8", &fields, || fs::write(&path, "in place").unwrap());
    assert!(came.status == 200 && b"in place".starts_with(&came.body), "{came:?}");
}

/// The growing part of a stream, by ranges.
#[test]
fn for_bytes_that_are_not_there_yet() {
    let tree = Tree::new();
    let path = tree.file("part.mp4", "0123456789");
    let server = Server::start(&tree, &["--open-files-valid", "1h"]);
    let fields = format!("Range: bytes=10-\r\n{WAIT}");
    let came = asked_before(&server, "/part.mp4", &fields, || append(&path, "abc"));
    assert_eq!((came.status, came.field("Content-Range")), (206, Some("bytes 10-12/13")));
    assert_eq!((&*came.body, came.field("Preference-Applied")), (&b"abc"[..], Some("wait")));
    // Not the next byte, but one far behind it.
    let fields = format!("Range: bytes=20-\r\n{WAIT}");
    let came = asked_before(&server, "/part.mp4", &fields, || {
        append(&path, "d");
        thread::sleep(Duration::from_millis(50));
        append(&path, "efghijkl");
    });
    assert_eq!((came.status, &*came.body), (206, &b"kl"[..]));
}

#[test]
fn for_an_index_file() {
    let tree = Tree::new();
    let path = tree.aged("folder/index.html", "one");
    let server = Server::start(&tree, &["--open-files-valid", "1h"]);
    let etag = server.connect().get("/folder/", "").field("ETag").unwrap().to_owned();
    let fields = format!("If-None-Match: {etag}\r\n{WAIT}");
    let came = asked_before(&server, "/folder/", &fields, || publish(&path, "two"));
    assert_eq!((came.status, &*came.body), (200, &b"two"[..]));
}

#[test]
fn and_then_follow_it() {
    let tree = Tree::new();
    let server = Server::start(&tree, NEVER);
    let mut client = server.connect();
    client.send(format!("GET /build.log?follow HTTP/1.1\r\nHost: test\r\n{WAIT}\r\n"));
    until_somebody_waits(&server);
    let path = tree.path().join("build.log");
    append(&path, "first\n");
    let mut follower = Follower::on(client);
    assert!(follower.head.contains("Preference-Applied: wait\r\n"), "{}", follower.head);
    assert_eq!(follower.take(6), b"first\n");
    append(&path, "second\n");
    assert_eq!(follower.take(7), b"second\n");
}

#[test]
fn no_longer_than_it_says_or_than_it_may() {
    let tree = Tree::new();
    tree.aged("a.txt", "0123456789");
    let server = Server::start(&tree, &["--max-wait", "100ms"]);
    let mut client = server.connect();
    let etag = client.get("/a.txt", "").field("ETag").unwrap().to_owned();
    let known = format!("If-None-Match: {etag}\r\n");
    for (target, fields, status) in [
        ("/absent", "", 404),
        ("/absent/absent", "", 404),
        ("/.hidden", "", 404),
        ("/a.txt", &*known, 304),
        ("/a.txt", "Range: bytes=10-\r\n", 416),
        ("/a.txt?follow=11", "", 416),
    ] {
        let answer = client.get(target, &format!("{fields}{WAIT}"));
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.field("Preference-Applied"), Some("wait"), "{target}");
        let head = client.ask("HEAD", target, &format!("{fields}{WAIT}"));
        assert_eq!(
            head.status,
            if status == 416 && !target.contains('?') { 200 } else { status },
            "{target}"
        );
    }
}

#[test]
fn what_needs_no_waiting_or_asks_for_none_does_not_wait() {
    let tree = Tree::new();
    tree.file("a.txt", "text");
    fs::create_dir(tree.path().join("folder")).unwrap();
    for arguments in [&[][..], &["--max-wait", "0s"], &["--live", "off"]] {
        let server = Server::start(&tree, arguments);
        let mut client = server.connect();
        let none = |answer: &Response| answer.field("Preference-Applied").is_none();
        for target in ["/a.txt", "/folder", "/folder/"] {
            let answer = client.get(target, WAIT);
            assert!(matches!(answer.status, 200 | 301) && none(&answer), "{target}: {answer:?}");
        }
        assert_eq!(client.ask("POST", "/absent", WAIT).status, 405);
        assert_eq!(client.get("/a%2fb", WAIT).status, 404, "no file can have that name");
        // As RFC 7240 says, what is invalid is ignored, and of several the first counts.
        for fields in [
            "",
            "Prefer: wait\r\n",
            "Prefer: wait=x\r\n",
            "Prefer: wait=-1\r\n",
            "Prefer: wait=0\r\n",
            "Prefer: wait=x, wait=60\r\n",
        ] {
            let answer = client.get("/absent", fields);
            assert!(answer.status == 404 && none(&answer), "{fields}: {answer:?}");
        }
        if !arguments.is_empty() {
            let answer = client.get("/absent", WAIT);
            assert!(answer.status == 404 && none(&answer), "{arguments:?}");
        }
    }
}

#[test]
fn requests_behind_it_wait_for_their_turn() {
    let tree = Tree::new();
    tree.file("a.txt", "text");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    client.send(format!(
        "GET /new HTTP/1.1\r\nHost: test\r\n{WAIT}\r\nGET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n"
    ));
    until_somebody_waits(&server);
    publish(&tree.path().join("new"), "new");
    assert_eq!(client.response(false).body, b"new");
    assert_eq!(client.response(false).body, b"text");
}

#[test]
fn one_that_has_gone_waits_no_longer() {
    let tree = Tree::new();
    let journal = Journal::new();
    let server = Server::logged(&tree, &journal, &[]);
    let mut client = server.connect();
    client.send(format!("GET /new HTTP/1.1\r\nHost: test\r\n{WAIT}\r\n"));
    until_somebody_waits(&server);
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let entry = journal.of("/new");
    assert_eq!((&entry["end"], &entry["status"]), (&"peer-gone".into(), &404.into()), "{entry}");
}

#[test]
fn a_server_that_stops_answers_at_once_as_it_is() {
    let tree = Tree::new();
    let mut server = Server::start(&tree, &["--drain-timeout", "1h"]);
    let mut client = server.connect();
    client.send(format!("GET /new HTTP/1.1\r\nHost: test\r\n{WAIT}\r\n"));
    until_somebody_waits(&server);
    server.signal("TERM");
    let answer = client.response(false);
    assert_eq!((answer.status, answer.field("Connection")), (404, Some("close")));
    assert!(client.is_closed());
    assert!(server.wait().success());
}

#[test]
fn many_wait_for_one_name() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let mut clients: Vec<Connection> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(format!("GET /new HTTP/1.1\r\nHost: test\r\n{WAIT}\r\n"));
    }
    until_somebody_waits(&server);
    assert_eq!(watches(server.child.id()), 1, "one watch for the folder");
    publish(&tree.path().join("new"), "new");
    for client in &mut clients {
        assert_eq!(client.response(false).body, b"new");
    }
    eventually("nothing is watched any more", || watches(server.child.id()) == 0);
}
