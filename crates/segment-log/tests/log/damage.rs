//! Damage in the middle: bits that flipped, segments that are missing. Nothing is cut unless it is asked for, and then it is kept.

use crate::common::*;
use sendrail_segment_log::{Log, OpenError, Options, RecordFault, records};
use std::fs;

fn repaired(options: &Options) -> Options {
    Options { repair: true, check_all: true, ..options.clone() }
}

#[test]
fn any_flipped_byte_before_the_last_record_is_refused_and_cut_there_when_asked() {
    let options = Options { index_interval: 200, ..Options::default() };
    let folder = filled_in_memory(&options, 12);
    let segment = &segments(folder.path())[0];
    let whole = fs::read(segment).unwrap();
    let begins: Vec<_> = (0..=12)
        .map(|until| (0..until).map(|offset| 16 + payload(offset).len()).sum::<usize>())
        .collect();
    assert_eq!(begins[12], whole.len());
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        put(segment, &damaged);
        let hit = begins.partition_point(|begin| *begin <= at) as u64 - 1;
        let position = begins[hit as usize] as u64;
        if hit == 11 {
            // The last record: nobody can tell it from one that was being written.
            let log = Log::open(folder.path(), options.clone()).unwrap();
            assert_eq!(look_through(&log, 1000), 0..11, "byte {at}");
            continue;
        }
        let error = Log::open(folder.path(), options.clone()).unwrap_err();
        let OpenError::Damaged { file, position: said, goes_on, .. } = &error else {
            panic!("byte {at}: {error}");
        };
        assert_eq!((file, *said), (segment, position), "byte {at}");
        assert_eq!(goes_on.1, begins[hit as usize + 1] as u64, "byte {at}");
        assert_eq!(fs::read(segment).unwrap(), damaged, "nothing was cut");

        let log = Log::open(folder.path(), repaired(&options)).unwrap();
        assert_eq!(look_through(&log, 1000), 0..hit, "byte {at}");
        let damage = log.recovery().damage.as_ref().unwrap();
        assert_eq!(damage.position, position);
        assert_eq!(fs::read(&damage.kept[0]).unwrap(), damaged[position as usize..], "it is kept");
        append_until(&log, 12, 1);
        drop(log);
        assert_eq!(fs::read(segment).unwrap(), whole);
        for kept in files(folder.path(), "cut") {
            fs::remove_file(kept).unwrap();
        }
    }
}

#[test]
fn damage_in_a_closed_segment_cuts_those_behind_it_as_well() {
    let folder = filled(&tiny(), 200);
    let all = segments(folder.path());
    let hit = &all[2];
    let mut bytes = fs::read(hit).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    put(hit, &bytes);

    // The index is as it should be, so it is not looked at; the consumer sees it.
    let log = Log::open(folder.path(), tiny()).unwrap();
    let fetched = log.fetch(base(hit), 1 << 20).unwrap();
    assert_eq!(fetched.range.len(), bytes.len() as u64);
    let seen = records(&bytes, fetched.first).last().unwrap();
    assert!(
        matches!(
            seen,
            Err(RecordFault::Checksum | RecordFault::WrongOffset { .. } | RecordFault::CutShort)
        ),
        "{seen:?}"
    );
    drop(log);

    let all_checked = Options { check_all: true, ..tiny() };
    let error = Log::open(folder.path(), all_checked).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged { file, .. } if file == hit), "{error}");
    fs::remove_file(hit.with_extension("index")).unwrap();
    let error = Log::open(folder.path(), tiny()).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged { file, .. } if file == hit), "{error}");

    let before: Vec<_> = all[3..].iter().map(|path| fs::read(path).unwrap()).collect();
    let log = Log::open(folder.path(), repaired(&tiny())).unwrap();
    let end = look_through(&log, 1000).end;
    assert!(base(hit) < end && end < base(&all[3]));
    let kept = &log.recovery().damage.as_ref().unwrap().kept;
    let after: Vec<_> = kept[1..].iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(before == after, "they are kept as they were");
    append_until(&log, 300, 3);
    drop(log);
    assert_eq!(look_through(&Log::open(folder.path(), tiny()).unwrap(), 1000), 0..300);
}

#[test]
fn a_missing_segment_is_refused() {
    let folder = filled(&tiny(), 200);
    let all = segments(folder.path());
    fs::remove_file(&all[2]).unwrap();
    // The one before it is closed, so its index leads elsewhere; it is made anew, and then the gap shows.
    let error = Log::open(folder.path(), tiny()).unwrap_err();
    let expected = base(&all[2]);
    assert!(
        matches!(&error, OpenError::Gap { file, expected: said } if *file == all[3] && *said == expected),
        "{error}"
    );
    let log = Log::open(folder.path(), repaired(&tiny())).unwrap();
    assert_eq!(look_through(&log, 1000), 0..expected);
    assert_eq!(log.recovery().damage.as_ref().unwrap().kept.len(), all.len() - 3);
    append_until(&log, 250, 3);
    drop(log);

    // The first one is in nobody's way: it may have been dropped.
    let folder = filled(&tiny(), 200);
    fs::remove_file(&segments(folder.path())[0]).unwrap();
    let start = base(&segments(folder.path())[0]);
    let log = Log::open(folder.path(), tiny()).unwrap();
    assert_eq!(look_through(&log, 1000), start..200);
    assert_eq!(log.recovery().orphans.len(), 1, "its index is removed");
    assert_eq!(files(folder.path(), "index").len(), segments(folder.path()).len() - 1);
}

fn base(segment: &std::path::Path) -> u64 {
    segment.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}
