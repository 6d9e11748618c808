//! A server that is told to stop: uploads under way are finished within the drain time; of those that cannot be, what came is kept.

use super::{OPEN, begin_put, client::Resumable, content, names, serve};
use crate::harness::{Tree, eventually, process::descriptors};
use std::fs;

#[test]
fn what_is_under_way_is_finished() {
    let tree = Tree::new();
    let mut server = serve(&tree, &["--drain-timeout", "1h"]);
    let body = content(12_000_000);
    let mut connection = server.connect();
    begin_put(&mut connection, "/a.bin", "", body.len());
    connection.send(&body[..1_000_000]);
    eventually("it has begun", || {
        descriptors(server.child.id()).iter().any(|name| name.contains("(deleted)"))
    });
    server.signal("TERM");
    eventually("it says that it stops", || server.stderr().contains("stopping:"));
    connection.send(&body[1_000_000..]);
    let response = connection.response(false);
    assert_eq!(response.status, 201, "{}", response.head);
    assert_eq!(response.field("Connection"), Some("close"));
    assert_eq!(server.wait().code(), Some(0));
    assert!(fs::read(tree.path().join("a.bin")).unwrap() == body);
}

#[test]
fn what_is_cut_is_gone_or_can_be_gone_on_with() {
    let tree = Tree::new();
    let body = content(12_000_000);
    let mut server = serve(&tree, &["--drain-timeout", "1h"]);
    let mut plain = server.connect();
    begin_put(&mut plain, "/a.bin", "", body.len());
    plain.send(&body[..3_000_000]);
    let upload = Resumable::create(&server, "/b.bin", "");
    let mut connection = server.connect();
    upload.begin_append(&mut connection, 0, body.len(), true);
    connection.send(&body[..3_000_001]);
    let unfinished = tree.path().join(".uploads");
    eventually("most of it has come", || {
        let found = fs::read_dir(&unfinished).unwrap();
        found.map(|entry| entry.unwrap().metadata().unwrap().len()).any(|len| len > 2_000_000)
    });
    for times in [1, 2] {
        server.signal("TERM");
        eventually("it has taken it", || server.stderr().contains("stopping:") || times == 2);
    }
    assert_eq!(server.wait().code(), Some(0), "{}", server.stderr());
    assert!(connection.rest().is_empty() && plain.rest().is_empty());
    let server = crate::harness::Server::start(&tree, &OPEN);
    let standing = upload.standing(&server);
    assert_eq!(standing.offset, 3_000_001, "all that had come");
    assert_eq!(upload.append(&server, 3_000_001, &body[3_000_001..], true).status, 201);
    assert!(fs::read(tree.path().join("b.bin")).unwrap() == body);
    assert_eq!(names(tree.path()), [".uploads", "b.bin"], "what is complete is remembered");
}
