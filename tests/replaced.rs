//! Files that change between requests and during them: replaced, deleted, appended, rewritten.

use crate::harness::{Server, Tree, build_folder, bytes, eventually, process};
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

const METHODS: [&str; 4] = ["copy", "mapped", "sendfile", "splice"];

/// More than sockets and pipes can hold, so that a client that does not read stops the sender.
const LARGE: usize = 12 << 20;

fn large(seed: u8) -> Vec<u8> {
    let block: Vec<u8> = bytes(1 << 20).iter().map(|byte| byte ^ seed).collect();
    block.repeat(LARGE >> 20)
}

#[test]
fn a_file_replaced_or_deleted_while_being_sent_arrives_whole() {
    replace_and_delete_in(build_folder());
}

pub(crate) fn replace_and_delete_in(folder: &Path) {
    let (old, new) = (large(0), large(1));
    for method in METHODS {
        let tree = Tree::new_in(folder);
        let path = tree.file("a.bin", &old);
        let gone = tree.file("gone.bin", &old);
        let server = Server::start(&tree, &["--method", method]);
        let mut of_replaced = server.connect_narrow();
        let mut of_deleted = server.connect_narrow();
        of_replaced.begin("/a.bin");
        of_deleted.begin("/gone.bin");
        fs::rename(tree.file("new", &new), &path).unwrap();
        fs::remove_file(&gone).unwrap();
        assert!(of_replaced.take(LARGE) == old, "{method}: not the old file, whole");
        assert!(of_deleted.take(LARGE) == old, "{method}: not the deleted file, whole");
        // Both connections live on, and see what is there now.
        eventually("the new file is served", || of_replaced.get("/a.bin", "").body == new);
        eventually("the deleted one is gone", || of_deleted.get("/gone.bin", "").status == 404);
    }
}

#[test]
fn a_replaced_file_is_seen_at_once_where_nothing_is_kept() {
    let tree = Tree::new();
    for arguments in [["--open-files", "0"], ["--open-files-valid", "0s"]] {
        let server = Server::start(&tree, &arguments);
        let mut connection = server.connect();
        for round in 0..20 {
            // Of one length, so that nothing but the inode and the times tell them apart.
            let text = format!("round {round:02}");
            fs::rename(tree.file("next", &text), tree.path().join("a.txt")).unwrap();
            let response = connection.get("/a.txt", "");
            assert_eq!(response.body, text.as_bytes(), "{arguments:?}");
        }
    }
}

#[test]
fn a_new_file_and_a_deleted_one_are_seen_within_the_validity() {
    let tree = Tree::new();
    let server = Server::start(&tree, &["--open-files-valid", "100ms"]);
    let mut connection = server.connect();
    assert_eq!(connection.get("/a.txt", "").status, 404);
    let path = tree.file("a.txt", "one");
    eventually("the new file is seen", || connection.get("/a.txt", "").body == b"one");
    tree.file("a.txt", "two, longer, in place");
    eventually("the rewritten one is seen", || {
        connection.get("/a.txt", "").body == b"two, longer, in place"
    });
    fs::remove_file(path).unwrap();
    eventually("the deleted one is gone", || connection.get("/a.txt", "").status == 404);
}

#[test]
fn within_the_validity_a_kept_file_is_of_one_version() {
    let tree = Tree::new();
    let path = tree.file("a.bin", bytes(10_000));
    let server = Server::start(&tree, &["--open-files-valid", "1h"]);
    let mut connection = server.connect();
    let before = connection.get("/a.bin", "");
    fs::rename(tree.file("new", "something else"), &path).unwrap();
    let after = connection.get("/a.bin", "");
    // Length, validators and bytes are of one and the same file, whichever it is: the old one goes
    // on being served by its descriptor until a look at it, once per tick, shows that it was unlinked.
    if after.field("ETag") == before.field("ETag") {
        assert!(after.body == before.body);
    } else {
        assert_eq!(after.body, b"something else");
    }
}

#[test]
fn an_appended_file_keeps_the_promised_length() {
    append_in(build_folder());
}

pub(crate) fn append_in(folder: &Path) {
    let content = large(0);
    for method in METHODS {
        let tree = Tree::new_in(folder);
        let path = tree.file("a.bin", &content);
        let server = Server::start(&tree, &["--method", method]);
        let mut connection = server.connect_narrow();
        connection.begin("/a.bin");
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"appended while being sent").unwrap();
        assert!(connection.take(LARGE) == content, "{method}: not what was promised");
        // Nothing of the rest came: the next thing on this connection is the next answer.
        eventually("the longer file is served", || {
            connection.get("/a.bin", "").body.ends_with(b"appended while being sent")
        });
    }
}

#[test]
fn a_rewrite_in_place_changes_the_entity_tag() {
    rewrite_in_place_in(build_folder());
}

pub(crate) fn rewrite_in_place_in(folder: &Path) {
    let tree = Tree::new_in(folder);
    tree.file("a.txt", "version 1");
    let server = Server::start(&tree, &["--open-files-valid", "50ms"]);
    let mut connection = server.connect();
    let mut tags: Vec<String> = Vec::new();
    for version in ["version 1", "version 2", "version 3"] {
        tree.file("a.txt", version);
        // Within the validity the new bytes may come under the old tag: that is what believing a
        // kept file means. After it, the same length must not be taken for the same version.
        eventually("the rewritten file has a tag of its own", || {
            let response = connection.get("/a.txt", "");
            let tag = response.field("ETag").unwrap().trim_start_matches("W/");
            let new = response.body == version.as_bytes() && !tags.iter().any(|old| old == tag);
            if new {
                tags.push(tag.to_owned());
            }
            new
        });
    }
    let fields = format!("If-None-Match: {}\r\n", tags[0]);
    assert_eq!(connection.get("/a.txt", &fields).body, b"version 3");
}

#[test]
fn a_file_changed_in_place_while_being_sent_keeps_its_length() {
    change_in_place_in(build_folder());
}

pub(crate) fn change_in_place_in(folder: &Path) {
    let (old, new) = (large(0), large(1));
    for method in METHODS {
        let tree = Tree::new_in(folder);
        let path = tree.aged("a.bin", &old);
        let server = Server::start(&tree, &["--method", method]);
        let mut connection = server.connect_narrow();
        let before = connection.begin("/a.bin");
        let mut body = connection.take(100_000);
        File::options().write(true).open(&path).unwrap().write_all(&new).unwrap();
        body.append(&mut connection.take(LARGE - body.len()));
        // Each byte is of the one version or of the other, and what was read before is of the old.
        assert_eq!(body.len(), LARGE, "{method}");
        let whole = |at: usize, of: &[u8]| body[at..].starts_with(&of[at..at + 4096]);
        let mixed = (0..LARGE).step_by(4096).filter(|at| !whole(*at, &old) && !whole(*at, &new));
        for at in mixed.flat_map(|at| at..at + 4096) {
            let known = body[at] == old[at] || body[at] == new[at];
            assert!(known, "{method}: byte {at} is of neither version");
        }
        assert!(body[..100_000] == old[..100_000], "{method}: changed after it had arrived");
        // Nothing of either is left over: the next thing on this connection is the next answer.
        eventually("the new version is served", || connection.get("/a.bin", "").body == new);
        assert_ne!(connection.get("/a.bin", "").field("ETag"), before.field("ETag"));
    }
}

#[test]
fn more_files_than_are_kept() {
    let tree = Tree::new();
    for number in 0..200 {
        tree.file(&format!("{number}.txt"), format!("file {number}").repeat(2000));
    }
    for kept in ["0", "1", "16"] {
        let server = Server::start(&tree, &["--open-files", kept]);
        let mut connection = server.connect();
        for number in (0..200).chain((0..200).rev()) {
            let response = connection.get(&format!("/{number}.txt"), "");
            assert!(response.body == format!("file {number}").repeat(2000).as_bytes(), "{number}");
        }
        let root = tree.path().to_str().unwrap();
        let open = process::descriptors(server.child.id());
        // The root itself is open too.
        let files = open.iter().filter(|name| name.starts_with(root) && *name != root);
        // One may be held by the answer that has just gone out.
        let count = files.count();
        assert!(count <= kept.parse::<usize>().unwrap() + 1, "{count} open with {kept} kept");
    }
}

#[test]
fn a_deleted_file_gives_its_space_back_when_the_answer_is_out() {
    let tree = Tree::new();
    let path = tree.file("a.bin", large(0));
    let server = Server::start(&tree, &["--open-files", "0"]);
    let mut connection = server.connect_narrow();
    connection.begin("/a.bin");
    fs::remove_file(path).unwrap();
    let held = || process::descriptors(server.child.id()).iter().any(|n| n.ends_with("(deleted)"));
    assert!(held(), "it is being sent, so it is open");
    assert_eq!(connection.take(LARGE).len(), LARGE);
    eventually("the deleted file is closed", || !held());
}

#[test]
fn a_deleted_file_gives_its_space_back_when_nobody_is_there() {
    let tree = Tree::new();
    let path = tree.file("a.bin", bytes(100_000));
    let server = Server::start(&tree, &["--open-files-valid", "1h"]);
    let mut connection = server.connect();
    assert_eq!(connection.get("/a.bin", "").status, 200);
    fs::remove_file(path).unwrap();
    let held = || process::descriptors(server.child.id()).iter().any(|n| n.ends_with("(deleted)"));
    assert!(held(), "it is kept open");
    drop(connection);
    eventually("the deleted file is closed", || !held());
}

#[test]
fn an_answer_that_waits_for_the_body_of_its_request_stays_whole() {
    let tree = Tree::new();
    tree.aged("a.txt", "hello");
    let server = Server::start(&tree, &["--open-files-valid", "0s"]);
    let mut other = server.connect();
    for _ in 0..3 {
        assert_eq!(other.get("/a.txt", "").body, b"hello"); // from memory by now
    }
    let mut waiting = server.connect();
    waiting.send("GET /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n");
    waiting.send("Expect: 100-continue\r\n\r\n");
    assert_eq!(waiting.response(false).status, 100);
    // What is kept with the file is made anew, for now it has to say Vary.
    tree.aged("a.txt.gz", "not looked into");
    eventually("it varies", || other.get("/a.txt", "").field("Vary").is_some());
    waiting.send("x");
    let response = waiting.response(false);
    assert_eq!((response.status, &*response.body), (200, &b"hello"[..]));
}

/// Serves a path beneath `tree`.
fn serve_beneath(tree: &Tree, path: &str, arguments: &[&str]) -> Server {
    let mut command = Server::command();
    command.args(["serve", "--listen", "127.0.0.1:0"]).arg(tree.path().join(path)).args(arguments);
    Server::spawn(command)
}

#[test]
fn a_directory_that_is_made_anew_is_served() {
    for arguments in [&["--workers", "2"][..], &["--open-files", "0"]] {
        let tree = Tree::new();
        tree.file("dist/old.txt", "old");
        tree.file("dist/index.html", "old index");
        let server = serve_beneath(&tree, "dist", arguments);
        let mut connections = [server.connect(), server.connect(), server.connect()];
        for connection in &mut connections {
            assert_eq!(connection.get("/", "").body, b"old index");
        }
        for round in 0..3 {
            let (text, name) = (format!("index {round}"), format!("/{round}.txt"));
            fs::remove_dir_all(tree.path().join("dist")).unwrap();
            eventually("it is gone", || connections[0].get("/old.txt", "").status == 404);
            tree.file("dist/index.html", &text);
            tree.file(&format!("dist{name}"), &text);
            for connection in &mut connections {
                eventually("what is new is found", || connection.get(&name, "").status == 200);
                eventually("the index is new", || connection.get("/", "").body == text.as_bytes());
                assert_eq!(connection.get("/old.txt", "").status, 404);
            }
        }
    }
}

#[test]
fn a_link_that_is_switched_is_followed_and_what_is_under_way_arrives() {
    let (old, new) = (large(0), large(1));
    let tree = Tree::new_in(build_folder());
    tree.file("1/a.bin", &old);
    tree.file("2/a.bin", &new);
    tree.link("current", "1");
    let server = serve_beneath(&tree, "current", &[]);
    let mut under_way = server.connect_narrow();
    under_way.begin("/a.bin");
    tree.link("next", "2");
    fs::rename(tree.path().join("next"), tree.path().join("current")).unwrap();
    let mut connection = server.connect();
    eventually("the other directory is served", || connection.get("/a.bin", "").body == new);
    assert!(under_way.take(LARGE) == old, "not the old file, whole");
    // Nothing can be served of what is not there: the last one stays.
    fs::remove_file(tree.path().join("current")).unwrap();
    tree.file("2/late.txt", "late");
    eventually("its directory is served still", || connection.get("/late.txt", "").body == b"late");
}
