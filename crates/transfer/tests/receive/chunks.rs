//! Whatever the offset, the length and the pieces in which it comes.

use crate::{common::*, *};
use proptest::prelude::*;
use sendrail_transfer::receive::{RangeInto, recv_file};

fn streams() -> impl Strategy<Value = Stream> {
    prop_oneof![Just(Stream::Tcp), Just(Stream::Unix), Just(Stream::Pipe)]
}

fn methods() -> impl Strategy<Value = ReceiveMethod> {
    prop_oneof![
        Just(ReceiveMethod::Splice),
        Just(ReceiveMethod::Buffered),
        Just(ReceiveMethod::Direct)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_range_has_the_bytes_and_the_rest_is_as_it_was(
        method in methods(),
        kind in streams(),
        nonblocking: bool,
        offset in prop_oneof![0..10_u64, 4090..4100_u64, 0..300_000_u64],
        len in prop_oneof![0..10_u64, 4090..4100_u64, 60_000..70_000_u64, 0..2_500_000_u64],
        beyond in 0..5000_u64,
        known: bool,
        chunk in prop_oneof![500..5000_usize, 5000..2_000_000_usize],
    ) {
        let sent = bytes_at(7, len + if known { beyond } else { 0 });
        let (sender, reader) = stream(kind);
        if nonblocking {
            set_nonblocking(&reader, true);
        }
        let sending = send_all(sender, sent.clone(), chunk);
        let file = file_of(400_000);
        let mut expected = bytes_at(0, 400_000);
        expected.resize(expected.len().max((offset + len) as usize), 0);
        expected[offset as usize..][..len as usize].copy_from_slice(&sent[..len as usize]);

        let range = RangeInto { offset, len: known.then_some(len) };
        let receipt = recv_file(&reader, &file, range, &by_method(method)).unwrap();
        prop_assert_eq!(receipt.bytes, len);
        if known {
            let mut rest = Vec::new();
            set_nonblocking(&reader, false);
            File::from(reader).read_to_end(&mut rest).unwrap();
            assert_same(&rest, &sent[len as usize..], &"the rest of the stream");
        }
        sending.join().unwrap();
        let got = contents(&file);
        // Offsets that lie beyond the end leave no more than was written.
        if len == 0 {
            expected.truncate(400_000);
        }
        assert_same(&got, &expected, &(method, kind, nonblocking, offset, len, known));
    }
}
