//! Following: each byte arrives, once and in order, from where it was asked for.

use super::{Follower, NEVER, SOON, a_log, append, appending};
use crate::harness::process::{descriptors, sockets};
use crate::harness::{Connection, Journal, Server, Tree, bytes, eventually, has};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

#[test]
fn what_is_appended_arrives_byte_for_byte() {
    let tree = Tree::new();
    let content = bytes(3_000_000);
    let path = tree.file("growing.bin", &content[..10_000]);
    let journal = Journal::new();
    let server = Server::logged(&tree, &journal, SOON);
    let mut file = appending(&path);
    let writer = std::thread::spawn({
        let content = content.clone();
        move || {
            let mut at = 10_000;
            // Odd sizes: some small enough to be kept in memory, some sent by the engine.
            for size in [1, 2, 4095, 4097, 13, 65_537, 300_001, 7, 1_500_003].into_iter().cycle() {
                let end = (at + size).min(content.len());
                file.write_all(&content[at..end]).unwrap();
                at = end;
                if at == content.len() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let mut follower = Follower::of(&server, "/growing.bin?follow");
    assert!(!follower.head.contains("ETag") && !follower.head.contains("Last-Modified"));
    assert!(follower.head.contains("Cache-Control: no-store\r\n"), "{}", follower.head);
    assert!(follower.head.contains("Trailer: Follow-End\r\n"), "{}", follower.head);
    assert!(!follower.head.contains("Content-Length"), "{}", follower.head);
    let (received, why) = follower.end();
    writer.join().unwrap();
    assert!(received == content, "{} of {}", received.len(), content.len());
    assert_eq!(why, "finished");
    let entry = journal.of("/growing.bin?follow");
    assert_eq!((&entry["end"], &entry["status"]), (&"complete".into(), &200.into()));
    assert!(entry["body_bytes"].as_u64().unwrap() >= 3_000_000, "{entry}");
    assert!(entry["receipt"]["file_bytes"].as_u64().unwrap() > 0, "some by the engine: {entry}");
}

#[test]
fn by_every_method() {
    for method in crate::harness::disk::methods() {
        let tree = Tree::new();
        let content = bytes(200_000);
        let path = tree.file("a.bin", &content[..100_000]);
        let server = Server::start(&tree, &[&["--method", &method], SOON].concat());
        let mut file = appending(&path);
        let mut follower = Follower::of(&server, "/a.bin?follow");
        assert!(follower.take(100_000) == content[..100_000], "{method}");
        for piece in content[100_000..].chunks(33_333) {
            file.write_all(piece).unwrap();
            assert!(follower.take(piece.len()) == piece, "{method}");
        }
        drop(file);
        assert_eq!(follower.end(), (Vec::new(), "finished".into()), "{method}");
    }
}

#[test]
fn from_where_it_was_asked_for() {
    let (_tree, server, mut writer) = a_log(NEVER);
    let mut followers = [
        ("", "first\n"),
        ("=", "first\n"),
        ("=2", "rst\n"),
        ("=6", ""),
        ("=-4", "rst\n"),
        ("=-0", ""),
        ("=-99", "first\n"),
    ]
    .map(|(value, expected)| {
        let mut follower = Follower::of(&server, &format!("/build.log?follow{value}"));
        assert_eq!(follower.take(expected.len()), expected.as_bytes(), "{value}");
        follower
    });
    writer.write_all(b"second\n").unwrap();
    for follower in &mut followers {
        assert_eq!(follower.take(7), b"second\n");
    }
}

#[test]
fn ranges_as_rfc_8673_has_them() {
    let (_tree, server, mut writer) = a_log(NEVER);
    let target = "/build.log?follow";
    let mut client = server.connect();
    let there = client.get(target, "Range: bytes=2-\r\n");
    assert_eq!((there.status, &*there.body), (206, &b"rst\n"[..]));
    assert_eq!(there.field("Content-Range"), Some("bytes 2-5/*"));
    let there = client.ask("HEAD", target, "Range: bytes=0-\r\n");
    assert_eq!((there.status, there.field("Content-Range")), (206, Some("bytes 0-5/*")));
    let beyond = client.get(target, "Range: bytes=7-\r\n");
    assert_eq!((beyond.status, beyond.field("Content-Range")), (416, Some("bytes */6")));

    let mut endless = Follower::with(&server, target, "Range: bytes=4-999999999999\r\n");
    assert!(endless.head.starts_with("HTTP/1.1 206 "), "{}", endless.head);
    assert!(endless.head.contains("Content-Range: bytes 4-999999999999/*\r\n"), "{}", endless.head);
    assert_eq!(endless.take(2), b"t\n");
    let mut bounded = Follower::with(&server, target, "Range: bytes=4-9\r\n");
    assert!(bounded.head.contains("Content-Range: bytes 4-9/*\r\n"), "{}", bounded.head);
    assert_eq!(bounded.take(2), b"t\n");
    writer.write_all(b"second\n").unwrap();
    assert_eq!(endless.take(7), b"second\n");
    assert_eq!(bounded.end(), (b"seco".to_vec(), "range".into()));
    assert_eq!(bounded.connection.get("/build.log", "").body, b"first\nsecond\n", "it goes on");
}

#[test]
fn head_is_the_head_alone() {
    let (_tree, server, _writer) = a_log(NEVER);
    let mut client = server.connect();
    let head = client.ask("HEAD", "/build.log?follow", "");
    assert_eq!((head.status, head.field("Transfer-Encoding")), (200, Some("chunked")));
    assert_eq!(client.get("/build.log", "").body, b"first\n");
}

/// Until the connection closes; and what was cut does not look whole.
#[test]
fn to_http_1_0() {
    for (clean, version) in [
        (true, "HTTP/1.0\r\n"),
        (true, "HTTP/1.0\r\nConnection: keep-alive\r\n"),
        (false, "HTTP/1.0\r\n"),
    ] {
        let (tree, server, mut writer) = a_log(if clean { SOON } else { NEVER });
        let mut client = server.connect();
        client.send(format!("GET /build.log?follow {version}\r\n"));
        let head = client.head();
        assert_eq!((head.status, head.field("Connection")), (200, Some("close")), "{}", head.head);
        assert!(head.field("Transfer-Encoding").is_none() && head.field("Trailer").is_none());
        assert_eq!(client.take(6), b"first\n");
        writer.write_all(b"second\n").unwrap();
        assert_eq!(client.take(7), b"second\n");
        if clean {
            drop(writer);
            assert!(client.is_closed());
        } else {
            let (status, _) = server.stop();
            assert!(status.success());
            let error = client.stream.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        drop(tree);
    }
}

#[test]
fn the_next_request_is_answered_behind_it() {
    let (_tree, server, writer) = a_log(SOON);
    let mut client = server.connect();
    let next = "GET /build.log HTTP/1.1\r\nHost: test\r\n\r\n";
    client.send(format!("GET /build.log?follow HTTP/1.1\r\nHost: test\r\n\r\n{next}"));
    let mut follower = Follower::on(client);
    assert_eq!(follower.take(6), b"first\n");
    follower.connection.send(next); // also one that comes in between
    std::thread::sleep(Duration::from_millis(50));
    drop(writer);
    assert_eq!(follower.end(), (Vec::new(), "finished".into()));
    for _ in 0..2 {
        assert_eq!(follower.connection.response(false).body, b"first\n");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (tree, server, _writer) = a_log(NEVER);
    tree.file("folder/index.html", "index");
    let mut client = server.connect();
    for query in
        ["follow=x", "follow=-", "follow=1.5", "follow=+1", "follow=1&follow=2", "follow=%31"]
    {
        let refused = client.get(&format!("/build.log?{query}"), "");
        assert_eq!(refused.status, 400, "{query}");
        assert!(String::from_utf8_lossy(&refused.body).contains("follow"), "{query}");
    }
    let beyond = client.get("/build.log?follow=7", "");
    assert_eq!((beyond.status, beyond.field("Content-Range")), (416, Some("bytes */6")));
    assert_eq!(client.get("/absent.log?follow", "").status, 404);
    assert_eq!(client.get("/build.log/?follow", "").status, 404);
    assert_eq!(client.get("/folder?follow", "").status, 301);
    assert_eq!(client.get("/folder/?follow", "").body, b"index", "of a directory it is ignored");
    assert_eq!(client.get("/build.log?following", "").body, b"first\n");
}

#[test]
fn a_server_may_have_it_off() {
    for arguments in [["--live", "off"], ["--mutable", "snapshot"]] {
        let tree = Tree::new();
        tree.file("build.log", "first\n");
        let server = Server::start(&tree, &arguments);
        let mut client = server.connect();
        let whole = client.get("/build.log?follow", "Prefer: wait=60\r\n");
        assert_eq!((whole.status, whole.field("Content-Length")), (200, Some("6")));
        assert_eq!(client.get("/absent", "Prefer: wait=60\r\n").status, 404);
        eventually("it says so", || {
            server.stderr().contains("live         files are not followed")
        });
    }
}

/// A follower that does not read loses nothing, and is not judged while there is nothing to be sent.
#[test]
fn one_that_is_slow_loses_nothing() {
    let tree = Tree::new();
    let path = tree.file("build.log", "first\n");
    let server = Server::start(&tree, &[&["--send-timeout", "1h"], SOON].concat());
    let mut file = appending(&path); // before it can have been finished
    let mut connection = server.connect_narrow();
    connection.send("GET /build.log?follow HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut follower = Follower::on(connection);
    let content = bytes(1 << 20);
    for _ in 0..16 {
        file.write_all(&content).unwrap();
    }
    drop(file);
    assert_eq!(follower.take(6), b"first\n");
    let (received, why) = follower.end();
    assert_eq!(received.len(), 16 << 20);
    assert!(received.chunks(1 << 20).all(|piece| piece == content));
    assert_eq!(why, "finished");
}

#[test]
fn what_was_appended_meanwhile_comes_joined() {
    let (_tree, server, mut writer) = a_log(NEVER);
    let mut follower = Follower::of(&server, "/build.log?follow=6");
    writer.write_all(b"second\n").unwrap();
    assert_eq!(follower.take(7), b"second\n");
    server.signal("STOP");
    for _ in 0..1000 {
        writer.write_all(b"x").unwrap();
    }
    server.signal("CONT");
    assert!(follower.chunk());
    assert!(follower.content == [b'x'; 1000], "{} in the first chunk", follower.content.len());
}

#[test]
fn silence_is_not_slowness_but_taking_nothing_is() {
    let tree = Tree::new();
    let path = tree.file("build.log", "first\n");
    let journal = Journal::new();
    let arguments = [&["--send-timeout", "500ms", "--min-send-rate", "1m"], NEVER].concat();
    let server = Server::logged(&tree, &journal, &arguments);
    let mut silent = Follower::of(&server, "/build.log?follow&silent");
    assert_eq!(silent.take(6), b"first\n");
    std::thread::sleep(Duration::from_secs(2)); // longer than a client may take nothing
    append(&path, "second\n");
    assert_eq!(silent.take(7), b"second\n");
    drop(silent);
    let mut stuck = server.connect_narrow();
    stuck.send("GET /build.log?follow&stuck HTTP/1.1\r\nHost: test\r\n\r\n");
    append(&path, bytes(1 << 20).repeat(16));
    assert_eq!(journal.of("/build.log?follow&stuck")["end"], "too-slow");
}

/// Nothing is sent meanwhile; a reset is noticed all the same, also by one that has sent something in between.
#[test]
fn one_that_has_gone_is_noticed_while_the_file_is_silent() {
    let (_tree, server, writer) = a_log(NEVER);
    let pid = server.child.id();
    let open = || descriptors(pid).iter().filter(|name| name.contains("build.log")).count();
    let before = sockets(pid);
    for sends in [false, true] {
        let mut follower = Follower::of(&server, "/build.log?follow");
        assert_eq!(follower.take(6), b"first\n");
        assert_eq!(sockets(pid), before + 1);
        if sends {
            follower.connection.send("GET / HTTP/1.1\r\n");
            std::thread::sleep(Duration::from_millis(50));
        }
        reset(follower.connection);
        eventually("its socket is closed", || sockets(pid) == before);
    }
    drop(writer);
    // The cache of open files has one still; nobody else does.
    eventually("the file is closed", || open() <= 1);
}

fn reset(connection: Connection) {
    let stream: TcpStream = connection.stream;
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn one_that_only_listens_from_now_on_goes_on() {
    let (_tree, server, mut writer) = a_log(NEVER);
    let before = sockets(server.child.id());
    let mut follower = Follower::of(&server, "/build.log?follow");
    assert_eq!(follower.take(6), b"first\n");
    follower.connection.stream.shutdown(Shutdown::Write).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    writer.write_all(b"second\n").unwrap();
    assert_eq!(follower.take(7), b"second\n");
    reset(follower.connection);
    eventually("its socket is closed", || sockets(server.child.id()) == before);
}

#[test]
fn curl_follows_a_build() {
    if !has("curl") {
        return;
    }
    let (_tree, server, mut writer) = a_log(SOON);
    let mut curl = Command::new("curl")
        .args(["-sSN", &server.url("/build.log?follow")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = curl.stdout.take().unwrap();
    let mut read = |len: usize| {
        let mut piece = vec![0; len];
        said.read_exact(&mut piece).unwrap();
        String::from_utf8(piece).unwrap()
    };
    assert_eq!(read(6), "first\n");
    writer.write_all(b"compiling\n").unwrap();
    assert_eq!(read(10), "compiling\n"); // while it is still being written
    writer.write_all(b"done\n").unwrap();
    drop(writer);
    assert_eq!(read(5), "done\n");
    assert!(curl.wait().unwrap().success());
}

#[test]
fn a_server_that_stops_cuts_its_followers_at_once() {
    let tree = Tree::new();
    let path = tree.file("build.log", "first\n");
    let journal = Journal::new();
    let mut server = Server::logged(&tree, &journal, &[&["--drain-timeout", "1h"], NEVER].concat());
    let _writer = appending(&path);
    let mut silent = Follower::of(&server, "/build.log?follow");
    assert_eq!(silent.take(6), b"first\n");
    let mut stuck = server.connect_narrow();
    stuck.send("GET /build.log?follow=6 HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut stuck = Follower::on(stuck);
    let content = bytes(16 << 20);
    append(&path, &content);
    assert!(silent.take(content.len()) == content);
    server.signal("TERM");
    assert_eq!(silent.cut(), b"");
    let received = stuck.cut();
    assert!(received.len() < content.len() && content.starts_with(&received));
    assert!(server.wait().success());
    let entries = journal.entries();
    assert_eq!(entries.len(), 2);
    assert!(entries.iter().all(|entry| entry["end"] == "shutdown"), "{entries:?}");
}
