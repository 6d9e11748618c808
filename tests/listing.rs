//! The listing of a directory: as a page, and as JSON.

use crate::harness::{AGED, Opens, Response, Server, Tree, age};
use rustix::fs::FileType;
use serde_json::{Value, json};
use std::{ffi::OsStr, fs, fs::File, os::unix::ffi::OsStrExt};

const JSON: &str = "Accept: application/json\r\n";

fn page(response: &Response) -> String {
    assert_eq!(response.status, 200);
    assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
    String::from_utf8(response.body.clone()).unwrap()
}

fn document(response: &Response) -> Value {
    assert_eq!(response.status, 200);
    assert_eq!(response.field("Content-Type"), Some("application/json"));
    serde_json::from_slice(&response.body).unwrap()
}

fn names(document: &Value) -> Vec<&str> {
    let entries = document["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

/// The links of the rows, as they stand in the page.
fn row_links(page: &str) -> Vec<&str> {
    let body = page.split_once("<tbody>").unwrap().1;
    body.split("href=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0).collect()
}

#[test]
fn a_page_for_people() {
    let tree = Tree::new();
    tree.aged("photos/cat.jpg", vec![0; 1536]);
    tree.file("photos/2026/dog.jpg", "x");
    let server = Server::start(&tree, &[]);
    let response = server.connect().get("/photos/", "");
    let page = page(&response);
    for expected in [
        "<title>/photos/</title>",
        "href=\"./cat.jpg\"",
        "href=\"./2026/\"",
        "1.50 KiB",
        "title=\"1,536 bytes\"",
        "2020-09-13 12:26",
        "href=\"../\"",
        "href=\"./?sort=size",
        "prefers-color-scheme",
        "1 directory, 1 file",
    ] {
        assert!(page.contains(expected), "{expected} is not in {page}");
    }
    assert!(!page.contains("<script") && !page.contains("http"), "it needs nothing else: {page}");
    let policy = response.field("Content-Security-Policy").unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"));
    // A cache must not give one client's form to another, nor yesterday's names to anyone.
    assert_eq!(response.field("Vary"), Some("Accept"));
    assert_eq!(response.field("Cache-Control"), Some("no-cache"));
}

#[test]
fn json_for_programs() {
    let tree = Tree::new();
    tree.aged("data/b.txt", "12345");
    tree.aged("data/sub/x", "");
    let server = Server::start(&tree, &[]);
    let listing = document(&server.connect().get("/data/", JSON));
    assert_eq!(listing["path"], "/data/");
    assert_eq!(listing["entries"][0]["name"], "sub");
    assert_eq!(listing["entries"][0]["type"], "directory");
    let file =
        json!({"name": "b.txt", "type": "file", "size": 5, "modified": "2020-09-13T12:26:40Z"});
    assert_eq!(listing["entries"][1], file);
    let root = document(&server.connect().get("/", JSON));
    assert_eq!((&root["path"], names(&root)), (&json!("/"), vec!["data"]));
}

#[test]
fn accept_decides_which() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    for (accept, json) in [
        ("application/json", true),
        ("application/json, */*", true),
        ("application/*", true),
        ("text/html;q=0.8, application/json", true),
        ("text/html, application/json;q=0.9", false),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
        ("*/*", false),
        ("image/png", false),
        ("", false),
    ] {
        let response = client.get("/", &format!("Accept: {accept}\r\n"));
        let is_json = response.field("Content-Type") == Some("application/json");
        assert_eq!(is_json, json, "{accept}");
    }
    page(&client.get("/", ""));
}

#[test]
fn names_that_want_to_be_something_else() {
    let tree = Tree::new();
    let names: [&[u8]; 16] = [
        b"<script>alert(1)<",
        b"\"onmouseover=\"x",
        b"'quoted'",
        b"a&amp;b",
        b"javascript:alert(1)",
        b"c:d",
        b"%41",
        b"%2e%2e",
        b"a b?c#d",
        b"new\nline",
        b"back\\slash",
        b"caf\xe9",
        "grün-日本-🚆".as_bytes(),
        b"~tilde+plus",
        b"a;b=c,d",
        b"\xff\xfe\x80",
    ];
    for name in names {
        fs::write(tree.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let page = page(&client.get("/", ""));
    assert!(!page.contains("<script") && !page.contains("\"onmouse") && !page.contains("<b'"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;"));

    // Every link leads to its file, and all files are linked: each holds its own name.
    let links = row_links(&page);
    let mut reached: Vec<_> = links
        .iter()
        .map(|link| {
            let target = link.strip_prefix("./").expect("a name must not become a scheme");
            let response = client.get(&format!("/{target}"), "");
            assert_eq!(response.status, 200, "{link}");
            response.body
        })
        .collect();
    reached.sort();
    let mut expected = names.map(<[u8]>::to_vec);
    expected.sort();
    assert_eq!(reached, expected);

    // The same by JSON: the readable name, or the exact one where that cannot be had.
    let listing = document(&client.get("/", JSON));
    let latin = &listing["entries"].as_array().unwrap()[..]
        .iter()
        .find(|entry| entry["name_percent_encoded"] == "caf%E9")
        .unwrap();
    assert_eq!(latin["name"], "caf\u{fffd}");
    assert!(self::names(&listing).contains(&"new\nline"));
}

/// The path in the heading comes from the client.
#[test]
fn the_shown_path_is_escaped() {
    let tree = Tree::new();
    tree.file("<img src=x>/a\"b/file", "");
    let server = Server::start(&tree, &[]);
    let page = page(&server.connect().get("/%3Cimg%20src=x%3E/a%22b/", ""));
    assert!(page.contains("&lt;img src=x&gt;") && page.contains("a&quot;b"), "{page}");
    assert!(!page.contains("<img"), "{page}");
}

#[test]
fn sorted_as_asked() {
    let tree = Tree::new();
    for (name, len, time) in [("b", 1, 30), ("a", 2, 10), ("c", 3, 20)] {
        age(&tree.file(name, vec![0; len]), AGED + time);
    }
    tree.file("z/x", "");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    for (query, expected) in [
        ("", "z a b c"),
        ("?sort=name&order=desc", "z c b a"),
        ("?sort=size", "z b a c"),
        ("?sort=size&order=desc", "z c a b"),
        ("?sort=modified", "z a c b"),
        ("?sort=modified&order=desc", "z b c a"),
        // What is not understood shows the directory all the same.
        ("?sort=colour&utm_source=x&&=&%ff", "z a b c"),
    ] {
        let listing = document(&client.get(&format!("/{query}"), JSON));
        assert_eq!(names(&listing).join(" "), expected, "{query}");
        let shown = page(&client.get(&format!("/{query}"), ""));
        let links: Vec<_> =
            row_links(&shown).iter().map(|link| link.trim_matches(['.', '/'])).collect();
        assert_eq!(links.join(" "), expected, "{query}");
    }
}

#[test]
fn it_shows_what_can_be_had() {
    let outside = Tree::new();
    let canary = Opens::of(&outside.file("secret", "x"));
    let tree = Tree::new();
    tree.file("file", "x");
    tree.file(".hidden", "x");
    tree.file(".well-known/x", "x");
    tree.file("sub/.well-known", "x");
    tree.file("sub/y", "x");
    tree.link("inside", "sub/y");
    tree.link("inside-dir", "sub");
    tree.link("outside", outside.path().join("secret"));
    tree.link("dangling", "nowhere");
    tree.link("loop", "loop");
    for (name, kind) in [
        ("fifo", FileType::Fifo),
        ("socket", FileType::Socket),
        ("device", FileType::CharacterDevice),
    ] {
        let _ = tree.node(name, kind);
    }
    for (arguments, expected) in [
        (vec![], ".well-known inside-dir sub file inside"),
        (vec!["--symlinks", "deny"], ".well-known sub file"),
        (vec!["--symlinks", "follow"], ".well-known inside-dir sub file inside outside"),
        (vec!["--dotfiles", "serve"], ".well-known inside-dir sub .hidden file inside"),
    ] {
        let server = Server::start(&tree, &arguments);
        let mut client = server.connect();
        let listing = document(&client.get("/", JSON));
        assert_eq!(names(&listing).join(" "), expected, "{arguments:?}");
        // And what it shows can be had.
        for entry in listing["entries"].as_array().unwrap() {
            let slash = if entry["type"] == "directory" { "/" } else { "" };
            let target = format!("/{}{slash}", entry["name"].as_str().unwrap());
            assert_eq!(client.ask("HEAD", &target, "").status, 200, "{target} {arguments:?}");
        }
        assert_eq!(canary.any(), arguments.contains(&"follow"), "{arguments:?}");
    }
}

#[test]
fn it_is_made_anew_each_time() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    assert!(page(&client.get("/", "")).contains("Nothing here."));
    tree.file("new", "");
    assert_eq!(names(&document(&client.get("/", JSON))), ["new"]);
    fs::remove_file(tree.path().join("new")).unwrap();
    assert!(names(&document(&client.get("/", JSON))).is_empty());
}

#[test]
fn head_of_a_listing() {
    let tree = Tree::new();
    tree.file("a", "");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let len = client.get("/", "").body.len().to_string();
    let head = client.ask("HEAD", "/", "");
    assert_eq!((head.status, head.field("Content-Length")), (200, Some(&*len)));
    // Conditions and ranges are for files.
    assert_eq!(client.get("/", "Range: bytes=0-0\r\nIf-None-Match: *\r\n").status, 200);
}

#[test]
fn it_can_be_switched_off() {
    let tree = Tree::new();
    tree.file("sub/secret-name", "x");
    tree.file("with-index/index.html", "shown");
    let server = Server::start(&tree, &["--listing", "off"]);
    let mut client = server.connect();
    let response = client.get("/sub/", JSON);
    assert_eq!(response.status, 403);
    assert!(!String::from_utf8_lossy(&response.body).contains("secret-name"));
    assert_eq!(client.get("/sub/secret-name", "").body, b"x");
    assert_eq!(client.get("/with-index/", "").body, b"shown");
}

#[test]
fn a_hundred_thousand_entries() {
    let tree = Tree::new();
    let path = |i: usize| tree.path().join(format!("{i:06}.dat"));
    // Names are what counts; most are links to few files, which a disk makes ten times faster. No
    // more than 10,000 to each, for file systems have a limit (65,000 in ext4).
    for i in 0..100_000 {
        match i % 10_000 {
            0 => File::create(path(i)).map(|_| ()).unwrap(),
            rest => fs::hard_link(path(i - rest), path(i)).unwrap(),
        }
    }
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    // Another client is served while the disk is being asked.
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{JSON}\r\n"));
    assert_eq!(server.connect().get("/099999.dat", "").status, 200);
    let listing = document(&client.response(false));
    let names = names(&listing);
    assert_eq!((names.len(), names[0], names[99_999]), (100_000, "000000.dat", "099999.dat"));
    let shown = page(&client.get("/?order=desc", ""));
    assert_eq!(row_links(&shown).len(), 100_000);
    assert!(shown.contains("100,000 files"));
}
