//! Limits: what a client may take of the server's time, memory and connections.

use crate::harness::{Connection, Server, Tree, eventually};
use std::{io::Write, thread, time::Duration};

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree
}

#[test]
fn one_connection_too_many_is_told_so_and_there_is_room_again_when_another_ends() {
    let tree = tree();
    let server = Server::start(&tree, &["--max-connections", "2"]);
    let mut first = server.connect();
    let mut second = server.connect();
    assert_eq!(first.get("/a.txt", "").status, 200);
    assert_eq!(second.get("/a.txt", "").status, 200);
    for _ in 0..10 {
        let mut third = server.connect();
        let refused = third.response(false);
        assert_eq!(refused.status, 503);
        assert_eq!(refused.field("Retry-After"), Some("1"));
        assert_eq!(refused.field("Connection"), Some("close"));
        assert!(third.is_closed());
    }
    // Those inside have not been disturbed.
    assert_eq!(first.get("/a.txt", "").body, b"hello");
    drop(second);
    eventually("there is room again", || {
        let mut next = server.connect();
        // Its request may meet a closed connection: what counts is the answer that comes.
        let _ = next.stream.write_all(b"GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n");
        next.response(false).status == 200
    });
}

#[test]
fn a_client_that_has_already_asked_gets_its_503_too() {
    let tree = tree();
    let server = Server::start(&tree, &["--max-connections", "1"]);
    let mut first = server.connect();
    assert_eq!(first.get("/a.txt", "").status, 200);
    for _ in 0..50 {
        // Closing over an unread request would be a reset, which can overtake the answer.
        let mut next = server.connect();
        let _ = next.stream.write_all(b"GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n");
        thread::sleep(Duration::from_millis(2));
        assert_eq!(next.response(false).status, 503);
    }
}

#[test]
fn a_connection_that_asks_nothing_is_closed_without_a_word() {
    let tree = tree();
    let server = Server::start(&tree, &["--header-timeout", "300ms"]);
    assert!(server.connect().is_closed());
}

#[test]
fn a_head_that_comes_drop_by_drop_is_cut() {
    let tree = tree();
    let server = Server::start(&tree, &["--header-timeout", "300ms", "--idle-timeout", "1h"]);
    for after_a_request in [false, true] {
        let mut slow = server.connect();
        if after_a_request {
            assert_eq!(slow.get("/a.txt", "").status, 200);
        }
        slow.send("GET /a.txt HTTP/1.1\r\nHost: test\r\n");
        // A field now and then would keep a limit alive that starts anew with each byte.
        let mut drops = slow.stream.try_clone().unwrap();
        let dripping = thread::spawn(move || {
            while drops.write_all(b"X: y\r\n").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        });
        let response = slow.response(false);
        assert_eq!(response.status, 408);
        assert_eq!(response.field("Connection"), Some("close"));
        drop(slow);
        dripping.join().unwrap();
    }
}

#[test]
fn a_connection_that_asks_no_more_is_closed() {
    let tree = tree();
    let server = Server::start(&tree, &["--idle-timeout", "300ms", "--header-timeout", "1h"]);
    let mut connection = server.connect();
    for _ in 0..3 {
        assert_eq!(connection.get("/a.txt", "").status, 200);
    }
    assert!(connection.is_closed(), "nothing is said to a client that asked nothing");
}

#[test]
fn a_body_that_is_too_large_is_refused() {
    let tree = tree();
    let server = Server::start(&tree, &["--max-body", "1k"]);
    let with_length = |len: usize| {
        let mut connection = server.connect();
        connection.send(format!("GET /a.txt HTTP/1.1\r\nHost: t\r\nContent-Length: {len}\r\n\r\n"));
        let _ = connection.stream.write_all(&vec![b'x'; len]);
        let response = connection.response(false);
        (response.status, connection)
    };
    let (status, mut connection) = with_length(1024);
    assert_eq!(status, 200);
    assert_eq!(connection.get("/a.txt", "").body, b"hello", "the body was taken off");
    let (status, mut connection) = with_length(1025);
    assert_eq!(status, 413);
    assert!(connection.is_closed());
    let mut connection = server.connect();
    connection.send("GET /a.txt HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    connection.send(format!("400\r\n{}\r\n1\r\n", "x".repeat(1024)));
    assert_eq!(connection.response(false).status, 413);
    assert!(connection.is_closed());
}

#[test]
fn a_body_that_does_not_come_is_cut() {
    let tree = tree();
    let server = Server::start(&tree, &["--body-timeout", "300ms", "--idle-timeout", "1h"]);
    for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let mut slow = server.connect();
        slow.send(format!("GET /a.txt HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n"));
        let mut drops = slow.stream.try_clone().unwrap();
        let chunked = framing.contains("chunked");
        let dripping = thread::spawn(move || {
            let drop: &[u8] = if chunked { b"1\r\nx\r\n" } else { b"x" };
            while drops.write_all(drop).is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        });
        let response = slow.response(false);
        assert_eq!(response.status, 408, "{framing}");
        drop(slow);
        dripping.join().unwrap();
    }
}

#[test]
fn many_connections_that_ask_nothing_do_not_keep_others_out() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let idle: Vec<Connection> = (0..500).map(|_| server.connect()).collect();
    for _ in 0..10 {
        assert_eq!(server.connect().get("/a.txt", "").body, b"hello");
    }
    drop(idle);
}
