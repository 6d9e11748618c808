//! Files that take no more: full disks, limits, files that are not for writing. Nothing that was taken off the socket is lost.

use crate::{common::*, disks::*, *};
use sendrail_transfer::receive::{RangeInto, ReceiveFault, recv_file};
use std::os::unix::fs::FileExt;

const FOUR_MIB: u64 = 4 << 20;

#[test]
fn a_full_disk_is_the_files_fault_and_what_was_taken_is_handed_over() {
    let sent = bytes_at(0, 6 << 20);
    on_a_small_disk(|folder| {
        for method in ReceiveMethod::ALL {
            for kind in STREAMS {
                let context = (method, kind);
                let (sender, mut reader) = stream(kind);
                let sending = send_all(sender, sent.clone(), 1 << 20);
                let file = file_in(folder);
                let range = RangeInto::until_end(0);
                let error = recv_file(&reader, &file, range, &by_method(method)).unwrap_err();
                let ReceiveFault::File { error: said, offset } = &error.fault else {
                    panic!("{context:?}: {error}")
                };
                assert_eq!(said.kind(), std::io::ErrorKind::StorageFull, "{context:?}");
                assert_eq!(error.receipt.bytes, *offset, "{context:?}");
                assert!(error.receipt.bytes <= FOUR_MIB, "{context:?} {error}");
                assert!(error.receipt.bytes > FOUR_MIB - (1 << 20), "{context:?} {error}");
                // What is in the file, what was handed over and what is still to come are all of it.
                let mut all = contents(&file);
                assert_eq!(all.len() as u64, *offset, "{context:?}");
                all.extend_from_slice(&error.unwritten);
                reader = read_on(reader, &mut all);
                sending.join().unwrap();
                assert_same(&all, &sent, &context);
                drop((file, reader));
            }
        }
    });
}

fn read_on(reader: OwnedFd, into: &mut Vec<u8>) -> OwnedFd {
    let mut reader = File::from(reader);
    reader.read_to_end(into).unwrap();
    reader.into()
}

#[test]
fn there_is_room_again_and_it_goes_on_from_there() {
    let sent = bytes_at(0, 6 << 20);
    on_a_small_disk(|folder| {
        let ballast = folder.join("ballast");
        std::fs::write(&ballast, vec![1; 3 << 20]).unwrap();
        let (sender, reader) = stream(Stream::Tcp);
        let sending = send_all(sender, sent[..3 << 20].to_vec(), 1 << 20);
        let file = file_in(folder);
        let options = by_method(ReceiveMethod::Splice);
        let error = recv_file(&reader, &file, RangeInto::until_end(0), &options).unwrap_err();
        std::fs::remove_file(&ballast).unwrap();
        let done = error.receipt.bytes;
        file.write_all_at(&error.unwritten, done).unwrap();
        let range = RangeInto::until_end(done + error.unwritten.len() as u64);
        recv_file(&reader, &file, range, &options).unwrap();
        sending.join().unwrap();
        assert_same(&contents(&file), &sent[..3 << 20], &"resumed");
    });
}

#[test]
fn a_file_that_is_not_for_writing_is_found_out_before_anything_is_taken() {
    let named = tempfile::NamedTempFile::new().unwrap();
    let file = File::open(named.path()).unwrap();
    for method in ReceiveMethod::ALL {
        let (sender, reader) = stream(Stream::Unix);
        send_all(sender, b"abc".to_vec(), 3).join().unwrap();
        let error =
            recv_file(&reader, &file, RangeInto::new(5, 3), &by_method(method)).unwrap_err();
        let ReceiveFault::File { error: said, offset: 5 } = &error.fault else { panic!("{error}") };
        assert_eq!(said.raw_os_error(), Some(9), "{method}: EBADF");
        assert_eq!(std::io::read_to_string(File::from(reader)).unwrap(), "abc");
    }
}

#[test]
fn what_is_no_file_with_offsets_takes_nothing_and_what_was_taken_is_handed_over() {
    for method in ReceiveMethod::ALL {
        let (sender, reader) = stream(Stream::Unix);
        send_all(sender, b"abc".to_vec(), 3).join().unwrap();
        let (_end, pipe) = std::io::pipe().unwrap();
        let file = File::from(OwnedFd::from(pipe));
        let error =
            recv_file(&reader, &file, RangeInto::new(0, 3), &by_method(method)).unwrap_err();
        let ReceiveFault::File { error: said, .. } = &error.fault else { panic!("{error}") };
        assert_eq!(said.raw_os_error(), Some(29), "{method}: ESPIPE");
        assert_eq!(error.unwritten, b"abc", "{method}");
    }
}

#[test]
fn an_offset_that_no_file_reaches_is_the_files_fault() {
    for method in ReceiveMethod::ALL {
        for offset in [i64::MAX as u64, u64::MAX - 2, i64::MAX as u64 - 3] {
            let (sender, reader) = stream(Stream::Tcp);
            send_all(sender, b"abc".to_vec(), 3).join().unwrap();
            let range = RangeInto { offset, len: (offset % 2 == 1).then_some(3) };
            let error = recv_file(&reader, &empty_file(), range, &by_method(method)).unwrap_err();
            assert!(matches!(error.fault, ReceiveFault::File { .. }), "{method}: {error}");
            if offset > i64::MAX as u64 {
                assert!(error.unwritten.is_empty(), "no offset of a file: nothing need be taken");
            }
            let mut all = error.unwritten;
            read_on(reader, &mut all);
            assert_eq!(all, b"abc", "{method} {offset}: {}", error.fault);
        }
    }
}
