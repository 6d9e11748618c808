//! Appending: batches, limits, segments, and one process at a time.

use crate::common::*;
use proptest::prelude::*;
use sendrail_segment_log::{AppendError, HEADER, Log, OpenError, Options};
use std::fs;

#[test]
fn an_append_is_in_one_segment_and_all_of_it_or_nothing() {
    let folder = folder();
    let options = Options { append_bytes: 10_000, ..tiny() };
    let log = Log::open(folder.path(), options.clone()).unwrap();
    append_until(&log, 10, 10);
    let lengthy = vec![7; 9000];
    assert_eq!(log.append([&lengthy[..]]).unwrap().first, 10, "longer than a segment");
    let before = log.bytes();

    let too_long = [&b"small"[..], &vec![7; 10_000 - HEADER - 20]];
    let error = log.append(too_long).unwrap_err();
    assert!(matches!(error, AppendError::TooLong { most: 10_000 }), "{error}");
    assert_eq!((log.end(), log.bytes()), (11, before), "nothing of it is there");

    assert_eq!(log.append([]).unwrap().next, 11, "nothing is appended");
    assert_eq!(log.append([&b""[..], b""]).unwrap().next, 13, "and two records of nothing");
    let lens: Vec<_> =
        segments(folder.path()).iter().map(|path| path.metadata().unwrap().len()).collect();
    assert_eq!(lens[1..], [9016, 32]);
    drop(log);
    let log = Log::open(folder.path(), options).unwrap();
    assert_eq!(log.end(), 13);
}

#[test]
fn one_process_has_it_open() {
    let folder = folder();
    let log = Log::open(folder.path(), tiny()).unwrap();
    append_until(&log, 5, 1);
    let error = Log::open(folder.path(), tiny()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(folder.path().to_str().unwrap()));
    append_until(&log, 10, 1);
    drop(log);
    assert_eq!(look_through(&Log::open(folder.path(), tiny()).unwrap(), 1000), 0..10);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for options in [
        Options { segment_bytes: 0, ..Options::default() },
        Options { segment_bytes: 3 << 30, ..Options::default() },
        Options { index_interval: 0, ..Options::default() },
        Options { append_bytes: 2 << 30, ..Options::default() },
    ] {
        let folder = folder();
        let error = Log::open(folder.path(), options).unwrap_err();
        assert!(matches!(error, OpenError::Options(_)), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was touched");
    }
}

#[test]
fn what_is_no_directory_is_refused() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("log"), folder.path().join("no/such")] {
        let error = Log::open(&path, tiny()).unwrap_err();
        assert!(matches!(error, OpenError::Io { .. }), "{error}");
    }
    let made = folder.path().join("made");
    assert_eq!(Log::open(&made, tiny()).unwrap().end(), 0);
    assert!(made.join("00000000000000000000.log").exists());
}

#[test]
fn other_files_are_in_nobodys_way() {
    let folder = filled(&tiny(), 50);
    for name in ["notes.txt", "1.log", "0000000000000000000x.log", "00000000000000000007.log.old"] {
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    let log = Log::open(folder.path(), tiny()).unwrap();
    assert_eq!(look_through(&log, 1000), 0..50);
    assert_eq!(fs::read(folder.path().join("1.log")).unwrap(), b"mine");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn whatever_is_appended_is_fetched_before_and_after_opening_anew(
        batches in prop::collection::vec((1..9_u64, any::<bool>()), 1..40),
        segment_bytes in 1..6000_u64,
        index_interval in 1..2000_u64,
        tail_bytes in 0..3000_usize,
        max_bytes in 0..9000_u64,
        every in any::<bool>(),
    ) {
        let folder = folder();
        let options = Options { segment_bytes, index_interval, tail_bytes, ..Options::default() };
        let options = if every { on_disk(&options) } else { options };
        let mut log = Log::open(folder.path(), options.clone()).unwrap();
        let mut end = 0;
        for (count, reopens) in batches {
            end += count;
            append_until(&log, end, count);
            if reopens {
                drop(log);
                log = Log::open(folder.path(), options.clone()).unwrap();
                let recovery = log.recovery();
                prop_assert!(recovery.torn.is_none() && recovery.rebuilt.is_empty(), "{}", recovery);
                prop_assert_eq!(recovery.records, end);
            }
            prop_assert_eq!(look_through(&log, max_bytes), 0..end);
        }
    }
}
