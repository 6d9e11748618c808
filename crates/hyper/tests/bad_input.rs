//! What may be wrong with a file, a range or a client, through unmodified hyper: an error in every case, or the bytes of the file.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

#[path = "../../transfer/tests/receive/disks.rs"]
#[allow(dead_code, reason = "shared with the tests of the engine, which use the others")]
mod disks;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use sendrail_hyper::{FileBody, ZeroCopy};
use std::{
    fs::{self, File},
    future::Future,
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Nothing takes as long unless it hangs.
const HANGS: Duration = Duration::from_mins(1);
const LEN: usize = 8 << 20;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect()
}

fn file_of(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

fn on_one_thread<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let limited = async { tokio::time::timeout(HANGS, future).await.expect("it hangs") };
    runtime.enable_all().build().unwrap().block_on(limited)
}

/// All of a body, copied, as middleware does it.
async fn collect(body: FileBody) -> io::Result<Bytes> {
    Ok(body.collect().await?.to_bytes())
}

fn is_short(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

/// Serves a body once by HTTP/1, to a client that closes its half as soon as it has asked, as `nc -N` does. What it got, head and all.
async fn ask_and_half_close(file: Arc<File>, half_close: bool) -> (Vec<u8>, hyper::Result<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    // Until it has arrived: what is not half closed yet would be served either way.
    socket.readable().await.unwrap();
    let mut peeked = [0; 1000];
    while !matches!(socket.peek(&mut peeked).await, Ok(count) if peeked[..count].ends_with(b"\r\n\r\n"))
    {
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let serving = tokio::spawn(async move {
        let service = service_fn(move |_: Request<Incoming>| {
            let body = FileBody::whole(Arc::clone(&file)).unwrap();
            async move {
                // A handler that has something to wait for, as most have.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok::<_, io::Error>(Response::new(body))
            }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.half_close(half_close);
        builder.serve_connection(TokioIo::new(ZeroCopy::new(socket)), service).await
    });
    let mut received = Vec::new();
    let _ = client.read_to_end(&mut received).await; // or it is reset
    (received, serving.await.unwrap())
}

/// hyper's own default is to give a client up that has closed its half before it has its answer.
#[test]
fn a_client_that_half_closes_is_served_if_hyper_is_told_so() {
    let expected = bytes(LEN);
    let (received, served) = on_one_thread(ask_and_half_close(file_of(&expected), true));
    served.unwrap();
    let head = received.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    assert!(received[head..] == expected, "{} bytes", received.len() - head);

    let (received, served) = on_one_thread(ask_and_half_close(file_of(&expected), false));
    assert!(served.is_err() && received.is_empty(), "{served:?} {} bytes", received.len());
}

#[test]
fn ranges_that_make_no_sense() {
    on_one_thread(async {
        let expected = bytes(300_000);
        let file = file_of(&expected);
        let body = |offset, len| FileBody::new(Arc::clone(&file), offset, len);
        for (offset, len) in [(0, 0), (300_000, 0), (u64::MAX, 0), (u64::MAX, u64::MAX)] {
            assert!(collect(body(offset, len)).await.unwrap().is_empty(), "{offset} {len}");
        }
        for (offset, len) in [
            (300_000, 1),
            (299_999, 2),
            (0, 300_001),
            (0, u64::MAX),
            (1 << 40, 100_000),
            (i64::MAX as u64 - 100_000, 100_000),
        ] {
            for copied in [false, true] {
                let body = body(offset, len);
                let body = if copied { body.to_be_copied() } else { body };
                let error = collect(body).await.unwrap_err();
                assert!(is_short(&error), "{offset} {len}: {error}");
            }
        }
        // No offset of a file.
        for (offset, len) in
            [(u64::MAX - 5, 5), (i64::MAX as u64 + 1, 1), (u64::MAX - 100_000, 1 << 20)]
        {
            collect(body(offset, len)).await.unwrap_err();
        }
        // It grows: what was promised.
        let body = FileBody::whole(Arc::clone(&file)).unwrap();
        (&*file).write_all(b"more").unwrap();
        assert!(collect(body).await.unwrap() == expected);
    });
}

/// Files without a length are empty as wholes, and are read as far as they go as ranges.
#[test]
fn files_of_proc() {
    on_one_thread(async {
        let expected = fs::read("/proc/version").unwrap();
        let file = Arc::new(File::open("/proc/version").unwrap());
        assert!(collect(FileBody::whole(Arc::clone(&file)).unwrap()).await.unwrap().is_empty());
        let len = expected.len() as u64;
        assert!(collect(FileBody::new(Arc::clone(&file), 0, len)).await.unwrap() == expected);
        for len in [len + 1, 1 << 20] {
            let error = collect(FileBody::new(Arc::clone(&file), 0, len)).await.unwrap_err();
            assert!(is_short(&error), "{len}: {error}");
        }
    });
}

/// Replaced, deleted, with holes, overwritten, truncated.
fn bodies_in(folder: &Path) {
    on_one_thread(async {
        let expected = bytes(LEN);
        let put = |name: &str| {
            let path = folder.join(name);
            fs::write(&path, &expected).unwrap();
            (FileBody::whole(Arc::new(File::open(&path).unwrap())).unwrap(), path)
        };
        let (body, path) = put("replaced");
        fs::write(folder.join("other"), "something else").unwrap();
        fs::rename(folder.join("other"), path).unwrap();
        assert!(collect(body).await.unwrap() == expected, "replaced");
        let (body, path) = put("deleted");
        fs::remove_file(path).unwrap();
        assert!(collect(body).await.unwrap() == expected, "deleted");
        let (mut body, path) = put("truncated");
        let first = body.frame().await.unwrap().unwrap();
        File::options().write(true).open(path).unwrap().set_len(100).unwrap();
        let copied = first.into_data().unwrap().to_vec();
        let rest = collect(body).await;
        assert!(rest.is_err() && copied.len() == LEN, "nobody may believe those zeros");
        let sparse = File::create_new(folder.join("sparse")).unwrap();
        sparse.set_len(LEN as u64).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"island", 5_000_000).unwrap();
        let mut holes = vec![0; LEN];
        holes[5_000_000..5_000_006].copy_from_slice(b"island");
        let sparse = Arc::new(File::open(folder.join("sparse")).unwrap());
        assert!(collect(FileBody::whole(sparse).unwrap()).await.unwrap() == holes);
    });
}

#[test]
fn files_in_memory_and_on_disks() {
    disks::in_memory(bodies_in);
    disks::on_a_new("btrfs", bodies_in);
    disks::on_an_overlay(|folder, _| bodies_in(folder));
}

/// They are read, not mapped: nobody waits in a page fault, and a server that is gone is an error.
#[test]
fn files_on_fuse_whose_server_dies() {
    disks::on_fuse(|below, at, mut server| {
        let expected = bytes(LEN);
        fs::write(below.join("file"), &expected).unwrap();
        let open = || FileBody::whole(Arc::new(File::open(at.join("file")).unwrap())).unwrap();
        on_one_thread(async {
            assert!(collect(open()).await.unwrap() == expected);
            fs::write(below.join("cold"), &expected).unwrap();
            let cold = File::open(at.join("cold")).unwrap();
            let mut body = FileBody::whole(Arc::new(cold)).unwrap();
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(sendrail_sys::window::locate(&first).is_none(), "it is mapped");
            assert!(first == expected[..first.len()]);
            server.kill();
            let error = loop {
                match body.frame().await {
                    Some(Ok(_)) => {} // had been read ahead
                    Some(Err(error)) => break error,
                    None => panic!("the server is gone"),
                }
            };
            assert!([5, 103, 107].contains(&error.raw_os_error().unwrap()), "{error}");
        });
    });
}

/// Whoever copies comes to a page that cannot be read (SIGBUS): he reads zeros, and is told by the next frame.
#[test]
fn a_disk_that_cannot_read() {
    disks::on_an_image("ext4", |folder, image| {
        use std::os::unix::fs::FileExt;
        let expected = bytes(LEN);
        let path = folder.join("file");
        fs::write(&path, &expected).unwrap();
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        let mut all = vec![0; image.metadata().unwrap().len() as usize];
        image.read_exact_at(&mut all, 0).unwrap();
        let block = &expected[LEN / 2..LEN / 2 + 4096];
        let place = all.chunks(4096).position(|one| one == block);
        image.set_len(place.expect("it is somewhere on the disk") as u64 * 4096).unwrap();
        drop(all);
        let cold = sendrail_sys::fadvise::Advice::DontNeed;
        sendrail_sys::fadvise::fadvise(std::os::fd::AsFd::as_fd(&file), 0, 0, cold).unwrap();
        let file = Arc::new(file);
        on_one_thread(async {
            for copied in [false, true] {
                let body = FileBody::whole(Arc::clone(&file)).unwrap();
                let mut body = if copied { body.to_be_copied() } else { body };
                let error = loop {
                    match body.frame().await {
                        Some(Ok(frame)) => drop(frame.into_data().unwrap().to_vec()),
                        Some(Err(error)) => break error,
                        None => panic!("half of it cannot be read"),
                    }
                };
                println!("{error}");
                assert!(body.frame().await.is_none());
            }
        });
    });
}
