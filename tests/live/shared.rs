//! What many followers share, and what there is where the kernel does not tell.

use super::{Follower, NEVER, SOON, append, appending};
use crate::harness::{Connection, Journal, Server, Tree, bytes, eventually, has, process};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

/// How many files and folders a process has inotify watch (`proc_pid_fdinfo(5)`).
pub(super) fn watches(pid: u32) -> usize {
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let infos = infos.filter_map(|info| fs::read_to_string(info.unwrap().path()).ok());
    infos.map(|info| info.lines().filter(|line| line.starts_with("inotify wd:")).count()).sum()
}

#[test]
fn two_hundred_follow_by_one_watch_and_one_descriptor() {
    let tree = Tree::new();
    let path = tree.file("build.log", "first\n");
    let server = Server::start(&tree, NEVER);
    let pid = server.child.id();
    let content = bytes(100_000);
    let mut followers: Vec<Follower> =
        (0..200).map(|_| Follower::of(&server, "/build.log?follow")).collect();
    for follower in &mut followers {
        assert_eq!(follower.take(6), b"first\n");
    }
    assert_eq!(watches(pid), 1);
    let named = path.canonicalize().unwrap().display().to_string();
    let open = process::descriptors(pid).iter().filter(|name| **name == named).count();
    assert!(open <= 2, "{open}: one for all followers, and the cache's");
    let mut file = appending(&path);
    for piece in content.chunks(777) {
        file.write_all(piece).unwrap();
    }
    for follower in &mut followers {
        assert!(follower.take(content.len()) == content);
    }
    followers.truncate(1);
    file.write_all(b"more").unwrap(); // those that only closed are noticed when there is something to be sent
    assert_eq!(followers[0].take(4), b"more");
    drop(followers);
    file.write_all(b"more").unwrap();
    std::thread::sleep(Duration::from_millis(20));
    file.write_all(b"more").unwrap();
    eventually("nothing is watched any more", || watches(pid) == 0);
}

/// Of several paths to one file each has its own end; the kernel watches the file once.
#[test]
fn two_names_of_one_file() {
    let tree = Tree::new();
    let path = tree.file("a.log", "first\n");
    let other = tree.path().join("b.log");
    fs::hard_link(&path, &other).unwrap();
    let server = Server::start(&tree, NEVER);
    let mut writer = appending(&path);
    let mut one = Follower::of(&server, "/a.log?follow");
    let mut two = Follower::of(&server, "/b.log?follow");
    assert_eq!((one.take(6), two.take(6)), (b"first\n".to_vec(), b"first\n".to_vec()));
    assert_eq!(watches(server.child.id()), 1);
    fs::remove_file(other).unwrap();
    writer.write_all(b"second\n").unwrap();
    assert_eq!((one.take(7), two.take(7)), (b"second\n".to_vec(), b"second\n".to_vec()));
    fs::remove_file(path).unwrap();
    drop(writer);
    assert_eq!((one.end().1, two.end().1), ("removed".into(), "removed".into()));
}

/// While nothing happens, the file and its name are not looked at. The sweep goes on, as for any connection.
#[test]
fn nothing_is_asked_while_nothing_happens() {
    if !has("strace") {
        return;
    }
    let tree = Tree::new();
    let path = tree.file("build.log", "first\n");
    let journal = Journal::new();
    let log = Tree::new();
    let trace = log.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-o"]).arg(&trace).arg(env!("CARGO_BIN_EXE_sendrail"));
    command
        .arg("serve")
        .arg(tree.path())
        .args(["--listen", "127.0.0.1:0", "--workers", "1"])
        .args(SOON)
        .args(journal.arguments());
    let mut server = Server::spawn(command);
    let writer = appending(&path);
    let mut followers: Vec<Follower> =
        (0..20).map(|_| Follower::of(&server, "/build.log?follow")).collect();
    for follower in &mut followers {
        assert_eq!(follower.take(6), b"first\n");
    }
    let lines =
        || fs::read_to_string(&trace).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let calls =
        |lines: &[String], name: &str| lines.iter().filter(|line| line.contains(name)).count();
    assert_eq!(calls(&lines(), "inotify_init1("), 1);
    assert_eq!(calls(&lines(), "inotify_add_watch("), 1);
    std::thread::sleep(Duration::from_secs(1)); // its writer has been asked for by then
    let before = lines().len();
    std::thread::sleep(Duration::from_secs(2));
    let quiet = lines()[before..].to_vec();
    let busy: Vec<_> = quiet
        .iter()
        .filter(|line| {
            ![
                "epoll_wait",
                "futex",
                "exited",
                "exit(",
                "clock_",
                "madvise",
                "munmap",
                "rseq",
                "sched_",
                "rt_sig",
                "\"\\1\\0\\0\\0\\0\\0\\0\\0\"", // the event loop wakes itself for the sweep
            ]
            .iter()
            .any(|idle| line.contains(idle))
        })
        .collect();
    assert!(busy.is_empty(), "{busy:#?}");
    let before = lines().len();
    append(&path, "second\n");
    for follower in &mut followers {
        assert_eq!(follower.take(7), b"second\n");
    }
    let told = lines()[before..].to_vec();
    assert_eq!(calls(&told, "preadv2("), 1, "read once for all: {told:#?}");
    assert_eq!(calls(&told, "sendto("), 20, "one call for each: {told:#?}");
    assert!(
        calls(&told, "fstat(") + calls(&told, "statx(") + calls(&told, "newfstatat(") <= 4,
        "{told:#?}"
    );
    drop(writer);
    for follower in &mut followers {
        assert_eq!(follower.end(), (Vec::new(), "finished".into()));
    }
    let all = lines();
    let id = process::child(server.child.id());
    assert!(Command::new("kill").args(["-s", "TERM", &id.to_string()]).status().unwrap().success());
    server.wait();
    let counted = |entry: &Value| entry["receipt"]["system_calls"].as_u64().unwrap();
    let counted: u64 = journal.wait_for(20).iter().map(counted).sum();
    let seen = ["sendto(", "sendmsg(", "preadv2(", "SO_KEEPALIVE", "TCP_KEEP"];
    // Before it accepts anybody it measures what small files cost.
    let begin = all.iter().position(|line| line.contains("listening on")).unwrap();
    let seen = seen.map(|name| (name, calls(&all[begin..], name)));
    let sum: usize = seen.iter().map(|(_, count)| count).sum();
    assert_eq!(counted, sum as u64, "{seen:?}");
}

/// Events that are told nobody: the queue has an end (IN_Q_OVERFLOW, `inotify(7)`).
#[test]
fn what_the_kernel_could_not_tell_is_found() {
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let most: usize = most.trim().parse().unwrap();
    if most > 100_000 {
        eprintln!("skipped: the queue has room for {most} events");
        return;
    }
    let tree = Tree::new();
    let paths = ["a.log", "b.log"].map(|name| tree.file(name, "first\n"));
    let server = Server::start(&tree, NEVER);
    let mut writers = paths.each_ref().map(|path| appending(path));
    let mut followers =
        ["/a.log?follow", "/b.log?follow"].map(|target| Follower::of(&server, target));
    for follower in &mut followers {
        assert_eq!(follower.take(6), b"first\n");
    }
    server.signal("STOP");
    // In turns, for what is the same as the last event is not queued again.
    for _ in 0..most {
        for writer in &mut writers {
            writer.write_all(b"x").unwrap();
        }
    }
    fs::rename(&paths[0], tree.path().join("old")).unwrap();
    drop(writers);
    server.signal("CONT");
    assert!(followers[0].end() == (vec![b'x'; most], "renamed".into()));
    assert!(followers[1].take(most) == vec![b'x'; most]);
}

/// Who writes is told to the file's owner alone (`EACCES` of F_SETLEASE, `fcntl(2)`): then it ends by quiet.
#[test]
fn a_server_that_is_not_told_who_writes_waits_until_it_is_quiet() {
    use std::os::unix::fs::PermissionsExt;
    let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let able = Command::new("setpriv").args(as_nobody).arg("true").stderr(Stdio::null()).status();
    if !able.is_ok_and(|status| status.success()) {
        eprintln!("skipped: setpriv cannot make this nobody's process");
        return;
    }
    let tree = Tree::new();
    fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (what, why) in [("close", "finished"), ("nothing", "finished"), ("rename", "renamed")] {
        let path = tree.file("build.log", "first\n");
        let mut command = Command::new("setpriv");
        command.args(as_nobody).env("NO_COLOR", "1").env_remove("RUST_LOG");
        command.arg(env!("CARGO_BIN_EXE_sendrail")).arg("serve").arg(tree.path());
        command.args(["--listen", "127.0.0.1:0", "--workers", "1", "--finished-after", "300ms"]);
        let server = Server::spawn(command);
        let mut writer = appending(&path);
        let mut follower = Follower::of(&server, "/build.log?follow");
        assert_eq!(follower.take(6), b"first\n");
        if what == "rename" {
            fs::rename(&path, tree.path().join("old")).unwrap();
        } else {
            std::thread::sleep(Duration::from_millis(600)); // quiet, but not for six times as long
            writer.write_all(b"second\n").unwrap();
            assert_eq!(follower.take(7), b"second\n");
        }
        let stays = (what != "close").then_some(writer);
        assert_eq!(follower.end(), (Vec::new(), why.into()), "{what}");
        drop(stays);
    }
}

/// In a user namespace that may have no watch, or no inotify at all (`namespaces(7)`, /proc/sys/user).
#[test]
fn where_the_kernel_refuses_to_tell_it_is_looked_at() {
    if !has("unshare") {
        return;
    }
    for limit in ["max_inotify_instances", "max_inotify_watches"] {
        let tree = Tree::new();
        let path = tree.file("build.log", "first\n");
        let lower = format!("echo 0 > /proc/sys/user/{limit}");
        let unshared = ["--user", "--map-root-user", "sh", "-c"];
        let able =
            Command::new("unshare").args(unshared).arg(&lower).stderr(Stdio::null()).status();
        if !able.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no user namespace whose limits can be set");
            return;
        }
        let mut command = Command::new("unshare");
        command.env("NO_COLOR", "1").env_remove("RUST_LOG").args(unshared);
        command.arg(format!("{lower} && exec \"$@\"")).arg("sh");
        command.arg(env!("CARGO_BIN_EXE_sendrail")).arg("serve").arg(tree.path());
        command.args(["--listen", "127.0.0.1:0", "--workers", "1"]).args(SOON);
        let server = Server::spawn(command);
        let writer = appending(&path);
        let mut followers = [(); 2].map(|()| Follower::of(&server, "/build.log?follow"));
        let mut waiting = server.connect();
        waiting.send("GET /new HTTP/1.1\r\nHost: test\r\nPrefer: wait=60\r\n\r\n");
        for text in ["first\n", "second\n", "third\n"] {
            for follower in &mut followers {
                assert_eq!(follower.take(text.len()), text.as_bytes(), "{limit}");
            }
            append(
                &path,
                match text {
                    "first\n" => "second\n",
                    "second\n" => "third\n",
                    _ => "",
                },
            );
        }
        assert_eq!(watches(server.child.id()), 0);
        fs::write(tree.path().join("new"), "new").unwrap();
        assert!(matches!(&*waiting.response(false).body, b"new" | b""), "{limit}");
        fs::rename(&path, tree.path().join("old")).unwrap();
        drop(writer);
        for follower in &mut followers {
            assert_eq!(follower.end(), (Vec::new(), "renamed".into()), "{limit}");
        }
        let said = server.stderr();
        assert_eq!(said.matches("inotify(7) is refused").count(), 1, "{said}");
    }
}

/// /proc/sys says nothing of its changes, and its names have to be waited for.
#[test]
fn where_the_kernel_does_not_know_it_is_looked_at() {
    let mut command = Server::command();
    command.args(["serve", "/proc/sys", "--listen", "127.0.0.1:0", "--workers", "1"]);
    command.args(["--max-wait", "1500ms"]);
    let server = Server::spawn(command);
    let mut client: Connection = server.connect();
    let etag = client.get("/kernel/ostype", "").field("ETag").unwrap().to_owned();
    let known = format!("If-None-Match: {etag}\r\nPrefer: wait=60\r\n");
    let answer = client.get("/kernel/ostype", &known);
    assert!(matches!(answer.status, 304 | 200), "{answer:?}");
    assert_eq!(answer.field("Preference-Applied"), Some("wait"));
    assert_eq!(client.get("/kernel/absent", "Prefer: wait=60\r\n").status, 404);
    eventually("it says so", || server.stderr().contains("looked at every second"));
    assert_eq!(watches(server.child.id()), 0);
}
