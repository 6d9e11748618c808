//! Checksums: that they are right, and that they leave no trace.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use super::*;
use sendrail_sys::{FileSystem, file_system, resident_pages};
use std::{env, io::Write};

fn file_of(len: usize) -> (File, Vec<u8>) {
    let bytes: Vec<u8> = (0..len).map(|at| (at * 31 % 251) as u8).collect();
    // Beside the test's binary: the folder for temporary files may be in memory.
    let folder = env::current_exe().unwrap().parent().unwrap().to_owned();
    let mut file = tempfile::tempfile_in(folder).unwrap();
    file.write_all(&bytes).unwrap();
    (file, bytes)
}

#[test]
fn a_follower_has_the_sum_of_all_bytes() {
    for len in [0, 1, 300_000, 5_000_001] {
        let (file, bytes) = file_of(len);
        let mut hashing = Hashing::new(&file).unwrap();
        hashing.run(len as u64 / 3).unwrap();
        assert_eq!(hashing.sum().0, blake3::hash(&bytes[..len / 3]));
        let mut follower = Follower::new(hashing.rest(), len as u64);
        for end in (0..len as u64).step_by(700_001) {
            follower.up_to(end.max(len as u64 / 3));
        }
        follower.up_to(len as u64);
        assert_eq!(follower.finish().unwrap().0.0, blake3::hash(&bytes), "{len}");
    }
}

#[test]
fn a_file_that_became_shorter_is_an_error() {
    for len in [100_u64, 3_000_000] {
        let (file, _) = file_of(len as usize);
        let mut follower = Follower::new(Hashing::new(&file).unwrap(), len);
        file.set_len(len / 2).unwrap();
        follower.up_to(len);
        assert_eq!(follower.finish().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn a_follower_that_is_dropped_ends() {
    let (file, _) = file_of(3_000_000);
    let mut follower = Follower::new(Hashing::new(&file).unwrap(), 3_000_000);
    follower.up_to(1_000_000);
}

#[test]
fn what_was_resident_stays_and_what_was_not_does_not() {
    let len = 4 << 20;
    let (file, bytes) = file_of(len);
    if file_system(file.as_fd()).unwrap() == FileSystem::Tmpfs {
        eprintln!("skipped: the build's folder is in memory");
        return;
    }
    file.sync_all().unwrap();
    for knows_dontcache in [true, false] {
        fadvise(file.as_fd(), 0, 0, Advice::DontNeed).unwrap();
        let half = 2 << 20;
        // Without read-ahead, which would bring in more.
        fadvise(file.as_fd(), 0, 0, Advice::Random).unwrap();
        pread(file.as_fd(), &mut vec![0; half], 0).unwrap();
        let resident = || resident_pages(file.as_fd(), 0, len).unwrap();
        let before = resident();
        if before != (half / page_size()) as u64 {
            eprintln!("skipped: {before} pages are resident where half were read");
            return;
        }
        let mut hashing = Hashing::new(&file).unwrap();
        hashing.quiet.knows_dontcache = knows_dontcache;
        hashing.run(len as u64).unwrap();
        assert_eq!(hashing.sum().0, blake3::hash(&bytes));
        assert_eq!(resident(), before, "{knows_dontcache}");
    }
}
