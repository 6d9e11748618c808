//! The tokio front with real sockets: halves that send, files that are received, what is cancelled and gone on with.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

#[path = "../engine/common.rs"]
#[allow(dead_code, reason = "shared with the tests of the engine, which use all of it")]
mod common;

mod halves;
mod receiving;

mod cancelled;
mod watched;

use common::*;
use sendrail_transfer::receive::{ReceiveMethod, ReceiveOptions};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::fd::OwnedFd,
    sync::Arc,
};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// Longer than any buffer and pipe, and no multiple of anything.
pub(crate) const LEN: u64 = (5 << 20) + 4567;

pub(crate) fn on_one_thread<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let limited = async { tokio::time::timeout(HANGS, future).await.expect("hangs") };
    runtime.enable_all().build().unwrap().block_on(limited)
}

pub(crate) async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (other, _) = listener.accept().await.unwrap();
    other.set_nodelay(true).unwrap();
    one.set_nodelay(true).unwrap();
    (one, other)
}

pub(crate) fn unix() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// An empty file, on the file system of the build (/tmp may be in memory).
pub(crate) fn empty_file() -> Arc<File> {
    Arc::new(tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
}

pub(crate) fn contents(mut file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

pub(crate) fn by_method(method: ReceiveMethod) -> ReceiveOptions {
    ReceiveOptions { method: Some(method), ..ReceiveOptions::default() }
}

/// The methods that are not refused here; says which are, and why.
pub(crate) fn usable() -> Vec<ReceiveMethod> {
    let range = sendrail_transfer::receive::RangeInto::until_end(0);
    let refused = |method: &ReceiveMethod| {
        let (socket, sender) = std::os::unix::net::UnixStream::pair().unwrap();
        std::io::Write::write_all(&mut &sender, &[7; 5000]).unwrap();
        drop(sender);
        let receipt = sendrail_transfer::receive::recv_file(
            OwnedFd::from(socket),
            &empty_file(),
            range,
            &by_method(*method),
        );
        let refusals = receipt.unwrap().refusals;
        for refused in &refusals {
            eprintln!("skipped: {refused}");
        }
        refusals.is_empty()
    };
    ReceiveMethod::ALL.into_iter().filter(refused).collect()
}
