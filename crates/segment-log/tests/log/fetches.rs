//! Fetching: where ranges begin and end, by many readers at once, and waiting for more.

use crate::common::*;
use sendrail_segment_log::{Log, Options, OutOfRange};
use std::{sync::Arc, thread, time::Duration};

#[test]
fn every_offset_is_found_with_any_limit() {
    let folder = folder();
    let log = Log::open(folder.path(), tiny()).unwrap();
    append_until(&log, 300, 4);
    assert!(segments(folder.path()).len() > 5);
    for offset in 0..300 {
        for max_bytes in [0, 1, 100, 500, 5000, u64::MAX] {
            fetch(&log, offset, max_bytes);
        }
    }
    for max_bytes in [0, 700, 1 << 20] {
        assert_eq!(look_through(&log, max_bytes), 0..300);
    }
}

#[test]
fn who_goes_on_at_next_is_sent_nothing_twice() {
    let folder = filled(&tiny(), 300);
    let log = Log::open(folder.path(), tiny()).unwrap();
    let mut next = 0;
    while next < 300 {
        let fetched = log.fetch(next, 900).unwrap();
        assert_eq!(fetched.first, next, "it begins where the last one ended");
        next = fetched.next;
    }
}

#[test]
fn at_the_tail_there_is_just_what_is_new() {
    let folder = folder();
    // An index that has no entry but the first.
    let options = Options { index_interval: 1 << 30, ..Options::default() };
    let log = Log::open(folder.path(), options).unwrap();
    append_until(&log, 100, 7);
    for _ in 0..50 {
        let end = log.end();
        append_until(&log, end + 3, 3);
        let fetched = log.fetch(end, 1 << 20).unwrap();
        assert_eq!((fetched.first, fetched.next, fetched.end), (end, end + 3, end + 3));
    }
    let fetched = log.fetch(log.end(), 1 << 20).unwrap();
    assert!(fetched.range.is_empty());
    assert_eq!((fetched.first, fetched.next), (250, 250));
}

#[test]
fn beyond_both_bounds_there_is_an_error_with_both() {
    let folder = filled(&keeping(3000, &tiny()), 500);
    let log = Log::open(folder.path(), tiny()).unwrap();
    let (start, end) = (log.start(), log.end());
    assert!(start > 0);
    let bounds = OutOfRange { start, end };
    for offset in [0, start - 1, end + 1, u64::MAX] {
        assert_eq!(log.fetch(offset, 1000).unwrap_err(), bounds);
    }
    assert_eq!(log.fetch(end, 1000).unwrap().range.len(), 0);
}

#[test]
fn who_waits_is_woken_by_the_append() {
    let folder = folder();
    let log = Arc::new(Log::open(folder.path(), tiny()).unwrap());
    assert_eq!(log.wait_beyond(0, Duration::ZERO), 0);
    assert_eq!(log.wait_beyond(0, Duration::from_millis(20)), 0, "the time is up");
    let waiting: Vec<_> = (0..8)
        .map(|offset| {
            let log = Arc::clone(&log);
            thread::spawn(move || log.wait_beyond(offset, Duration::MAX))
        })
        .collect();
    append_until(&log, 8, 1);
    for (offset, waiting) in waiting.into_iter().enumerate() {
        assert!(waiting.join().unwrap() > offset as u64);
    }
    assert_eq!(log.wait_beyond(3, Duration::MAX), 8);
}

#[test]
fn many_read_while_many_write() {
    for options in [tiny(), on_disk(&tiny())] {
        let folder = folder();
        let log = Arc::new(Log::open(folder.path(), options).unwrap());
        let each = 150;
        let writers = 4;
        thread::scope(|scope| {
            for _ in 0..writers {
                scope.spawn(|| {
                    for _ in 0..each {
                        // What it is to hold follows from its offset, which is not known before: this test writes lengths.
                        let appended = log.append([&b"record"[..]]).unwrap();
                        assert_eq!(appended.next, appended.first + 1);
                    }
                });
            }
            for max_bytes in [0, 300, 1 << 20] {
                let log = &log;
                scope.spawn(move || {
                    let mut next = 0;
                    while next < writers * each {
                        assert!(log.wait_beyond(next, Duration::from_mins(1)) > next);
                        let fetched = log.fetch(next, max_bytes).unwrap();
                        let mut bytes = vec![0; fetched.range.len() as usize];
                        let (file, at) = (fetched.range.file(), fetched.range.offset());
                        std::os::unix::fs::FileExt::read_exact_at(&**file, &mut bytes, at).unwrap();
                        let mut seen = fetched.first;
                        for record in sendrail_segment_log::records(&bytes, fetched.first) {
                            assert_eq!(record.unwrap().payload, b"record");
                            seen += 1;
                        }
                        assert_eq!(seen, fetched.next);
                        next = seen;
                    }
                });
            }
        });
        assert_eq!(log.end(), writers * each);
    }
}
