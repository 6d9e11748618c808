//! Large ones: memory does not grow with them, and the page cache is left to those who read.

use super::{begin_put, client::Resumable, serve, serve_logged};
use crate::harness::{Connection, Journal, Tree, bytes, process::anonymous_memory};
use sendrail_sys::mincore::resident_pages;
use std::{fs::File, os::fd::AsFd, path::Path};

const GIB: usize = 1 << 30;

/// Sends so many bytes, of which nobody holds more than a MiB. The most memory that the server had meanwhile.
fn send(connection: &mut Connection, len: usize, in_chunks: bool, server: u32) -> u64 {
    let piece = bytes(1 << 20);
    let mut most = 0;
    for at in (0..len).step_by(piece.len()) {
        let piece = &piece[..piece.len().min(len - at)];
        if in_chunks {
            connection.send(format!("{:x}\r\n", piece.len()));
        }
        connection.send(piece);
        if in_chunks {
            connection.send("\r\n");
        }
        most = most.max(anonymous_memory(server));
    }
    if in_chunks {
        connection.send("0\r\n\r\n");
    }
    most
}

/// How much of a file is in the page cache, in bytes.
fn resident(path: &Path) -> u64 {
    let file = File::open(path).unwrap();
    let len = file.metadata().unwrap().len() as usize;
    resident_pages(file.as_fd(), 0, len).unwrap() as u64 * 4096
}

fn assert_is_whole(path: &Path, len: usize) {
    use std::io::Read;
    let (mut file, piece) = (File::open(path).unwrap(), bytes(1 << 20));
    let mut read = vec![0; piece.len()];
    for at in (0..len).step_by(piece.len()) {
        let expected = &piece[..piece.len().min(len - at)];
        file.read_exact(&mut read[..expected.len()]).unwrap();
        assert!(read[..expected.len()] == *expected, "differs behind byte {at}");
    }
    assert_eq!(file.metadata().unwrap().len(), len as u64);
}

/// Room for a thread's buffer or two, and one of `direct`.
const SOME: u64 = 12 << 20;

#[test]
fn a_gibibyte_takes_no_more_memory_than_a_mebibyte_and_leaves_the_page_cache_alone() {
    let tree = Tree::new();
    let journal = Journal::new();
    let server = serve_logged(&tree, &journal, &["--upload-sync", "off"]);
    let path = tree.path().join("large.bin");
    let server_id = server.child.id();
    let mut connection = server.connect();
    begin_put(&mut connection, "/large.bin", "", 1 << 20);
    send(&mut connection, 1 << 20, false, server_id);
    assert_eq!(connection.response(false).status, 201);
    let before = anonymous_memory(server_id);
    begin_put(&mut connection, "/large.bin", "", GIB);
    let most = send(&mut connection, GIB, false, server_id);
    assert_eq!(connection.response(false).status, 204);
    assert!(most < before + SOME, "from {before} to {most} bytes");
    let left = resident(&path);
    assert!(left < GIB as u64 / 100, "{left} bytes are in the page cache");
    assert_is_whole(&path, GIB);
    connection.send("PUT /large.bin HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    let len = (200 << 20) + 5;
    let most = send(&mut connection, len, true, server_id);
    assert_eq!(connection.response(false).status, 204);
    assert!(most < before + SOME, "in chunks: from {before} to {most} bytes");
    let left = resident(&path);
    // Up to where it turned out to be large, and what was still on its way to the disk.
    assert!(left < 110 << 20, "in chunks: {left} bytes are in the page cache");
    assert_is_whole(&path, len);
}

#[test]
fn many_at_once_take_memory_by_their_number_and_not_by_their_size() {
    const MANY: usize = 100;
    let tree = Tree::new();
    let server = serve(&tree, &["--upload-sync", "off"]);
    let server_id = server.child.id();
    let upload = Resumable::create(&server, "/one.bin", "");
    assert_eq!(upload.append(&server, 0, &bytes(1 << 20), true).status, 201);
    let before = anonymous_memory(server_id);
    let mut connections: Vec<_> = (0..MANY).map(|_| server.connect()).collect();
    for (number, connection) in connections.iter_mut().enumerate() {
        begin_put(connection, &format!("/{number}.bin"), "", 20 << 20);
        send(connection, 1 << 20, false, server_id);
    }
    let most = connections
        .iter_mut()
        .map(|connection| send(connection, 19 << 20, false, server_id))
        .max()
        .unwrap();
    for connection in &mut connections {
        assert_eq!(connection.response(false).status, 201);
    }
    // Of `direct` 64 at once have a MiB each; what threads have is theirs.
    let bound = 64 * (1 << 20) + (32 << 20);
    assert!(most < before + bound, "from {before} to {most} bytes");
    assert_is_whole(&tree.path().join("99.bin"), 20 << 20);
}
