//! Ranges that make no sense: beyond the end, empty, longer than any file. An error that says where, or nothing at all; never other
//! bytes. (That a range ends before it begins cannot be said: it is an offset and a length.)

use crate::common::*;
use sendrail_transfer::{
    Chain, FileFault, FileRange, Method, SendError, blocking,
    copy::{CopyFault, CopyMethod, CopyOptions, copy_file},
    mapped_read::read_mapped,
    receive::{RangeInto, ReceiveFault, ReceiveMethod, ReceiveOptions, recv_file},
};
use std::{io::Write, os::unix::net::UnixStream, sync::Arc};

const LEN: u64 = 300_000;
const MOST: u64 = i64::MAX as u64;

#[test]
fn nothing_is_sent_of_nothing() {
    for method in Method::ALL {
        for (offset, len) in [(0, 0), (LEN, 0), (LEN + 1, 0), (u64::MAX, 0), (u64::MAX, u64::MAX)] {
            let range = FileRange::new(file_of(LEN), offset, len);
            assert!(range.is_empty(), "no file reaches beyond 2⁶⁴");
            let mut chain = Chain::new();
            chain.push_bytes("before, ");
            chain.push_file(range);
            chain.push_bytes("after");
            let (received, receipt) = deliver(pair(Kind::Tcp), chain, by(method), 1 << 20);
            assert_eq!((received, receipt.file_bytes), (b"before, after".to_vec(), 0), "{method}");
        }
    }
}

#[test]
fn beyond_the_end_the_chain_ends_where_the_bytes_do() {
    let file = file_of(LEN);
    for method in Method::ALL {
        for (offset, len) in [
            (LEN, 1),
            (LEN + 1, 100_000),
            (LEN - 1, 2),
            (LEN - 100_000, u64::MAX),
            (1 << 40, 10),
            (MOST, 1),
            (MOST + 1, 100),
            (u64::MAX - 5, 100),
        ] {
            let context = (method, offset, len);
            let (sender, mut reader) = pair(Kind::Tcp);
            let mut chain = Chain::new();
            chain.push_file(FileRange::new(Arc::clone(&file), 0, 1000));
            chain.push_file(FileRange::new(Arc::clone(&file), offset, len));
            chain.push_bytes("never");
            // All that can come goes into the buffers of the socket.
            sender.set_send_buffer_size(1 << 20).unwrap();
            let sent = blocking::send(&sender, chain, by(method));
            let Err(SendError::File { fault, receipt }) = sent else {
                panic!("{sent:?} {context:?}")
            };
            let there = LEN.saturating_sub(offset);
            match fault {
                FileFault::Truncated { offset: at, promised_end } => {
                    assert_eq!(
                        (at, promised_end),
                        (LEN.max(offset), offset.saturating_add(len)),
                        "{context:?}"
                    );
                }
                FileFault::Read { offset: at, .. } => {
                    assert!(at == offset && offset >= MOST, "{fault} {context:?}");
                }
                _ => panic!("{fault}"),
            }
            assert_eq!(receipt.bytes, 1000 + there, "{context:?}");
            let mut received = Vec::new();
            read_rest(&sender, &mut reader, &mut received);
            let expected = [bytes_at(0, 1000), bytes_at(offset.min(LEN), there)].concat();
            assert_same(&received, &expected, &context);
        }
    }
}

#[test]
fn mappings_beyond_the_end() {
    let file = file_of(LEN);
    for (offset, len) in [(LEN, 1), (LEN - 1, 2), (1 << 40, 4096), (0, LEN + 1), (LEN + 1, 1 << 20)]
    {
        let mapped = read_mapped(&FileRange::new(Arc::clone(&file), offset, len)).unwrap();
        let seen = mapped.with(<[u8]>::to_vec);
        let Err(FileFault::Truncated { offset: at, promised_end }) = seen else {
            panic!("{offset} {len}: {seen:?}")
        };
        assert_eq!((at, promised_end), (LEN.max(offset), offset + len));
    }
    for (offset, len) in [
        (0, 0),
        (0, u64::MAX),
        (u64::MAX, 1),
        (u64::MAX - 5, 5),
        (MOST + 1, 1),
        (0, (64 << 20) + 1),
    ] {
        let error = read_mapped(&FileRange::new(Arc::clone(&file), offset, len)).unwrap_err();
        // EINVAL, EOVERFLOW
        assert!([22, 75].contains(&error.raw_os_error().unwrap()), "{offset} {len}: {error}");
    }
}

#[test]
fn copies_from_beyond_the_end_and_to_where_no_file_reaches() {
    for method in CopyMethod::ALL {
        let options = CopyOptions { method: Some(method) };
        let (source, target) = (file_of(LEN), file_of(10));
        for (offset, len) in [(LEN, 1), (LEN + 1, 4096), (1 << 40, 10)] {
            let range = FileRange::new(Arc::clone(&source), offset, len);
            let error = copy_file(&range, &target, 0, &options).unwrap_err();
            assert!(
                matches!(error.fault, CopyFault::TooShort { copied: 0, expected } if expected == len),
                "{method} {offset}: {error}"
            );
        }
        for offset in [MOST + 1, u64::MAX - 5] {
            let range = FileRange::new(Arc::clone(&source), offset, 5);
            let error = copy_file(&range, &target, 0, &options).unwrap_err();
            assert!(matches!(error.fault, CopyFault::Source { offset: at, .. } if at == offset));
        }
        for (to, len) in [(u64::MAX, 1), (MOST, 1), (MOST - 4, 5), (0, u64::MAX)] {
            let range = FileRange::new(Arc::clone(&source), 0, len);
            let error = copy_file(&range, &target, to, &options).unwrap_err();
            let CopyFault::Target { error, offset } = error.fault else { panic!("{to}: {error}") };
            assert_eq!((error.raw_os_error(), offset), (Some(27), to), "{method}: EFBIG");
        }
        for (from, to) in [(0, 0), (u64::MAX, 5), (LEN + 1, u64::MAX)] {
            let range = FileRange::new(Arc::clone(&source), from, 0);
            let receipt = copy_file(&range, &target, to, &options).unwrap();
            assert_eq!((receipt.bytes, receipt.system_calls), (0, 0));
        }
        assert_eq!(target.metadata().unwrap().len(), 10, "{method}: nothing was written");
    }
}

#[test]
fn receiving_to_where_no_file_reaches_takes_nothing() {
    for method in ReceiveMethod::ALL {
        let file = file_of(10);
        let (mut sender, reader) = UnixStream::pair().unwrap();
        sender.write_all(b"abc").unwrap();
        let options =
            ReceiveOptions { method: Some(method), timeout: Some(HANGS), ..Default::default() };
        for (offset, len) in [(0, u64::MAX), (1, MOST), (u64::MAX, 1), (u64::MAX, u64::MAX)] {
            let error =
                recv_file(&reader, &file, RangeInto::new(offset, len), &options).unwrap_err();
            let ReceiveFault::File { error: said, offset: at } = &error.fault else {
                panic!("{error}")
            };
            assert_eq!((said.raw_os_error(), *at), (Some(27), offset), "{method}: EFBIG");
            assert!(error.unwritten.is_empty());
        }
        for offset in [0, LEN, u64::MAX] {
            let receipt = recv_file(&reader, &file, RangeInto::new(offset, 0), &options).unwrap();
            assert_eq!(receipt.bytes, 0);
        }
        recv_file(&reader, &file, RangeInto::new(10, 3), &options).unwrap();
        let expected = [&bytes_at(0, 10)[..], b"abc"].concat();
        let mut there = [0; 13];
        std::os::unix::fs::FileExt::read_exact_at(&*file, &mut there, 0).unwrap();
        assert_same(&there, &expected, &method);
    }
}
