//! Precompressed siblings by `Accept-Encoding`: RFC 9110 §12.5.3.

use crate::harness::{AGED, Connection, Response, Server, Tree, age, bytes};
use rustix::fs::FileType;

/// A tree with `/app.js` and a sibling of each coding; what they hold says which they are.
fn tree() -> Tree {
    let tree = Tree::new();
    tree.aged("app.js", "identity");
    tree.aged("app.js.gz", "as gzip");
    tree.aged("app.js.br", "as br");
    tree.aged("app.js.zst", "as zstd");
    tree
}

fn with_encoding(client: &mut Connection, target: &str, accept_encoding: &str) -> Response {
    client.get(target, &format!("Accept-Encoding: {accept_encoding}\r\n"))
}

/// What came is what its fields say, whichever it is.
fn assert_coding(response: &Response, coding: &str, why: &str) {
    assert_eq!(response.status, 200, "{why}");
    let content = if coding == "identity" { coding.to_owned() } else { format!("as {coding}") };
    assert_eq!(String::from_utf8_lossy(&response.body), content, "{why}");
    let field = (coding != "identity").then_some(coding);
    assert_eq!(response.field("Content-Encoding"), field, "{why}");
    assert_eq!(response.field("Vary"), Some("Accept-Encoding"), "{why}");
    let media_type = Some("text/javascript; charset=utf-8");
    assert_eq!(response.field("Content-Type"), media_type, "that of the original: {why}");
}

#[test]
fn the_weights_choose() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    // Twice: the second time the answers come from memory.
    for _ in 0..2 {
        for (accept_encoding, coding) in [
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip, deflate, br", "br"),
            ("gzip", "gzip"),
            ("x-gzip", "gzip"),
            ("GZip", "gzip"),
            ("deflate", "identity"),
            ("identity", "identity"),
            ("", "identity"),
            ("gzip;q=1.0, br;q=0.5, zstd;q=0.9", "gzip"),
            ("gzip;q=0.001, br;q=0.002", "br"),
            ("gzip ; q=0.8 , br ; q=0.7", "gzip"),
            ("gzip;q=0, br;q=0, zstd;q=0", "identity"),
            ("gzip;q=0.000", "identity"),
            ("*", "zstd"),
            ("*;q=0.5, gzip", "gzip"),
            ("zstd;q=0, *", "br"),
            ("identity, gzip;q=0.5", "identity"),
            ("identity;q=0.1, gzip;q=0.5", "gzip"),
            ("gzip, identity;q=0", "gzip"),
            // All is refused: the file is more use than a 406.
            ("identity;q=0", "identity"),
            ("*;q=0", "identity"),
            // A malformed weight: as if it was not mentioned.
            ("br;q=2, gzip", "gzip"),
            ("br;q=x, gzip;q=0.1", "gzip"),
        ] {
            let response = with_encoding(&mut client, "/app.js", accept_encoding);
            assert_coding(&response, coding, accept_encoding);
        }
        assert_coding(&client.get("/app.js", ""), "identity", "without the field");
        let lines = client.get("/app.js", "Accept-Encoding: gzip;q=0.5\r\nAccept-Encoding: br\r\n");
        assert_coding(&lines, "br", "on two lines");
    }
}

#[test]
fn head_and_get_agree() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    for coding in ["gzip", "br", "zstd", "identity"] {
        let field = format!("Accept-Encoding: {coding}\r\n");
        let get = client.get("/app.js", &field);
        let head = client.ask("HEAD", "/app.js", &field);
        for name in ["Content-Length", "Content-Encoding", "ETag", "Vary", "Content-Type"] {
            assert_eq!(get.field(name), head.field(name), "{coding} {name}");
        }
    }
}

#[test]
fn each_variant_has_a_validator_of_its_own() {
    let tree = tree();
    // Of the same length and time, so that only the coding tells them apart.
    for sibling in ["app.js", "app.js.gz", "app.js.br", "app.js.zst"] {
        tree.aged(sibling, "same len");
    }
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let codings = ["identity", "gzip", "br", "zstd"];
    let tags = codings.map(|coding| {
        with_encoding(&mut client, "/app.js", coding).field("ETag").unwrap().to_owned()
    });
    for (i, coding) in codings.iter().enumerate() {
        for (j, tag) in tags.iter().enumerate() {
            let fields = format!("Accept-Encoding: {coding}\r\nIf-None-Match: {tag}\r\n");
            let response = client.get("/app.js", &fields);
            assert_eq!(response.status, if i == j { 304 } else { 200 }, "{coding} {tag}");
            assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
        }
    }
    // What was begun as one variant is not continued as another.
    let fields = format!("Accept-Encoding: br\r\nRange: bytes=2-3\r\nIf-Range: {}\r\n", tags[1]);
    assert_eq!(client.get("/app.js", &fields).status, 200);
}

#[test]
fn ranges_are_of_the_variant() {
    let tree = tree();
    let variant = bytes(50_000);
    tree.aged("app.js.gz", &variant);
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let response = client.get("/app.js", "Accept-Encoding: gzip\r\nRange: bytes=100-40000\r\n");
    assert_eq!(response.status, 206);
    assert_eq!(response.field("Content-Range"), Some("bytes 100-40000/50000"));
    assert_eq!(response.field("Content-Encoding"), Some("gzip"));
    assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
    assert!(response.body == variant[100..=40_000]);
    let outside = client.get("/app.js", "Accept-Encoding: gzip\r\nRange: bytes=50000-\r\n");
    assert_eq!((outside.status, outside.field("Content-Range")), (416, Some("bytes */50000")));
    assert_eq!(client.get("/app.js", "Range: bytes=0-7\r\n").body, b"identity");
}

#[test]
fn a_sibling_that_is_older_than_its_original_is_not_used() {
    let tree = tree();
    age(&tree.path().join("app.js.zst"), AGED - 1);
    age(&tree.path().join("app.js.br"), AGED + 1);
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let response = with_encoding(&mut client, "/app.js", "zstd, gzip;q=0.5");
    assert_coding(&response, "gzip", "zst is stale");
    assert_coding(&with_encoding(&mut client, "/app.js", "zstd"), "identity", "zst is stale");
    assert_coding(&with_encoding(&mut client, "/app.js", "br"), "br", "younger is right");
}

#[test]
fn what_is_no_regular_file_beneath_the_root_is_no_sibling() {
    let outside = Tree::new();
    outside.aged("secret", "outside");
    let tree = Tree::new();
    tree.aged("app.js", "identity");
    tree.file("app.js.gz/in-a-directory", "x");
    tree.link("app.js.br", outside.path().join("secret"));
    let _ = tree.node("app.js.zst", FileType::Fifo);
    let server = Server::start(&tree, &[]);
    let response = with_encoding(&mut server.connect(), "/app.js", "zstd, br, gzip");
    assert_eq!(response.body, b"identity");
    assert_eq!((response.field("Content-Encoding"), response.field("Vary")), (None, None));
}

#[test]
fn without_siblings_nothing_varies() {
    let tree = tree();
    tree.file("alone.js", "identity");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let response = with_encoding(&mut client, "/alone.js", "gzip, br, zstd");
    assert_eq!((response.status, response.field("Vary")), (200, None));
    assert_eq!(response.field("Content-Encoding"), None);
}

/// A download of the archive itself is not to be unpacked on the way.
#[test]
fn asked_for_by_its_own_name_a_sibling_is_a_file() {
    let tree = tree();
    // Which may even have siblings of its own.
    tree.aged("app.js.gz.br", "as gzip as br");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    for _ in 0..2 {
        for (target, media_type) in [
            ("/app.js.gz", "application/gzip"),
            ("/app.js.zst", "application/zstd"),
            ("/app.js.br", "application/x-brotli"),
        ] {
            let response = with_encoding(&mut client, target, "gzip, zstd");
            assert_eq!(response.field("Content-Encoding"), None, "{target}");
            assert_eq!(response.field("Content-Type"), Some(media_type), "{target}");
            // And the same open file goes out as a variant in between.
            assert_coding(&with_encoding(&mut client, "/app.js", "gzip"), "gzip", target);
        }
    }
}

#[test]
fn an_index_file_has_siblings_too() {
    let tree = Tree::new();
    tree.aged("docs/index.html", "identity");
    tree.aged("docs/index.html.gz", "as gzip");
    let server = Server::start(&tree, &[]);
    let response = with_encoding(&mut server.connect(), "/docs/", "gzip");
    assert_eq!(response.body, b"as gzip");
    assert_eq!(response.field("Content-Encoding"), Some("gzip"));
    assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
}

#[test]
fn it_can_be_switched_off() {
    let tree = tree();
    let server = Server::start(&tree, &["--precompressed", "off"]);
    let response = with_encoding(&mut server.connect(), "/app.js", "gzip, br, zstd");
    assert_eq!((&response.body[..], response.field("Vary")), (&b"identity"[..], None));
}

/// Small ones come from memory, large ones from their file: neither may be taken for the other.
#[test]
fn variants_of_all_sizes_side_by_side() {
    let tree = Tree::new();
    let (identity, gzip, brotli) = (bytes(1 << 20), bytes(100_000)[1..].to_vec(), b"br".to_vec());
    tree.aged("big.txt", &identity);
    tree.aged("big.txt.gz", &gzip);
    tree.aged("big.txt.br", &brotli);
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    for coding in ["identity", "br", "gzip", "br", "identity", "gzip", "br", "identity"] {
        let expected = match coding {
            "gzip" => &gzip,
            "br" => &brotli,
            _ => &identity,
        };
        assert!(with_encoding(&mut client, "/big.txt", coding).body == *expected, "{coding}");
    }
}
