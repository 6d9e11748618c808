//! Torn tails: the last segment is cut at every byte, and filled up with zeros or garbage. What was whole before is there, nothing
//! else is, and appending goes on.

use crate::common::*;
use sendrail_segment_log::{HEADER, Log, Options};
use std::fs::{self, OpenOptions};

/// Bytes of records 0 to `until` in one segment.
fn len_of(until: u64) -> u64 {
    (0..until).map(|offset| (HEADER + payload(offset).len()) as u64).sum()
}

#[test]
fn a_segment_that_is_cut_at_any_byte() {
    let options = Options { index_interval: 200, ..Options::default() };
    let folder = filled_in_memory(&options, 25);
    let segment = &segments(folder.path())[0];
    let whole = fs::read(segment).unwrap();
    assert_eq!(whole.len() as u64, len_of(25));
    for cut in 0..whole.len() {
        put(segment, &whole[..cut]);
        let log = Log::open(folder.path(), options.clone()).unwrap();
        let good = (0..25).rev().find(|until| len_of(*until) <= cut as u64).unwrap();
        assert_eq!(look_through(&log, 300), 0..good, "cut at {cut}");
        let torn = &log.recovery().torn;
        assert_eq!(torn.is_some(), cut as u64 > len_of(good), "{}", log.recovery());
        if let Some(torn) = torn {
            assert_eq!((torn.position, torn.position + torn.bytes), (len_of(good), cut as u64));
        }
        assert_eq!(segment.metadata().unwrap().len(), len_of(good));
        append_until(&log, 25, 4);
        drop(log);
        assert_eq!(fs::read(segment).unwrap(), whole, "the same again");
    }
}

#[test]
fn the_last_of_several_segments_is_cut_at_any_byte() {
    let folder = filled_in_memory(&tiny(), 120);
    let segment = segments(folder.path()).pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    assert!(segments(folder.path()).len() > 2 && !whole.is_empty());
    for cut in (0..whole.len()).step_by(3) {
        put(&segment, &whole[..cut]);
        let log = Log::open(folder.path(), tiny()).unwrap();
        assert!(log.recovery().rebuilt.is_empty(), "the others are as they were");
        assert_eq!(look_through(&log, 1000).start, 0);
        append_until(&log, 120, 3);
        assert_eq!(look_through(&log, 1000), 0..120);
        drop(log);
        for file in segments(folder.path()).into_iter().filter(|path| *path > segment) {
            fs::remove_file(file).unwrap(); // made when the batches were others
        }
        for file in files(folder.path(), "index")
            .into_iter()
            .filter(|path| path.with_extension("log") >= segment)
        {
            fs::remove_file(file).unwrap();
        }
    }
}

#[test]
fn a_tail_of_zeros_or_garbage_is_cut_off() {
    let options = Options::default();
    let folder = filled(&options, 25);
    let segment = &segments(folder.path())[0];
    let whole = fs::read(segment).unwrap();
    for tail in [
        vec![0; 1],
        vec![0; 15],
        vec![0; 16],
        vec![0; 2 << 20],
        vec![0xff; 70_000],
        b"abc".repeat(777),
    ] {
        put(segment, &[&whole[..], &tail].concat());
        let log = Log::open(folder.path(), options.clone()).unwrap();
        assert_eq!(log.recovery().torn.as_ref().unwrap().bytes, tail.len() as u64);
        assert_eq!(look_through(&log, 1000), 0..25);
    }
    // As a file system leaves it that had the length on the disk, and the bytes not yet.
    let file = OpenOptions::new().write(true).open(segment).unwrap();
    file.set_len(len_of(20) + 5).unwrap();
    file.set_len(40 << 20).unwrap();
    let log = Log::open(folder.path(), options).unwrap();
    assert_eq!(look_through(&log, 1000), 0..20);
}

#[test]
fn a_segment_that_was_just_begun_is_none_the_worse() {
    let folder = filled(&tiny(), 60);
    let next = folder.path().join(format!("{:020}.log", 60));
    put(&next, b"");
    let log = Log::open(folder.path(), tiny()).unwrap();
    assert_eq!(look_through(&log, 1000), 0..60);
    append_until(&log, 70, 1);
    assert_eq!(look_through(&log, 1000), 0..70);
    drop(log);

    // The machine died: the segment before it lost its tail, and nothing is in the new one.
    let folder = filled(&tiny(), 60);
    let last = segments(folder.path()).pop().unwrap();
    let file = OpenOptions::new().write(true).open(&last).unwrap();
    file.set_len(last.metadata().unwrap().len() - 3).unwrap();
    let next = folder.path().join(format!("{:020}.log", 60));
    put(&next, b"");
    let log = Log::open(folder.path(), tiny()).unwrap();
    assert_eq!(look_through(&log, 1000), 0..59);
    append_until(&log, 70, 1);
    drop(log);
    assert_eq!(look_through(&Log::open(folder.path(), tiny()).unwrap(), 1000), 0..70);
}
