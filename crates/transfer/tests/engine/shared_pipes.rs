//! Large files in automatic mode go through pipes that transfers share: nothing of one may come out in another.

use crate::common::*;
use sendrail_transfer::{
    Chain, Disk, FileRange, Medium, Method, Options, Step, Transfer,
    plan::{SHARED_PIPES, SPLICE_FROM},
};
use std::sync::Arc;

const LEN: u64 = 3 * SPLICE_FROM + 12_345;

/// Whether a pipe could be had at all: a machine may not grant it.
fn piped(methods: &str) -> bool {
    if methods.split('+').any(|method| method == "splice") {
        return true;
    }
    eprintln!("skipped: no shared pipe was granted here ({methods})");
    false
}

#[test]
fn a_large_file_arrives_whole_through_a_full_socket() {
    for kind in KINDS {
        let (sender, reader) = pair(kind);
        sender.set_send_buffer_size(30_000).unwrap();
        let file = file_of(LEN);
        let mut chain = Chain::new();
        chain.push_bytes("head");
        // An odd start, so that no page of the pipe is whole at both ends.
        chain.push_file(FileRange::new(Arc::clone(&file), 777, LEN - 777).on(Medium::Disk));
        chain.push_bytes("tail");
        let (received, receipt) = deliver((sender, reader), chain, Options::default(), 70_001);
        let expected = [b"head".as_slice(), &bytes_at(777, LEN - 777), b"tail"].concat();
        assert_same(&received, &expected, &(kind, &receipt));
        assert!(receipt.socket_waits > 4, "{receipt}");
        if piped(&receipt.methods.to_string()) {
            assert_eq!(receipt.copied, 8, "{receipt}");
        }
    }
}

#[test]
fn several_large_ranges_follow_each_other() {
    let (file, other) = (file_of(LEN), file_of(2 * SPLICE_FROM));
    let mut chain = Chain::new();
    let mut expected = Vec::new();
    for (file, offset, len) in [
        (&file, 5, SPLICE_FROM + 1),
        (&other, 0, 2 * SPLICE_FROM),
        (&file, 100, 200_000), // small: not through the pipe
        (&file, LEN - SPLICE_FROM, SPLICE_FROM),
    ] {
        chain.push_file(FileRange::new(Arc::clone(file), offset, len).on(Medium::Disk));
        expected.extend(bytes_at(offset, len));
    }
    let (received, receipt) = deliver(pair(Kind::Tcp), chain, Options::default(), 1 << 20);
    assert_same(&received, &expected, &receipt);
}

/// Begins a transfer to a reader that takes nothing, so that something is left in the pipe.
fn begin_and_stop(file: &Arc<std::fs::File>) -> (Transfer, socket2::Socket, socket2::Socket) {
    let (sender, reader) = pair(Kind::Unix);
    sender.set_send_buffer_size(100_000).unwrap();
    let range = FileRange::new(Arc::clone(file), 0, LEN).on(Medium::Disk);
    let mut transfer = Transfer::new(chain_of(range), Options::default());
    let step = transfer.step(&sender, Disk::MayWait);
    assert!(matches!(step, Step::WaitSocket), "{step:?}");
    (transfer, sender, reader)
}

#[test]
fn what_an_abandoned_transfer_left_in_its_pipe_reaches_nobody() {
    let file = file_of(LEN);
    for _ in 0..3 {
        drop(begin_and_stop(&file)); // as when a connection's task is dropped
        let (transfer, ..) = begin_and_stop(&file);
        let _ = transfer.into_receipt(); // as when a client is too slow
        let other: Vec<u8> = vec![b'x'; LEN as usize];
        let others = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&others, &other, 0).unwrap();
        let chain = chain_of(whole(&Arc::new(others)).on(Medium::Disk));
        let (received, receipt) = deliver(pair(Kind::Tcp), chain, Options::default(), 1 << 20);
        assert_same(&received, &other, &receipt);
    }
}

#[test]
fn when_all_pipes_are_lent_the_rest_goes_by_sendfile() {
    let file = file_of(LEN);
    let stopped: Vec<_> = (0..SHARED_PIPES).map(|_| begin_and_stop(&file)).collect();
    if !piped(&stopped[0].0.receipt().methods.to_string()) {
        return;
    }
    // Other tests, in other threads, may hold some: at the latest this one finds none left.
    let (transfer, sender, mut reader) = begin_and_stop(&file);
    assert!(transfer.receipt().methods.contains(Method::Sendfile), "{}", transfer.receipt());
    drop(stopped);
    // And a pipe that comes free is taken by the next window.
    let mut transfer = transfer;
    let mut received = Vec::new();
    while received.len() < LEN as usize {
        read_some(&mut reader, 1 << 20, &mut received);
        let _ = transfer.step(&sender, Disk::MayWait);
    }
    assert_same(&received, &bytes_at(0, LEN), transfer.receipt());
    assert!(transfer.receipt().methods.contains(Method::Splice), "{}", transfer.receipt());
}

#[test]
fn a_file_cut_while_its_bytes_are_in_the_pipe_ends_the_transfer() {
    let file = file_of(LEN);
    let (mut transfer, sender, mut reader) = begin_and_stop(&file);
    if !piped(&transfer.receipt().methods.to_string()) {
        return;
    }
    file.set_len(4096).unwrap();
    let mut received = Vec::new();
    read_some(&mut reader, 1 << 20, &mut received);
    let step = transfer.step(&sender, Disk::MayWait);
    assert!(matches!(step, Step::Failed(_)), "{step:?}");
}
