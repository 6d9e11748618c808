//! What the tests share: records that say which they are, and logs that are looked through to the end.

#![allow(dead_code, reason = "each test uses some of it")]

use sendrail_segment_log::{Log, Options, Retention, SyncPolicy, records};
use std::{
    fs,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A directory on the file system of the build (/tmp may be in memory).
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Tiny segments, and an entry of the index for a few records.
pub(crate) fn tiny() -> Options {
    Options { segment_bytes: 2000, index_interval: 200, ..Options::default() }
}

/// The payload of the record with this offset: its length and its bytes follow from that, up to 150 of them, and sometimes 5000.
pub(crate) fn payload(offset: u64) -> Vec<u8> {
    let mixed = offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let len = if mixed % 97 == 13 { 5000 } else { mixed % 150 };
    (0..len).map(|at| (mixed + at * 31) as u8).collect()
}

/// Appends the records that come next, so many at a time, until the log has `until`.
pub(crate) fn append_until(log: &Log, until: u64, batch: u64) {
    let mut next = log.end();
    while next < until {
        let payloads: Vec<_> = (next..until.min(next + batch)).map(payload).collect();
        let appended = log.append(payloads.iter().map(Vec::as_slice)).unwrap();
        assert_eq!(appended.first, next);
        next = appended.next;
    }
}

/// Fetches one range, and says which records of it are wanted; all of them are what they should be.
pub(crate) fn fetch(log: &Log, offset: u64, max_bytes: u64) -> Range<u64> {
    let fetched = log.fetch(offset, max_bytes).unwrap();
    let mut bytes = vec![0; fetched.range.len() as usize];
    fetched.range.file().read_exact_at(&mut bytes, fetched.range.offset()).unwrap();
    let mut next = fetched.first;
    for record in records(&bytes, fetched.first) {
        let record = record.unwrap();
        assert_eq!(record.offset, next);
        assert!(record.payload == payload(next), "the payload of {next}");
        next += 1;
    }
    assert_eq!(next, fetched.next);
    assert!(fetched.first <= offset && (fetched.next > offset || offset == fetched.end));
    offset..next
}

/// Every record from the start to the end is there once, and is what it should be. Says which they are.
pub(crate) fn look_through(log: &Log, max_bytes: u64) -> Range<u64> {
    let (start, end) = (log.start(), log.end());
    let mut next = start;
    while next < end {
        next = fetch(log, next, max_bytes).end;
    }
    assert_eq!(next, end);
    start..end
}

/// The files with this extension, in order.
pub(crate) fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

pub(crate) fn segments(directory: &Path) -> Vec<PathBuf> {
    files(directory, "log")
}

/// A log with so many records, closed again.
pub(crate) fn filled(options: &Options, until: u64) -> TempDir {
    let folder = folder();
    append_until(&Log::open(folder.path(), options.clone()).unwrap(), until, 3);
    folder
}

/// The same in memory, if there is such a place, for who syncs it a thousand times.
pub(crate) fn filled_in_memory(options: &Options, until: u64) -> TempDir {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| folder());
    append_until(&Log::open(folder.path(), options.clone()).unwrap(), until, 3);
    folder
}

pub(crate) fn on_disk(options: &Options) -> Options {
    Options { sync: SyncPolicy::EveryAppend, ..options.clone() }
}

pub(crate) fn keeping(bytes: u64, options: &Options) -> Options {
    Options { retention: Retention { bytes: Some(bytes), age: None }, ..options.clone() }
}

/// Has the file hold these bytes. Not by truncating it first: ext4 takes that for a file that is replaced, and has it written out at once.
pub(crate) fn put(path: &Path, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}
