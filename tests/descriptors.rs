//! A full table of descriptors: who needs one is told so or waits, who needs none is served, and when
//! there is room again all is as before.

use crate::harness::{
    Connection, Journal, Server, Tree, bytes, eventually, evict, process::descriptor_of,
};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::time::Duration;

/// As large as the sockets between are not: it leaves in many windows.
const LARGE: usize = 12 << 20;

/// A server whose table is full, from its point of view, until this is dropped.
struct Full<'a>(&'a Server, Rlimit);

impl<'a> Full<'a> {
    /// From now on it may have `most` descriptors, which are taken (EMFILE, `open(2)`, `accept(2)`,
    /// `pipe(2)`). When it started it was told of more.
    fn table_of(server: &'a Server, most: u64) -> Self {
        let before = limit(server, Rlimit { current: Some(most), ..getrlimit(Resource::Nofile) });
        Self(server, before)
    }
}

impl Drop for Full<'_> {
    fn drop(&mut self) {
        limit(self.0, self.1);
    }
}

fn limit(server: &Server, to: Rlimit) -> Rlimit {
    let pid = Pid::from_raw(server.child.id() as i32);
    prlimit(pid, Resource::Nofile, to).unwrap()
}

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("small.txt", "small");
    tree.file("large.bin", bytes(1 << 20).repeat(LARGE >> 20));
    tree.file("page.bin", bytes(100_000));
    for number in 0..20 {
        tree.file(&format!("folder/{number}.txt"), format!("number {number}"));
    }
    tree
}

fn assert_all_is_well(server: &Server) {
    let mut connection = server.connect();
    for number in 0..20 {
        let response = connection.get(&format!("/folder/{number}.txt"), "");
        assert_eq!(
            (response.status, response.body),
            (200, format!("number {number}").into_bytes())
        );
    }
    assert_eq!(connection.get("/large.bin", "").body.len(), LARGE);
}

#[test]
fn where_no_descriptor_is_left_the_kept_files_make_room() {
    let tree = tree();
    let server = Server::start(&tree, &["--open-files-valid", "1h"]);
    let mut connection = server.connect();
    assert_eq!(connection.get("/small.txt", "").body, b"small");
    // Not simply their count: what this process was started with may be open in the server as well,
    // under any number, and closing what lies above the limit would win nothing. Opening takes two
    // descriptors for a moment: the one that is kept, and the one that was free beside it.
    let kept = descriptor_of(server.child.id(), &tree.path().join("small.txt"));
    let full = Full::table_of(&server, kept + 1);
    for _ in 0..4 {
        for number in 0..20 {
            let response = connection.get(&format!("/folder/{number}.txt"), "");
            assert_eq!(response.status, 200, "{}", response.head);
            assert_eq!(response.body, format!("number {number}").into_bytes());
        }
        assert_eq!(connection.get("/small.txt", "").body, b"small");
        assert_eq!(connection.get("/none.txt", "").status, 404);
    }
    drop(full);
    assert_all_is_well(&server);
}

#[test]
fn a_file_that_cannot_be_opened_for_want_of_a_descriptor_is_unavailable() {
    let tree = tree();
    let journal = Journal::new();
    let server = Server::logged(&tree, &journal, &[]);
    let mut connection = server.connect();
    assert_eq!(connection.get("/none.txt", "").status, 404); // it is up, and has accepted
    let full = Full::table_of(&server, 3);
    for number in 0..20 {
        let response = connection.get(&format!("/folder/{number}.txt"), "");
        assert_eq!(response.status, 503, "{}", response.head);
        assert_eq!(response.field("Connection"), None, "it is not the connection's fault");
    }
    assert_eq!(connection.get("/folder/", "").status, 503);
    assert_eq!(connection.get("/none.txt", "").status, 503, "nobody knows whether it is there");
    // It is written by a thread of its own.
    eventually("it is said why", || server.stderr().contains("descriptor"));
    drop(full);
    assert_eq!(connection.get("/none.txt", "").status, 404);
    assert_eq!(connection.get("/folder/", "").status, 200);
    assert_all_is_well(&server);
    // With those before and after.
    let entries = journal.wait_for(1 + 22 + 2 + 21);
    assert_eq!(entries.iter().filter(|entry| entry["status"] == 503).count(), 22);
}

#[test]
fn a_large_file_that_is_open_is_sent_without_a_pipe() {
    let tree = tree();
    let path = tree.path().join("large.bin");
    let journal = Journal::new();
    let server = Server::logged(&tree, &journal, &["--open-files-valid", "1h"]);
    let mut connection = server.connect();
    assert_eq!(connection.ask("HEAD", "/large.bin", "").status, 200); // now it is open
    let full = Full::table_of(&server, 3);
    for cold in [false, true] {
        if cold {
            evict(&path);
        }
        let response = connection.get(&format!("/large.bin?{cold}"), "");
        assert!(response.body == std::fs::read(&path).unwrap(), "the bytes differ");
        let entry = journal.of(&format!("/large.bin?{cold}"));
        assert_eq!(entry["receipt"]["method"], "sendfile", "{entry}");
    }
    drop(full);
    assert_all_is_well(&server);
}

#[test]
fn who_connects_while_there_is_no_descriptor_left_is_served_when_there_is() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let mut inside = server.connect();
    assert_eq!(inside.get("/small.txt", "").body, b"small");
    let full = Full::table_of(&server, 3);
    // The kernel takes them in (`listen(2)`); the server cannot.
    let mut waiting: Vec<Connection> = (0..20).map(|_| server.connect()).collect();
    for connection in &mut waiting {
        connection.send("GET /small.txt HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    eventually("it is said", || server.stderr().contains("cannot accept connections"));
    for _ in 0..50 {
        assert_eq!(inside.get("/small.txt", "").body, b"small");
    }
    std::thread::sleep(Duration::from_millis(500)); // time to say it again
    let lines = server.stderr().matches("cannot accept connections").count();
    assert_eq!(lines, 1, "it is said now and then, not for each try");
    drop(full);
    for connection in &mut waiting {
        assert_eq!(connection.response(false).body, b"small");
    }
    assert_all_is_well(&server);
}

#[test]
fn a_server_with_hardly_any_descriptors_serves_one_after_the_other() {
    let tree = tree();
    let root = tree.path().to_str().unwrap();
    let mut command = std::process::Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_sendrail");
    let serve = "ulimit -Hn 80; exec \"$0\" serve \"$1\" --listen 127.0.0.1:0 --workers 1";
    command.args(["-c", serve, binary, root]).env("NO_COLOR", "1");
    let server = Server::spawn(command);
    let mut clients: Vec<Connection> = (0..200).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /page.bin HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    }
    let mut whole = 0;
    for client in &mut clients {
        let response = client.response(false);
        match response.status {
            200 => {
                whole += 1;
                assert_eq!(response.body.len(), 100_000);
            }
            status => assert_eq!(status, 503, "{}", response.head),
        }
    }
    assert!(whole > 10, "{whole} of 200");
    assert_all_is_well(&server);
}
