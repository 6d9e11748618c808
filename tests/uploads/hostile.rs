//! Senders that send nonsense, too little, too much, too slowly, or go away.

use super::{begin_put, chunked, client::final_response, content, names, put, serve, serve_logged};
use crate::harness::{Journal, Tree, eventually, process::sockets};
use std::{fs, net::Shutdown, time::Duration};

#[test]
fn chunks_that_are_none_store_nothing_and_end_the_connection() {
    let tree = Tree::new();
    tree.file("a.bin", "old");
    let server = serve(&tree, &[]);
    for body in [
        &b"5\r\nhelloX\r\n0\r\n\r\n"[..],
        b"5\r\nhell",
        b"zz\r\n",
        b"5 5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"-5\r\nhello\r\n",
        b"5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\nHost: smuggled\r\n\x00\r\n\r\n",
    ] {
        let mut connection = server.connect();
        connection.send("PUT /a.bin HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
        connection.send(body);
        connection.stream.shutdown(Shutdown::Write).unwrap();
        let response = connection.response(false);
        assert_eq!(response.status, 400, "{}", String::from_utf8_lossy(body));
        assert_eq!(response.field("Connection"), Some("close"));
        assert!(connection.rest().is_empty(), "nothing follows");
    }
    assert_eq!(fs::read(tree.path().join("a.bin")).unwrap(), b"old");
    assert_eq!(names(tree.path()), ["a.bin"]);
}

#[test]
fn shorter_than_announced_is_no_file() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    for (announced, len) in [(10, 0), (10, 9), (100_000, 99_999), (20_000_000, 19_999_999)] {
        let mut connection = server.connect();
        begin_put(&mut connection, "/short.bin", "", announced);
        connection.send(content(len));
        connection.stream.shutdown(Shutdown::Write).unwrap();
        let response = connection.response(false);
        assert_eq!(response.status, 400, "{announced}: {}", response.head);
        assert_eq!(response.field("Connection"), Some("close"));
    }
    assert_eq!(names(tree.path()), [""; 0]);
}

#[test]
fn what_follows_a_body_is_the_next_request_and_not_of_the_file() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    let mut connection = server.connect();
    begin_put(&mut connection, "/a.bin", "", 5);
    connection.send("hello and more\r\n\r\n");
    assert_eq!(connection.response(false).status, 201);
    assert_eq!(connection.response(false).status, 400);
    assert_eq!(fs::read(tree.path().join("a.bin")).unwrap(), b"hello");
}

#[test]
fn larger_than_allowed_is_refused_announced_or_not() {
    let tree = Tree::new();
    let server = serve(&tree, &["--upload-max", "100k"]);
    let body = content(200_000);
    assert_eq!(put(&mut server.connect(), "/a.bin", "", &body[..102_400]).status, 201);
    assert_eq!(put(&mut server.connect(), "/b.bin", "", &body[..102_401]).status, 413);
    let mut connection = server.connect();
    connection.send(chunked("/c.bin", "", &body, &[10_000]));
    assert_eq!(connection.response(false).status, 413);
    assert_eq!(names(tree.path()), ["a.bin"]);
}

#[test]
fn a_sender_that_sends_nothing_is_let_go_and_what_he_sent_is_not_seen() {
    let tree = Tree::new();
    let journal = Journal::new();
    let server = serve_logged(&tree, &journal, &["--upload-idle", "1s"]);
    for (announced, sent) in [(100, 0), (100, 50), (5_000_000, 300_000)] {
        let mut connection = server.connect();
        begin_put(&mut connection, "/slow.bin", "", announced);
        connection.send(content(sent));
        let response = connection.response(false);
        assert_eq!(response.status, 408, "{}", response.head);
        assert_eq!(response.field("Connection"), Some("close"));
    }
    let entries = journal.wait_for(3);
    assert_eq!(entries[2]["received"]["bytes"], 300_000, "{}", entries[2]);
    assert_eq!(names(tree.path()), [""; 0]);
}

#[test]
fn a_slow_sender_that_goes_on_is_waited_for() {
    let tree = Tree::new();
    // He is slower than what is waited for at once, and quicker than he has to be.
    let server =
        serve(&tree, &["--upload-idle", "3s", "--min-send-rate", "1", "--body-timeout", "1s"]);
    let body = content(600_000);
    let mut connection = server.connect();
    begin_put(&mut connection, "/slow.bin", "", body.len());
    for piece in body.chunks(60_000) {
        connection.send(piece);
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(connection.response(false).status, 201);
    assert!(fs::read(tree.path().join("slow.bin")).unwrap() == body);
}

#[test]
fn many_that_go_away_leave_nothing_open() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    let before = crate::harness::process::descriptors(server.child.id()).len();
    for round in 0..100 {
        let mut connection = server.connect();
        begin_put(&mut connection, &format!("/{round}.bin"), "", 50_000_000);
        connection.send(content(round * 3_000));
        if round % 2 == 0 {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }
    eventually("all is closed", || {
        sockets(server.child.id()) <= 8
            && crate::harness::process::descriptors(server.child.id()).len() <= before + 8
    });
    assert_eq!(names(tree.path()), [""; 0]);
    assert_eq!(put(&mut server.connect(), "/a.bin", "", b"well").status, 201);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let tree = Tree::new();
    tree.file("in/a.txt", "a");
    tree.file("out.txt", "out");
    tree.link("in/up", "..");
    tree.link("in/away", "/tmp");
    tree.link("in/link.txt", "../out.txt");
    let server = crate::harness::Server::start(
        &tree,
        &["--uploads", "in", "--upload-auth", "none", "--upload-reserve", "0"],
    );
    for (target, statuses) in [
        ("/new.txt", &[405][..]),
        ("/inside.txt", &[405]),
        ("/in/../new.txt", &[405]),
        ("/in/%2e%2e/new.txt", &[405]),
        ("/in/up/new.txt", &[400, 403, 409]),
        ("/in/away/new.txt", &[400, 403, 409]),
        ("/in/.hidden", &[400, 403]),
        ("/in/.uploads/x", &[404]),
        ("/in/a%00b", &[400]),
        ("/in/a%2Fb", &[404]),
        ("/in/", &[409]),
        ("/in", &[409]),
        ("/in/none/a.txt", &[409]),
        ("/in/a.txt/b", &[409]),
    ] {
        let response = put(&mut server.connect(), target, "", b"new");
        assert!(statuses.contains(&response.status), "{target}: {}", response.head);
    }
    // A link is replaced; what it leads to is not.
    assert_eq!(put(&mut server.connect(), "/in/link.txt", "", b"new").status, 204);
    assert_eq!(fs::read(tree.path().join("out.txt")).unwrap(), b"out");
    assert_eq!(fs::read_link(tree.path().join("in/link.txt")).ok(), None);
    assert_eq!(names(tree.path()), ["in", "out.txt"]);
}

#[test]
fn without_a_length_it_is_refused() {
    let tree = Tree::new();
    tree.file("a.txt", "old");
    let server = serve(&tree, &[]);
    let mut connection = server.connect();
    assert_eq!(connection.ask("PUT", "/a.txt", "").status, 411);
    assert_eq!(connection.get("/a.txt", "").body, b"old", "and the connection lives");
    assert_eq!(connection.ask("PUT", "/a.txt", "Content-Length: 0\r\n").status, 204);
    assert_eq!(connection.get("/a.txt", "").body, b"", "that one is meant to be empty");
}

#[test]
fn a_form_of_another_site_stores_nothing() {
    let tree = Tree::new();
    let server = serve(&tree, &[]);
    let mut connection = server.connect();
    for target in ["/a.txt", "/"] {
        connection.send(format!(
            "POST {target} HTTP/1.1\r\nHost: t\r\nOrigin: http://evil.example\r\n\
             Content-Type: text/plain\r\nContent-Length: 5\r\n\r\na=b\r\n"
        ));
        assert_eq!(connection.response(false).status, 400);
    }
    // It would have to ask before it may say more, or PUT.
    let asked = "Origin: http://evil.example\r\nAccess-Control-Request-Method: PUT\r\n";
    let answer = connection.ask("OPTIONS", "/a.txt", asked);
    assert!(!answer.head.to_ascii_lowercase().contains("access-control-"), "{}", answer.head);
    assert_eq!(names(tree.path()), [""; 0]);
}

#[test]
fn a_name_may_stand_in_a_field_of_its_own() {
    let tree = Tree::new();
    tree.file("in/there.txt", "there");
    let server = serve(&tree, &[]);
    let mut connection = server.connect();
    let named = |name: &str| format!("Content-Disposition: inline; filename=\"{name}\"\r\n");
    for (target, name, status) in [
        ("/in/", "new.txt", 201),
        ("/", "../../up.txt", 201),
        ("/in/", "..", 409),
        ("/in/", ".hidden", 400),
        ("/none/", "new.txt", 409),
    ] {
        connection.send(format!(
            "POST {target} HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\
             Upload-Complete: ?1\r\nUpload-Draft-Interop-Version: 8\r\n{}\r\nx",
            named(name)
        ));
        let response = final_response(&mut connection);
        assert_eq!(response.status, status, "{target} {name}: {}", response.head);
    }
    assert_eq!(names(tree.path()), [".uploads", "in", "up.txt"]);
    assert_eq!(names(&tree.path().join("in")), ["new.txt", "there.txt"]);
}

#[test]
fn other_methods_do_nothing() {
    let tree = Tree::new();
    tree.file("a.txt", "a");
    let server = serve(&tree, &[]);
    for method in ["DELETE", "PATCH", "MKCOL", "MOVE", "COPY", "PROPFIND"] {
        let response = server.connect().ask(method, "/a.txt", "Destination: /b.txt\r\n");
        assert_eq!(response.status, 405, "{method}: {}", response.head);
        assert_eq!(response.field("Allow"), Some("GET, HEAD, OPTIONS, PUT, POST"), "{method}");
    }
    assert_eq!(names(tree.path()), ["a.txt"]);
}

#[test]
fn without_uploads_nothing_is_taken() {
    let tree = Tree::new();
    let server = crate::harness::Server::start(&tree, &[]);
    for method in ["PUT", "POST", "PATCH", "DELETE"] {
        let response = server.connect().ask(method, "/a.txt", "Content-Length: 0\r\n");
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(response.field("Allow"), Some("GET, HEAD, OPTIONS"));
    }
    assert_eq!(names(tree.path()), [""; 0]);
}
