//! Live files: following what grows, and waiting for what is not there yet.

mod endings;
mod following;
mod shared;
mod waiting;

use crate::harness::{Connection, Server, Tree};
use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
};

/// What a test of endings would rather not wait for.
const SOON: &[&str] = &["--finished-after", "200ms"];

/// Nothing ends by itself while such a test runs.
const NEVER: &[&str] = &["--finished-after", "24h"];

/// A client that follows a file, and reads it by its chunks.
struct Follower {
    connection: Connection,
    head: String,
    /// What of the content has come and not been taken.
    content: Vec<u8>,
    /// The trailer, when the last chunk has come.
    trailer: Option<String>,
}

impl Follower {
    fn of(server: &Server, target: &str) -> Self {
        Self::with(server, target, "")
    }

    fn with(server: &Server, target: &str, fields: &str) -> Self {
        let mut connection = server.connect();
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
        Self::on(connection)
    }

    /// One whose request has been sent.
    fn on(mut connection: Connection) -> Self {
        let head = connection.head();
        assert!(matches!(head.status, 200 | 206), "{}", head.head);
        assert_eq!(head.field("Transfer-Encoding"), Some("chunked"), "{}", head.head);
        Self { connection, head: head.head, content: Vec::new(), trailer: None }
    }

    /// Reads one chunk; false at the end, whichever it is.
    fn chunk(&mut self) -> bool {
        let Some(line) = self.line() else { return false };
        let len = usize::from_str_radix(line.trim_end(), 16).expect(&line);
        if len == 0 {
            let field = self.line().expect("a trailer field");
            let (name, value) = field.trim_end().split_once(": ").expect(&field);
            assert_eq!((name, self.line().as_deref()), ("Follow-End", Some("\r\n")));
            self.trailer = Some(value.to_owned());
            return false;
        }
        let content = self.connection.take(len);
        let whole = content.len() == len;
        self.content.extend_from_slice(&content);
        whole && {
            assert_eq!(self.connection.take(2), b"\r\n");
            true
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let next = self.connection.take(1);
            if next.is_empty() {
                assert!(line.is_empty(), "cut within a line: {line:?}");
                return None;
            }
            line.extend(next);
        }
        Some(String::from_utf8(line).unwrap())
    }

    /// Exactly so much of the content.
    fn take(&mut self, len: usize) -> Vec<u8> {
        while self.content.len() < len {
            assert!(self.chunk(), "it ended: {:?}, {}", self.trailer, self.content.len());
        }
        self.content.drain(..len).collect()
    }

    /// What is left of the content, up to a clean end, and what that was.
    fn end(&mut self) -> (Vec<u8>, String) {
        while self.chunk() {}
        let trailer = self.trailer.take().expect("it was cut");
        (std::mem::take(&mut self.content), trailer)
    }

    /// What is left of the content, up to where it was cut.
    fn cut(&mut self) -> Vec<u8> {
        while self.chunk() {}
        assert_eq!(self.trailer, None, "it ended cleanly");
        std::mem::take(&mut self.content)
    }
}

/// Opens a file as loggers do.
fn appending(path: &Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).unwrap()
}

fn append(path: &Path, bytes: impl AsRef<[u8]>) {
    appending(path).write_all(bytes.as_ref()).unwrap();
}

/// A log with one line, a server of it, and its writer.
fn a_log(arguments: &[&str]) -> (Tree, Server, File) {
    let tree = Tree::new();
    let path = tree.file("build.log", "first\n");
    let server = Server::start(&tree, arguments);
    let writer = appending(&path);
    (tree, server, writer)
}
