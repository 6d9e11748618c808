//! Files through unmodified hyper, HTTP/1 and HTTP/2: the right bytes, by which way, and what happens to broken ones.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sendrail_hyper::{FileBody, ZeroCopy};
use sendrail_sys::window::locate;
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, IoSlice, Write},
    os::{fd::AsFd, unix::fs::FileExt},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

/// Nothing takes as long unless it hangs.
const HANGS: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

const BOTH: [Version; 2] = [Version::One, Version::Two];

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect()
}

fn file_of(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

/// What hyper hands to its socket: bytes of a file by their address, and others.
#[derive(Debug, Default)]
struct Seen {
    of_a_file: AtomicU64,
    others: AtomicU64,
}

/// Looks at what is written, and writes it.
struct Watching<S> {
    inner: S,
    seen: Arc<Seen>,
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watching<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(context, slices);
        if let Poll::Ready(Ok(mut written)) = written {
            for slice in slices {
                let taken = slice.len().min(written);
                written -= taken;
                let of =
                    if locate(slice).is_some() { &this.seen.of_a_file } else { &this.seen.others };
                of.fetch_add(taken as u64, Ordering::Relaxed);
            }
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watching<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(context, buffer)
    }
}

/// Asks for a file once, over a connection of its own. What came, and what hyper handed to its socket.
async fn fetch(
    version: Version,
    body: impl Fn() -> FileBody + Send + Sync + 'static,
) -> (Result<Bytes, hyper::Error>, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let watching = Arc::clone(&seen);
    let serving = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let io = TokioIo::new(Watching { inner: ZeroCopy::new(socket), seen: watching });
        let service = service_fn(move |_: Request<Incoming>| {
            let body = body();
            async move { Ok::<_, io::Error>(Response::new(body)) }
        });
        match version {
            Version::One => {
                hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
            }
            Version::Two => {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.serve_connection(io, service).await
            }
        }
    });
    let fetching = async {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let request = Request::builder().uri(format!("http://{address}/"));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        match version {
            Version::One => {
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(io).await.unwrap();
                tokio::spawn(connection);
                let response = sender.send_request(request).await?;
                response.into_body().collect().await
            }
            Version::Two => {
                let executor = TokioExecutor::new();
                let (mut sender, connection) =
                    hyper::client::conn::http2::handshake(executor, io).await.unwrap();
                tokio::spawn(connection);
                let response = sender.send_request(request).await?;
                response.into_body().collect().await
            }
        }
    };
    let fetched = tokio::time::timeout(HANGS, fetching).await.expect("it hangs");
    serving.abort();
    (fetched.map(http_body_util::Collected::to_bytes), seen)
}

#[tokio::test]
async fn every_length_arrives_as_it_is() {
    let lengths =
        [0, 1, 100, 16_384, 65_536, 65_537, 100_000, 1 << 20, (5 << 20) + 7, (32 << 20) + 9];
    for version in BOTH {
        for len in lengths {
            let expected = bytes(len);
            let file = file_of(&expected);
            let (got, _) =
                fetch(version, move || FileBody::whole(Arc::clone(&file)).unwrap()).await;
            assert!(got.unwrap() == expected, "{version:?}, {len} bytes");
        }
    }
}

#[tokio::test]
async fn every_part_arrives_as_it_is() {
    let expected = bytes(3 << 20);
    let file = file_of(&expected);
    for version in BOTH {
        for (offset, len) in [(1, 100_000), (4095, 1 << 20), ((3 << 20) - 20_000, 20_000)] {
            let file = Arc::clone(&file);
            let (got, _) =
                fetch(version, move || FileBody::new(Arc::clone(&file), offset, len)).await;
            let (from, to) = (offset as usize, (offset + len) as usize);
            assert!(got.unwrap() == expected[from..to], "{version:?}, {offset} {len}");
        }
    }
}

/// What the crate rests on: hyper hands bodies on at their own address. An upgrade that ends this ends this test.
#[tokio::test]
async fn hyper_hands_on_what_it_was_given() {
    const LEN: u64 = 4 << 20;
    for version in BOTH {
        let file = file_of(&bytes(LEN as usize));
        let (got, seen) = fetch(version, move || FileBody::new(Arc::clone(&file), 0, LEN)).await;
        assert_eq!(got.unwrap().len() as u64, LEN);
        let of_a_file = seen.of_a_file.load(Ordering::Relaxed);
        match version {
            Version::One => assert_eq!(of_a_file, LEN, "{seen:?}"),
            // The first bytes of each frame go with its head: up to 247 of 16 KiB.
            Version::Two => assert!(of_a_file >= LEN * 98 / 100, "{seen:?}"),
        }
        assert!(seen.others.load(Ordering::Relaxed) < LEN / 50 + 4096, "{seen:?}");
    }
}

/// What will be copied is not given out before it is in memory: nobody comes to a page that the disk has still to read.
#[tokio::test]
async fn what_is_to_be_copied_is_in_memory_before_it_is_given_out() {
    const LEN: usize = (3 << 20) + 5;
    /// The end.
    const READ: usize = 768 << 10;
    let expected = bytes(LEN);
    let file = tempfile::tempfile_in("/var/tmp").unwrap();
    file.write_all_at(&expected, 0).unwrap();
    file.sync_all().unwrap();
    let file = Arc::new(file);
    for cold in [true, false] {
        if cold {
            let _ = sendrail_sys::fadvise::fadvise(
                file.as_fd(),
                0,
                0,
                sendrail_sys::fadvise::Advice::DontNeed,
            );
            match sendrail_sys::cachestat::cachestat(file.as_fd(), 0, 0) {
                Ok(stat) if stat.cached == 0 => {}
                other => return eprintln!("skipped: it cannot be made cold here: {other:?}"),
            }
        }
        let mut body = FileBody::new(Arc::clone(&file), 0, LEN as u64).to_be_copied();
        let (mut all, mut mapped) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            if locate(&data).is_some() {
                let there = sendrail_sys::mincore::resident_pages(
                    file.as_fd(),
                    all.len() as u64,
                    data.len(),
                );
                let there = there.unwrap();
                assert!(
                    there >= (data.len() / 4096) as u64,
                    "{there} pages at {}, {}",
                    all.len(),
                    data.len()
                );
                mapped += data.len();
            }
            all.extend_from_slice(&data);
        }
        assert!(all == expected);
        assert!(cold || mapped == LEN - READ, "{mapped} bytes were mapped, cold: {cold}");
        // The first ones were not there.
        assert!(!cold || mapped < LEN - (100 << 10), "{mapped} bytes were mapped, cold: {cold}");
    }
}

/// hyper asks for more while 400 KiB wait to be copied, and not again when it has all. Whenever the file is truncated, there is
/// an error or all of it is right.
#[tokio::test]
async fn what_is_copied_late_is_never_filled_up() {
    const LEN: usize = 4 << 20;
    let expected = bytes(LEN);
    let (mut errors, mut wholes) = (0, 0);
    for whole_before in 0.. {
        let file = file_of(&expected);
        let mut body = FileBody::new(Arc::clone(&file), 0, LEN as u64).to_be_copied();
        let (mut waiting, mut copied, mut parts, mut given) = (VecDeque::new(), Vec::new(), 0, 0);
        let failed = loop {
            if parts == whole_before {
                file.set_len(10).unwrap();
            }
            if given == LEN {
                break false;
            }
            while waiting.iter().map(Bytes::len).sum::<usize>() >= 400 << 10 {
                let mut first: Bytes = waiting.pop_front().unwrap();
                copied.extend_from_slice(&first.split_to(first.len().min(16 << 10)));
                if !first.is_empty() {
                    waiting.push_front(first);
                }
            }
            match body.frame().await.expect("it has not all been given out") {
                Ok(frame) => waiting.push_back(frame.into_data().unwrap()),
                Err(_) => break true,
            }
            given += waiting.back().unwrap().len();
            parts += 1;
        };
        for left in waiting {
            copied.extend_from_slice(&left);
        }
        assert!(failed || copied == expected, "truncated after part {whole_before}");
        if failed {
            errors += 1;
        } else {
            wholes += 1;
        }
        if parts < whole_before {
            break;
        }
    }
    assert!(errors > 3 && wholes > 0, "{errors} errors, {wholes} were whole");
}

/// Nor if the file is what it was by the time that the next part is asked for: nobody but the part that was being copied can know.
#[tokio::test]
async fn what_was_gone_only_while_it_was_copied_is_an_error() {
    const LEN: usize = 4 << 20;
    let expected = bytes(LEN);
    for late in 0.. {
        // While one more part waits to be copied, or two that are shorter.
        for behind in 1..=2 {
            let file = file_of(&expected);
            let mut body = FileBody::new(Arc::clone(&file), 0, LEN as u64).to_be_copied();
            let mut parts = Vec::new();
            while parts.len() < late + 1 + behind {
                parts.push(body.frame().await.unwrap().unwrap().into_data().unwrap());
            }
            if locate(&parts[late]).is_none() {
                assert!(late > 2, "too little was mapped");
                return;
            }
            if parts[late + 1..].iter().map(Bytes::len).sum::<usize>() >= 400 << 10 && behind > 1 {
                continue; // it has been copied by then
            }
            file.set_len(10).unwrap();
            assert_eq!(*parts[late].last().unwrap(), 0);
            file.write_all_at(&expected, 0).unwrap();
            let next = body.frame().await.unwrap();
            assert!(next.is_err(), "part {late}, and {behind} behind it");
            assert!(body.frame().await.is_none());
        }
    }
}

/// Longer than a window, and sparse, for it to be made quickly.
#[tokio::test]
async fn a_large_file_is_several_windows() {
    const LEN: u64 = 80 << 20;
    let file = tempfile::tempfile().unwrap();
    file.set_len(LEN).unwrap();
    for at in [0, (32 << 20) - 1, 32 << 20, (64 << 20) + 5, LEN - 1] {
        file.write_all_at(b"x", at).unwrap();
    }
    let mut expected = vec![0; LEN as usize];
    file.read_exact_at(&mut expected, 0).unwrap();
    let file = Arc::new(file);
    for version in BOTH {
        let file = Arc::clone(&file);
        let (got, _) = fetch(version, move || FileBody::new(Arc::clone(&file), 0, LEN)).await;
        assert!(got.unwrap() == expected, "{version:?}");
    }
}

/// Shorter than promised before it began, and after: an error, and nothing that was not in the file.
#[tokio::test]
async fn a_file_that_is_too_short_is_an_error() {
    for version in BOTH {
        for len in [10_000, 1 << 20] {
            let file = file_of(&bytes(len));
            let body = move || FileBody::new(Arc::clone(&file), 0, len as u64 + 1);
            let (got, _) = fetch(version, body).await;
            got.expect_err("it is one byte short");
        }
        let file = file_of(&bytes(4 << 20));
        let shortened = Arc::clone(&file);
        let body = move || {
            let body = FileBody::new(Arc::clone(&file), 0, 4 << 20);
            TruncatedLater::truncate_soon(&shortened);
            body
        };
        let (got, _) = fetch(version, body).await;
        got.expect_err("it was truncated while it was sent");
    }
}

struct TruncatedLater;

impl TruncatedLater {
    /// After the body has been asked how long it is, which it is at once.
    fn truncate_soon(file: &Arc<File>) {
        let file = Arc::clone(file);
        tokio::spawn(async move { file.set_len(100_000).unwrap() });
    }
}

/// A copy, as middleware makes it, has the bytes of the file; what was truncated under it is an error.
#[tokio::test]
async fn who_copies_gets_the_file() {
    let expected = bytes(1 << 20);
    let file = file_of(&expected);
    let copied = FileBody::whole(Arc::clone(&file)).unwrap().collect().await.unwrap();
    assert!(copied.to_bytes() == expected);

    let long = file_of(&bytes(80 << 20));
    let mut body = FileBody::whole(Arc::clone(&long)).unwrap();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    long.set_len(1 << 20).unwrap();
    assert!(first.iter().rev().take(4096).all(|byte| *byte == 0), "it is not there any more");
    let error = body.frame().await.unwrap().expect_err("nobody may believe those zeros");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(body.frame().await.is_none());
}

/// Without the socket of ours the body is what any body is.
#[tokio::test]
async fn over_any_other_socket_it_is_copied() {
    let expected = bytes(1 << 20);
    let file = file_of(&expected);
    let (client, server) = tokio::io::duplex(10_000);
    tokio::spawn(async move {
        let service = service_fn(move |_: Request<Incoming>| {
            let body = FileBody::whole(Arc::clone(&file)).unwrap();
            async move { Ok::<_, io::Error>(Response::new(body)) }
        });
        let builder = hyper::server::conn::http1::Builder::new();
        let _ = builder.serve_connection(TokioIo::new(server), service).await;
    });
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().uri("/").body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.headers()["content-length"], "1048576");
    assert!(response.into_body().collect().await.unwrap().to_bytes() == expected);
}
