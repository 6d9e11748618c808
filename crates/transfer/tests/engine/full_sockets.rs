//! Sockets that are full: short counts, EAGAIN at every point, readers that stop, time limits.

use crate::common::*;
use sendrail_transfer::{
    Chain, Disk, FileRange, Method, Options, SendError, Step, Transfer, blocking,
};
use socket2::Socket;
use std::{
    io::Write,
    net::Shutdown,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// `bytes`, a file, `bytes`: all that can come before and behind a file.
fn sandwich(len: u64) -> (Chain, Vec<u8>) {
    let mut chain = Chain::new();
    chain.push_bytes(vec![b'<'; 3_000]);
    chain.push_file(whole(&file_of(len)));
    chain.push_bytes(vec![b'>'; 3_000]);
    (chain, [vec![b'<'; 3_000], bytes_at(0, len), vec![b'>'; 3_000]].concat())
}

#[test]
fn short_counts_and_eagain_at_every_point() {
    for kind in KINDS {
        for method in Method::ALL {
            for (bite, len) in [(100, 200_000), (1_777, 500_000)] {
                let (sender, reader) = pair(kind);
                tiny_buffer(&sender);
                reader.set_recv_buffer_size(50_000).unwrap();
                let (chain, expected) = sandwich(len);
                let (received, receipt) = deliver((sender, reader), chain, by(method), bite);
                let context = (kind, method, bite, &receipt);
                assert_same(&received, &expected, &context);
                assert!(receipt.socket_waits > 4, "{context:?}");
                // What was read once is not read again: short counts must not cost copies.
                assert_copied(&receipt, 6_000, len, method, &context);
            }
        }
    }
}

/// Fills the socket to the brim and says with how many bytes.
pub(crate) fn fill(sender: &mut Socket) -> u64 {
    let mut filled = 0;
    while let Ok(count) = sender.write(&[b'.'; 4_096]) {
        filled += count as u64;
    }
    // A large write may not fit where a small one does.
    while let Ok(count) = sender.write(b".") {
        filled += count as u64;
    }
    filled
}

/// A Unix socket stays full until its peer reads. On a busy machine TCP may deliver what was in
/// flight a moment later, and take more.
fn stays_full(kind: Kind, step: &Step) -> bool {
    match step {
        Step::WaitSocket => true,
        Step::Yield | Step::Done => kind == Kind::Tcp,
        Step::WaitDisk | Step::PeerGone(_) | Step::Failed(_) => false,
    }
}

#[test]
fn a_socket_that_is_full_from_the_start_takes_nothing_and_loses_nothing() {
    for kind in KINDS {
        for method in Method::ALL {
            for head in [&b""[..], b"a head"] {
                let (mut sender, mut reader) = pair(kind);
                let filled = fill(&mut sender);
                let mut transfer = Transfer::new(chain_of(whole(&file_of(200_000))), by(method));
                if !head.is_empty() {
                    let step = transfer.begin(&sender, head, Disk::MayWait);
                    assert!(stays_full(kind, &step), "{kind:?} {method} {step:?}");
                }
                for _ in 0..3 {
                    let step = transfer.step(&sender, Disk::MayWait);
                    assert!(stays_full(kind, &step), "{kind:?} {method} {step:?}");
                }
                let bytes = transfer.receipt().bytes;
                assert!(bytes == 0 || kind == Kind::Tcp, "{method} {bytes}");
                assert_eq!(transfer.remaining() + bytes, head.len() as u64 + 200_000);
                let mut received = Vec::new();
                read_exactly(&mut reader, filled, &mut received);
                received.clear();
                let end = drive(&mut transfer, &sender, &mut reader, 9_999, &mut received);
                assert!(matches!(end, End::Done), "{end:?}");
                read_rest(&sender, &mut reader, &mut received);
                let expected = [head, &bytes_at(0, 200_000)].concat();
                assert_same(&received, &expected, &(kind, method));
            }
        }
    }
}

#[test]
fn begin_sends_the_head_first_and_in_part_if_need_be() {
    for head_len in [0, 1, 100, 100_000, 5_000_000] {
        for chain_len in [0, 1, 100_000] {
            let (sender, mut reader) = pair(Kind::Tcp);
            let head = vec![b'h'; head_len];
            let range = FileRange::new(file_of(100_000), 0, chain_len);
            let mut transfer = Transfer::new(chain_of(range), Options::default());
            let mut received = Vec::new();
            let step = transfer.begin(&sender, &head, Disk::MayWait);
            assert!(!matches!(step, Step::PeerGone(_) | Step::Failed(_)), "{step:?}");
            let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
            assert!(matches!(end, End::Done), "{end:?}");
            read_rest(&sender, &mut reader, &mut received);
            let expected = [head, bytes_at(0, chain_len)].concat();
            assert_same(&received, &expected, &(head_len, chain_len));
            assert_eq!(transfer.receipt().bytes, expected.len() as u64);
        }
    }
}

/// Reads all, and says what came.
fn reading(mut reader: Socket, stop_for: Duration) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut received = Vec::new();
        read_exactly(&mut reader, 50_000, &mut received);
        thread::sleep(stop_for);
        while read_some(&mut reader, 1 << 20, &mut received) > 0 {}
        received
    })
}

#[test]
fn the_blocking_front_sends_through_a_reader_that_stops_for_two_seconds() {
    const LEN: u64 = 12 << 20;
    let file = file_of(LEN);
    let mut senders = Vec::new();
    for kind in KINDS {
        for method in Method::ALL {
            for non_blocking in [true, false] {
                let file = Arc::clone(&file);
                senders.push(thread::spawn(move || {
                    let (sender, reader) = pair(kind);
                    sender.set_nonblocking(non_blocking).unwrap();
                    let reader = reading(reader, Duration::from_secs(2));
                    let options = Options { send_timeout: Some(HANGS), ..by(method) };
                    let receipt = blocking::send(&sender, chain_of(whole(&file)), options).unwrap();
                    sender.shutdown(Shutdown::Write).unwrap();
                    let context = (kind, method, non_blocking, &receipt);
                    assert_same(&reader.join().unwrap(), &bytes_at(0, LEN), &context);
                    assert_eq!(receipt.bytes, LEN, "{context:?}");
                    // A spin would make hundreds of thousands in that time.
                    assert!(receipt.system_calls < 20_000, "{context:?}");
                    // A blocking socket waits inside its calls, unless something interrupts one:
                    // a signal, or a completion of io_uring's.
                    let waits = receipt.socket_waits > 0;
                    assert!(waits == non_blocking || method == Method::Direct, "{context:?}");
                }));
            }
        }
    }
    for sender in senders {
        sender.join().unwrap();
    }
}

#[test]
fn a_peer_that_takes_nothing_runs_into_the_send_timeout() {
    const LEN: u64 = 16 << 20;
    let file = file_of(LEN);
    for kind in KINDS {
        for method in Method::ALL {
            for non_blocking in [true, false] {
                let (sender, mut reader) = pair(kind);
                sender.set_nonblocking(non_blocking).unwrap();
                let before = Some(Duration::from_secs(77));
                sender.set_write_timeout(before).unwrap();
                let send_timeout = Some(Duration::from_millis(60));
                let options = Options { send_timeout, ..by(method) };
                let started = Instant::now();
                let error = blocking::send(&sender, chain_of(whole(&file)), options).unwrap_err();
                let context = (kind, method, non_blocking, &error);
                let SendError::TimedOut { receipt } = &error else { panic!("{context:?}") };
                assert!(started.elapsed() < HANGS, "{context:?}");
                assert_eq!(sender.write_timeout().unwrap(), before, "put back, {context:?}");
                // What the receipt calls sent is exactly what arrives.
                assert!(receipt.bytes > 0 && receipt.bytes < LEN, "{context:?}");
                assert!(receipt.system_calls < 5_000, "{context:?}");
                let mut received = Vec::new();
                read_rest(&sender, &mut reader, &mut received);
                assert_same(&received, &bytes_at(0, receipt.bytes), &context);
            }
        }
    }
}
