//! Receiving into files and copying between them: real files, real sockets, and kernels that refuse.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

#[path = "../engine/common.rs"]
#[allow(dead_code, reason = "shared with the tests of the engine, which use all of it")]
mod common;

mod chunks;
mod copies;
mod delivery;
#[allow(dead_code, reason = "shared with the tests of the engine, which use the others")]
mod disks;
mod failing_files;
mod failing_streams;
mod full_disks;
mod limits;
mod watched;

use common::*;
use sendrail_transfer::receive::{ReceiveMethod, ReceiveOptions};
use socket2::Socket;
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    os::fd::OwnedFd,
    thread::{self, JoinHandle},
};

pub(crate) fn by_method(method: ReceiveMethod) -> ReceiveOptions {
    ReceiveOptions { method: Some(method), timeout: Some(HANGS), ..ReceiveOptions::default() }
}

/// An empty file, on the file system of the build (/tmp may be in memory).
pub(crate) fn empty_file() -> File {
    tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Whether files of the build have direct I/O; says so if not.
pub(crate) fn has_direct_io() -> bool {
    let (sender, reader) = stream(Stream::Unix);
    let sending = send_all(sender, vec![1; 5000], 5000);
    let options = by_method(ReceiveMethod::Direct);
    let range = sendrail_transfer::receive::RangeInto::until_end(0);
    let receipt =
        sendrail_transfer::receive::recv_file(&reader, &empty_file(), range, &options).unwrap();
    sending.join().unwrap();
    for refused in &receipt.refusals {
        eprintln!("skipped: {refused}");
    }
    receipt.refusals.is_empty()
}

/// The methods that are not refused here.
pub(crate) fn usable() -> impl Iterator<Item = ReceiveMethod> {
    let direct = has_direct_io();
    ReceiveMethod::ALL.into_iter().filter(move |method| direct || *method != ReceiveMethod::Direct)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Tcp,
    Unix,
    Pipe,
}

pub(crate) const STREAMS: [Stream; 3] = [Stream::Tcp, Stream::Unix, Stream::Pipe];

/// Two ends, both in blocking mode.
pub(crate) fn stream(stream: Stream) -> (OwnedFd, OwnedFd) {
    let sockets = |kind| {
        let (sender, reader): (Socket, Socket) = pair(kind);
        sender.set_nonblocking(false).unwrap();
        (sender.into(), reader.into())
    };
    match stream {
        Stream::Tcp => sockets(Kind::Tcp),
        Stream::Unix => sockets(Kind::Unix),
        Stream::Pipe => {
            let (reader, sender) = std::io::pipe().unwrap();
            (sender.into(), reader.into())
        }
    }
}

pub(crate) fn set_nonblocking(end: &OwnedFd, on: bool) {
    rustix::io::ioctl_fionbio(end, on).unwrap();
}

/// Sends bytes from a thread, so many at a time, and closes.
pub(crate) fn send_all(sender: OwnedFd, bytes: Vec<u8>, chunk: usize) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut sender = File::from(sender);
        for piece in bytes.chunks(chunk) {
            if sender.write_all(piece).is_err() {
                return; // whoever fails has closed the other end
            }
            if chunk < 100_000 {
                thread::yield_now();
            }
        }
    })
}

/// All of the file, wherever its position is.
pub(crate) fn contents(mut file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}
