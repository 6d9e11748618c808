//! Files that shrink under the sender: the message is cut short, never padded, and never blamed on
//! the client.

use crate::harness::{Connection, Journal, Server, Tree, build_folder, bytes, process};
use serde_json::Value;
use std::{fs::File, path::Path, time::Duration};

const METHODS: [&str; 6] = ["copy", "uncached", "mapped", "direct", "sendfile", "splice"];

/// More than sockets and pipes can hold, so that a client that does not read stops the sender.
const WHOLE: usize = 24 << 20;
/// Far beyond what can be in flight by then: the kernel zeroes the rest of a folio that is cut, also
/// where a packet refers to it (MEASUREMENTS G), and that would be its doing and not the server's.
const CUT: usize = 16 << 20;

/// Non-zero everywhere, so that padding with zeroes would be seen.
fn content() -> Vec<u8> {
    let block: Vec<u8> = bytes(1 << 20).iter().map(|byte| byte | 1).collect();
    block.repeat(WHOLE >> 20)
}

fn truncate(path: &Path, len: u64) {
    File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn assert_blames_the_file(server: &Server, entry: &Value, path: &Path) {
    assert_eq!(entry["end"], "file-fault", "{entry}");
    let said = server.stderr();
    let line = said
        .lines()
        .find(|line| line.contains("cut short"))
        .unwrap_or_else(|| panic!("nothing is said of it: {said}"));
    assert!(line.contains("ERROR") && line.contains(path.to_str().unwrap()), "{line}");
    assert!(line.contains("truncated while being sent"), "{line}");
}

fn assert_serves(server: &Server) {
    assert_eq!(server.connect().get("/other.txt", "").body, b"alive");
}

#[test]
fn truncated_while_being_sent() {
    truncate_in(build_folder());
}

pub(crate) fn truncate_in(folder: &Path) {
    let content = content();
    for method in METHODS {
        let tree = Tree::new_in(folder);
        let path = tree.file("a.bin", &content);
        tree.file("other.txt", "alive");
        let journal = Journal::new();
        let server = Server::logged(&tree, &journal, &["--method", method]);
        let mut connection = server.connect_narrow();
        let head = connection.begin("/a.bin");
        assert_eq!(head.field("Content-Length"), Some(WHOLE.to_string().as_str()));
        let mut body = connection.take(100_000);
        truncate(&path, CUT as u64);
        body.append(&mut connection.rest());
        assert!(body.len() <= CUT, "{method}: {} bytes of {CUT}", body.len());
        assert!(body.len() > CUT - (2 << 20), "{method}: gave up at {}", body.len());
        assert!(body == content[..body.len()], "{method}: not a prefix");
        assert_blames_the_file(&server, &journal.of("/a.bin"), &path);
        assert_serves(&server);
    }
}

#[test]
fn truncated_to_nothing_while_being_sent() {
    truncate_to_nothing_in(build_folder());
}

pub(crate) fn truncate_to_nothing_in(folder: &Path) {
    let content = content();
    for method in METHODS {
        let tree = Tree::new_in(folder);
        let path = tree.file("a.bin", &content);
        tree.file("other.txt", "alive");
        let journal = Journal::new();
        let server = Server::logged(&tree, &journal, &["--method", method]);
        let mut connection = server.connect_narrow();
        connection.begin("/a.bin");
        // Pipelined: must never be answered, for its answer would be taken for the body's rest.
        connection.send("GET /other.txt HTTP/1.1\r\nHost: test\r\n\r\n");
        let mut body = connection.take(100_000);
        truncate(&path, 0);
        body.append(&mut connection.rest());
        assert!(body.len() < WHOLE, "{method}: padded to the promised length");
        assert!(body == content[..body.len()], "{method}: not a prefix");
        assert_blames_the_file(&server, &journal.of("/a.bin"), &path);
        assert_serves(&server);
    }
}

#[test]
fn truncated_before_the_request_is_seen_however_long_a_kept_file_is_believed() {
    let content = content();
    for method in METHODS {
        let tree = Tree::new();
        let path = tree.file("a.bin", &content);
        let journal = Journal::new();
        let server =
            Server::logged(&tree, &journal, &["--method", method, "--open-files-valid", "1h"]);
        let mut connection = server.connect();
        let before = connection.ask("HEAD", "/a.bin", ""); // now it is kept
        std::thread::sleep(Duration::from_millis(50)); // a tick of the kernel's clock and more
        let cut = 3_000_000; // in the middle of a page, whose rest reads as zeroes in a mapping
        truncate(&path, cut as u64);
        let after = connection.get("/a.bin", "");
        assert!(after.body == content[..cut], "{method}: {} bytes of {cut}", after.body.len());
        assert_ne!(after.field("ETag"), before.field("ETag"));
        assert_eq!(connection.get("/a.bin", "").status, 200, "{method}: the connection lives on");
    }
}

#[test]
fn a_cut_transfer_does_not_spin() {
    for method in METHODS {
        let tree = Tree::new();
        let path = tree.file("a.bin", content());
        let server = Server::start(&tree, &["--method", method]);
        let mut stalled: Vec<Connection> = Vec::new();
        for _ in 0..4 {
            let mut connection = server.connect_narrow();
            connection.begin("/a.bin");
            stalled.push(connection);
        }
        truncate(&path, 0);
        for connection in stalled.iter_mut().take(2) {
            connection.rest(); // two find out, two stay where they are
        }
        let before = process::ticks(server.child.id());
        std::thread::sleep(Duration::from_secs(1));
        let used = process::ticks(server.child.id()) - before;
        // A busy loop would take 100 ticks in that second if it had a core to itself, and half of
        // that on a crowded machine.
        assert!(used <= 10, "{method}: {used} ticks of processor time for doing nothing");
    }
}

#[test]
fn the_file_is_let_go_after_a_cut() {
    let tree = Tree::new();
    let path = tree.file("a.bin", content());
    let server = Server::start(&tree, &["--method", "splice", "--open-files", "0"]);
    let pipes = |open: &[String]| open.iter().filter(|target| target.starts_with("pipe:")).count();
    let pipes_before = pipes(&process::descriptors(server.child.id()));
    let mut connection = server.connect_narrow();
    connection.begin("/a.bin");
    truncate(&path, 0);
    connection.rest();
    crate::harness::eventually("the file and the pipe are closed", || {
        let open = process::descriptors(server.child.id());
        let name = path.to_str().unwrap();
        !open.iter().any(|target| target == name) && pipes(&open) == pipes_before
    });
}
