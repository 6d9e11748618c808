//! The access log: a line per request that says how it ended; and nothing that befalls the log
//! befalls the server.

use crate::harness::{Journal, Server, Tree, bytes, eventually};
use socket2::SockRef;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::Stdio,
    time::Duration,
};

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree.file("large.bin", bytes(1 << 20).repeat(16));
    tree
}

/// The lines that a server writes in this form for one request, made by `ask`.
fn line_of(format: &str, ask: impl FnOnce(&Server)) -> String {
    let tree = tree();
    let journal = Journal::new();
    let path = journal.path().display().to_string();
    let server = Server::start(&tree, &["--log-format", format, "--access-log", &path]);
    ask(&server);
    server.stop();
    let text = journal.text();
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text:?}");
    text.trim_end().to_owned()
}

/// The parts of a line of the Common Log Format, with what stands behind it. Quoted and bracketed
/// parts may hold spaces.
fn parts(line: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut until = None;
    for c in line.chars() {
        match (until, c) {
            (None, ' ') => parts.push(String::new()),
            (None, '"') => until = Some('"'),
            (None, '[') => until = Some(']'),
            (Some(end), c) if c == end => until = None,
            (_, c) => parts.last_mut().unwrap().push(c),
        }
    }
    assert_eq!(until, None, "a quote is left open: {line}");
    parts
}

/// `21/Nov/2026:12:48:23 +0000`
fn assert_is_clf_time(text: &str) {
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .map(|c| if c.is_ascii_alphabetic() { 'a' } else { c })
        .collect();
    assert_eq!(shape, "00/aaa/0000:00:00:00 +0000");
}

#[test]
fn common() {
    let line = line_of("common", |server| {
        server.connect().get("/a.txt?q=1", "Referer: http://from/\r\nUser-Agent: test\r\n");
    });
    let parts = parts(&line);
    assert_eq!(parts[..3], ["127.0.0.1", "-", "-"], "{line}");
    assert_is_clf_time(&parts[3]);
    assert_eq!(parts[4..7], ["GET /a.txt?q=1 HTTP/1.1", "200", "5"], "{line}");
    assert_eq!(parts.last().unwrap(), "end=complete");
    for receipt in ["calls=", "copied=", "cold=", "waits=", "us="] {
        assert!(parts[7..].iter().any(|part| part.starts_with(receipt)), "{receipt}: {line}");
    }
    assert!(!line.contains("http://from/"));
}

#[test]
fn combined_is_the_default_and_adds_referer_and_user_agent() {
    let tree = tree();
    let mut command = Server::command();
    command.arg("serve").arg(tree.path()).args(["--listen", "127.0.0.1:0", "--access-log", "-"]);
    let mut server = Server::spawn({
        command.stdout(Stdio::piped());
        command
    });
    server.connect().get("/a.txt", "Referer: http://from/\r\nUser-Agent: a test/1.0\r\n");
    server.connect().get("/missing", "");
    server.signal("TERM");
    let mut said = String::new();
    server.child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    server.wait();
    let mut lines: Vec<_> = said.lines().map(parts).collect();
    lines.sort_by_key(|line| line[4].clone()); // of two connections, maybe of two workers
    assert_eq!(lines[0][4..9], ["GET /a.txt HTTP/1.1", "200", "5", "http://from/", "a test/1.0"]);
    assert_eq!(lines[1][4..6], ["GET /missing HTTP/1.1", "404"]);
    assert_eq!(lines[1][7..9], ["-", "-"]);
}

#[test]
fn json_holds_what_was_asked_and_what_it_cost() {
    let journal = Journal::new();
    let tree = tree();
    let server = Server::logged(&tree, &journal, &[]);
    let mut connection = server.connect();
    connection.get("/large.bin?q", "Range: bytes=0-99999\r\nUser-Agent: test\r\n");
    connection.ask("HEAD", "/large.bin?head", "");
    connection.get("/missing", "");
    let entry = journal.of("/large.bin?q");
    for (name, value) in [
        ("method", "GET"),
        ("version", "HTTP/1.1"),
        ("end", "complete"),
        ("user_agent", "test"),
        ("target", "/large.bin?q"),
    ] {
        assert_eq!(entry[name], value, "{entry}");
    }
    let peer = connection.stream.local_addr().unwrap().to_string();
    assert_eq!(entry["peer"], peer);
    assert_eq!(entry["status"], 206);
    assert_eq!(entry["body_bytes"], 100_000);
    assert_eq!(entry["receipt"]["file_bytes"], 100_000);
    assert!(entry.get("referer").is_none());
    let time = entry["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z') && &time[10..11] == "T", "{time}");
    let of_head = journal.of("/large.bin?head");
    assert_eq!((&of_head["status"], &of_head["body_bytes"]), (&200.into(), &0.into()));
    assert_eq!(journal.of("/missing")["status"], 404);
}

#[test]
fn what_a_client_sends_cannot_forge_a_line() {
    let nasty = "/a%22%0A\"b\\c\u{e9}";
    let agent = "x\" 200 5 \"forged\t\u{e9}";
    let ask = |server: &Server| {
        server.connect().get(nasty, &format!("User-Agent: {agent}\r\n"));
    };
    let line = line_of("combined", ask);
    assert!(line.is_ascii() && !line.contains('\t'), "{line}");
    assert!(line.contains(r"x\x22 200 5 \x22forged\x09\xC3\xA9"), "{line}");
    assert_eq!(parts(&line)[8], r"x\x22 200 5 \x22forged\x09\xC3\xA9");
    let line = line_of("json", ask);
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(entry["user_agent"], agent);
}

#[test]
fn a_request_that_cannot_be_read_is_logged_too() {
    let line = line_of("common", |server| {
        let mut connection = server.connect();
        connection.send("\x16\x03\x01 nonsense\r\n\r\n");
        assert_eq!(connection.response(false).status, 400);
    });
    assert_eq!(parts(&line)[4..6], ["-", "400"], "{line}");
}

#[test]
fn a_request_whose_body_is_refused_keeps_its_name() {
    let line = line_of("common", |server| {
        let mut connection = server.connect();
        connection.send("GET /a.txt HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n");
        connection.send("Expect: 100-continue\r\n\r\n");
        assert_eq!(connection.response(false).status, 100);
        connection.send("nonsense\r\n");
        assert_eq!(connection.response(false).status, 400);
    });
    assert_eq!(parts(&line)[4..6], ["GET /a.txt HTTP/1.1", "400"], "{line}");
}

#[test]
fn a_client_that_goes_away_with_half_a_body_sent_has_its_line() {
    let (tree, journal) = (tree(), Journal::new());
    let server = Server::logged(&tree, &journal, &[]);
    let mut connection = server.connect();
    connection.send("GET /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nhalf");
    drop(connection);
    eventually("it is logged", || !journal.entries().is_empty());
    let entry = journal.entries().remove(0);
    assert_eq!((&entry["target"], &entry["end"]), (&"/a.txt".into(), &"peer-gone".into()));
    assert_eq!(entry["body_bytes"], 0);
}

#[test]
fn a_client_that_goes_away_is_said_to_have_gone() {
    let tree = tree();
    let journal = Journal::new();
    let server = Server::logged(&tree, &journal, &[]);
    for reset in [false, true] {
        let target = format!("/large.bin?{reset}");
        let mut connection = server.connect_narrow();
        connection.begin(&target);
        if reset {
            // Closing with a linger of zero is a reset (`socket(7)`).
            SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(connection);
        let entry = journal.of(&target);
        assert_eq!(entry["end"], "peer-gone", "{entry}");
        assert_eq!(entry["status"], 200);
        assert!(entry["body_bytes"].as_u64().unwrap() < 16 << 20, "{entry}");
    }
    assert!(!server.stderr().contains("ERROR"), "a client that leaves is no error of ours");
}

#[test]
fn every_request_has_its_line_when_the_server_has_stopped() {
    let tree = tree();
    let journal = Journal::new();
    let mut server = Server::logged(&tree, &journal, &["--drain-timeout", "1h"]);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let mut connection = server.connect();
            scope.spawn(move || {
                for number in 0..250 {
                    connection.get(&format!("/a.txt?{client}-{number}"), "");
                }
            });
        }
    });
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(journal.text().ends_with('\n'));
    let mut targets: Vec<String> =
        journal.entries().iter().map(|entry| entry["target"].to_string()).collect();
    targets.sort();
    targets.dedup();
    assert_eq!(targets.len(), 1000);
}

/// Asks enough to fill the log's buffers many times over.
fn ask_much(server: &Server) {
    let mut connection = server.connect();
    let filler = "x".repeat(4000);
    for number in 0..500 {
        let response = connection.get(&format!("/a.txt?{number}{filler}"), "");
        assert_eq!(response.body, b"hello", "request {number}");
    }
}

#[test]
fn a_full_disk_does_not_stop_the_server() {
    let tree = tree();
    let server = Server::start(&tree, &["--access-log", "/dev/full"]);
    ask_much(&server);
    eventually("it says that the log fails", || server.stderr().contains("cannot be written"));
    assert_eq!(server.connect().get("/a.txt", "").body, b"hello");
    let (status, said) = server.stop();
    assert!(status.success(), "{said}");
    assert_eq!(said.matches("cannot be written").count(), 1, "said once: {said}");
    assert!(said.contains("lines of the access log were dropped"), "{said}");
}

#[test]
fn a_closed_pipe_does_not_stop_the_server() {
    let tree = tree();
    let mut command = Server::command();
    command.arg("serve").arg(tree.path()).args(["--listen", "127.0.0.1:0", "--access-log", "-"]);
    command.stdout(Stdio::piped());
    let mut server = Server::spawn(command);
    let mut stdout = BufReader::new(server.child.stdout.take().unwrap());
    server.connect().get("/a.txt", "");
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("GET /a.txt"), "{line}");
    drop(stdout);
    ask_much(&server);
    let (status, said) = server.stop();
    assert!(status.success(), "{said}");
    assert!(said.contains("cannot be written"), "{said}");
}

#[test]
fn a_pipe_that_nobody_reads_does_not_stop_the_server() {
    let tree = tree();
    let mut command = Server::command();
    command.arg("serve").arg(tree.path()).args(["--listen", "127.0.0.1:0", "--access-log", "-"]);
    command.stdout(Stdio::piped());
    let mut server = Server::spawn(command);
    ask_much(&server); // 2 MiB of lines, into a pipe of 64 KiB
    ask_much(&server);
    ask_much(&server); // and more than the queue of 4 MiB holds
    assert_eq!(server.connect().get("/a.txt", "").body, b"hello");
    drop(server.child.stdout.take());
    assert!(server.stop().0.success());
}

#[test]
fn a_pipe_that_nobody_reads_does_not_keep_the_server_from_stopping() {
    let tree = tree();
    let mut command = Server::command();
    command.arg("serve").arg(tree.path()).args(["--listen", "127.0.0.1:0", "--access-log", "-"]);
    command.stdout(Stdio::piped());
    let mut server = Server::spawn(command);
    ask_much(&server); // 2 MiB of lines, into a pipe of 64 KiB
    server.signal("TERM");
    eventually("it stops", || server.child.try_wait().unwrap().is_some());
    let (status, said) = (server.wait(), server.stderr());
    assert!(status.success() && said.contains("without its last lines"), "{said}");
}

#[test]
fn a_closed_standard_error_does_not_stop_the_server() {
    let tree = tree();
    let mut command = Server::command();
    command.arg("serve").arg(tree.path()).args(["--listen", "127.0.0.1:0", "--workers", "1"]);
    command.args(["--access-log", "/dev/full"]).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("access log") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0);
        if let Some(url) = line.trim().strip_prefix("listening on http://") {
            let address: std::net::SocketAddr = url.trim_end_matches('/').parse().unwrap();
            tree.file("address", address.to_string());
        }
    }
    drop(stderr);
    let address = fs::read_to_string(tree.path().join("address")).unwrap().parse().unwrap();
    for _ in 0..2 {
        // What the worker has to say of this cannot be said any more.
        let path = tree.file("cut.bin", bytes(1 << 20).repeat(16));
        let mut connection = crate::harness::Connection::narrow(address);
        connection.begin("/cut.bin");
        fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
        connection.rest();
        let mut connection = crate::harness::Connection::open(address);
        assert_eq!(connection.get("/a.txt", "").body, b"hello");
    }
    terminate(child.id());
    assert!(child.wait().unwrap().success(), "it ended by a panic or a signal");
}

fn terminate(pid: u32) {
    assert!(std::process::Command::new("kill").arg(pid.to_string()).status().unwrap().success());
}

#[test]
fn a_hangup_opens_the_file_anew() {
    let tree = tree();
    let journal = Journal::new();
    let server = Server::logged(&tree, &journal, &[]);
    server.connect().get("/a.txt?before", "");
    journal.of("/a.txt?before");
    let rotated = journal.path().with_extension("1");
    fs::rename(journal.path(), &rotated).unwrap();
    server.connect().get("/a.txt?renamed", "");
    let text = || fs::read_to_string(&rotated).unwrap();
    eventually("still the old file", || text().contains("renamed"));
    server.signal("HUP");
    eventually("a new file", || journal.path().exists());
    server.connect().get("/a.txt?after", "");
    assert_eq!(journal.of("/a.txt?after")["status"], 200);
    assert!(!text().contains("after"));
    // A file that cannot be opened anew: the old one is kept, and the server goes on.
    fs::remove_file(journal.path()).unwrap();
    fs::create_dir(journal.path()).unwrap();
    server.signal("HUP");
    eventually("it says so", || server.stderr().contains("cannot be written"));
    assert_eq!(server.connect().get("/a.txt", "").body, b"hello");
}
