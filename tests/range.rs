//! Ranges: RFC 9110 §14.

use crate::harness::{Server, Tree, bytes};

#[test]
fn a_single_range_is_those_bytes() {
    let tree = Tree::new();
    let content = bytes(100_000);
    tree.file("a.bin", &content);
    let server = Server::start(&tree, &[]);
    let response = server.connect().get("/a.bin", "Range: bytes=10-19999\r\n");
    assert_eq!(response.status, 206);
    assert_eq!(response.field("Content-Range"), Some("bytes 10-19999/100000"));
    assert_eq!(response.body, content[10..20_000]);
}
