//! Windows over files that are cut, replaced and read by many threads at once.

#![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

use std::sync::Barrier;
use std::thread;

use super::*;
use crate::testing::{errno, file_with, pattern};

fn window(file: &Arc<File>, offset: u64, len: usize) -> Arc<Window> {
    Arc::new(Window::new(Arc::clone(file), offset, len).unwrap())
}

#[test]
fn the_bytes_are_the_files() {
    let bytes = pattern(100_000);
    let file = Arc::new(file_with(&bytes));
    for (offset, len) in [(0, 100_000), (1, 4095), (4095, 2), (4096, 4096), (99_999, 1)] {
        let window = window(&file, offset as u64, len);
        assert_eq!(window.bytes(), bytes[offset..offset + len]);
        assert_eq!((window.len(), window.is_damaged()), (len, false));
    }
}

#[test]
fn every_slice_of_a_window_is_found_and_no_other() {
    let file = Arc::new(file_with(&pattern(100_000)));
    let other = Arc::new(file_with(&pattern(10)));
    let (first, second) = (window(&file, 5000, 90_000).bytes(), window(&other, 3, 5).bytes());
    for (at, len) in [(0, 90_000), (0, 1), (89_999, 1), (4000, 5000)] {
        let (of, offset) = locate(&first[at..at + len]).unwrap();
        assert!(Arc::ptr_eq(&of, &file));
        assert_eq!(offset, 5000 + at as u64);
    }
    let (of, offset) = locate(&second[1..]).unwrap();
    assert!(Arc::ptr_eq(&of, &other) && offset == 4);
    let copy = first.to_vec();
    assert!(locate(&copy).is_none());
    assert!(locate(b"").is_none());
}

#[test]
fn a_place_is_used_again_when_nobody_has_its_bytes() {
    let file = Arc::new(file_with(&pattern(10)));
    let address = |bytes: &Bytes| bytes.as_ptr() as usize;
    let kept = window(&file, 0, 10).bytes();
    for _ in 0..PLACES[0] * 2 {
        let bytes = window(&file, 0, 10).bytes();
        assert_ne!(address(&bytes), address(&kept));
    }
    assert_eq!(kept, pattern(10));
}

#[test]
fn what_a_truncation_took_reads_as_zeros_and_is_told() {
    let page = limits::page_size();
    let file = Arc::new(file_with(&pattern(4 * page)));
    let (whole, untouched) = (window(&file, 0, 4 * page), window(&file, 0, page));
    file.set_len(page as u64).unwrap();
    assert_eq!(whole.bytes()[..page], pattern(page));
    assert!(!whole.is_damaged());
    let beyond = whole.bytes()[page..3 * page].to_vec();
    assert_eq!(beyond, vec![0; 2 * page]);
    assert!(whole.is_damaged() && !untouched.is_damaged());
    // The next one at the same place is whole.
    drop(whole);
    assert!(!window(&file, 0, 10).is_damaged());
}

#[test]
fn several_threads_may_meet_the_same_gap() {
    let page = limits::page_size();
    let file = Arc::new(file_with(&pattern(64 * page)));
    let whole = window(&file, 0, 64 * page);
    file.set_len(0).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!((*whole).as_ref().iter().all(|byte| *byte == 0)));
        }
    });
    assert!(whole.is_damaged());
}

#[test]
fn who_reads_zeros_is_told_whoever_met_the_gap_first() {
    let page = limits::page_size();
    let file = Arc::new(file_with(&vec![7; page]));
    for _ in 0..3000 {
        file.set_len(page as u64).unwrap();
        let whole = window(&file, 0, page);
        file.set_len(0).unwrap();
        let together = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    together.wait();
                    let byte = black_box((*whole).as_ref())[page / 2];
                    assert!(byte == 0 && whole.is_damaged());
                });
            }
        });
    }
}

#[test]
fn gaps_are_filled_for_whom_asks_about_them() {
    let page = limits::page_size();
    let file = Arc::new(file_with(&pattern(4 * page)));
    let whole = window(&file, 1, 4 * page - 1);
    file.set_len(10).unwrap();
    let bytes = whole.bytes();
    assert!(!fill_gaps(&bytes) && !whole.is_damaged());
    drop(Asking::about(Arc::clone(&whole)));
    assert!(!fill_gaps(&bytes[3 * page..]) && !whole.is_damaged());
    let asking = Asking::about(whole);
    assert!(fill_gaps(&bytes[..10]) && !asking.window().is_damaged(), "they are there");
    assert!(!fill_gaps(&[1, 2]));
    assert!(fill_gaps(&bytes) && asking.window().is_damaged());
    let (mut reader, mut writer) = io::pipe().unwrap();
    io::Write::write_all(&mut writer, &bytes).unwrap(); // EFAULT, if one were left
    let mut got = vec![1; bytes.len()];
    io::Read::read_exact(&mut reader, &mut got).unwrap();
    assert!(got[10..].iter().all(|byte| *byte == 0));
}

/// Whether every page of the space is mapped, as a window or as nothing.
fn is_reserved() -> bool {
    let space = space().unwrap();
    let (mut at, end) = (space.start(0) as usize, space.start(space.places.len()) as usize);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    for line in maps.lines() {
        let (from, rest) = line.split_once('-').unwrap();
        let (to, _) = rest.split_once(' ').unwrap();
        let [from, to] = [from, to].map(|hex| usize::from_str_radix(hex, 16).unwrap());
        if from <= at && at < to {
            at = to;
        }
    }
    at >= end
}

#[test]
fn what_cannot_be_mapped_is_refused_and_takes_no_place() {
    let file = Arc::new(file_with(b"abc"));
    let free = || lock(&space().unwrap().free).len();
    let _first = window(&file, 0, 1);
    let before = free();
    let refused =
        |file: &Arc<File>, offset, len| errno(Window::new(Arc::clone(file), offset, len).map(drop));
    assert_eq!(refused(&file, 0, 0), libc::EINVAL);
    assert_eq!(refused(&file, 0, LONGEST + 1), libc::EINVAL);
    assert_eq!(refused(&file, 1, LONGEST), libc::EINVAL);
    for (path, errno) in [
        ("/dev/null", libc::ENODEV),
        ("/proc/version", libc::EIO),
        ("/sys/kernel/mm/transparent_hugepage/enabled", libc::ENODEV),
    ] {
        let Ok(file) = File::open(path) else {
            eprintln!("skipped: there is no {path}");
            continue;
        };
        assert_eq!(refused(&Arc::new(file), 0, 1), errno, "{path}");
        // Another test may be moving a window into its place just now.
        let whole = (0..1000).any(|_| is_reserved());
        assert!(whole, "{path} has left a gap where others' memory may come to lie");
    }
    // Other tests have windows as well.
    assert!(free().abs_diff(before) < 64);
}
