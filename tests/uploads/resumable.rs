//! Uploads that are gone on with.

use super::{
    client::{Resumable, Standing, final_response, path_of},
    content, names, put, serve,
};
use crate::harness::{Tree, eventually};
use std::fs;

#[test]
fn in_parts_of_any_size_it_becomes_the_whole() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    let body = content(12_000_001);
    for sizes in [&[12_000_001][..], &[1_000_000], &[1, 9_000_000, 4095]] {
        let upload = Resumable::create(&server, "/a.bin", "Upload-Length: 12000001\r\n");
        let (mut at, mut sizes) = (0, sizes.iter().cycle());
        while at < body.len() {
            assert_eq!(
                upload.standing(&server),
                Standing { offset: at as u64, complete: false },
                "{}",
                upload.location
            );
            let end = body.len().min(at + sizes.next().unwrap());
            let response = upload.append(&server, at as u64, &body[at..end], end == body.len());
            let expected: &[u16] = if end == body.len() { &[201, 204] } else { &[204] };
            assert!(expected.contains(&response.status), "{}", response.head);
            at = end;
        }
        assert_eq!(
            upload.standing(&server),
            Standing { offset: body.len() as u64, complete: true },
            "whoever missed the answer"
        );
        assert!(server.connect().get("/a.bin", "").body == body);
        fs::remove_file(tree.path().join("a.bin")).unwrap();
    }
}

#[test]
fn the_location_comes_before_the_body_and_a_cut_one_is_gone_on_with() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    let body = content(10_000_000);
    for cut in [0, 1, 100_000, 5_000_001, 9_999_999] {
        let name = format!("/{cut}.bin");
        let mut connection = server.connect();
        connection.send(format!(
            "PUT {name} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\nUpload-Complete: ?1\r\n\
             Upload-Draft-Interop-Version: 8\r\n\r\n",
            body.len()
        ));
        let interim = connection.response(false);
        assert_eq!(interim.status, 104, "{}", interim.head);
        let upload = Resumable::at(interim.field("Location").unwrap());
        connection.send(&body[..cut]);
        drop(connection);
        // What came may still be on its way into the file.
        eventually("all of it is kept", || upload.standing(&server).offset == cut as u64);
        assert!(!tree.path().join(&name[1..]).exists());
        let response = upload.append(&server, cut as u64, &body[cut..], true);
        assert_eq!(response.status, 201, "{}", response.head);
        assert!(server.connect().get(&name, "").body == body, "{cut}");
    }
}

#[test]
fn in_one_request_it_is_as_a_plain_one() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    for method in ["PUT", "POST"] {
        let body = content(100_000);
        let mut connection = server.connect();
        connection.send(format!(
            "{method} /{method}.bin HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\nUpload-Complete: ?1\r\n\
             Upload-Draft-Interop-Version: 8\r\n\r\n",
            body.len()
        ));
        connection.send(&body);
        let interim = connection.response(false);
        assert_eq!(interim.status, 104);
        let response = final_response(&mut connection);
        assert_eq!(response.status, 201, "{}", response.head);
        assert!(connection.get(&format!("/{method}.bin"), "").body == body);
        let upload = Resumable::at(interim.field("Location").unwrap());
        assert_eq!(upload.standing(&server), Standing { offset: 100_000, complete: true });
    }
}

#[test]
fn an_offset_that_does_not_match_is_told() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    let upload = Resumable::create(&server, "/a.bin", "");
    assert_eq!(upload.append(&server, 0, &content(1000), false).status, 204);
    for wrong in [0, 999, 1001, 1 << 40] {
        let response = upload.append(&server, wrong, b"x", true);
        assert_eq!(response.status, 409, "{wrong}: {}", response.head);
        assert_eq!(response.field("Upload-Offset"), Some("1000"));
        assert_eq!(response.field("Content-Type"), Some("application/problem+json"));
        let said = String::from_utf8(response.body).unwrap();
        assert!(said.contains("mismatching-upload-offset"), "{said}");
    }
    assert_eq!(upload.standing(&server), Standing { offset: 1000, complete: false });
}

#[test]
fn a_length_that_contradicts_is_refused() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    let upload = Resumable::create(&server, "/a.bin", "Upload-Length: 1000\r\n");
    // More than was announced, and less as the last ones.
    assert_eq!(upload.append(&server, 0, &content(1001), false).status, 400);
    assert_eq!(upload.append(&server, 0, &content(999), true).status, 400);
    assert!(!tree.path().join("a.bin").exists());
}

#[test]
fn what_is_complete_takes_no_more_and_what_is_cancelled_is_gone() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    let upload = Resumable::create(&server, "/a.bin", "");
    assert_eq!(upload.append(&server, 0, b"all", true).status, 201);
    let response = upload.append(&server, 3, b"more", true);
    assert!(response.status >= 400, "{}", response.head);
    assert_eq!(fs::read(tree.path().join("a.bin")).unwrap(), b"all");
    let other = Resumable::create(&server, "/b.bin", "");
    assert_eq!(other.append(&server, 0, b"some", false).status, 204);
    assert_eq!(other.cancel(&server).status, 204);
    assert_eq!(other.ask(&server).status, 404);
    assert_eq!(other.append(&server, 4, b"more", true).status, 404);
    assert!(!tree.path().join("b.bin").exists());
}

#[test]
fn whoever_comes_back_wins_over_his_old_connection() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    let body = content(3_000_000);
    let upload = Resumable::create(&server, "/a.bin", "");
    let mut old = server.connect();
    upload.begin_append(&mut old, 0, body.len(), true);
    old.send(&body[..1_000_000]);
    eventually("some has come", || {
        let found = fs::read_dir(tree.path().join(".uploads")).unwrap();
        found.map(|entry| entry.unwrap().metadata().unwrap().len()).any(|len| len >= 500_000)
    });
    // The server does not know that this one is gone: nothing was ever closed.
    let standing = upload.standing(&server);
    assert!(!standing.complete && standing.offset > 0, "{standing:?}");
    let at = standing.offset as usize;
    assert_eq!(upload.append(&server, at as u64, &body[at..], true).status, 201);
    assert!(server.connect().get("/a.bin", "").body == body);
    old.rest(); // it ends
}

#[test]
fn nobody_reads_what_is_unfinished() {
    let tree = Tree::new();
    for dotfiles in ["deny", "serve"] {
        let server = serve(&tree, &["--dotfiles", dotfiles]);
        let upload = Resumable::create(&server, "/a.bin", "");
        assert_eq!(upload.append(&server, 0, b"secret", false).status, 204);
        let id = upload.location.rsplit('/').next().unwrap().to_owned();
        for path in ["/.uploads/", &format!("/.uploads/{id}.about"), &format!("/%2euploads/{id}")] {
            assert!(server.connect().get(path, "").status >= 400, "{dotfiles}: {path}");
        }
        let told = server.connect().get(&upload.location, ""); // as HEAD
        assert_eq!((told.status, told.field("Upload-Offset")), (204, Some("6")));
        assert_eq!(put(&mut server.connect(), "/.uploads/x", "", b"x").status / 100, 4);
        assert_eq!(upload.cancel(&server).status, 204);
    }
    assert_eq!(names(tree.path()), [""; 0]);
}

#[test]
fn somebody_elses_upload_is_not_there() {
    // With a token each, which `auth` has the tests of; here of the id alone.
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    let upload = Resumable::create(&server, "/a.bin", "");
    let mut other = upload.location.clone();
    let last = if other.pop() == Some('0') { '1' } else { '0' };
    other.push(last);
    assert_eq!(Resumable::at(&other).ask(&server).status, 404);
    assert_eq!(Resumable::at("/.uploads/../.uploads/x").ask(&server).status, 404);
    assert_eq!(upload.ask(&server).status, 204);
}

#[test]
fn options_say_what_can_be_done_where() {
    let tree = Tree::new();
    tree.file("in/a.txt", "a");
    let open = ["--uploads", "in", "--upload-auth", "none", "--upload-max", "1k"];
    let server = crate::harness::Server::start(&tree, &open);
    let mut connection = server.connect();
    let inside = connection.ask("OPTIONS", "/in/new.txt", "");
    assert_eq!(inside.status, 204);
    assert_eq!(inside.field("Allow"), Some("GET, HEAD, OPTIONS, PUT, POST"));
    assert_eq!(inside.field("Accept-Patch"), Some("application/partial-upload"));
    assert!(inside.field("Upload-Limit").unwrap().contains("max-size=1024"), "{}", inside.head);
    let outside = connection.ask("OPTIONS", "/a.txt", "");
    assert_eq!(outside.field("Allow"), Some("GET, HEAD, OPTIONS"));
    let refused = put(&mut connection, "/a.txt", "", b"x");
    assert_eq!((refused.status, refused.field("Allow")), (405, Some("GET, HEAD, OPTIONS")));
    let refused = connection.ask("DELETE", "/in/a.txt", "");
    assert_eq!(
        (refused.status, refused.field("Allow")),
        (405, Some("GET, HEAD, OPTIONS, PUT, POST"))
    );
    let upload = Resumable::create(&server, "/in/b.txt", "");
    assert!(path_of(&upload.location).starts_with("/in/.uploads/"));
    let resource = connection.ask("OPTIONS", &upload.location, "");
    assert_eq!(resource.field("Allow"), Some("HEAD, GET, PATCH, DELETE, OPTIONS"));
}

#[test]
fn a_client_that_vanishes_leaves_nothing_for_ever() {
    let tree = Tree::new();
    let upload = {
        let server = serve(&tree, &["--upload-keep", "24h"]);
        let upload = Resumable::create(&server, "/a.bin", "");
        assert_eq!(upload.append(&server, 0, &content(100_000), false).status, 204);
        upload
    };
    // It was a day and an hour ago.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let long_ago = now - 25 * 3600;
    for entry in fs::read_dir(tree.path().join(".uploads")).unwrap() {
        crate::harness::age(&entry.unwrap().path(), long_ago);
    }
    let server = serve(&tree, &["--upload-keep", "24h"]);
    assert_eq!(upload.ask(&server).status, 404);
    assert_eq!(names(tree.path()), [""; 0], "its bytes are given back");
}
