//! What a request means: methods, targets, names, types, index files, redirects, error pages.

use crate::harness::{Server, Tree, bytes, eventually};
use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

fn serve(files: &[(&str, &str)]) -> (Tree, Server) {
    let tree = Tree::new();
    for (path, content) in files {
        tree.file(path, content);
    }
    let server = Server::start(&tree, &[]);
    (tree, server)
}

/// Whether it is a date as RFC 9110 §5.6.7 wants it sent: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn is_imf_fixdate(value: &str) -> bool {
    let form = "Aaa, 00 Aaa 0000 00:00:00 GMT";
    value.len() == form.len()
        && value.chars().zip(form.chars()).all(|(is, form)| match form {
            '0' => is.is_ascii_digit(),
            'A' => is.is_ascii_uppercase(),
            'a' => is.is_ascii_lowercase(),
            other => is == other,
        })
}

#[test]
fn head_is_get_without_the_body() {
    let tree = Tree::new();
    tree.aged("large.bin", bytes(300_000));
    tree.aged("small.txt", "small");
    tree.aged("empty", "");
    tree.file("dir/x", "");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    // Twice: from the file, and from what is kept of it.
    for target in ["/large.bin", "/small.txt", "/empty", "/absent", "/dir"].repeat(2) {
        let get = client.get(target, "");
        let head = client.ask("HEAD", target, "");
        let undated = |head: &str| {
            let lines = head.lines().filter(|line| !line.starts_with("Date:"));
            lines.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(undated(&get.head), undated(&head.head));
        assert_eq!(get.body.len().to_string(), head.field("Content-Length").unwrap());
    }
    // Nothing of a body stood between those answers, nor stands behind the last one.
    client.send("HEAD /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let all = client.rest();
    assert!(all.ends_with(b"\r\n\r\n"), "bytes after the head of an answer to HEAD");
}

#[test]
fn fields_of_a_file() {
    let (_tree, server) = serve(&[("a.html", "hello")]);
    let mut client = server.connect();
    for _ in 0..2 {
        let response = client.get("/a.html", "");
        assert!(response.head.starts_with("HTTP/1.1 200 OK\r\nDate: "), "{}", response.head);
        assert_eq!(response.field("Content-Length"), Some("5"));
        assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
        assert_eq!(response.field("Accept-Ranges"), Some("bytes"));
        assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(response.field("Server"), Some("sendrail"), "which tells no version");
        assert_eq!(response.field("Connection"), None, "the default of HTTP/1.1");
        assert_eq!(response.field("Cache-Control"), None);
        for dated in ["Date", "Last-Modified"] {
            let date = response.field(dated).unwrap();
            assert!(is_imf_fixdate(date), "{dated}: {date}");
        }
        assert_eq!(response.body, b"hello");
    }
}

/// The head is rendered once; its date must be today's all the same.
#[test]
fn the_date_of_a_kept_answer_moves_on() {
    let tree = Tree::new();
    tree.aged("a.txt", "hello");
    let server = Server::start(&tree, &["--open-files-valid", "1h"]);
    let mut client = server.connect();
    let mut date = || client.get("/a.txt", "").field("Date").unwrap().to_owned();
    let first = date();
    eventually("another second", || date() != first);
    assert!(is_imf_fixdate(&date()));
}

#[test]
fn an_empty_file() {
    let (_tree, server) = serve(&[("empty.txt", ""), ("next", "next")]);
    let mut client = server.connect();
    for _ in 0..2 {
        let response = client.get("/empty.txt", "");
        assert_eq!((response.status, response.field("Content-Length")), (200, Some("0")));
        assert_eq!(client.get("/next", "").body, b"next");
    }
}

/// Around the page, the limit of what is kept in memory, and the window of a transfer.
#[test]
fn sizes_at_the_edges() {
    let tree = Tree::new();
    let sizes = [1, 4095, 4096, 4097, 8192, 65_535, 65_537, (2 << 20) - 1, 2 << 20, (2 << 20) + 1];
    let content = bytes(sizes[sizes.len() - 1]);
    for size in sizes {
        tree.file(&format!("{size}.bin"), &content[..size]);
    }
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    for size in sizes.repeat(2) {
        let response = client.get(&format!("/{size}.bin"), "");
        assert!(response.body == content[..size], "{size}");
    }
}

#[test]
fn methods_that_change_things_are_405_with_allow() {
    let (_tree, server) = serve(&[("a.txt", "hello")]);
    let mut client = server.connect();
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "LOCK"] {
        for target in ["/a.txt", "/absent", "/"] {
            let response = client.ask(method, target, "Content-Length: 0\r\n");
            assert_eq!(response.status, 405, "{method} {target}");
            assert_eq!(response.field("Allow"), Some("GET, HEAD, OPTIONS"));
        }
    }
    // TRACE must not echo (cross-site tracing).
    let traced = client.ask("TRACE", "/", "Cookie: secret\r\n");
    assert!(!String::from_utf8_lossy(&traced.body).contains("secret"));
    assert_eq!(client.ask("CONNECT", "example.com:443", "").status, 405);
    assert_eq!(client.get("/a.txt", "").body, b"hello");
}

#[test]
fn unknown_methods_are_501() {
    let (_tree, server) = serve(&[("a.txt", "hello")]);
    let mut client = server.connect();
    // Names of methods have case (RFC 9110 §9.1).
    for method in ["BREW", "get", "Get", "GETS", "G", "!#$%&'*+-.^_`|~"] {
        assert_eq!(client.ask(method, "/a.txt", "").status, 501, "{method}");
    }
    assert_eq!(client.get("/a.txt", "").body, b"hello");
}

#[test]
fn options_of_a_file_and_of_the_server() {
    let (_tree, server) = serve(&[("a.txt", "hello")]);
    let mut client = server.connect();
    for target in ["/a.txt", "/", "*", "/absent", "http://test", "http://test/a.txt"] {
        let response = client.ask("OPTIONS", target, "");
        assert_eq!(response.status, 204, "{target}");
        assert_eq!(response.field("Allow"), Some("GET, HEAD, OPTIONS"), "{target}");
        // RFC 9110 §8.6: none with 204.
        assert_eq!(response.field("Content-Length"), None, "{target}");
    }
    assert_eq!(client.ask("GET", "*", "").status, 400, "the asterisk is for OPTIONS");
    assert_eq!(client.ask("HEAD", "*", "").status, 400);
}

#[test]
fn the_absolute_form() {
    let (_tree, server) = serve(&[("a.txt", "hello"), ("index.html", "home"), ("d/x", "")]);
    let mut client = server.connect();
    for (target, status) in [
        ("http://test/a.txt", 200),
        ("HTTP://other.example:8080/a.txt", 200),
        ("https://test/a.txt?query", 200),
        ("http://[::1]:80/a.txt", 200),
        ("http://test", 200),
        ("http://test/", 200),
        ("http://test?query", 200),
        ("http://test/absent", 404),
        ("http:///a.txt", 400),
        ("http://user@test/a.txt", 400),
        ("http://te st/a.txt", 400),
        ("ftp://test/a.txt", 400),
        ("file:///etc/passwd", 400),
        ("a.txt", 400),
        ("test:80", 400),
    ] {
        if target.contains(' ') {
            // Spoils the request line itself.
            assert_eq!(server.connect().get(target, "").status, status, "{target}");
        } else {
            assert_eq!(client.get(target, "").status, status, "{target}");
        }
    }
    // Where it leads to is our own path, never the authority the client wrote.
    let redirect = client.get("http://evil.example/d", "");
    assert_eq!((redirect.status, redirect.field("Location")), (301, Some("/d/")));
}

#[test]
fn names_in_escapes_and_in_utf8() {
    let tree = Tree::new();
    let names: [&[u8]; 9] = [
        "grün.txt".as_bytes(),
        "日本/🚆 train.txt".as_bytes(),
        b"with space",
        b"100%",
        b"%41",
        b"a+b&c=d;e",
        b"what?#here",
        b"latin\xe9",
        b"line\nbreak",
    ];
    for name in names {
        let path = tree.path().join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    for name in names {
        // Everything escaped, in either case of the digits.
        for digits in [|byte: &u8| format!("%{byte:02X}"), |byte: &u8| format!("%{byte:02x}")] {
            let escape = |byte: &u8| if *byte == b'/' { "/".to_owned() } else { digits(byte) };
            let target: String = name.iter().map(escape).collect();
            let response = client.get(&format!("/{target}"), "");
            assert_eq!(response.status, 200, "{target}");
            assert_eq!(response.body, name, "{target}");
        }
    }
    // As many programs send them: bytes of UTF-8 without escapes; a plus is a plus.
    assert_eq!(client.get("/grün.txt", "").body, "grün.txt".as_bytes());
    assert_eq!(client.get("/a+b&c=d;e?x=%zz", "").body, b"a+b&c=d;e");
    // Decoded once, not twice.
    assert_eq!(client.get("/%2541", "").body, b"%41");
    assert_eq!(client.get("/%41", "").status, 404);
    for broken in ["/100%", "/%", "/%4", "/%zz", "/%%41", "/a%4/", "/%u0041"] {
        assert_eq!(client.get(broken, "").status, 400, "{broken}");
    }
}

#[test]
fn dots_and_slashes_in_a_path() {
    let (_tree, server) = serve(&[("a/b.txt", "b"), ("index.html", "home")]);
    let mut client = server.connect();
    for (target, status) in [
        ("/a/b.txt", 200),
        ("/a//b.txt", 200),
        ("//a/b.txt", 200),
        ("/./a/./b.txt", 200),
        ("/a/../a/b.txt", 200),
        ("/x/../a/b.txt", 200),
        ("/a/%2e%2E/a/b.txt", 200),
        ("/a/b.txt?/../../x", 200),
        ("/a/..", 200),
        ("/a/b.txt/", 404),
        ("/a/b.txt/.", 404),
        ("/a/b.txt/c", 404),
        ("/a%2Fb.txt", 404),
        ("/a/b.txt%00", 400),
        ("/a/b.txt#fragment", 400),
    ] {
        assert_eq!(client.get(target, "").status, status, "{target}");
    }
}

#[test]
fn a_directory_is_led_to_its_slash_with_the_query() {
    let (_tree, server) = serve(&[("dir/index.html", "home"), ("ä b/sub/x", "")]);
    let mut client = server.connect();
    for (target, location) in [
        ("/dir", "/dir/"),
        ("/dir?sort=size&x=%20y", "/dir/?sort=size&x=%20y"),
        ("/dir?", "/dir/?"),
        ("/%C3%A4%20b", "/%C3%A4%20b/"),
        ("/%C3%A4%20b/sub", "/%C3%A4%20b/sub/"),
        ("/ä%20b", "/%C3%A4%20b/"),
        // Never another host: `//dir/` would be one, and a backslash is a slash to a browser.
        ("//dir", "/dir/"),
        ("///dir", "/dir/"),
        ("/.//dir", "/.//dir/"),
    ] {
        let response = client.get(target, "");
        assert_eq!(response.status, 301, "{target}");
        assert_eq!(response.field("Location"), Some(location), "{target}");
        let place = location.split('?').next().unwrap();
        assert_eq!(client.get(place, "").status, 200, "{location} is there");
    }
}

#[test]
fn index_files() {
    let tree = Tree::new();
    tree.file("index.html", "home");
    tree.file("plain/x.txt", "");
    tree.file("second/default.htm", "second");
    tree.file("both/default.htm", "no");
    tree.file("both/index.html", "yes");
    tree.file("trap/index.html/x", "");
    let server = Server::start(&tree, &["--index", "index.html", "--index", "default.htm"]);
    let mut client = server.connect();
    for (target, body) in [("/", "home"), ("/second/", "second"), ("/both/", "yes")].repeat(2) {
        let response = client.get(target, "");
        assert_eq!((response.status, &*response.body), (200, body.as_bytes()), "{target}");
        assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
        assert!(response.field("ETag").is_some());
    }
    for target in ["/plain/", "/trap/"] {
        let listing = client.get(target, "");
        assert_eq!(listing.status, 200, "{target}");
        assert!(String::from_utf8_lossy(&listing.body).contains("<table>"), "{target}");
    }
    // The index is the file that it is.
    let partial = client.get("/both/", "Range: bytes=1-\r\n");
    assert_eq!((partial.status, &*partial.body), (206, &b"es"[..]));
}

#[test]
fn content_types() {
    let types = [
        ("a.html", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("README", "text/plain; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.wasm", "application/wasm"),
        ("a.svg", "image/svg+xml"),
        ("a.avif", "image/avif"),
        ("a.webp", "image/webp"),
        ("a.jxl", "image/jxl"),
        ("a.JPG", "image/jpeg"),
        ("a.woff2", "font/woff2"),
        ("a.mp4", "video/mp4"),
        ("a.pdf", "application/pdf"),
        ("a.tar.gz", "application/gzip"),
        ("a.iso", "application/x-iso9660-image"),
        ("a.unheard-of", "application/octet-stream"),
        ("noextension", "application/octet-stream"),
    ];
    let (_tree, server) = serve(&types.map(|(name, _)| (name, "<p>")));
    let mut client = server.connect();
    for (name, media_type) in types {
        let response = client.get(&format!("/{name}"), "");
        assert_eq!(response.field("Content-Type"), Some(media_type), "{name}");
    }
}

#[test]
fn error_pages_are_for_people_and_escape() {
    let (_tree, server) = serve(&[]);
    let mut client = server.connect();
    let response = client.get("/<script>alert(1)</script>?\"'", "");
    assert_eq!(response.status, 404);
    assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
    assert_eq!(response.field("ETag"), None);
    assert!(response.field("Content-Security-Policy").unwrap().contains("default-src 'none'"));
    let page = String::from_utf8(response.body).unwrap();
    assert!(page.contains("404") && page.contains("Not Found") && !page.contains("<script"));
    let head = client.ask("HEAD", "/absent", "");
    assert_eq!(head.status, 404);
    assert_eq!(client.get("/absent", "").status, 404, "the connection lives on");
}

#[test]
fn cache_control_is_said_of_files_alone() {
    let tree = Tree::new();
    tree.file("a.txt", "a");
    let server = Server::start(&tree, &["--cache-control", "max-age=3600, immutable"]);
    let mut client = server.connect();
    let file = client.get("/a.txt", "");
    assert_eq!(file.field("Cache-Control"), Some("max-age=3600, immutable"));
    let part = client.get("/a.txt", "Range: bytes=0-0\r\n");
    assert_eq!(part.field("Cache-Control"), Some("max-age=3600, immutable"));
    assert_eq!(client.get("/absent", "").field("Cache-Control"), None);
}
