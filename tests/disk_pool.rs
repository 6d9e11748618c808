//! The disk pool as clients meet it: names that have to be waited for, and a disk that never answers.

use crate::harness::{
    Connection, Journal, Server, Tree,
    disk::{Files, ask, impatient},
    eventually, has, process,
};
use serde_json::Value;
use socket2::SockRef;
use std::{fs, process::Command, time::Duration};

/// Threads of the pool that a server has now.
fn disk_threads(pid: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.trim() == "disk").count()
}

/// A server on a file system that the kernel has to ask for every name, every time
/// (`proc_sys_revalidate`). Its regular files say that they are empty.
fn on_sysctls(journal: &Journal, arguments: &[&str]) -> Option<Server> {
    use sendrail_files::{Names, Root, RootOptions};
    let root = Root::open("/proc/sys".as_ref(), RootOptions::default()).unwrap();
    if root.names() != Names::AtOnce || !matches!(root.find_at_once(b"kernel/ostype"), Ok(None)) {
        eprintln!("skipped: {:?}; names of /proc/sys need not be waited for", root.names());
        return None;
    }
    let mut command = Server::command();
    command.args(["serve", "/proc/sys", "--listen", "127.0.0.1:0", "--workers", "1"]);
    command.args(journal.arguments()).args(arguments);
    Some(Server::spawn(command))
}

const CACHES: [&[&str]; 4] = [
    &[],
    &["--open-files", "0"],
    &["--open-files-valid", "0s"],
    &["--open-files", "0", "--precompressed", "off"],
];

#[test]
fn names_that_have_to_be_waited_for_are_answered_like_all_others() {
    for cache in CACHES {
        let journal = Journal::new();
        let arguments = [cache, &["--index", "absent", "--index", "ostype"]].concat();
        let Some(server) = on_sysctls(&journal, &arguments) else { return };
        assert_eq!(disk_threads(server.child.id()), 0, "none before it is needed");
        let mut connection = server.connect();
        for round in 0..2 {
            let target = |path: &str| format!("{path}?{round}");
            let file = connection.get(&target("/kernel/ostype"), "");
            assert_eq!((file.status, file.field("Content-Length")), (200, Some("0")), "{cache:?}");
            let etag = file.field("ETag").map(str::to_owned).expect("a validator");
            let again =
                connection.get(&target("/kernel/ostype"), &format!("If-None-Match: {etag}\r\n"));
            assert_eq!(again.status, 304, "{cache:?}");
            assert_eq!(connection.ask("HEAD", &target("/kernel/ostype"), "").status, 200);
            assert_eq!(connection.get(&target("/kernel/"), "").body, b"", "by its index file");
            let listing = connection.get(&target("/fs/"), "Accept: application/json\r\n");
            assert_eq!(listing.field("Content-Type"), Some("application/json"), "{cache:?}");
            assert!(String::from_utf8_lossy(&listing.body).contains("file-max"));
            let moved = connection.get(&target("/kernel"), "");
            let location = format!("/kernel/?{round}");
            assert_eq!((moved.status, moved.field("Location")), (301, Some(&*location)));
            assert_eq!(connection.get(&target("/kernel/absent"), "").status, 404);
            assert_eq!(connection.get(&target("/kernel/ostype/absent"), "").status, 404);
            assert_eq!(connection.get(&target("/kernel/ostype/"), "").status, 404);
        }
        assert!((1..=16).contains(&disk_threads(server.child.id())));
        let entries = journal.wait_for(18);
        let statuses: Vec<&Value> = entries.iter().map(|entry| &entry["status"]).collect();
        assert_eq!(statuses[..9], [200, 304, 200, 200, 200, 301, 404, 404, 404], "{cache:?}");
        assert_eq!(statuses[9..], statuses[..9], "{cache:?}");
        assert!(entries.iter().all(|entry| entry["end"] == "complete"));
    }
}

#[test]
fn requests_behind_one_that_waits_for_a_name_are_answered_in_order() {
    let journal = Journal::new();
    let Some(server) = on_sysctls(&journal, &["--open-files", "0"]) else { return };
    let mut connection = server.connect();
    let mut wire = String::new();
    for number in 0..50 {
        let known = format!("GET /kernel/ostype?{number} HTTP/1.1\r\nHost: test\r\n\r\n");
        // Its body is read and thrown away before the name is looked up.
        let absent = format!("GET /kernel/a{number} HTTP/1.1\r\nHost: test\r\n");
        wire.extend([&known, &absent, "Content-Length: 5\r\n\r\nGET /"]);
    }
    connection.send(&wire);
    for _ in 0..50 {
        assert_eq!(connection.response(false).status, 200);
        assert_eq!(connection.response(false).status, 404);
    }
    // The last body is late, and the last request closes the connection.
    let (most, late) = wire.split_at(wire.len() - 2);
    connection.send(most);
    for number in 0..99 {
        let expected = if number % 2 == 0 { 200 } else { 404 };
        assert_eq!(connection.response(false).status, expected);
    }
    connection.send(format!("{late}GET /kernel/ostype HTTP/1.0\r\n\r\n"));
    assert_eq!(connection.response(false).status, 404);
    let last = connection.response(false);
    assert_eq!((last.status, last.field("Connection")), (200, Some("close")));
    assert!(connection.is_closed());
}

#[test]
fn the_kernel_is_asked_for_the_same_calls_by_the_loop_when_it_knows_the_name() {
    if !has("strace") {
        return;
    }
    let tree = Tree::new();
    tree.file("known.txt", "x"); // the kernel knows it since it was made
    let mut command = Command::new("strace");
    let log = tree.path().join("strace.log");
    command.args(["-f", "-e", "trace=openat2,statx,fstat,newfstatat", "-o"]).arg(&log);
    command.arg(env!("CARGO_BIN_EXE_sendrail")).arg("serve").arg(tree.path());
    command.args(["--listen", "127.0.0.1:0", "--workers", "1", "--precompressed", "off"]);
    let mut server = Server::spawn(command);
    assert_eq!(server.connect().get("/known.txt", "").body, b"x");
    // The signal that strace would not pass on.
    let watched = process::child(server.child.id()).to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &watched]).status().unwrap().success());
    assert!(server.wait().success());
    let text = fs::read_to_string(&log).unwrap();
    let opens: Vec<&str> = text.lines().filter(|line| line.contains("\"known.txt\"")).collect();
    assert_eq!(opens.len(), 2, "O_PATH, then O_RDONLY: {opens:#?}");
    if !opens[0].contains("RESOLVE_CACHED") {
        eprintln!("skipped: this kernel has no RESOLVE_CACHED: {opens:#?}");
        return;
    }
    assert!(opens.iter().all(|line| !line.contains("EAGAIN")), "{opens:#?}");
}

#[test]
fn a_disk_that_never_answers_is_given_up() {
    let mut files = Files::hot();
    let cold = files.put("cold.bin", 1 << 20);
    let unknown = files.put("unknown/a.bin", 5000);
    files.put("listed/a.bin", 1);
    files.on_a_slow_disk(|disk| {
        let journal = Journal::new();
        let server = disk.serve(&journal, &["--disk-timeout", "300ms"]);
        let mut client = impatient(&server);
        client.ask("HEAD", "/slow/cold.bin", "");
        client.ask("HEAD", "/slow/listed/", "");
        let stopped = disk.stop();

        // What has been promised is cut short, and nothing may follow.
        let mut transfer = ask(&server, "/slow/cold.bin?late");
        transfer.send("GET /absent HTTP/1.1\r\nHost: test\r\n\r\n");
        let head = transfer.head();
        assert_eq!(head.field("Content-Length"), Some("1048576"));
        assert!(cold.starts_with(&transfer.rest()));
        let entry = journal.of("/slow/cold.bin?late");
        assert_eq!(entry["end"], "file-fault", "{entry}");
        let said = server.stderr();
        assert!(said.contains("ERROR") && said.contains("has not answered"), "{said}");
        assert!(said.contains("cold.bin"), "{said}");

        // What has not is refused, and the connection lives on.
        let late = client.get("/slow/unknown/a.bin", "");
        assert_eq!((late.status, late.field("Retry-After")), (503, Some("10")));
        assert_ne!(late.field("Connection"), Some("close"));
        let late = client.ask("HEAD", "/slow/unknown/a.bin?head", "");
        assert_eq!(late.status, 503);
        assert_eq!(journal.of("/slow/unknown/a.bin")["status"], 503);
        assert_eq!(client.get("/absent", "").status, 404, "elsewhere");
        drop(stopped);
        eventually("it is there again", || {
            client.get("/slow/unknown/a.bin?again", "").body == unknown
        });
        assert!(client.get("/slow/cold.bin?again", "").body == cold);
    });
}

#[test]
fn a_busy_disk_is_not_given_up() {
    let mut files = Files::hot();
    for number in 0..60 {
        files.put(&format!("{number}.bin"), 256 << 10);
    }
    files.on_a_slow_disk(|disk| {
        let journal = Journal::new();
        let arguments = ["--disk-timeout", "500ms", "--disk-threads", "1"];
        let server = disk.serve(&journal, &arguments);
        let mut client = impatient(&server);
        for number in 0..60 {
            client.ask("HEAD", &format!("/slow/{number}.bin"), "");
        }
        // All together take far more than the disk timeout, each of them less.
        disk.delay_by(Duration::from_millis(20));
        let asked: Vec<Connection> =
            (0..60).map(|number| ask(&server, &format!("/slow/{number}.bin"))).collect();
        for mut connection in asked {
            assert_eq!(connection.response(false).body.len(), 256 << 10);
        }
    });
}

/// How many lines of the log say this of how a request ended.
fn ended(journal: &Journal, end: &str) -> usize {
    journal.entries().iter().filter(|entry| entry["end"] == end).count()
}

#[test]
fn who_leaves_while_a_name_is_waited_for_is_let_go_at_once() {
    let mut files = Files::hot();
    for number in 0..40 {
        files.put(&format!("names/{number}/a.bin"), 10);
    }
    files.on_a_slow_disk(|disk| {
        let journal = Journal::new();
        let mut server = disk.serve(&journal, &["--drain-timeout", "1h"]);
        let mut client = impatient(&server);
        client.ask("HEAD", "/slow/names/", "");
        let stopped = disk.stop();
        let ask = |number| ask(&server, &format!("/slow/names/{number}/a.bin"));
        let leaving: Vec<Connection> = (0..20).map(ask).collect();
        let staying: Vec<Connection> = (20..40).map(ask).collect();
        eventually("the disk is asked", || disk.waiting() > 0);
        for connection in leaving {
            SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO)).unwrap(); // resets
        }
        eventually("they have left", || ended(&journal, "peer-gone") == 20);
        assert!(disk_threads(server.child.id()) <= 16);
        // Those who stay are told when the server does not wait any more.
        server.signal("TERM");
        eventually("it says that it stops", || server.stderr().contains("stopping:"));
        assert!(server.child.try_wait().unwrap().is_none(), "it waits for them");
        server.signal("TERM");
        eventually("it waits no more", || ended(&journal, "shutdown") == 20);
        assert!(staying.into_iter().all(|mut connection| connection.is_closed()));
        // Who reads a folder cannot be interrupted: the kernel keeps the process until the disk answers.
        assert!(disk.waiting() > 0, "the disk has not answered");
        drop(stopped);
        assert_eq!(server.wait().code(), Some(0), "{}", server.stderr());
    });
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for (option, value, named) in [
        ("--disk-threads", "0", "--disk-threads 0: must be from 1 to 256"),
        ("--disk-threads", "257", "--disk-threads 257"),
        ("--disk-timeout", "0s", "--disk-timeout 0"),
    ] {
        let mut command = Server::command();
        let output = command.args(["serve", option, value]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(named), "{option} {value}: {said}");
    }
}
