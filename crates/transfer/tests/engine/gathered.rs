//! Chains of several small ranges, gathered into one send: what is, what is not, and full sockets.

use crate::{common::*, full_sockets::fill};
use proptest::prelude::*;
use sendrail_sys::poll::wait_readable;
use sendrail_transfer::{Chain, Disk, FileRange, Medium, Method, Options, Step, Transfer};
use std::{fs::File, os::fd::AsFd, sync::Arc, time::Duration};

pub(crate) const PART: u64 = 4 << 10;
pub(crate) const FILE: u64 = 4 << 20;
/// Far enough apart that one part's pages are no other's.
pub(crate) const STARTS: [u64; 4] = [100, 1_000_003, 2_000_000, 3_500_000];
/// More than is read in vain when the socket is full at the wrong moment.
const RUN: u64 = 80 << 10;

/// An answer of four ranges: its chain, and what must arrive behind the head.
pub(crate) fn parts(file: &Arc<File>, medium: Medium, len: u64) -> (Chain, Vec<u8>) {
    let (mut chain, mut expected) = (Chain::new(), Vec::new());
    for (number, start) in STARTS.iter().enumerate() {
        let head = format!("\r\n--boundary\r\nPart: {number}\r\n\r\n");
        expected.extend_from_slice(head.as_bytes());
        expected.extend(bytes_at(*start, len));
        chain.push_bytes(head);
        chain.push_file(FileRange::new(Arc::clone(file), *start, len).on(medium));
    }
    chain.push_bytes("\r\n--boundary--\r\n");
    expected.extend_from_slice(b"\r\n--boundary--\r\n");
    (chain, expected)
}

pub(crate) const HEAD: &[u8] = b"HTTP/1.1 206 Partial Content\r\n\r\n";

#[test]
fn four_small_ranges_cost_four_reads_and_one_send() {
    let file = file_of(FILE);
    for kind in KINDS {
        for disk in [Disk::MustNotWait, Disk::MayWait] {
            let (sender, mut reader) = pair(kind);
            let (chain, expected) = parts(&file, Medium::Disk, PART);
            let mut transfer = Transfer::new(chain, Options::default());
            transfer.socket_is_nonblocking(); // else it would be asked
            let step = transfer.begin(&sender, HEAD, disk);
            assert!(matches!(step, Step::Done), "{kind:?} {disk:?} {step:?}");
            let receipt = transfer.into_receipt();
            assert_eq!(receipt.system_calls, 4 + 1, "{kind:?} {disk:?} {receipt}");
            assert_eq!(receipt.bytes, (HEAD.len() + expected.len()) as u64);
            assert_eq!(receipt.file_bytes, 4 * PART);
            // Every byte once by the send, those of the file once more by their read.
            assert_eq!(receipt.copied, receipt.bytes + 4 * PART);
            assert_eq!(receipt.methods.to_string(), "copy");
            assert_eq!((receipt.cold, receipt.socket_waits, receipt.disk_waits), (0, 0, 0));
            let mut received = Vec::new();
            read_rest(&sender, &mut reader, &mut received);
            assert_same(&received, &[HEAD, &expected].concat(), &(kind, disk));
        }
    }
}

/// On loopback what has left is there at once; what MSG_MORE holds back comes after 200 ms. A test
/// thread may be held up for as long, but not every time.
#[test]
fn the_end_of_the_message_is_not_held_back() {
    let file = file_of(FILE);
    let at_once = (0..5).any(|_| {
        let (sender, reader) = pair(Kind::Tcp);
        let (chain, _) = parts(&file, Medium::Disk, PART);
        let step = Transfer::new(chain, Options::default()).begin(&sender, HEAD, Disk::MayWait);
        assert!(matches!(step, Step::Done), "{step:?}");
        wait_readable(reader.as_fd(), Some(Duration::ZERO)).unwrap()
    });
    assert!(at_once);
}

#[test]
fn without_a_head_of_its_own_a_chain_is_gathered_all_the_same() {
    let file = file_of(FILE);
    let (chain, expected) = parts(&file, Medium::Disk, PART);
    let (received, receipt) = deliver(pair(Kind::Tcp), chain, Options::default(), 1 << 20);
    assert_same(&received, &expected, &receipt);
    assert_eq!(receipt.system_calls, 4 + 1, "{receipt}");
}

#[test]
fn what_is_single_or_large_or_forced_is_not_gathered() {
    let file = file_of(FILE);
    let one = || {
        let mut chain = Chain::new();
        chain.push_bytes("before");
        chain.push_file(FileRange::new(Arc::clone(&file), 5, PART).on(Medium::Disk));
        chain.push_bytes("behind");
        chain
    };
    let (_, receipt) = deliver(pair(Kind::Tcp), one(), Options::default(), 1 << 20);
    assert_eq!((receipt.methods.to_string().as_str(), receipt.copied), ("sendfile", 12));
    // cork, bytes, a look, sendfile, bytes, uncork
    assert_eq!(receipt.system_calls, 6, "{receipt}");

    let (chain, _) = parts(&file, Medium::Disk, 200_000);
    let (_, receipt) = deliver(pair(Kind::Tcp), chain, Options::default(), 1 << 20);
    assert_eq!(receipt.methods.to_string(), "sendfile");

    for method in Method::ALL {
        let (chain, expected) = parts(&file, Medium::Disk, PART);
        let (received, receipt) = deliver(pair(Kind::Tcp), chain, by(method), 1 << 20);
        assert_same(&received, &expected, &method);
        assert_eq!(receipt.methods.to_string(), method.name());
        let in_memory = expected.len() as u64 - 4 * PART;
        assert_eq!(receipt.copied, in_memory + 4 * PART * copies(method), "{method}");
    }
}

#[test]
fn a_large_range_among_small_ones_goes_its_own_way() {
    let file = file_of(FILE);
    let (mut chain, first) = parts(&file, Medium::Disk, PART);
    chain.push_file(FileRange::new(Arc::clone(&file), 7, 900_000).on(Medium::Disk));
    let (behind, last) = parts(&file, Medium::Disk, PART);
    for segment in behind.segments() {
        chain.push(segment.clone());
    }
    let expected = [first, bytes_at(7, 900_000), last].concat();
    for kind in KINDS {
        let (received, receipt) = deliver(pair(kind), chain.clone(), Options::default(), 1 << 20);
        assert_same(&received, &expected, &receipt);
        assert_eq!(receipt.methods.to_string(), "copy+sendfile", "{kind:?}");
        assert_eq!(receipt.file_bytes, 900_000 + 8 * PART);
    }
}

#[test]
fn a_window_bounds_a_run_too() {
    let file = file_of(FILE);
    let (chain, expected) = parts(&file, Medium::Disk, PART);
    let options = Options { window: 2 * PART + 200, ..Options::default() };
    let (sender, mut reader) = pair(Kind::Tcp);
    let mut transfer = Transfer::new(chain, options);
    assert!(matches!(transfer.step(&sender, Disk::MayWait), Step::Yield));
    let sent = transfer.receipt().bytes;
    assert!((2 * PART..=2 * PART + 200).contains(&sent), "{sent}");
    let mut received = Vec::new();
    let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
    assert!(matches!(end, End::Done), "{end:?}");
    read_rest(&sender, &mut reader, &mut received);
    assert_same(&received, &expected, &());
}

#[test]
fn short_counts_and_eagain_at_every_point_of_a_run() {
    let file = file_of(FILE);
    for kind in KINDS {
        for bite in [1, 100, 1_777, 5_000] {
            let (sender, mut reader) = pair(kind);
            tiny_buffer(&sender);
            reader.set_recv_buffer_size(3_000).unwrap();
            let (chain, expected) = parts(&file, Medium::Disk, 3 * PART);
            let mut transfer = Transfer::new(chain, Options::default());
            let step = transfer.begin(&sender, HEAD, Disk::MayWait);
            assert!(matches!(step, Step::WaitSocket), "{kind:?} {step:?}");
            let mut received = Vec::new();
            let end = drive(&mut transfer, &sender, &mut reader, bite, &mut received);
            assert!(matches!(end, End::Done), "{end:?}");
            read_rest(&sender, &mut reader, &mut received);
            let receipt = transfer.into_receipt();
            assert_same(&received, &[HEAD, &expected].concat(), &(kind, bite, &receipt));
            assert_eq!(receipt.bytes, received.len() as u64);
            assert_eq!(receipt.file_bytes, 4 * 3 * PART);
            // What the full socket left was copied in vain, once; the rest goes by sendfile.
            let most = receipt.bytes + 4 * 3 * PART;
            assert!(receipt.copied <= most, "{kind:?} {bite} {receipt}");
            assert!(receipt.methods.contains(Method::Sendfile), "{kind:?} {bite} {receipt}");
        }
    }
}

#[test]
fn a_socket_that_is_full_from_the_start_loses_nothing_of_a_run() {
    let file = file_of(FILE);
    for head in [&b""[..], HEAD] {
        let (mut sender, mut reader) = pair(Kind::Unix);
        let filled = fill(&mut sender);
        let (chain, expected) = parts(&file, Medium::Disk, PART);
        let mut transfer = Transfer::new(chain, Options::default());
        for _ in 0..3 {
            let step = transfer.step(&sender, Disk::MustNotWait);
            assert!(matches!(step, Step::WaitSocket), "{step:?}");
        }
        let receipt = transfer.receipt();
        assert_eq!((receipt.bytes, receipt.file_bytes), (0, 0));
        assert!(receipt.methods.is_empty(), "{receipt}");
        assert_eq!(receipt.copied, 4 * PART, "read once, in vain: {receipt}");
        let mut again = Transfer::new(parts(&file, Medium::Disk, PART).0, Options::default());
        assert!(matches!(again.begin(&sender, head, Disk::MustNotWait), Step::WaitSocket));
        assert_eq!(again.remaining(), (head.len() + expected.len()) as u64);

        let mut received = Vec::new();
        read_exactly(&mut reader, filled, &mut received);
        received.clear();
        for transfer in [&mut transfer, &mut again] {
            let end = drive(transfer, &sender, &mut reader, 9_999, &mut received);
            assert!(matches!(end, End::Done), "{end:?}");
        }
        read_rest(&sender, &mut reader, &mut received);
        assert_same(&received, &[&expected, head, &expected].concat(), &());
    }
}

#[test]
fn a_peer_that_is_gone_is_no_fault_of_the_file() {
    let (sender, reader) = pair(Kind::Unix);
    drop(reader);
    let (chain, _) = parts(&file_of(FILE), Medium::Disk, PART);
    let mut transfer = Transfer::new(chain, Options::default());
    let step = transfer.begin(&sender, HEAD, Disk::MustNotWait);
    assert!(matches!(step, Step::PeerGone(_)), "{step:?}");
    assert_eq!(transfer.receipt().bytes, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_mixture_of_pieces_arrives_whole(
        pieces in prop::collection::vec(
            (any::<bool>(), prop_oneof![1_u64..6_000, 16_000_u64..17_000], 0_u64..3_000_000), 0..70,
        ),
        window in prop_oneof![200_u64..30_000, Just(Options::default().window)],
        bite in 500_usize..100_000,
        tiny in any::<bool>(),
        kind in prop::sample::select(&KINDS[..]),
        head in 0_usize..20_000,
    ) {
        let file = file_of(FILE);
        let head: Vec<u8> = (0..head).map(|at| byte_at(at as u64 + 99)).collect();
        let (mut chain, mut expected, mut from_files) = (Chain::new(), head.clone(), 0);
        for (in_file, len, start) in pieces {
            expected.extend(bytes_at(start, len));
            if in_file {
                chain.push_file(FileRange::new(Arc::clone(&file), start, len));
                from_files += len;
            } else {
                chain.push_bytes(bytes_at(start, len));
            }
        }
        let (sender, mut reader) = pair(kind);
        if tiny {
            tiny_buffer(&sender);
        }
        let mut transfer = Transfer::new(chain, Options { window, ..Options::default() });
        let mut received = Vec::new();
        if !head.is_empty() {
            let step = transfer.begin(&sender, &head, Disk::MayWait);
            prop_assert!(!matches!(step, Step::PeerGone(_) | Step::Failed(_) | Step::WaitDisk));
        }
        let end = drive(&mut transfer, &sender, &mut reader, bite, &mut received);
        prop_assert!(matches!(end, End::Done));
        read_rest(&sender, &mut reader, &mut received);
        assert_same(&received, &expected, &());
        let receipt = transfer.into_receipt();
        prop_assert_eq!(receipt.bytes, expected.len() as u64);
        prop_assert_eq!(receipt.file_bytes, from_files);
        let in_memory = receipt.bytes - from_files;
        prop_assert!(receipt.copied >= in_memory);
        prop_assert!(receipt.copied <= in_memory + 2 * from_files + RUN);
    }
}
