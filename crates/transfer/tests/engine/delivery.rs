//! Byte-identical delivery: every method, every length at which something could be off by one, any
//! chain.

use crate::common::*;
use proptest::prelude::*;
use sendrail_transfer::{Chain, FileRange, Method, Options};
use std::{fs::File, sync::Arc};

fn check_lengths(window: u64, lengths: &[u64]) {
    let longest = *lengths.iter().max().unwrap();
    // Three bytes longer than any range, so that none ends where the file does but the last.
    let file = file_of(longest + 3);
    move_position(&file);
    for kind in KINDS {
        for method in usable_methods() {
            for (offset, len) in lengths.iter().flat_map(|len| [(0, *len), (3, *len)]) {
                let options = Options { window, ..by(method) };
                let range = FileRange::new(Arc::clone(&file), offset, len);
                let context = (kind, method, offset, len);
                let (received, receipt) = deliver(pair(kind), chain_of(range), options, 1 << 20);
                assert_same(&received, &bytes_at(offset, len), &context);
                assert_eq!(receipt.file_bytes, len, "{context:?}");
                assert_copied(&receipt, 0, len, method, &context);
                assert_eq!(receipt.methods.contains(method), len > 0, "{context:?}");
                assert_eq!(refused_methods(&receipt), [], "{context:?}");
            }
        }
    }
}

#[test]
fn lengths_around_pages_and_small_windows() {
    let (page, window) = (PAGE, SMALL_WINDOW);
    let around = |at: u64| [at - 1, at, at + 1];
    let lengths = [[0, 1, 2], around(page), around(window), around(3 * window)].concat();
    check_lengths(window, &lengths);
}

#[test]
fn lengths_around_the_default_window() {
    let window = Options::default().window;
    check_lengths(window, &[window - 1, window, window + 1]);
}

#[test]
fn a_window_of_one_byte_still_arrives() {
    let file = file_of(500);
    for method in Method::ALL {
        for window in [0, 1] {
            let options = Options { window, ..by(method) };
            let (received, _) = deliver(pair(Kind::Tcp), chain_of(whole(&file)), options, 4096);
            assert_same(&received, &bytes_at(0, 500), &(method, window));
        }
    }
}

#[test]
fn an_empty_chain_is_done_without_a_system_call() {
    let (received, receipt) = deliver(pair(Kind::Tcp), Chain::new(), Options::default(), 1);
    assert_eq!((received.len(), receipt.system_calls), (0, 0));
}

#[test]
fn offsets_beyond_4_gib() {
    const GIB: u64 = 1 << 30;
    let file = sparse_file(
        6 * GIB,
        &[(4 * GIB - 100_000, 200_000), (5 * GIB - 100_000, 200_000), (6 * GIB - 5, 5)],
    );
    for method in Method::ALL {
        for window in [SMALL_WINDOW, Options::default().window] {
            for (offset, len) in [
                (4 * GIB - 100_000, 200_000),
                (4 * GIB - 1, 2),
                (5 * GIB - 3, 99_999),
                (6 * GIB - 5, 5),
            ] {
                let range = FileRange::new(Arc::clone(&file), offset, len);
                let options = Options { window, ..by(method) };
                let (received, _) = deliver(pair(Kind::Tcp), chain_of(range), options, 1 << 20);
                assert_same(&received, &bytes_at(offset, len), &(method, offset, len));
            }
        }
    }
}

/// A piece of a chain, before there are files.
#[derive(Debug, Clone)]
enum Piece {
    Bytes(usize),
    File { which: usize, offset: u64, len: u64 },
}

const FILES: [u64; 3] = [1, 5_000, 200_000];

fn piece() -> impl Strategy<Value = Piece> {
    let file = (0..FILES.len()).prop_flat_map(|which| {
        (Just(which), 0..FILES[which]).prop_flat_map(|(which, offset)| {
            (0..=FILES[which] - offset).prop_map(move |len| Piece::File { which, offset, len })
        })
    });
    prop_oneof![(0_usize..3_000).prop_map(Piece::Bytes), file]
}

fn method() -> impl Strategy<Value = Option<Method>> {
    prop_oneof![Just(None), prop::sample::select(&Method::ALL[..]).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_chain_arrives_whole(
        // More pieces than one sendmsg(2) gathers.
        pieces in prop::collection::vec(piece(), 0..40),
        method in method(),
        window in prop_oneof![200_u64..5_000, 5_000_u64..300_000],
        bite in prop_oneof![500_usize..5_000, 5_000_usize..300_000],
        tiny in any::<bool>(),
        kind in prop::sample::select(&KINDS[..]),
    ) {
        let files: Vec<Arc<File>> = FILES.iter().map(|len| file_of(*len)).collect();
        let mut chain = Chain::new();
        let mut expected = Vec::new();
        let mut from_files = 0;
        for piece in &pieces {
            match piece {
                Piece::Bytes(len) => {
                    let bytes: Vec<u8> = (0..*len).map(|at| !byte_at(at as u64)).collect();
                    expected.extend_from_slice(&bytes);
                    chain.push_bytes(bytes);
                }
                Piece::File { which, offset, len } => {
                    expected.extend(bytes_at(*offset, *len));
                    from_files += len;
                    chain.push_file(FileRange::new(Arc::clone(&files[*which]), *offset, *len));
                }
            }
        }
        let (sender, reader) = pair(kind);
        if tiny {
            tiny_buffer(&sender);
        }
        let options = Options { method, window, ..Options::default() };
        let (received, receipt) = deliver((sender, reader), chain, options, bite);
        assert_same(&received, &expected, &());
        prop_assert_eq!(receipt.file_bytes, from_files);
        let in_memory = expected.len() as u64 - from_files;
        match method {
            Some(method) => {
                prop_assert_eq!(receipt.copied, in_memory + from_files * copies(method));
            }
            // What was gathered was copied; see the tests of that.
            None => prop_assert!(receipt.copied >= in_memory),
        }
    }
}
