//! Stopping: what is being sent is finished, nothing new is begun, and nothing hangs.

use crate::harness::{Connection, Journal, Server, Tree, bytes, eventually};
use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
};

/// More than sockets can hold, so that a client that does not read keeps the server sending.
const LARGE: usize = 16 << 20;

fn tree() -> (Tree, Vec<u8>) {
    let tree = Tree::new();
    let content: Vec<u8> = bytes(1 << 20).iter().copied().cycle().take(LARGE).collect();
    tree.file("large.bin", &content);
    tree.file("small.txt", "small");
    (tree, content)
}

/// Tells it to stop, and waits until it has said so: signals of one kind that come before the first
/// has been taken are one (`signal(7)`).
fn stop(server: &Server, signal: &str) {
    server.signal(signal);
    eventually("it says that it stops", || server.stderr().contains("stopping:"));
}

fn is_refused(address: SocketAddr) -> bool {
    match TcpStream::connect(address) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            true
        }
    }
}

#[test]
fn what_is_being_sent_is_finished_and_nothing_new_is_begun() {
    for signal in ["TERM", "INT"] {
        let (tree, content) = tree();
        let journal = Journal::new();
        let mut server = Server::logged(&tree, &journal, &["--drain-timeout", "1h"]);
        let mut fresh = server.connect(); // has asked for nothing yet
        let mut idle = server.connect();
        assert_eq!(idle.get("/small.txt", "").body, b"small");
        let mut slow = server.connect_narrow();
        slow.begin("/large.bin");
        stop(&server, signal);
        eventually("new connections are refused", || is_refused(server.address));
        assert!(idle.is_closed());
        assert!(fresh.is_closed());
        assert!(server.child.try_wait().unwrap().is_none(), "it did not wait for the transfer");
        assert!(slow.take(LARGE) == content, "{signal}: not whole");
        assert!(slow.is_closed(), "nothing follows the last answer");
        let status = server.wait();
        assert_eq!(status.code(), Some(0), "{}", server.stderr());
        let entry = journal.of("/large.bin");
        assert_eq!(entry["end"], "complete", "{entry}");
    }
}

#[test]
fn a_request_behind_the_one_that_is_finished_is_not_begun() {
    let (tree, content) = tree();
    let mut server = Server::start(&tree, &["--drain-timeout", "1h"]);
    let mut slow = server.connect_narrow();
    slow.begin("/large.bin");
    slow.send("GET /small.txt HTTP/1.1\r\nHost: test\r\n\r\n");
    stop(&server, "TERM");
    assert!(slow.take(LARGE) == content);
    assert!(slow.is_closed());
    assert!(server.wait().success());
}

#[test]
fn a_head_that_is_under_way_is_answered_and_told_to_close() {
    let (tree, _) = tree();
    let mut server = Server::start(&tree, &["--drain-timeout", "1h"]);
    let mut connection = server.connect();
    let mut probe = server.connect();
    connection.send("GET /small.txt HTTP/1.1\r\nHo");
    probe.get("/small.txt", ""); // accepted and read behind the half head, so that is in by now
    stop(&server, "TERM");
    assert!(probe.is_closed(), "idle"); // so the worker knows by now
    connection.send("st: test\r\n\r\n");
    let response = connection.response(false);
    assert_eq!((response.status, response.field("Connection")), (200, Some("close")));
    assert_eq!(response.body, b"small");
    assert!(connection.is_closed());
    assert!(server.wait().success());
}

/// A server that is sending to a client that does not read, and that client.
fn stuck(tree: &Tree, journal: &Journal, drain_timeout: &str) -> (Server, Connection) {
    let server = Server::logged(tree, journal, &["--drain-timeout", drain_timeout]);
    let mut stalled = server.connect_narrow();
    stalled.begin("/large.bin");
    (server, stalled)
}

fn assert_was_cut(mut server: Server, mut stalled: Connection, journal: &Journal, whole: &[u8]) {
    let status = server.wait();
    assert_eq!(status.code(), Some(0), "{}", server.stderr());
    let body = stalled.rest();
    assert!(body.len() < LARGE && whole.starts_with(&body), "not a proper prefix");
    let entries = journal.entries();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["end"], "shutdown", "{}", entries[0]);
    assert!(server.stderr().contains("closing what is left"), "{}", server.stderr());
}

#[test]
fn a_request_that_came_before_the_signal_is_answered() {
    let (tree, whole) = tree();
    // Which of its threads looks first is not for us to say, so several rounds.
    for _ in 0..12 {
        let mut server = Server::start(&tree, &["--small-files", "4k"]);
        let mut clients: Vec<Connection> = (0..50).map(|_| server.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.ask("HEAD", "/large.bin", "").status, 200);
        }
        server.signal("STOP"); // so that requests and signal are all there when it looks
        for client in &mut clients {
            client.send("GET /large.bin HTTP/1.1\r\nHost: test\r\nRange: bytes=0-9\r\n\r\n");
        }
        server.signal("TERM");
        server.signal("CONT");
        for client in &mut clients {
            assert_eq!(client.response(false).body, whole[..10]);
        }
        drop(clients);
        assert!(server.wait().success());
    }
}

#[test]
fn the_drain_timeout_cuts_what_is_left() {
    let (tree, content) = tree();
    for timeout in ["0s", "300ms"] {
        let journal = Journal::new();
        let (server, stalled) = stuck(&tree, &journal, timeout);
        stop(&server, "TERM");
        assert_was_cut(server, stalled, &journal, &content);
    }
}

#[test]
fn a_second_signal_cuts_at_once() {
    let (tree, content) = tree();
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let journal = Journal::new();
        let (server, stalled) = stuck(&tree, &journal, "1h");
        stop(&server, first);
        server.signal(second);
        assert_was_cut(server, stalled, &journal, &content);
    }
}

#[test]
fn a_hangup_while_stopping_does_not_cut() {
    let (tree, content) = tree();
    let journal = Journal::new();
    let (mut server, mut slow) = stuck(&tree, &journal, "1h");
    stop(&server, "TERM");
    server.signal("HUP");
    assert!(slow.take(LARGE) == content);
    assert!(server.wait().success());
}

#[test]
fn with_several_workers_every_one_drains() {
    let (tree, content) = tree();
    let mut server = Server::start(&tree, &["--drain-timeout", "1h"]);
    let mut clients: Vec<Connection> = (0..8).map(|_| server.connect_narrow()).collect();
    for client in &mut clients {
        client.begin("/large.bin");
    }
    stop(&server, "TERM");
    eventually("new connections are refused", || is_refused(server.address));
    for client in &mut clients {
        assert!(client.take(LARGE) == content);
        assert!(client.is_closed());
    }
    assert!(server.wait().success());
}

#[test]
fn a_signal_right_after_the_address_is_known_is_obeyed() {
    let (tree, _) = tree();
    for _ in 0..20 {
        let (status, said) = Server::start(&tree, &[]).stop();
        assert_eq!(status.code(), Some(0), "{status}: {said}");
    }
}

#[test]
fn a_restarted_server_has_its_port_at_once() {
    let (tree, _) = tree();
    let mut server = Server::start(&tree, &[]);
    let address = server.address.to_string();
    // Closed by the server first, so its end of the connection stays in TIME_WAIT.
    let mut idle = server.connect();
    idle.get("/small.txt", "");
    stop(&server, "TERM");
    assert!(idle.is_closed());
    assert!(server.wait().success());
    let mut command = Server::command();
    command.arg("serve").arg(tree.path()).args(["--listen", &address]);
    assert_eq!(Server::spawn(command).connect().get("/small.txt", "").body, b"small");
}
