//! Slow clients: those that take nothing or too little are let go, those that are merely slow are
//! served whole, and nobody else waits for them.

use crate::harness::{Connection, Journal, Server, Tree, bytes, eventually, process};
use std::{fs::File, thread, time::Duration};

/// More than sockets can hold, so that a client that does not read keeps the server sending.
const LARGE: usize = 16 << 20;

fn tree() -> (Tree, Vec<u8>) {
    let tree = Tree::new();
    let content = bytes(1 << 20).repeat(LARGE >> 20);
    tree.file("large.bin", &content);
    tree.file("small.bin", &content[..100_000]);
    (tree, content)
}

#[test]
fn a_client_that_takes_nothing_is_let_go() {
    let (tree, content) = tree();
    for method in ["copy", "mapped", "sendfile", "splice"] {
        let journal = Journal::new();
        let server =
            Server::logged(&tree, &journal, &["--method", method, "--send-timeout", "300ms"]);
        let mut stalled = server.connect_narrow();
        stalled.begin("/large.bin");
        let entry = journal.of("/large.bin");
        assert_eq!(entry["end"], "too-slow", "{entry}");
        assert!(entry["body_bytes"].as_u64().unwrap() < LARGE as u64, "{entry}");
        let body = stalled.rest();
        assert!(body.len() < LARGE && content.starts_with(&body), "{method}: no proper prefix");
        assert!(!server.stderr().contains("ERROR"), "a slow client is no error of ours");
    }
}

#[test]
fn a_client_that_stops_after_a_while_is_let_go() {
    let (tree, _) = tree();
    let journal = Journal::new();
    let server = Server::logged(&tree, &journal, &["--send-timeout", "500ms"]);
    let mut client = server.connect_narrow();
    client.begin("/large.bin");
    assert_eq!(client.take(4 << 20).len(), 4 << 20);
    assert_eq!(journal.of("/large.bin")["end"], "too-slow");
}

/// Reads `sip` bytes every 20 ms until the server closes or all has come; says how much came.
fn sip(connection: &mut Connection, sip: usize, all: usize) -> usize {
    let mut came = 0;
    while came < all {
        let now = connection.take(sip.min(all - came)).len();
        if now == 0 {
            break;
        }
        came += now;
        thread::sleep(Duration::from_millis(20));
    }
    came
}

#[test]
fn a_client_that_trickles_is_let_go() {
    let (tree, _) = tree();
    let journal = Journal::new();
    // It takes 50 KiB/s at the most, and something in each moment.
    let limits = ["--send-timeout", "1s", "--min-send-rate", "1m"];
    let server = Server::logged(&tree, &journal, &limits);
    let mut client = server.connect_narrow();
    client.begin("/large.bin");
    eventually("it is let go", || {
        client.take(1024);
        thread::sleep(Duration::from_millis(10));
        !journal.entries().is_empty()
    });
    let entry = journal.of("/large.bin");
    assert_eq!(entry["end"], "too-slow", "{entry}");
    assert!(client.discard(LARGE as u64) < LARGE as u64);
}

#[test]
fn a_client_that_is_slow_but_not_too_slow_is_served_whole() {
    let (tree, _) = tree();
    let journal = Journal::new();
    // It takes some 6 MiB/s, for several periods of the send timeout; the least is far below.
    let limits = ["--send-timeout", "700ms", "--min-send-rate", "64k"];
    let server = Server::logged(&tree, &journal, &limits);
    let mut client = server.connect_narrow();
    client.begin("/large.bin");
    assert_eq!(sip(&mut client, 128 << 10, LARGE), LARGE);
    let entry = journal.of("/large.bin");
    assert_eq!(entry["end"], "complete", "{entry}");
    assert!(entry["receipt"]["socket_waits"].as_u64().unwrap() > 5, "it was not slow: {entry}");
    let took = Duration::from_micros(entry["micros"].as_u64().unwrap());
    assert!(took > Duration::from_millis(1400), "it was not slow for two periods: {entry}");
}

#[test]
fn a_stalled_client_delays_nobody_on_its_worker() {
    let (tree, content) = tree();
    for method in ["copy", "mapped", "sendfile", "splice"] {
        let journal = Journal::new();
        let server = Server::logged(&tree, &journal, &["--method", method, "--send-timeout", "1h"]);
        let mut stalled: Vec<Connection> = (0..8).map(|_| server.connect_narrow()).collect();
        for client in &mut stalled {
            client.begin("/large.bin?stalled");
        }
        let mut other = server.connect();
        for _ in 0..50 {
            assert!(other.get("/small.bin", "").body == content[..100_000]);
        }
        assert!(other.get("/large.bin?other", "").body == content);
        journal.of("/large.bin?other");
        // All the while nothing has come to an end for the stalled ones, and nothing is lost.
        assert!(journal.entries().iter().all(|entry| entry["target"] != "/large.bin?stalled"));
        assert!(stalled[0].take(LARGE) == content, "{method}: a stalled client goes on, whole");
    }
}

#[test]
fn memory_does_not_grow_with_the_file() {
    const CLIENTS: usize = 16;
    const LEN: u64 = 1 << 30;
    let tree = Tree::new();
    File::create(tree.path().join("huge.bin")).unwrap().set_len(LEN).unwrap();
    let server = Server::start(&tree, &["--send-timeout", "1h"]);
    let memory = || process::anonymous_memory(server.child.id());
    let mut clients: Vec<Connection> = (0..CLIENTS).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.get("/huge.bin", "Range: bytes=0-9999\r\n"); // all that is made once has been made
    }
    let before = memory();
    for client in &mut clients {
        client.begin("/huge.bin");
        client.discard(LEN / 4);
    }
    let midway = memory();
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| assert_eq!(client.discard(LEN - LEN / 4), LEN - LEN / 4));
        }
    });
    let after = memory();
    for (when, memory) in [("midway", midway), ("afterwards", after)] {
        let grown = memory.saturating_sub(before);
        assert!(grown < 10 << 20, "{when} it holds {grown} bytes more than before");
    }
}

#[test]
fn an_idle_connection_costs_little() {
    const CONNECTIONS: u64 = 1000;
    let (tree, _) = tree();
    let server = Server::start(&tree, &[]);
    let ask =
        |connection: &mut Connection| assert_eq!(connection.get("/small.bin", "").status, 200);
    ask(&mut server.connect());
    let before = process::anonymous_memory(server.child.id());
    let mut connections: Vec<Connection> = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = server.connect();
        ask(&mut connection);
        connections.push(connection);
    }
    let grown = process::anonymous_memory(server.child.id()).saturating_sub(before);
    assert!(grown / CONNECTIONS <= 8 << 10, "{} bytes each", grown / CONNECTIONS);
    drop(connections);
    eventually("all are let go", || process::sockets(server.child.id()) < 20);
}
