//! Receptions that are left in the middle: nothing is lost, nothing is there twice, and the file says what was there.

use crate::{common::*, *};
use sendrail_transfer::{asynchronous::Receiving, receive::RangeInto};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

/// Polls it so often at the most, and drops it then.
async fn so_often<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|context| {
        if polled == times {
            return Poll::Ready(None);
        }
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => {
                context.waker().wake_by_ref(); // so that it is polled too early, too
                Poll::Pending
            }
        }
    })
    .await
}

#[test]
fn however_often_it_is_left_it_goes_on_where_it_was() {
    for method in usable() {
        for times in [1, 2, 3] {
            on_one_thread(async {
                let (socket, mut sender) = tcp().await;
                let sending = tokio::spawn(async move {
                    for piece in bytes_at(0, LEN).chunks(50_001) {
                        sender.write_all(piece).await.unwrap();
                        sleep(Duration::from_micros(200)).await; // so that there is something to wait for
                    }
                });
                let file = empty_file();
                let range = RangeInto::until_end(7);
                let mut receiving = Receiving::new(Arc::clone(&file), range, &by_method(method));
                let mut left = 0;
                let receipt = loop {
                    if let Some(receipt) = so_often(times, receiving.recv(&socket)).await {
                        break receipt.unwrap();
                    }
                    left += 1;
                    let known = receiving.received().bytes;
                    let got = contents(&file);
                    assert!(got.len() as u64 >= known, "{method}");
                    if method != ReceiveMethod::Direct {
                        let there = (got.len() as u64).saturating_sub(7);
                        assert_eq!(there, known, "{method}: all that was taken is in the file");
                    }
                    tokio::task::yield_now().await;
                };
                sending.await.unwrap();
                assert!(left > 2, "{method}: {receipt}");
                assert_same(&contents(&file)[7..], &bytes_at(0, LEN), &(method, times));
                assert_eq!(receipt.bytes, LEN, "{receipt}");
                // It has ended: another call is the same, and takes nothing.
                assert_eq!(receiving.recv(&socket).await.unwrap(), receipt);
            });
        }
    }
}

#[test]
fn who_stops_it_is_told_what_is_in_the_file_and_the_rest_is_in_the_socket() {
    for method in usable() {
        on_one_thread(async {
            let (mut socket, mut sender) = tcp().await;
            let file = empty_file();
            let range = RangeInto::until_end(0);
            let mut receiving = Receiving::new(Arc::clone(&file), range, &by_method(method));
            let some = 1_300_000; // a buffer of `direct` and a part of the next
            let sending = tokio::spawn(async move {
                sender.write_all(&bytes_at(0, some)).await.unwrap();
                sleep(Duration::from_millis(60)).await;
                sender.write_all(&bytes_at(some, LEN - some)).await.unwrap();
            });
            let cancelled = timeout(Duration::from_millis(30), receiving.recv(&socket)).await;
            assert!(cancelled.is_err());
            let receipt = receiving.stop().await.unwrap();
            let mut got = contents(&file);
            assert_eq!(got.len() as u64, receipt.bytes, "{method} {receipt}");
            assert!(receipt.bytes > 0 && receipt.bytes <= some, "{method} {receipt}");
            socket.read_to_end(&mut got).await.unwrap();
            sending.await.unwrap();
            assert_same(&got, &bytes_at(0, LEN), &method);
        });
    }
}

#[test]
fn what_is_dropped_leaves_all_that_it_took_in_the_file() {
    for method in usable() {
        on_one_thread(async {
            let (mut socket, mut sender) = tcp().await;
            let file = empty_file();
            let range = RangeInto::until_end(0);
            let mut receiving = Receiving::new(Arc::clone(&file), range, &by_method(method));
            sender.write_all(&bytes_at(0, 77_777)).await.unwrap();
            let cancelled = timeout(Duration::from_millis(30), receiving.recv(&socket)).await;
            assert!(cancelled.is_err());
            drop(receiving);
            let mut got = contents(&file);
            assert_eq!(got.len(), 77_777, "{method}");
            sender.write_all(&bytes_at(77_777, 1000)).await.unwrap();
            drop(sender);
            socket.read_to_end(&mut got).await.unwrap();
            assert_same(&got, &bytes_at(0, 78_777), &method);
        });
    }
}

/// Dropped while a thread of the pool writes, or before it has begun: either way it is written.
#[test]
fn what_a_thread_is_busy_with_is_written_too() {
    if !usable().contains(&ReceiveMethod::Direct) {
        return;
    }
    on_one_thread(async {
        let (mut socket, mut sender) = tcp().await;
        let file = empty_file();
        let options = by_method(ReceiveMethod::Direct);
        let mut receiving = Receiving::new(Arc::clone(&file), RangeInto::until_end(0), &options);
        let sending =
            tokio::spawn(async move { sender.write_all(&bytes_at(0, LEN)).await.unwrap() });
        // Until the first buffer has gone to the pool.
        while format!("{receiving:?}").contains("Here") {
            so_often(1, receiving.recv(&socket)).await;
            sleep(Duration::from_millis(1)).await;
        }
        drop(receiving);
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.unwrap();
        sending.await.unwrap();
        let first = LEN as usize - rest.len();
        while contents(&file).len() < first {
            sleep(Duration::from_millis(1)).await;
        }
        let mut got = contents(&file);
        got.extend(rest);
        assert_same(&got, &bytes_at(0, LEN), &first);
    });
}
