//! Little files that are not in the page cache: one trip to the disk finds and reads them, they leave
//! nothing behind unless they are wanted, and what else can be asked of them is answered as ever.

use crate::harness::{Journal, Server, Tree, bytes, eventually, evict};
use sendrail_sys::cachestat::cachestat;
use serde_json::Value;
use std::{fs::File, os::fd::AsFd, path::Path, time::Duration};

const LEN: usize = 60_000;

/// The file's pages in the page cache, or a line that says why nobody knows.
fn resident(path: &Path) -> Option<u64> {
    let file = File::open(path).unwrap();
    match cachestat(file.as_fd(), 0, 0) {
        Ok(stat) => Some(stat.cached),
        Err(error) => {
            eprintln!("skipped: cachestat(2): {error}");
            None
        }
    }
}

/// A file that was written and evicted.
fn cold(tree: &Tree, name: &str, len: usize) -> Option<Vec<u8>> {
    let content = bytes(len);
    let path = tree.file(name, &content);
    evict(&path);
    if resident(&path)? > 0 {
        eprintln!("skipped: this file system does not evict on POSIX_FADV_DONTNEED");
        return None;
    }
    Some(content)
}

/// Whether the kernel can read without leaving anything behind: Linux 6.14, and not on every file system.
fn goes_uncached(receipt: &Value) -> bool {
    let uncached = receipt["method"] == "uncached";
    if !uncached {
        eprintln!("skipped in part: no RWF_DONTCACHE here: {receipt}");
    }
    uncached
}

fn number(receipt: &Value, key: &str) -> u64 {
    receipt[key].as_u64().unwrap()
}

#[test]
fn a_file_that_is_read_once_takes_one_trip_and_leaves_nothing() {
    let (tree, journal) = (Tree::new(), Journal::new());
    let mut contents = Vec::new();
    for name in 0..20 {
        let Some(content) = cold(&tree, &format!("{name}.bin"), LEN) else { return };
        contents.push(content);
    }
    let server = Server::logged(&tree, &journal, &["--drop-behind", "on"]);
    let mut connection = server.connect();
    for (name, content) in contents.iter().enumerate() {
        let target = format!("/{name}.bin");
        assert!(connection.get(&target, "").body == *content, "{name}: the bytes differ");
        let receipt = &journal.of(&target)["receipt"];
        assert_eq!(number(receipt, "cold"), LEN as u64, "{receipt}");
        assert_eq!(number(receipt, "disk_waits"), 1, "{receipt}");
        if !goes_uncached(receipt) {
            return;
        }
        assert_eq!(resident(&tree.path().join(format!("{name}.bin"))), Some(0), "{name}");
    }
}

#[test]
fn a_file_that_is_asked_for_again_stays() {
    let (tree, journal) = (Tree::new(), Journal::new());
    let Some(content) = cold(&tree, "a.bin", LEN) else { return };
    let path = tree.path().join("a.bin");
    let server = Server::logged(&tree, &journal, &["--drop-behind", "on"]);
    assert!(server.connect().get("/a.bin?1", "").body == content);
    if !goes_uncached(&journal.of("/a.bin?1")["receipt"]) {
        return;
    }
    assert!(server.connect().get("/a.bin?2", "").body == content);
    assert_eq!(number(&journal.of("/a.bin?2")["receipt"], "cold"), LEN as u64);
    assert_eq!(resident(&path), Some(LEN.div_ceil(4096) as u64), "wanted twice");
    assert!(server.connect().get("/a.bin?3", "").body == content);
    assert_eq!(number(&journal.of("/a.bin?3")["receipt"], "cold"), 0);
}

#[test]
fn what_is_not_a_whole_file_is_answered_as_ever() {
    let (tree, journal) = (Tree::new(), Journal::new());
    let mut contents = Vec::new();
    for name in ["head", "part", "none", "variant", "variant.gz", "long"] {
        let len = if name == "long" { 300_000 } else { LEN };
        let Some(content) = cold(&tree, name, len) else { return };
        contents.push(content);
    }
    let server = Server::logged(&tree, &journal, &["--drop-behind", "on"]);
    let mut connection = server.connect();
    assert_eq!(connection.ask("HEAD", "/head", "").field("Content-Length"), Some("60000"));
    assert_eq!(resident(&tree.path().join("head")), Some(0), "nobody asked for its bytes");
    let part = connection.get("/part", "Range: bytes=10000-19999\r\n");
    assert!((part.status, &part.body[..]) == (206, &contents[1][10_000..20_000]));
    let etag = connection.ask("HEAD", "/none", "").field("ETag").unwrap().to_owned();
    let none = connection.get("/none", &format!("If-None-Match: {etag}\r\n"));
    assert_eq!((none.status, none.body.len()), (304, 0));
    assert_eq!(resident(&tree.path().join("none")), Some(0), "nobody wanted its bytes");
    let variant = connection.get("/variant", "Accept-Encoding: gzip\r\n");
    assert_eq!(variant.field("Content-Encoding"), Some("gzip"));
    assert!(variant.body == contents[4]);
    assert_eq!(resident(&tree.path().join("variant")), Some(0), "another one was sent");
    assert!(connection.get("/long", "").body == contents[5]);
}

#[test]
fn a_client_that_takes_its_time_gets_all_of_it() {
    const FILES: usize = 200;
    let (tree, journal) = (Tree::new(), Journal::new());
    let mut contents = Vec::new();
    for name in 0..FILES {
        let Some(content) = cold(&tree, &name.to_string(), 64 << 10) else { return };
        contents.push(content);
    }
    let server = Server::logged(&tree, &journal, &["--drop-behind", "on"]);
    let mut client = server.connect_narrow();
    for name in 0..FILES {
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: test\r\n\r\n"));
    }
    // Until the answers fill the socket, the server's end and the client's.
    let mut before = 0;
    eventually("nothing more fits", || {
        std::thread::sleep(Duration::from_millis(300));
        let answered = journal.entries().len();
        std::mem::replace(&mut before, answered) == answered && answered > 0
    });
    for (name, content) in contents.iter().enumerate() {
        assert_eq!(client.head().status, 200);
        let mut whole = Vec::new();
        while whole.len() < content.len() {
            whole.extend(client.take((content.len() - whole.len()).min(1000)));
        }
        assert!(whole == *content, "{name}: the bytes differ");
    }
    let entries = journal.wait_for(FILES);
    let waited = entries.iter().filter(|entry| number(&entry["receipt"], "socket_waits") > 0);
    assert!(waited.count() > 0, "the socket was never full");
    // What was read is kept for the client, and not read again.
    for entry in &entries {
        let receipt = &entry["receipt"];
        assert!(number(receipt, "disk_waits") <= 1, "{entry}");
        assert!(number(receipt, "copied") <= 2 * (64 << 10) + 2 * 400, "{entry}");
    }
}

#[test]
fn a_folder_without_siblings_is_believed_until_there_is_one() {
    let (tree, journal) = (Tree::new(), Journal::new());
    for name in 0..3 {
        if cold(&tree, &format!("{name}.css"), LEN).is_none() {
            return;
        }
    }
    std::thread::sleep(Duration::from_secs(4)); // until its time stamps can be relied upon
    let arguments = ["--drop-behind", "on", "--open-files-valid", "0s"];
    let server = Server::logged(&tree, &journal, &arguments);
    let mut connection = server.connect();
    for target in ["/0.css", "/1.css"] {
        assert_eq!(connection.get(target, "Accept-Encoding: gzip\r\n").body, bytes(LEN));
        let receipt = &journal.of(target)["receipt"];
        assert_eq!(number(receipt, "cold"), LEN as u64, "{target} {receipt}");
        assert_eq!(number(receipt, "disk_waits"), 1, "{target} {receipt}");
    }
    tree.file("1.css.gz", "compressed");
    for target in ["/1.css", "/1.css"] {
        let response = connection.get(target, "Accept-Encoding: gzip\r\n");
        assert_eq!(
            (response.field("Content-Encoding"), &*response.body),
            (Some("gzip"), &b"compressed"[..])
        );
    }
}
