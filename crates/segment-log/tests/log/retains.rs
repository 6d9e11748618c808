//! Retention: what need not be kept goes, and who is reading it is not disturbed.

use crate::common::*;
use sendrail_segment_log::{Log, Options, Retention, records};
use std::{fs, os::unix::fs::FileExt, time::Duration};

#[test]
fn as_much_is_kept_as_was_asked_for_and_not_a_segment_more() {
    let folder = folder();
    let options = keeping(10_000, &tiny());
    let log = Log::open(folder.path(), options.clone()).unwrap();
    for until in (0..1000).step_by(50) {
        append_until(&log, until, 3);
        let kept = look_through(&log, 1000);
        assert_eq!(kept.end, until);
        let lens: Vec<_> =
            segments(folder.path()).iter().map(|path| path.metadata().unwrap().len()).collect();
        assert_eq!(lens.iter().sum::<u64>(), log.bytes());
        log.retain().unwrap();
        assert!(log.start() == 0 || log.bytes() >= 10_000);
    }
    assert!(log.start() > 0);
    let (start, end) = (log.start(), log.end());
    assert_eq!(files(folder.path(), "index").len() + 1, segments(folder.path()).len());
    drop(log);
    let log = Log::open(folder.path(), options).unwrap();
    assert_eq!(look_through(&log, 1000), start..end);
}

#[test]
fn who_reads_a_dropped_segment_goes_on_to_its_end() {
    let folder = folder();
    let log = Log::open(folder.path(), keeping(3000, &tiny())).unwrap();
    append_until(&log, 20, 3);
    let fetched = log.fetch(0, 1 << 20).unwrap();
    append_until(&log, 400, 3);
    let bounds = log.fetch(0, 1 << 20).unwrap_err();
    assert_eq!((bounds.start, bounds.end), (log.start(), 400));
    assert!(!segments(folder.path())[0].ends_with("00000000000000000000.log"));

    let mut bytes = vec![0; fetched.range.len() as usize];
    fetched.range.file().read_exact_at(&mut bytes, fetched.range.offset()).unwrap();
    for (offset, record) in records(&bytes, 0).enumerate() {
        assert_eq!(record.unwrap().payload, payload(offset as u64));
    }
}

#[test]
fn what_is_older_goes_also_if_nobody_appends() {
    let folder = filled(&tiny(), 100);
    let age = |age| Retention { bytes: None, age: Some(age) };
    let options = Options { retention: age(Duration::from_hours(1)), ..tiny() };
    let all = segments(folder.path());
    let hours_ago = std::time::SystemTime::now() - Duration::from_hours(2);
    for path in &all[..2] {
        fs::OpenOptions::new().write(true).open(path).unwrap().set_modified(hours_ago).unwrap();
    }
    let log = Log::open(folder.path(), options).unwrap();
    assert_eq!(log.start(), 0);
    let dropped = log.retain().unwrap();
    assert_eq!(dropped.len(), 2);
    assert_eq!((dropped[0].first, dropped[1].next), (0, log.start()));
    assert_eq!(segments(folder.path()), all[2..]);
    assert_eq!(look_through(&log, 1000), log.start()..100);
    drop(log);

    let options = Options { retention: age(Duration::ZERO), ..tiny() };
    let log = Log::open(folder.path(), options).unwrap();
    log.retain().unwrap();
    assert_eq!(segments(folder.path()), all[all.len() - 1..], "the last one is never dropped");
    append_until(&log, 110, 10);
}
