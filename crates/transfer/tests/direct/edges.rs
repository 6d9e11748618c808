//! Byte-identical delivery, wherever a range begins and ends between the blocks of the disk and the buffers.

use crate::*;
use proptest::prelude::*;
use sendrail_transfer::{Chain, Options};

const BUFFER: u64 = 512 << 10;

/// Ranges at whose edges something could be off by one.
fn edges(len: u64) -> Vec<(u64, u64)> {
    let mut all = vec![(0, len), (1, len - 1), (0, 0), (len, 0), (len - 1, 1), (BUFFER - 1, 2)];
    for at in [4096, BUFFER, (len - 1) / 4096 * 4096] {
        for offset in [at - 1, at, at + 1] {
            for count in [1, 511, 4096, 4097, BUFFER, BUFFER + 1] {
                all.push((offset, count.min(len - offset)));
            }
        }
    }
    all
}

fn deliver_edges(file: &Arc<File>, len: u64, way: Way) {
    for (offset, count) in edges(len) {
        for window in [SMALL_WINDOW, Options::default().window] {
            let range = FileRange::new(Arc::clone(file), offset, count);
            let options = Options { window, ..by(Method::Direct) };
            let (received, receipt) = deliver(pair(Kind::Tcp), chain_of(range), options, 1 << 20);
            let context = (offset, count, window, &receipt);
            assert_same(&received, &bytes_at(offset, count), &context);
            assert_eq!(receipt.methods.went(way), count > 0, "{context:?}");
            assert_eq!(receipt.copied, count, "{context:?}");
        }
    }
}

#[test]
fn every_edge_both_ways() {
    both_ways(|way| {
        // The file ends in the midst of a block, and on one.
        for len in [LEN, 4 * BUFFER] {
            deliver_edges(&file_of(len), len, way);
        }
    });
}

#[test]
fn ranges_of_several_files_follow_each_other() {
    both_ways(|way| {
        let (file, other) = (file_of(LEN), file_of(3 * BUFFER));
        let mut chain = Chain::new();
        let mut expected = Vec::new();
        for (file, offset, len) in [
            (&file, 5, 2 * BUFFER),
            (&file, 5 + 2 * BUFFER, 100), // goes on where the last one ended
            (&other, 0, 3 * BUFFER),
            (&file, 100, 10),
            (&file, LEN - BUFFER, BUFFER), // and back
            (&file, 0, BUFFER),
            (&other, 1, 1),
        ] {
            chain.push_bytes("between ");
            chain.push_file(FileRange::new(Arc::clone(file), offset, len));
            expected.extend_from_slice(b"between ");
            expected.extend(bytes_at(offset, len));
        }
        let (sender, reader) = pair(Kind::Unix);
        sender.set_send_buffer_size(30_000).unwrap();
        let (received, receipt) = deliver((sender, reader), chain, by(Method::Direct), 70_001);
        assert_same(&received, &expected, &receipt);
        assert_eq!(receipt.methods.to_string(), name(way), "{receipt}");
    });
}

#[test]
fn holes_are_zeroes_beyond_4_gib_too() {
    const FAR: u64 = 1 << 32;
    let file = sparse_file(FAR + LEN, &[(FAR + 1_000_001, 5)]);
    both_ways(|way| {
        let range = FileRange::new(Arc::clone(&file), FAR - 3, LEN + 3);
        let (received, receipt) =
            deliver(pair(Kind::Tcp), chain_of(range), by(Method::Direct), 1 << 20);
        let mut expected = vec![0; LEN as usize + 3];
        expected[1_000_004..1_000_009].copy_from_slice(&bytes_at(FAR + 1_000_001, 5));
        assert_same(&received, &expected, &receipt);
        assert_eq!(receipt.methods.to_string(), name(way), "{receipt}");
    });
}

#[test]
fn any_ranges_arrive_through_any_socket() {
    both_ways(|way| {
        let config = ProptestConfig { cases: 32, ..ProptestConfig::default() };
        proptest!(config, |(
            len in 1..3 * BUFFER,
            pieces in prop::collection::vec((0.0..1.0, 0.0..1.0), 1..6),
            window in prop_oneof![1_u64..5_000, 5_000_u64..2_000_000],
            bite in prop_oneof![500_usize..5_000, 5_000_usize..300_000],
            buffer in 1_usize..300_000,
        )| {
            let file = file_of(len);
            let mut chain = Chain::new();
            let mut expected = Vec::new();
            for (offset, count) in pieces {
                let offset = (len as f64 * offset) as u64;
                let count = ((len - offset) as f64 * count) as u64;
                // No more of them than so small windows get through in reasonable time.
                let count = count.min(200 * window);
                chain.push_file(FileRange::new(Arc::clone(&file), offset, count));
                expected.extend(bytes_at(offset, count));
            }
            let (sender, reader) = pair(Kind::Unix);
            sender.set_send_buffer_size(buffer).unwrap();
            let options = Options { window, ..by(Method::Direct) };
            let (received, receipt) = deliver((sender, reader), chain, options, bite);
            assert_same(&received, &expected, &receipt);
            prop_assert!(expected.is_empty() || receipt.methods.went(way), "{receipt}");
        });
    });
}
