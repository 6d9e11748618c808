//! What the tests of this crate share: connected sockets and unnamed files.
#![allow(clippy::unwrap_used)] // a test that cannot get its sockets should stop there

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::statfs::FileSystem;

/// A connected pair of TCP sockets on the loopback device.
pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (server, client)
}

/// An unnamed file in the temporary directory.
pub(crate) fn file_with(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Whether the file has no disk below it, so that nothing of it can leave the page cache; says so.
pub(crate) fn in_memory(file: &File) -> bool {
    let file_system = crate::statfs::file_system(file.as_fd()).unwrap();
    let in_memory = matches!(file_system, FileSystem::Tmpfs | FileSystem::Ramfs);
    if in_memory {
        eprintln!("skipped: the temporary directory is on {file_system}");
    }
    in_memory
}

/// Bytes of which any two places differ, so that a wrong offset shows.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// Exactly `len` bytes from a socket.
pub(crate) fn receive(socket: &mut impl Read, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    socket.read_exact(&mut bytes).unwrap();
    bytes
}

/// The errno of a call that must have failed.
pub(crate) fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

/// Memory that counts how often it was freed.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// Such memory, as a buffer to send.
pub(crate) fn counted(bytes: Vec<u8>, freed: &Arc<AtomicUsize>) -> Bytes {
    Bytes::from_owner(Counted(bytes, freed.clone()))
}
