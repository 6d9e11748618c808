//! Peers that go: before the start, in the middle, with or without a reset.

use crate::common::*;
use sendrail_sys::poll::wait_writable;
use sendrail_transfer::{Chain, Disk, Method, Options, SendError, Step, Transfer, blocking};
use socket2::Socket;
use std::{os::fd::AsFd, thread, time::Duration};

const LEN: u64 = 8 << 20;

/// Steps on until the engine notices that nobody is there; a reset takes a moment to arrive.
fn until_gone(transfer: &mut Transfer, sender: &Socket) {
    for _ in 0..10_000 {
        match transfer.step(sender, Disk::MayWait) {
            Step::PeerGone(_) => return,
            Step::Yield => {}
            Step::WaitSocket => {
                assert!(wait_writable(sender.as_fd(), Some(HANGS)).unwrap(), "never noticed");
            }
            step => panic!("{step:?}"),
        }
    }
    panic!("steps on and on");
}

/// Closes with a reset where there is such a thing.
fn reset(reader: Socket) {
    let _ = reader.set_linger(Some(Duration::ZERO));
    drop(reader);
}

#[test]
fn a_peer_that_was_never_there() {
    for kind in KINDS {
        for method in Method::ALL {
            let (sender, reader) = pair(kind);
            reset(reader);
            let mut transfer = Transfer::new(chain_of(whole(&file_of(LEN))), by(method));
            until_gone(&mut transfer, &sender);
            assert_eq!(transfer.receipt().file_bytes, LEN - transfer.remaining(), "{method}");

            let (sender, reader) = pair(kind);
            reset(reader);
            let mut chain = Chain::new();
            chain.push_bytes(vec![0; 50 << 20]);
            until_gone(&mut Transfer::new(chain, Options::default()), &sender);
        }
    }
}

#[test]
fn a_peer_that_resets_in_the_middle() {
    for kind in KINDS {
        for method in Method::ALL {
            // In mid-window and, for copy and splice, with bytes that have left the file already.
            let (sender, mut reader) = pair(kind);
            // Left to themselves the buffers may grow until all of the file is in them.
            sender.set_send_buffer_size(256 << 10).unwrap();
            reader.set_recv_buffer_size(256 << 10).unwrap();
            let mut transfer = Transfer::new(chain_of(whole(&file_of(LEN))), by(method));
            let mut received = Vec::new();
            while received.len() < 1_000_000 {
                match transfer.step(&sender, Disk::MayWait) {
                    Step::WaitSocket => drop(read_some(&mut reader, 77_777, &mut received)),
                    Step::Yield => {}
                    step => panic!("{step:?}"),
                }
            }
            reset(reader);
            until_gone(&mut transfer, &sender);
            let receipt = transfer.into_receipt();
            assert!((received.len() as u64..LEN).contains(&receipt.bytes), "{method} {receipt}");
            assert_same(&received, &bytes_at(0, received.len() as u64), &method);
        }
    }
}

#[test]
fn the_blocking_front_tells_of_a_reset() {
    let file = file_of(LEN);
    for kind in KINDS {
        for method in Method::ALL {
            for non_blocking in [true, false] {
                let (sender, mut reader) = pair(kind);
                sender.set_nonblocking(non_blocking).unwrap();
                let reader = thread::spawn(move || {
                    read_exactly(&mut reader, 100_000, &mut Vec::new());
                    reset(reader);
                });
                let sent = blocking::send(&sender, chain_of(whole(&file)), by(method));
                reader.join().unwrap();
                let error = sent.unwrap_err();
                let SendError::PeerGone { receipt, .. } = &error else { panic!("{error:?}") };
                assert!(receipt.bytes < LEN, "{error}");
                assert!(error.to_string().starts_with("the peer went away after "), "{error}");
            }
        }
    }
}
