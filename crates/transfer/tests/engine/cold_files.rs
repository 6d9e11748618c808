//! Files that are not in the page cache, and threads that must not wait for the disk.

use crate::common::*;
use sendrail_sys::pread::pread;
use sendrail_transfer::{
    Disk, FileRange, Medium, Options, Residency, Step, Transfer, residency::Evidence,
};
use socket2::Socket;
use std::{fs::File, io::Read, os::fd::AsFd, sync::Arc};

const LEN: u64 = 4 << 20;

/// An evicted file, or `None` and a line that says why there is none.
fn cold_file() -> Option<Arc<File>> {
    let file = file_of(LEN);
    match evict(&file) {
        Ok(()) => Some(file),
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

/// Whether anything at all of the file's bytes from `offset` on is resident.
fn resident_from(file: &File, offset: u64) -> u64 {
    let look = Residency::look(file, Medium::Disk, offset, LEN - offset);
    assert_eq!(look.evidence, Evidence::Cachestat, "exact evidence");
    look.resident
}

fn nothing_to_read(reader: &mut Socket) -> bool {
    reader.set_nonblocking(true).unwrap();
    let empty = reader.read(&mut [0]).is_err();
    reader.set_nonblocking(false).unwrap();
    empty
}

#[test]
fn who_must_not_wait_sends_nothing_of_a_cold_file() {
    for method in CACHED {
        let Some(file) = cold_file() else { return };
        let (sender, mut reader) = pair(Kind::Tcp);
        let mut transfer = Transfer::new(chain_of(whole(&file)), by(method));
        for asked in 1..=3 {
            let step = transfer.step(&sender, Disk::MustNotWait);
            assert!(matches!(step, Step::WaitDisk), "{method} {step:?}");
            assert_eq!(transfer.receipt().disk_waits, asked);
        }
        let receipt = transfer.receipt();
        assert_eq!((receipt.bytes, receipt.copied), (0, 0), "{method}");
        // One window's worth, however often it was looked at.
        assert_eq!(receipt.cold, Options::default().window, "{method}");
        assert!(nothing_to_read(&mut reader), "{method}");
        if receipt.system_calls == 1 + 3 {
            assert_eq!(resident_from(&file, 0), 0, "looking alone must not read, {method}");
        } else {
            eprintln!("skipped: exact evidence needs cachestat(2), Linux 6.5");
        }
    }
}

#[test]
fn a_range_known_to_be_resident_is_looked_at_once_its_reader_is_slow() {
    for method in CACHED {
        let file = file_of(LEN);
        let (sender, mut reader) = pair(Kind::Tcp);
        tiny_buffer(&sender);
        let range = whole(&file).known_resident(true);
        let mut transfer = Transfer::new(chain_of(range), by(method));
        loop {
            match transfer.step(&sender, Disk::MustNotWait) {
                Step::Yield => {}
                Step::WaitSocket => break,
                step => panic!("{method} {step:?}"),
            }
        }
        if let Err(why) = evict(&file) {
            eprintln!("skipped: {why}");
            return;
        }
        let mut received = Vec::new();
        read_some(&mut reader, 200_000, &mut received);
        let step = transfer.step(&sender, Disk::MustNotWait);
        assert!(matches!(step, Step::WaitDisk), "{method} {step:?}");
    }
}

#[test]
fn who_must_not_wait_sends_a_hot_file_whole() {
    let file = file_of(LEN);
    for method in CACHED {
        let (sender, mut reader) = pair(Kind::Tcp);
        let mut transfer = Transfer::new(chain_of(whole(&file)), by(method));
        let mut received = Vec::new();
        loop {
            match transfer.step(&sender, Disk::MustNotWait) {
                Step::Done => break,
                Step::Yield => {}
                Step::WaitSocket => _ = read_some(&mut reader, 50_000, &mut received),
                step => panic!("{method} {step:?}"),
            }
        }
        read_rest(&sender, &mut reader, &mut received);
        assert_same(&received, &bytes_at(0, LEN), &method);
        assert_eq!((transfer.receipt().cold, transfer.receipt().disk_waits), (0, 0), "{method}");
    }
}

/// A hot window in a cold file, a reader that takes it in small pieces: the step that finishes the
/// window must stop at its end, wherever the pieces happen to lie.
#[test]
fn who_must_not_wait_never_goes_beyond_what_was_seen_hot() {
    for method in CACHED {
        let Some(file) = cold_file() else { return };
        let hot = 512 << 10;
        assert_eq!(pread(file.as_fd(), &mut vec![0; hot as usize], 0).unwrap() as u64, hot);
        if resident_from(&file, hot) > 0 {
            eprintln!("skipped: the file system reads ahead in spite of POSIX_FADV_RANDOM");
            return;
        }
        let (sender, mut reader) = pair(Kind::Unix);
        sender.set_send_buffer_size(20_000).unwrap();
        let options = Options { window: hot, ..by(method) };
        let mut transfer = Transfer::new(chain_of(whole(&file)), options);
        let mut received = Vec::new();
        let mut socket_waits = 0;
        loop {
            match transfer.step(&sender, Disk::MustNotWait) {
                Step::WaitDisk => break,
                Step::Yield => {}
                Step::WaitSocket => {
                    socket_waits += 1;
                    read_some(&mut reader, 1 << 20, &mut received);
                }
                step => panic!("{method} {step:?}"),
            }
        }
        assert!(socket_waits > 0, "{method}: in pieces");
        assert_eq!(transfer.receipt().bytes, hot, "{method}");
        assert_eq!(resident_from(&file, hot), 0, "{method} slept on the disk");
    }
}

/// The disk pool moves what the socket takes of a cold window; the rest of it is still cold.
#[test]
fn a_cold_window_that_was_begun_is_not_hot_for_that() {
    for method in CACHED {
        let Some(file) = cold_file() else { return };
        let (sender, mut reader) = pair(Kind::Unix);
        sender.set_send_buffer_size(20_000).unwrap();
        let mut transfer = Transfer::new(chain_of(whole(&file)), by(method));
        let mut received = Vec::new();
        let step = transfer.step(&sender, Disk::MustNotWait);
        assert!(matches!(step, Step::WaitDisk), "{method} {step:?}");
        let step = transfer.step(&sender, Disk::MayWait);
        assert!(matches!(step, Step::WaitSocket), "{method} {step:?}");
        let sent = transfer.receipt().bytes;
        assert!(sent > 0, "{method}");
        read_exactly(&mut reader, sent, &mut received);
        let window = Options::default().window;
        let rest = Residency::look(&*file, Medium::Disk, sent, window - sent);
        if rest.is_hot() {
            eprintln!(
                "skipped: the kernel has read all of the window in spite of POSIX_FADV_RANDOM"
            );
            return;
        }
        let step = transfer.step(&sender, Disk::MustNotWait);
        assert!(matches!(step, Step::WaitDisk), "{method} {step:?}");
        assert_eq!(transfer.receipt().cold, window, "one window counts once, {method}");
        let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
        assert!(matches!(end, End::Done), "{end:?}");
        read_rest(&sender, &mut reader, &mut received);
        assert_same(&received, &bytes_at(0, LEN), &method);
    }
}

#[test]
fn a_file_in_memory_is_never_cold() {
    let (sender, mut reader) = pair(Kind::Tcp);
    let range = FileRange::new(file_of(1_000), 0, 1_000).on(Medium::Memory);
    let mut transfer = Transfer::new(chain_of(range), Options::default());
    transfer.socket_is_nonblocking(); // else it would be asked
    assert!(matches!(transfer.step(&sender, Disk::MustNotWait), Step::Done));
    assert_eq!(transfer.receipt().system_calls, 1, "no statfs, no look: one sendfile");
    let mut received = Vec::new();
    read_rest(&sender, &mut reader, &mut received);
    assert_same(&received, &bytes_at(0, 1_000), &());
}
