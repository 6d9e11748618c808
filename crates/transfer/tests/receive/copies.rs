//! Copies from file to file: each method, between file systems, with holes, in one file, and where one of the two fails.

use crate::{common::*, disks::*, *};
use proptest::prelude::*;
use sendrail_transfer::{
    FileRange,
    copy::{
        Copied, CopyError, CopyFault, CopyMethod, CopyOptions, Refused, Why, copy_file,
        copy_file_with_progress,
    },
};
use std::{
    fs::OpenOptions,
    ops::ControlFlow,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    sync::Arc,
};

const LEN: u64 = (3 << 20) + 4567;

fn by(method: CopyMethod) -> CopyOptions {
    CopyOptions { method: Some(method) }
}

fn copied_is_counted(receipt: &Copied, method: CopyMethod) {
    let buffered = receipt.methods == [CopyMethod::Buffered];
    let expected = if buffered { 2 * (receipt.bytes - receipt.holes) } else { 0 };
    assert_eq!(receipt.copied, expected, "{method} {receipt}");
}

#[test]
fn every_method_copies_what_it_is_told_to_where_it_is_told_to() {
    let source = file_of(LEN);
    for method in CopyMethod::ALL {
        for (from, len, to) in [(0, LEN, 0), (1, LEN - 1, 5000), (4096, 8192, 4096), (99, 1, 0)] {
            let context = (method, from, len, to);
            let target = file_of(100_000);
            move_position(&source);
            move_position(&target);
            let mut expected = bytes_at(0, 100_000);
            expected.resize(expected.len().max((to + len) as usize), 0);
            expected[to as usize..][..len as usize].copy_from_slice(&bytes_at(from, len));
            let range = FileRange::new(Arc::clone(&source), from, len);
            let receipt = copy_file(&range, &target, to, &by(method)).unwrap();
            for file in [&source, &target] {
                assert_eq!(rustix::fs::tell(file).unwrap(), 12_345, "{context:?}");
            }
            assert_eq!(receipt.bytes, len, "{context:?}");
            assert_eq!(receipt.methods.len(), 1, "{context:?} {receipt}");
            let refused = receipt.refusals.iter().any(|refused| refused.method == method);
            assert!(receipt.methods[0] == method || refused, "{context:?} {receipt}");
            assert_same(&contents(&target), &expected, &context);
            copied_is_counted(&receipt, method);
        }
    }
}

/// A file without a name in memory; none, and a line that says why, where there is no tmpfs.
fn in_memory() -> Option<File> {
    let file = tempfile::tempfile_in("/dev/shm").ok();
    if file.is_none() {
        eprintln!("skipped: no file can be made in /dev/shm");
    }
    file
}

#[test]
fn from_one_file_system_to_another_it_goes_through_a_pipe() {
    let Some(target) = in_memory() else { return };
    let source = file_of(LEN);
    if source.metadata().unwrap().dev() == target.metadata().unwrap().dev() {
        return eprintln!("skipped: both are on one file system");
    }
    let receipt = copy_file(&whole(&source), &target, 0, &CopyOptions::default()).unwrap();
    assert_same(&contents(&target), &bytes_at(0, LEN), &receipt);
    let expected = Refused { method: CopyMethod::Clone, why: Why::Errno(18) };
    assert_eq!(receipt.refusals[0], expected, "EXDEV: {receipt}");
    if receipt.refusals.len() == 2 {
        assert_eq!(receipt.methods, [CopyMethod::Splice], "{receipt}");
        assert!(receipt.to_string().ends_with("refused=copy_file_range:EXDEV"), "{receipt}");
    } else {
        eprintln!("skipped: this kernel copies between file systems");
    }
}

#[test]
fn files_that_have_no_length_are_read() {
    let source = Arc::new(File::open("/proc/version").unwrap());
    let expected = std::fs::read("/proc/version").unwrap();
    for method in CopyMethod::ALL {
        let target = empty_file();
        let range = FileRange::new(Arc::clone(&source), 0, expected.len() as u64);
        let receipt = copy_file(&range, &target, 0, &by(method)).unwrap();
        assert_same(&contents(&target), &expected, &receipt);
    }
}

#[test]
fn a_source_that_is_shorter_than_was_promised_is_told_by_the_count() {
    let source = file_of(100_000);
    for method in CopyMethod::ALL {
        for from in [0, 5000, 100_000, 200_000] {
            let target = empty_file();
            let range = FileRange::new(Arc::clone(&source), from, 200_000);
            let error = copy_file(&range, &target, 0, &by(method)).unwrap_err();
            let there = 100_000_u64.saturating_sub(from);
            let CopyFault::TooShort { expected: 200_000, copied } = error.fault else {
                panic!("{method}: {error}")
            };
            assert_eq!((copied, error.receipt.bytes), (there, there), "{method}");
            assert_same(&contents(&target), &bytes_at(from, there), &method);
        }
    }
}

#[test]
fn within_one_file_ranges_may_not_overlap() {
    for method in CopyMethod::ALL {
        let file = file_of(100_000);
        for to in [0, 1, 49_999] {
            let range = FileRange::new(Arc::clone(&file), 25_000, 25_000);
            let error = copy_file(&range, &file, to, &by(method));
            if to == 0 {
                assert_eq!(error.unwrap().bytes, 25_000);
                let expected = [bytes_at(25_000, 25_000), bytes_at(25_000, 75_000)].concat();
                assert_same(&contents(&file), &expected, &method);
                continue;
            }
            let CopyError { fault, receipt, .. } = error.unwrap_err();
            assert!(matches!(fault, CopyFault::Overlap), "{method} {to}: {fault}");
            assert_eq!(receipt.bytes, 0);
        }
    }
}

#[test]
fn a_target_that_is_appended_to_is_written_at_its_end_or_not_at_all() {
    let named = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let target = OpenOptions::new().append(true).open(named.path()).unwrap();
    let source = sparse_file(200_000, &[(100_000, 5000)]);
    let range = whole(&source);
    let error = copy_file(&range, &target, 1, &CopyOptions::default()).unwrap_err();
    assert!(matches!(error.fault, CopyFault::Target { offset: 1, .. }), "{error}");
    for to in [0, 200_000] {
        let receipt = copy_file(&range, &target, to, &CopyOptions::default()).unwrap();
        assert_eq!(receipt.methods, [CopyMethod::Buffered]);
        assert_eq!(receipt.refusals[0].why, Why::Append);
    }
    let once = contents(&source);
    assert_same(&std::fs::read(named.path()).unwrap(), &[&once[..], &once].concat(), &"");
}

#[test]
fn each_file_is_blamed_for_its_own_errors() {
    let named = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    named.as_file().set_len(10_000).unwrap();
    let read_only = Arc::new(File::open(named.path()).unwrap());
    let write_only = OpenOptions::new().write(true).open(named.path()).unwrap();
    let write_only = Arc::new(write_only);
    for method in CopyMethod::ALL {
        let error = copy_file(&whole(&file_of(5000)), &read_only, 7, &by(method)).unwrap_err();
        assert!(matches!(error.fault, CopyFault::Target { offset: 7, .. }), "{method}: {error}");
        let range = FileRange::new(Arc::clone(&write_only), 3, 500);
        let error = copy_file(&range, &empty_file(), 0, &by(method)).unwrap_err();
        assert!(matches!(error.fault, CopyFault::Source { offset: 3, .. }), "{method}: {error}");
        let range = FileRange::new(Arc::new(File::open("/").unwrap()), 0, 1);
        let error = copy_file(&range, &empty_file(), 0, &by(method)).unwrap_err();
        assert!(matches!(error.fault, CopyFault::Source { offset: 0, .. }), "{method}: {error}");
        let far = copy_file(&whole(&file_of(5000)), &empty_file(), u64::MAX - 9, &by(method));
        assert!(matches!(far.unwrap_err().fault, CopyFault::Target { .. }), "{method}");
    }
}

#[test]
fn a_full_disk_is_the_targets_fault() {
    let source = file_of(6 << 20);
    on_a_small_disk(|folder| {
        let memory = file_in(folder);
        memory.write_all_at(&bytes_at(0, 2 << 20), 0).unwrap();
        let memory = Arc::new(memory);
        for method in CopyMethod::ALL {
            // From a disk, and from the very same file system.
            for (source, len) in [(&source, 6_u64 << 20), (&memory, 2 << 20)] {
                let target = file_in(folder);
                target.write_all_at(&[1; 4096], 1 << 20).unwrap();
                let ballast = file_in(folder);
                ballast.write_all_at(&vec![1; 1 << 20], 0).unwrap();
                let range = FileRange::new(Arc::clone(source), 0, len);
                let error = copy_file(&range, &target, 0, &by(method)).unwrap_err();
                let CopyFault::Target { error: said, offset } = &error.fault else {
                    panic!("{method}: {error}")
                };
                assert_eq!(said.kind(), std::io::ErrorKind::StorageFull, "{method}");
                assert_eq!(*offset, error.receipt.bytes, "{method}");
                let got = contents(&target);
                let there = *offset as usize;
                assert_same(&got[..there], &bytes_at(0, *offset), &(method, there));
            }
        }
    });
}

#[test]
fn holes_stay_holes_and_what_was_there_before_does_not_show_through() {
    let islands = [(1 << 20, 5000), (3 << 20, 300_000), (5 << 20, 1)];
    for (len, islands) in [(8 << 20, &islands[..]), (4 << 20, &[]), (4 << 20, &islands[..1])] {
        let source = sparse_file(len, islands);
        if source.metadata().unwrap().blocks() >= len / 512 {
            return eprintln!("skipped: no holes on this file system");
        }
        let expected = contents(&source);
        move_position(&source);
        for method in &CopyMethod::ALL[1..] {
            for (target, before) in [(empty_file(), 0), (full(len / 2 + 99), len / 2 + 99)] {
                let receipt = copy_file(&whole(&source), &target, 0, &by(*method)).unwrap();
                assert_same(&contents(&target), &expected, &(method, before, &receipt));
                assert!(receipt.holes > 2 << 20, "{method} {receipt}");
                assert_eq!(rustix::fs::tell(&source).unwrap(), 12_345);
                copied_is_counted(&receipt, *method);
                let taken = target.metadata().unwrap().blocks() * 512;
                let most = 400_000 + if before > 0 { 2 * PAGE } else { 0 };
                assert!(taken <= most + 100_000, "{method} {before}: {taken} bytes are taken");
            }
        }
    }
}

fn full(len: u64) -> File {
    let file = empty_file();
    file.write_all_at(&vec![0xff; len as usize], 0).unwrap();
    file
}

#[test]
fn progress_is_told_and_may_stop_it() {
    let source = file_of(LEN);
    for method in [CopyMethod::Splice, CopyMethod::Buffered] {
        let target = empty_file();
        let mut last = 0;
        let stopped =
            copy_file_with_progress(&whole(&source), &target, 0, &by(method), &mut |bytes| {
                assert!(bytes > last);
                last = bytes;
                if bytes > 1 << 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        let error = stopped.unwrap_err();
        assert!(matches!(error.fault, CopyFault::Stopped), "{error}");
        assert_eq!(error.receipt.bytes, last);
        let rest = FileRange::new(Arc::clone(&source), last, LEN - last);
        copy_file(&rest, &target, last, &by(method)).unwrap();
        assert_same(&contents(&target), &bytes_at(0, LEN), &method);
    }
}

/// Blocks are shared, of a whole file and of parts; and what cannot be shared is copied.
fn clones(folder: &Path) {
    let source = Arc::new(file_in(folder));
    source.write_all_at(&bytes_at(0, LEN), 0).unwrap();
    for (from, len, to, cloned) in [
        (0, LEN, 0, true),
        (8192, 1 << 20, 4096, true),
        (4096, LEN - 4096, 8192, true),
        (0, 5000, 0, false),
        (1, 8192, 1, false),
    ] {
        let context = (from, len, to);
        let target = file_in(folder);
        let range = FileRange::new(Arc::clone(&source), from, len);
        let receipt = copy_file(&range, &target, to, &CopyOptions::default()).unwrap();
        let got = contents(&target);
        assert_same(&got[to as usize..], &bytes_at(from, len), &context);
        assert_eq!(receipt.bytes, len);
        let by = if cloned { CopyMethod::Clone } else { CopyMethod::CopyFileRange };
        assert_eq!(receipt.methods, [by], "{context:?} {receipt}");
        target.write_all_at(b"mine", to).unwrap();
    }
    assert_same(&contents(&source), &bytes_at(0, LEN), &"what is written to a copy is the copy's");
}

#[test]
fn blocks_are_shared_on_xfs() {
    on_a_new("xfs", clones);
}

#[test]
fn blocks_are_shared_on_btrfs() {
    on_a_new("btrfs", clones);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_range_is_there_and_the_rest_is_as_it_was(
        method in prop::sample::select(&CopyMethod::ALL[..]),
        islands in prop::collection::vec((0..900_000_u64, 1..50_000_u64), 0..5),
        from in prop_oneof![0..10_u64, Just(4096), 0..500_000_u64],
        len in prop_oneof![0..10_u64, Just(8192), 0..500_000_u64],
        to in prop_oneof![0..10_u64, Just(4096), 0..500_000_u64],
        before in prop_oneof![Just(0_u64), 0..600_000_u64],
    ) {
        let source = sparse_file(1_000_000, &islands);
        let target = full(before);
        let mut expected = vec![0xff; before as usize];
        if len > 0 {
            expected.resize(expected.len().max((to + len) as usize), 0);
            let bytes = &contents(&source)[from as usize..][..len as usize];
            expected[to as usize..][..len as usize].copy_from_slice(bytes);
        }
        let range = FileRange::new(source, from, len);
        let receipt = copy_file(&range, &target, to, &by(method)).unwrap();
        prop_assert_eq!(receipt.bytes, len);
        assert_same(&contents(&target), &expected, &(method, from, len, to, before));
    }
}
