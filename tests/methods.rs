//! Methods: each moves the same bytes, and the log names the one that did, with its copies.

use crate::harness::{Journal, Server, Tree, bytes, eventually, evict};
use serde_json::Value;
use std::{fs::File, os::unix::fs::FileExt};

/// Each method with the number of times the CPU copies a file's byte.
const METHODS: [(&str, u64); 4] = [("copy", 2), ("mapped", 1), ("sendfile", 0), ("splice", 0)];

const SIZES: [usize; 12] = [
    0,
    1,
    4095,
    4096,
    4097,
    65_535,
    65_536,
    65_537,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    10 << 20,
];

/// What the CPU copied, by the receipt, is what did not come from a file once (heads and
/// boundaries), and each byte from a file as often as the method says.
fn assert_copies(entry: &Value, copies: u64) {
    let number = |name: &str| entry["receipt"][name].as_u64().unwrap();
    let from_memory = number("bytes") - number("file_bytes");
    assert_eq!(number("copied"), from_memory + copies * number("file_bytes"), "{entry}");
}

fn assert_moved_by(entry: &Value, method: &str, copies: u64, file_bytes: u64) {
    let expected = if file_bytes == 0 { "memory" } else { method };
    assert_eq!(entry["receipt"]["method"], expected, "{entry}");
    assert_eq!(entry["receipt"]["file_bytes"], file_bytes, "{entry}");
    assert_eq!(entry["end"], "complete", "{entry}");
    assert!(entry["receipt"].get("refused").is_none(), "{entry}");
    assert_copies(entry, copies);
}

#[test]
fn every_forced_method_moves_the_same_bytes_and_says_so() {
    let tree = Tree::new();
    let content = bytes(10 << 20);
    for size in SIZES {
        tree.file(&format!("{size}.bin"), &content[..size]);
    }
    for (method, copies) in METHODS {
        let journal = Journal::new();
        let server = Server::logged(&tree, &journal, &["--method", method]);
        let said = format!("{method}, forced");
        eventually("the start says what is forced", || server.stderr().contains(&said));
        let mut connection = server.connect();
        // Twice: the second answer may come from what the first one left in a cache.
        for size in SIZES.iter().chain(&SIZES) {
            let response = connection.get(&format!("/{size}.bin"), "");
            assert_eq!(response.status, 200);
            assert!(response.body == content[..*size], "{method}: {size} bytes differ");
        }
        let entries = journal.wait_for(2 * SIZES.len());
        for (entry, size) in entries.iter().zip(SIZES.iter().chain(&SIZES)) {
            assert_eq!(entry["target"], format!("/{size}.bin"));
            assert_moved_by(entry, method, copies, *size as u64);
        }
    }
}

#[test]
fn auto_answers_small_files_from_memory_and_sends_the_others_without_a_copy() {
    let tree = Tree::new();
    let content = bytes(1 << 20);
    let sizes = [1, 1000, (1 << 20) - 1, 1 << 20];
    for size in sizes {
        tree.file(&format!("{size}.bin"), &content[..size]);
    }
    let journal = Journal::new();
    let arguments = ["--open-files-valid", "1h", "--small-files", "4k"];
    let server = Server::logged(&tree, &journal, &arguments);
    let mut connection = server.connect();
    for size in sizes {
        for _ in 0..4 {
            assert!(connection.get(&format!("/{size}.bin"), "").body == content[..size]);
        }
    }
    let entries = journal.wait_for(16);
    for again in [3, 7] {
        // One send of head and body together.
        assert_moved_by(&entries[again], "memory", 0, 0);
        assert_eq!(entries[again]["receipt"]["system_calls"], 1);
    }
    for (number, entry) in entries[8..].iter().enumerate() {
        let method = if number < 4 { "sendfile" } else { "splice" };
        assert_eq!(entry["receipt"]["method"], method, "{entry}");
        assert_copies(entry, 0);
    }
}

#[test]
fn a_cold_file_arrives_whole_although_the_disk_is_waited_for_elsewhere() {
    let tree = Tree::new();
    let content = bytes(1 << 20).repeat(24);
    let path = tree.file("a.bin", &content);
    for (method, copies) in METHODS {
        let journal = Journal::new();
        // A wake-up that is lost between the disk's thread and the event loop shows as a client
        // that is taken for too slow.
        let arguments = ["--method", method, "--send-timeout", "1s", "--window", "256k"];
        let server = Server::logged(&tree, &journal, &arguments);
        for round in 0..4 {
            evict(&path);
            let response = server.connect_narrow().get(&format!("/a.bin?{round}"), "");
            assert!(response.body == content, "{method}: the bytes differ");
            let entry = journal.of(&format!("/a.bin?{round}"));
            assert_moved_by(&entry, method, copies, content.len() as u64);
        }
    }
}

#[test]
fn ranges_beyond_four_gibibytes() {
    const FAR: u64 = (1 << 32) + 12_345;
    let tree = Tree::new();
    let content = bytes(3 << 20);
    let file = File::create(tree.path().join("huge.bin")).unwrap();
    file.set_len(FAR + (1 << 30)).unwrap();
    file.write_all_at(&content, FAR).unwrap();
    for (method, copies) in METHODS {
        let journal = Journal::new();
        let server = Server::logged(&tree, &journal, &["--method", method]);
        // Begins in the hole before the 4 GiB mark, and ends behind it in what is not a hole.
        let first = (1_u64 << 32) - 100_000;
        let last = FAR + content.len() as u64 - 1;
        let response =
            server.connect().get("/huge.bin", &format!("Range: bytes={first}-{last}\r\n"));
        assert_eq!(response.status, 206);
        let hole = (FAR - first) as usize;
        assert!(response.body[..hole].iter().all(|byte| *byte == 0), "{method}: the hole");
        assert!(response.body[hole..] == content, "{method}: the bytes behind 4 GiB");
        assert_moved_by(&journal.of("/huge.bin"), method, copies, last - first + 1);
    }
}

#[test]
fn several_ranges_leave_as_one_message() {
    let tree = Tree::new();
    let content = bytes(3 << 20);
    tree.file("a.bin", &content);
    let ranges = [(0, 9), (70_000, 1_200_000), (3_000_000, 3_000_000)];
    let list: Vec<String> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
    let file_bytes: u64 = ranges.iter().map(|(first, last)| last - first + 1).sum();
    for (method, copies) in METHODS {
        let journal = Journal::new();
        let server = Server::logged(&tree, &journal, &["--method", method]);
        let fields = format!("Range: bytes={}\r\n", list.join(","));
        let response = server.connect().get("/a.bin", &fields);
        assert_eq!(response.status, 206);
        let content_type = response.field("Content-Type").unwrap();
        let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let expected = multipart(boundary.trim_matches('"'), &ranges, &content);
        assert!(response.body == expected, "{method}: the parts differ");
        assert_moved_by(&journal.of("/a.bin"), method, copies, file_bytes);
    }
}

/// The body that RFC 9110 §14.6 and RFC 2046 §5.1.1 describe.
fn multipart(boundary: &str, ranges: &[(u64, u64)], content: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (index, (first, last)) in ranges.iter().enumerate() {
        let break_before = if index == 0 { "" } else { "\r\n" };
        let len = content.len();
        let head = format!(
            "{break_before}--{boundary}\r\nContent-Type: application/octet-stream\r\n\
             Content-Range: bytes {first}-{last}/{len}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&content[*first as usize..=*last as usize]);
    }
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    body
}
