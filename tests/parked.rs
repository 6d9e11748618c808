//! Parked connections: those that have been idle for a while wait elsewhere, and nobody can tell.

use crate::harness::{
    Connection, Journal, Server, Tree, bytes, eventually, eventually_or, process,
};
use std::{cell::Cell, io::Write, net::Shutdown, time::Duration};

const SMALL: usize = 1000;
/// More than sockets can hold.
const LARGE: usize = 16 << 20;

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("small.bin", bytes(SMALL));
    tree.file("large.bin", bytes(1 << 20).repeat(LARGE >> 20));
    tree
}

fn wait_until_parked(server: &Server, count: usize) {
    eventually(&format!("{count} are parked"), || process::parked(server.child.id()) == count);
}

/// So many connections, each of which has been answered once, parked.
fn parked(server: &Server, count: usize) -> Vec<Connection> {
    let mut clients: Vec<Connection> = (0..count).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert!(client.get("/small.bin", "").body == bytes(SMALL));
    }
    wait_until_parked(server, count);
    clients
}

/// A connection for which there is room again, and that has been answered once.
fn admitted(server: &Server) -> Connection {
    let mut admitted = None;
    eventually("there is room again", || {
        let mut client = server.connect();
        // Its request may meet a closed connection: what counts is the answer that comes.
        let _ = client.stream.write_all(ASK.as_bytes());
        let response = client.response(false);
        admitted = (response.status == 200).then_some(client);
        admitted.is_some()
    });
    admitted.unwrap()
}

const ASK: &str = "GET /small.bin HTTP/1.1\r\nHost: test\r\n\r\n";

#[test]
fn it_is_answered_as_ever_each_time() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let mut client = parked(&server, 1).remove(0);
    for _ in 0..2 {
        assert!(client.get("/small.bin", "").body == bytes(SMALL));
        assert!(client.get("/large.bin", "Range: bytes=5-99999\r\n").body == bytes(100_000)[5..]);
        assert_eq!(client.get("/absent", "").status, 404);
        wait_until_parked(&server, 1);
    }
}

#[test]
fn pipelined_requests_are_all_answered_wherever_they_are_cut() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let mut clients = parked(&server, 40);
    let pipeline = ASK.repeat(3);
    for (number, client) in clients.iter_mut().enumerate() {
        client.stream.set_nodelay(true).unwrap();
        let cut = 1 + number * (pipeline.len() - 2) / 39;
        client.send(&pipeline[..cut]);
        client.send(&pipeline[cut..]);
        for _ in 0..3 {
            assert!(client.response(false).body == bytes(SMALL), "cut at {cut}");
        }
    }
    wait_until_parked(&server, 40);
}

#[test]
fn a_transfer_that_waits_for_its_client_is_whole() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let mut slow = server.connect_narrow();
    slow.get("/small.bin", "");
    wait_until_parked(&server, 1);
    let head = slow.begin("/large.bin");
    assert_eq!(head.status, 200);
    std::thread::sleep(Duration::from_secs(2)); // for longer than an idle one is waited for
    assert_eq!(process::parked(server.child.id()), 0, "whoever is being sent to is not parked");
    assert!(slow.take(LARGE) == bytes(1 << 20).repeat(LARGE >> 20));
}

#[test]
fn one_that_never_asked_is_closed_when_its_first_head_is_late() {
    let tree = tree();
    let limits = ["--header-timeout", "8s", "--idle-timeout", "1h"];
    let server = Server::start(&tree, &limits);
    let mut silent = server.connect();
    let mut begins = server.connect();
    wait_until_parked(&server, 2);
    begins.send("GET / HTTP/1.1\r\n");
    assert_eq!(begins.response(false).status, 408);
    assert!(silent.is_closed());
}

#[test]
fn the_idle_timeout_is_kept() {
    let tree = tree();
    let limits = ["--idle-timeout", "8s", "--header-timeout", "1h"];
    let mut server = Server::start(&tree, &limits);
    let mut clients = parked(&server, 100);
    let own = process::sockets(server.child.id()) - clients.len();
    clients[0].send("GET /"); // no more than that before the time is over
    assert_eq!(clients[0].response(false).status, 408);
    for client in &mut clients[1..] {
        assert!(client.is_closed());
    }
    assert_eq!(process::parked(server.child.id()), 0);
    drop(clients);
    eventually("all are let go", || process::sockets(server.child.id()) == own);
    server.signal("TERM");
    assert!(server.wait().success());
    let said = server.stderr();
    assert!(said.contains("connections=0"), "each counts until it is closed: {said}");
}

#[test]
fn what_came_in_time_is_answered_although_the_time_is_over_by_now() {
    const IDLE: Duration = Duration::from_secs(8);
    let tree = tree();
    let server = Server::start(&tree, &["--idle-timeout", "8s"]);
    // More than are called back in one turn: the others are found by whoever looks for those whose
    // time is over.
    let mut clients = parked(&server, 400);
    server.signal("STOP");
    for client in &mut clients {
        client.send(ASK);
    }
    std::thread::sleep(IDLE);
    server.signal("CONT");
    for client in &mut clients {
        assert!(client.response(false).body == bytes(SMALL));
    }
}

#[test]
fn the_header_time_of_the_next_request_is_kept() {
    let tree = tree();
    let limits = ["--header-timeout", "300ms", "--idle-timeout", "1h"];
    let server = Server::start(&tree, &limits);
    let mut client = parked(&server, 1).remove(0);
    client.send("GET / HTTP/1.1\r\n");
    assert_eq!(client.response(false).status, 408);
    assert!(client.is_closed());
}

#[test]
fn stopping_closes_them_at_once() {
    let tree = tree();
    let mut server = Server::start(&tree, &["--drain-timeout", "1h", "--idle-timeout", "1h"]);
    let mut clients = parked(&server, 200);
    server.signal("TERM");
    for client in &mut clients {
        assert!(client.is_closed());
    }
    assert_eq!(server.wait().code(), Some(0), "{}", server.stderr());
    assert!(server.stderr().contains("connections=200"), "they count: {}", server.stderr());
}

#[test]
fn what_was_asked_before_the_order_to_stop_is_answered() {
    let tree = tree();
    // Which of its threads looks first is not for us to say, so several rounds.
    for _ in 0..4 {
        let mut server = Server::start(&tree, &["--drain-timeout", "1h"]);
        let mut clients = parked(&server, 200);
        server.signal("STOP"); // so that requests and signal are all there when it looks
        for client in &mut clients {
            client.send(ASK);
        }
        server.signal("TERM");
        server.signal("CONT");
        for client in &mut clients {
            assert!(client.response(false).body == bytes(SMALL));
            assert!(client.is_closed());
        }
        assert!(server.wait().success());
    }
}

#[test]
fn a_client_that_leaves_makes_room_for_another() {
    // What stays open of its end.
    let leave: [fn(Connection) -> Option<Connection>; 3] = [
        |_| None,
        |client| {
            client.stream.shutdown(Shutdown::Write).unwrap();
            Some(client)
        },
        |client| {
            // A reset.
            socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
            None
        },
    ];
    let tree = tree();
    let server = Server::start(&tree, &["--max-connections", "2", "--idle-timeout", "1h"]);
    let mut clients = parked(&server, 2);
    for leave in leave {
        assert_eq!(server.connect().response(false).status, 503, "parked ones count");
        let _half = leave(clients.remove(0));
        wait_until_parked(&server, 1);
        clients.push(admitted(&server));
        wait_until_parked(&server, 2);
    }
    assert!(clients[0].get("/small.bin", "").body == bytes(SMALL), "the other one is as before");
}

#[test]
fn thousands_cost_next_to_nothing_and_may_all_ask_at_once() {
    cost_next_to_nothing(1, 2000, 300);
}

/// More pages are half in use.
#[test]
fn thousands_cost_next_to_nothing_with_several_workers_too() {
    cost_next_to_nothing(4, 4000, 500);
}

/// Not parked, each takes 1,850 bytes and more.
fn cost_next_to_nothing(workers: usize, clients: usize, each: usize) {
    /// Each worker has a heap of its own, and keeps so much at its end.
    const KEPT_FREE: usize = 512 << 10;

    let most = (each * clients + KEPT_FREE * workers) as u64;
    sendrail_sys::limits::raise_open_files().unwrap();
    let tree = tree();
    let mut command = Server::command();
    command.arg("serve").arg(tree.path()).args(["--listen", "127.0.0.1:0"]);
    command.args(["--idle-timeout", "1h", "--workers", &workers.to_string()]);
    // Each thread for disks has a stack and a heap of its own, and how many there are is chance.
    command.args(["--disk-threads", "1"]);
    let server = Server::spawn(command);
    parked(&server, workers * 8); // all that is made once has been made
    wait_until_parked(&server, 0);
    let memory = || process::anonymous_memory(server.child.id());
    let before = memory();
    let mut parked = parked(&server, clients);
    for _ in 0..2 {
        if cfg!(target_env = "gnu") {
            let taken = Cell::new(0);
            eventually_or(
                || {
                    taken.set(memory().saturating_sub(before));
                    taken.get() < most
                },
                || format!("{clients} take {} bytes, more than {most}", taken.get()),
            );
        } else {
            eprintln!("skipped: memory is given back by glibc alone");
        }
        for client in &mut parked {
            client.send(ASK);
        }
        for client in &mut parked {
            assert!(client.response(false).body == bytes(SMALL));
        }
        wait_until_parked(&server, clients);
    }
    drop(parked);
    wait_until_parked(&server, 0);
    eventually("all are let go", || process::sockets(server.child.id()) < 10 * workers);
}

#[test]
fn the_log_knows_who_asked() {
    let tree = tree();
    let journal = Journal::new();
    let server = Server::logged(&tree, &journal, &[]);
    let mut clients = parked(&server, 3);
    for (number, client) in clients.iter_mut().enumerate() {
        let target = format!("/small.bin?{number}");
        assert_eq!(client.get(&target, "").status, 200);
        let entry = journal.of(&target);
        assert_eq!(entry["peer"], client.stream.local_addr().unwrap().to_string());
        assert_eq!((&entry["status"], &entry["end"]), (&200.into(), &"complete".into()));
        assert_eq!(entry["body_bytes"], SMALL);
    }
}
