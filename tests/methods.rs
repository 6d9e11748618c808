//! Methods: each moves the same bytes, and the log names the one that did, with its copies.

use crate::harness::{Journal, Server, Tree, bytes, eventually, evict, process};
use serde_json::Value;
use std::{
    fs::File,
    os::{fd::AsFd, unix::fs::FileExt},
    path::Path,
};

/// Each method with the number of times the CPU copies a file's byte.
const METHODS: [(&str, u64); 6] =
    [("copy", 2), ("uncached", 2), ("mapped", 1), ("direct", 1), ("sendfile", 0), ("splice", 0)];

/// The methods that this kernel does on the file system of the build; says which it does not.
fn methods() -> impl Iterator<Item = (&'static str, u64)> {
    let tree = Tree::new();
    tree.file("a.bin", bytes(10_000));
    METHODS.into_iter().filter(move |(method, _)| {
        let journal = Journal::new();
        let server = Server::logged(&tree, &journal, &["--method", method]);
        server.connect().get("/a.bin", "");
        let entry = journal.of("/a.bin");
        let moved = entry["receipt"]["method"].as_str().unwrap().starts_with(method);
        if !moved {
            eprintln!("skipped: {method} is refused here: {entry}");
        }
        moved
    })
}

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
    let least = number("bytes") - number("file_bytes") + copies * number("file_bytes");
    // What a full socket did not take of it, `uncached` may have to read again.
    let again = u64::from(entry["receipt"]["method"] == "uncached") * number("file_bytes") / 8;
    assert!((least..=least + again).contains(&number("copied")), "{entry}");
}

/// Pages of a file that are in the page cache; 0 where nobody can say (cachestat(2), Linux 6.5).
fn resident(path: &Path) -> u64 {
    let file = File::open(path).unwrap();
    sendrail_sys::cachestat(file.as_fd(), 0, u64::MAX >> 1).map_or(0, |stat| stat.cached)
}

fn assert_moved_by(entry: &Value, method: &str, copies: u64, file_bytes: u64) {
    let expected = if file_bytes == 0 { "memory" } else { method };
    let said = entry["receipt"]["method"].as_str().unwrap();
    // Without io_uring, as in many containers, threads of our own do its work.
    let without_ring = said == "direct(pread)" && method == "direct";
    assert!(said == expected || without_ring, "{entry}");
    assert_eq!(entry["receipt"]["file_bytes"], file_bytes, "{entry}");
    assert_eq!(entry["end"], "complete", "{entry}");
    assert!(without_ring || entry["receipt"].get("refused").is_none(), "{entry}");
    assert_copies(entry, copies);
}

#[test]
fn every_forced_method_moves_the_same_bytes_and_says_so() {
    let tree = Tree::new();
    let content = bytes(10 << 20);
    for size in SIZES {
        tree.file(&format!("{size}.bin"), &content[..size]);
    }
    for (method, copies) in methods() {
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
    for (method, copies) in methods() {
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

/// What nginx's `directio 4m` does: the file's length decides, also about a part of it, and nothing of it is cached.
#[test]
fn large_files_go_past_the_page_cache_if_that_is_asked_for() {
    if methods().all(|(method, _)| method != "direct") {
        return;
    }
    let tree = Tree::new();
    let content = bytes(1 << 20).repeat(5);
    let large = tree.file("large.bin", &content);
    tree.file("small.bin", &content[..(4 << 20) - 1]);
    let journal = Journal::new();
    let server = Server::logged(&tree, &journal, &["--direct-above", "4m"]);
    let said = "files of 4194304 bytes or more go past the page cache (--direct-above)";
    eventually("the start says so", || server.stderr().contains(said));
    let mut connection = server.connect();
    for (target, fields, parts) in [
        ("/large.bin?whole", "", &[(0, content.len())][..]),
        ("/large.bin?part", "Range: bytes=1000000-1000099\r\n", &[(1_000_000, 100)]),
        // Small ones of several ranges would be gathered from the page cache.
        ("/large.bin?parts", "Range: bytes=1-2,70000-75000\r\n", &[(1, 2), (70_000, 5_001)]),
    ] {
        evict(&large);
        let response = connection.get(target, fields);
        if let [(start, len)] = parts {
            assert!(response.body == content[*start..start + len], "{target}: the bytes differ");
        }
        let file_bytes = parts.iter().map(|(_, len)| *len as u64).sum();
        let entry = journal.of(target);
        assert_moved_by(&entry, "direct", 1, file_bytes);
        let warm = resident(&large);
        assert_eq!(warm, 0, "{target}: {warm} pages of it are resident");
    }
    connection.get("/small.bin", "");
    assert_moved_by(&journal.of("/small.bin"), "splice", 0, (4 << 20) - 1);
}

#[test]
fn ranges_beyond_four_gibibytes() {
    const FAR: u64 = (1 << 32) + 12_345;
    let tree = Tree::new();
    let content = bytes(3 << 20);
    let file = File::create(tree.path().join("huge.bin")).unwrap();
    file.set_len(FAR + (1 << 30)).unwrap();
    file.write_all_at(&content, FAR).unwrap();
    for (method, copies) in methods() {
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
    for (method, copies) in methods() {
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

#[test]
fn what_is_asked_for_twice_is_refused() {
    let tree = Tree::new();
    let mut command = Server::command();
    command.arg("serve").arg(tree.path()).args(["--method", "sendfile", "--direct-above", "4m"]);
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("--direct-above: --method sendfile is for files of every size"),
        "{said}"
    );
}

#[test]
fn explain_tells_how_a_file_would_go_past_the_page_cache() {
    let tree = Tree::new();
    let path = tree.file("a.bin", bytes(1 << 20));
    for (arguments, expected) in [
        (&["--method", "direct"][..], "method       direct: the method was asked for by name"),
        (&["--method", "uncached"], "method       uncached: the method was asked for by name"),
        (&["--direct-above", "1m"], "method       direct: the file is as large as those"),
        (&["--direct-above", "2m"], "method       splice: "),
    ] {
        let output = Server::command().arg("explain").arg(&path).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(expected), "{arguments:?}: {said}");
        let line = said.lines().find(|line| line.starts_with("past cache")).unwrap();
        assert!(line.contains("O_DIRECT"), "{line}");
    }
    // procfs has none.
    let output = Server::command().args(["explain", "/proc/self/status"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("past cache   no O_DIRECT: "), "{said}");
}

/// What nginx's directio is killed for: memory for every stream.
#[test]
fn many_direct_streams_share_a_bounded_memory() {
    const STREAMS: usize = 64;
    if methods().all(|(method, _)| method != "direct") {
        return;
    }
    let tree = Tree::new();
    let content = bytes(1 << 20).repeat(12);
    tree.file("a.bin", &content);
    let journal = Journal::new();
    let server = Server::logged(&tree, &journal, &["--method", "direct"]);
    let mut streams: Vec<_> = (0..STREAMS).map(|_| server.connect_narrow()).collect();
    for stream in &mut streams {
        stream.begin("/a.bin");
    }
    let mut bodies: Vec<Vec<u8>> = streams.iter_mut().map(|stream| stream.take(100_000)).collect();
    // 16 rings of 4 MiB, and what the threads of the disk pool read into.
    let descriptors = process::descriptors(server.child.id());
    let rings = descriptors.iter().filter(|name| *name == "anon_inode:[io_uring]").count();
    assert!(rings <= 16, "{rings} rings");
    let memory = process::anonymous_memory(server.child.id());
    assert!(memory < 160 << 20, "{memory} bytes for {STREAMS} streams");
    for (stream, body) in streams.iter_mut().zip(&mut bodies) {
        body.append(&mut stream.take(content.len() - body.len()));
        assert!(*body == content, "the bytes differ");
    }
    for entry in journal.wait_for(STREAMS) {
        let said = entry["receipt"]["method"].as_str().unwrap();
        assert!(said.split('+').all(|way| ["direct", "direct(pread)"].contains(&way)), "{entry}");
        assert_copies(&entry, 1);
    }
}
