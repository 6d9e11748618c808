//! Uploads: what is acknowledged is there, whole and at once; nothing else is ever seen; whoever was cut off can go on.

mod anew;
mod auth;
mod client;
mod clients;
mod disks;
mod hostile;
mod killed;
mod put;
mod resumable;
mod sizes;
mod stopped;

use crate::harness::{Connection, Journal, Response, Server, Tree, bytes};
use std::{fs, io::Write, path::Path};

/// A server that takes uploads from everybody into all of what it serves.
fn serve(tree: &Tree, arguments: &[&str]) -> Server {
    Server::start(tree, &[&OPEN, arguments].concat())
}

/// The same with so many workers.
fn serve_by(workers: usize, tree: &Tree, arguments: &[&str]) -> Server {
    let mut command = Server::command();
    command.arg("serve").arg(tree.path()).args(["--listen", "127.0.0.1:0"]);
    command.args(["--workers", &workers.to_string()]).args(OPEN).args(arguments);
    Server::spawn(command)
}

/// The same with an access log.
fn serve_logged(tree: &Tree, journal: &Journal, arguments: &[&str]) -> Server {
    Server::logged(tree, journal, &[&OPEN, arguments].concat())
}

const OPEN: [&str; 6] = ["--uploads", ".", "--upload-auth", "none", "--upload-reserve", "0"];

/// Sends a PUT with these further field lines, each ended by CRLF, and its body; reads the answer.
fn put(connection: &mut Connection, target: &str, fields: &str, body: &[u8]) -> Response {
    begin_put(connection, target, fields, body.len());
    connection.send(body);
    connection.response(false)
}

/// Only the head of it.
fn begin_put(connection: &mut Connection, target: &str, fields: &str, len: usize) {
    let head = format!("PUT {target} HTTP/1.1\r\nHost: t\r\nContent-Length: {len}\r\n{fields}\r\n");
    connection.send(head);
}

/// A request in chunks of these sizes, in turns.
fn chunked(target: &str, fields: &str, body: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut message =
        format!("PUT {target} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n{fields}\r\n")
            .into_bytes();
    let (mut rest, mut sizes) = (body, sizes.iter().cycle());
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        write!(message, "{:x}\r\n", chunk.len()).unwrap();
        message.extend_from_slice(chunk);
        message.extend_from_slice(b"\r\n");
        rest = behind;
    }
    message.extend_from_slice(b"0\r\n\r\n");
    message
}

/// All names in a directory, what is hidden as well; `.uploads` only if there is something in it.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| {
            entry.file_name() != ".uploads" || fs::read_dir(entry.path()).unwrap().next().is_some()
        })
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Bytes without a pattern that a window could repeat.
fn content(len: usize) -> Vec<u8> {
    bytes(len.min(1 << 20) + 1).iter().copied().cycle().take(len).collect()
}
