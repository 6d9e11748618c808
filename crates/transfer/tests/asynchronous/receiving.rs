//! What is received in a task is what was sent, by every method, from senders that hurry, dawdle, stop and break.

use crate::{common::*, *};
use sendrail_transfer::{
    asynchronous::{self, RecvSocket},
    receive::{RangeInto, ReceiveFault, Refused, Why},
};
use socket2::SockRef;
use std::{fs::OpenOptions, io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

async fn arrives<R: RecvSocket>(
    socket: R,
    mut sender: impl AsyncWriteExt + Send + Unpin + 'static,
    method: ReceiveMethod,
    (chunk, offset, known): (usize, u64, bool),
) {
    let sending = tokio::spawn(async move {
        for piece in bytes_at(0, LEN).chunks(chunk) {
            sender.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let file = empty_file();
    move_position(&file);
    let range = RangeInto { offset, len: known.then_some(LEN) };
    let receipt = asynchronous::recv_file(&socket, &file, range, &by_method(method)).await.unwrap();
    sending.await.unwrap();
    let context = (method, chunk, offset, known, receipt.to_string());
    assert_eq!(rustix::fs::tell(&*file).unwrap(), 12_345, "{context:?}");
    assert_eq!((receipt.bytes, &receipt.methods[..]), (LEN, &[method][..]), "{context:?}");
    assert!(receipt.refusals.is_empty(), "{context:?}");
    let copied = match method {
        ReceiveMethod::Splice => 0..=0,
        ReceiveMethod::Buffered => 2 * LEN..=2 * LEN,
        // A head and a tail of less than a page are copied twice, however little comes at a time.
        ReceiveMethod::Direct => LEN..=LEN + 2 * PAGE,
        _ => panic!("nobody has said how often {method} copies"),
    };
    assert!(copied.contains(&receipt.copied), "{context:?}");
    let got = contents(&file);
    assert_same(&got[..offset as usize], &vec![0; offset as usize], &context);
    assert_same(&got[offset as usize..], &bytes_at(0, LEN), &context);
}

#[test]
fn every_method_from_either_socket_in_pieces_of_any_size() {
    for method in usable() {
        for how in [(70_000, 0, false), (7919, 5000, true), (1 << 20, PAGE * 3, true)] {
            on_one_thread(async {
                let (socket, sender) = tcp().await;
                arrives(socket, sender, method, how).await;
                let (socket, sender) = unix();
                arrives(socket, sender, method, how).await;
            });
        }
    }
}

#[test]
fn a_sender_that_dawdles_is_waited_for() {
    for method in usable() {
        on_one_thread(async {
            let (socket, mut sender) = tcp().await;
            let sending = tokio::spawn(async move {
                for piece in bytes_at(0, 30_000).chunks(10_000) {
                    sender.write_all(piece).await.unwrap();
                    sleep(Duration::from_millis(15)).await;
                }
            });
            let (file, range) = (empty_file(), RangeInto::new(0, 30_000));
            let options = by_method(method);
            let receipt = asynchronous::recv_file(&socket, &file, range, &options).await.unwrap();
            sending.await.unwrap();
            assert!(receipt.waits > 0, "{method} {receipt}");
            // Each wait is two calls, and a look at the beginning: who spins makes thousands.
            assert!(receipt.system_calls < 60, "{method} {receipt}");
            assert_same(&contents(&file), &bytes_at(0, 30_000), &method);
        });
    }
}

#[test]
fn what_follows_the_length_stays_in_the_stream() {
    for method in usable() {
        on_one_thread(async {
            let (mut socket, mut sender) = tcp().await;
            let sending = tokio::spawn(async move {
                sender.write_all(&bytes_at(0, LEN)).await.unwrap();
            });
            let (file, options) = (empty_file(), by_method(method));
            let mut at = 0;
            for len in [0, 1, 100_001, 2_000_000] {
                let range = RangeInto::new(at, len);
                let receipt = asynchronous::recv_file(&socket, &file, range, &options).await;
                assert_eq!(receipt.unwrap().bytes, len);
                at += len;
            }
            let mut got = contents(&file);
            socket.read_to_end(&mut got).await.unwrap();
            sending.await.unwrap();
            assert_same(&got, &bytes_at(0, LEN), &method);
        });
    }
}

#[test]
fn a_peer_that_closes_early_is_told_by_the_count_and_one_that_resets_is_the_streams_fault() {
    for method in usable() {
        on_one_thread(async {
            let (socket, mut sender) = tcp().await;
            sender.write_all(&bytes_at(0, 20_000)).await.unwrap();
            drop(sender);
            let (file, range) = (empty_file(), RangeInto::new(0, 100_000));
            let options = by_method(method);
            let error = asynchronous::recv_file(&socket, &file, range, &options).await.unwrap_err();
            let ReceiveFault::TooShort { expected: 100_000, received: 20_000 } = error.fault else {
                panic!("{method}: {error}")
            };
            assert_eq!((error.receipt.bytes, error.unwritten.len()), (20_000, 0), "{error}");
            assert_same(&contents(&file), &bytes_at(0, 20_000), &method);

            let (mut socket, mut sender) = tcp().await;
            socket.write_all(b"unread").await.unwrap(); // so that closing resets
            sender.write_all(&bytes_at(0, 20_000)).await.unwrap();
            let dropping = tokio::spawn(async move {
                sleep(Duration::from_millis(30)).await;
                drop(sender);
            });
            let file = empty_file();
            let error = asynchronous::recv_file(&socket, &file, range, &options).await.unwrap_err();
            dropping.await.unwrap();
            let ReceiveFault::Socket(fault) = &error.fault else { panic!("{method}: {error}") };
            assert_eq!(fault.kind(), io::ErrorKind::ConnectionReset, "{method}: {fault}");
            assert_eq!(error.receipt.bytes, 20_000, "what came before is in the file: {error}");
            assert_same(&contents(&file), &bytes_at(0, 20_000), &method);
        });
    }
}

#[test]
fn a_sender_that_sends_nothing_more_times_out_and_can_be_gone_on_with() {
    for method in usable() {
        on_one_thread(async {
            let (socket, mut sender) = unix();
            sender.write_all(&bytes_at(0, 9000)).await.unwrap();
            let options =
                ReceiveOptions { timeout: Some(Duration::from_millis(30)), ..by_method(method) };
            let (file, range) = (empty_file(), RangeInto::new(0, 10_000));
            let mut receiving = asynchronous::Receiving::new(Arc::clone(&file), range, &options);
            let error = receiving.recv(&socket).await.unwrap_err();
            assert!(matches!(error.fault, ReceiveFault::TimedOut), "{method} {error}");
            assert_eq!((error.receipt.bytes, receiving.received().bytes), (9000, 9000), "{error}");
            assert_same(&contents(&file), &bytes_at(0, 9000), &method);
            sender.write_all(&bytes_at(9000, 1000)).await.unwrap();
            assert_eq!(receiving.recv(&socket).await.unwrap().bytes, 10_000);
            assert_same(&contents(&file), &bytes_at(0, 10_000), &method);
        });
    }
}

#[test]
fn files_that_refuse_are_to_blame_and_what_they_did_not_take_comes_out() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        return eprintln!("skipped: no /dev/full");
    };
    on_one_thread(async {
        let (socket, mut sender) = tcp().await;
        sender.write_all(b"no room").await.unwrap();
        let options = by_method(ReceiveMethod::Buffered);
        let full = Arc::new(full);
        let range = RangeInto::new(0, 7);
        let error = asynchronous::recv_file(&socket, &full, range, &options).await.unwrap_err();
        assert!(matches!(error.fault, ReceiveFault::File { offset: 0, .. }), "{error}");
        assert_eq!(error.unwritten, b"no room");

        // Nothing is taken for a file that cannot be written to.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::write(folder.path().join("log"), "before, ").unwrap();
        let read_only = Arc::new(File::open(folder.path().join("log")).unwrap());
        sender.write_all(b"after").await.unwrap();
        let range = RangeInto::new(8, 5);
        let refused = asynchronous::recv_file(&socket, &read_only, range, &options).await;
        assert!(matches!(refused.unwrap_err().fault, ReceiveFault::File { .. }));
        let append = OpenOptions::new().append(true).open(folder.path().join("log")).unwrap();
        let (append, options) = (Arc::new(append), by_method(ReceiveMethod::Splice));
        let receipt = asynchronous::recv_file(&socket, &append, range, &options).await.unwrap();
        let refused = Refused { method: ReceiveMethod::Splice, why: Why::Append };
        assert_eq!(receipt.refusals, [refused]);
        assert_eq!(std::fs::read(folder.path().join("log")).unwrap(), b"before, after");
    });
}

/// The future can go to another thread.
#[test]
fn it_can_be_spawned() {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (socket, mut sender) = tcp().await;
        let file = empty_file();
        let target = Arc::clone(&file);
        let receiving = tokio::spawn(async move {
            let range = RangeInto::until_end(0);
            asynchronous::recv_file(&socket, &target, range, &by_method(ReceiveMethod::Direct))
                .await
        });
        sender.write_all(&bytes_at(0, LEN)).await.unwrap();
        drop(sender);
        let receipt = timeout(HANGS, receiving).await.unwrap().unwrap().unwrap();
        assert_same(&contents(&file), &bytes_at(0, LEN), &receipt);
    });
}

/// splice(2) has no flag against waiting for a TCP socket: it would hold up the thread and all its tasks.
#[test]
fn a_socket_in_blocking_mode_is_refused() {
    for method in ReceiveMethod::ALL {
        let refused = on_one_thread(async {
            let (sender, socket) = tcp().await;
            // The tests of sending say how a runtime comes by one.
            SockRef::from(&socket).set_nonblocking(false).unwrap();
            let ending = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(300)); // else it waits for ever
                drop(sender);
            });
            let file = empty_file();
            let range = RangeInto::until_end(0);
            let outcome = asynchronous::recv_file(&socket, &file, range, &by_method(method)).await;
            ending.join().unwrap();
            outcome
        });
        let error = refused.expect_err(method.name());
        let ReceiveFault::Socket(why) = error.fault else { panic!("{method}: {error:?}") };
        assert_eq!(why.kind(), io::ErrorKind::InvalidInput, "{method}");
    }
}
