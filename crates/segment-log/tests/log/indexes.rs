//! Indexes that are missing, torn or lie: the segment is scanned instead, and the report says so.

use crate::common::*;
use sendrail_segment_log::{IndexFault, Log};
use std::fs;

/// How many records there are from that of the last entry on.
fn behind_last_entry(index: &std::path::Path) -> u64 {
    let bytes = fs::read(index).unwrap();
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let last = bytes.len() - 12;
    number(24, 32) - number(8, 16) - number(last, last + 4)
}

#[test]
fn an_index_that_cannot_be_believed_is_made_anew() {
    let folder = filled(&tiny(), 150);
    let all = files(folder.path(), "index");
    // One whose last entry is not the last record, so that there is another one for it to point at.
    let place = (0..all.len()).find(|place| behind_last_entry(&all[*place]) > 1).unwrap();
    let index = all[place].clone();
    let segment = index.with_extension("log");
    let good = fs::read(&index).unwrap();
    let other = fs::read(all.iter().find(|path| **path != index).unwrap()).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    // Whole, with a checksum that is right, and a last entry that is not: one record further on.
    let lies = |at_end: usize, by: u8| {
        let mut bytes = good[..good.len() - 4].to_vec();
        let at = bytes.len() - at_end;
        bytes[at] = bytes[at].wrapping_add(by);
        let crc = crc32c::crc32c(&bytes).to_be_bytes();
        bytes.extend_from_slice(&crc);
        bytes
    };
    let cases: [(Option<Vec<u8>>, IndexFault); 13] = [
        (None, IndexFault::Missing),
        (Some(Vec::new()), IndexFault::Magic),
        (Some(flipped(0)), IndexFault::Magic),
        (Some(good[..good.len() / 2].to_vec()), IndexFault::Torn),
        (Some(good[..good.len() - 1].to_vec()), IndexFault::Torn),
        (Some([&good[..], b"!"].concat()), IndexFault::Torn),
        (Some(flipped(20)), IndexFault::Torn),
        (Some(flipped(good.len() - 1)), IndexFault::Torn),
        (Some(other), IndexFault::OtherSegment),
        (Some(lies(1, 1)), IndexFault::LastEntry), // the position
        (Some(lies(5, 1)), IndexFault::LastEntry), // the offset
        (Some(lies(good.len() - 4 - 31, 1)), IndexFault::LastEntry), // where it ends
        (Some(b"SRLOGIX1".to_vec()), IndexFault::Torn),
    ];
    for (bytes, fault) in cases {
        match &bytes {
            Some(bytes) => put(&index, bytes),
            None => fs::remove_file(&index).unwrap(),
        }
        let log = Log::open(folder.path(), tiny()).unwrap();
        assert_eq!(log.recovery().rebuilt, [(segment.clone(), fault)]);
        assert!(log.recovery().to_string().contains(&fault.to_string()));
        assert_eq!(look_through(&log, 700), 0..150);
        assert_eq!(fs::read(&index).unwrap(), good, "the same entries came out");
    }
}

#[test]
fn an_index_that_cannot_be_read_is_made_anew_in_memory() {
    let folder = filled(&tiny(), 150);
    let index = files(folder.path(), "index")[1].clone();
    fs::remove_file(&index).unwrap();
    fs::create_dir(&index).unwrap();
    let log = Log::open(folder.path(), tiny()).unwrap();
    assert_eq!(log.recovery().rebuilt[0].1, IndexFault::Unreadable);
    assert_eq!(look_through(&log, 700), 0..150);
}

#[test]
fn all_indexes_are_missing() {
    let folder = filled(&tiny(), 150);
    for index in files(folder.path(), "index") {
        fs::remove_file(index).unwrap();
    }
    let log = Log::open(folder.path(), tiny()).unwrap();
    assert_eq!(log.recovery().rebuilt.len(), segments(folder.path()).len() - 1);
    assert_eq!(look_through(&log, 700), 0..150);
    drop(log);
    let log = Log::open(folder.path(), tiny()).unwrap();
    assert!(log.recovery().rebuilt.is_empty(), "they are there again");
    assert!(log.recovery().checked < log.bytes(), "and segments are not read again");
}

#[test]
fn every_byte_of_an_index_is_flipped() {
    let folder = filled(&tiny(), 100);
    let index = files(folder.path(), "index")[0].clone();
    let good = fs::read(&index).unwrap();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        put(&index, &bytes);
        let log = Log::open(folder.path(), tiny()).unwrap();
        assert_eq!(log.recovery().rebuilt.len(), 1, "byte {at}");
        assert_eq!(look_through(&log, 700), 0..100);
    }
}
