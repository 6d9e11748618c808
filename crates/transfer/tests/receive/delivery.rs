//! What is received is what was sent, by every method, from every kind of stream, wherever it goes.

use crate::{common::*, *};
use sendrail_transfer::receive::{
    DIRECT_FROM, LITTLE, RangeInto, ReceiveFault, Received, Refused, Why, recv_file,
    recv_file_with_progress,
};
use std::{fs::OpenOptions, ops::ControlFlow, os::fd::AsFd};

/// Longer than any buffer and pipe, and no multiple of anything.
const LEN: u64 = (3 << 20) + 4567;

fn counted(receipt: &Received, method: ReceiveMethod, context: &dyn std::fmt::Debug) {
    assert_eq!(receipt.bytes, LEN, "{context:?}");
    assert_eq!(receipt.methods, [method], "{context:?} {receipt}");
    let copied = match method {
        ReceiveMethod::Splice => 0..=0,
        ReceiveMethod::Buffered => 2 * LEN..=2 * LEN,
        // A head and a tail of less than a page are copied twice.
        ReceiveMethod::Direct => LEN..=LEN + 2 * PAGE,
        _ => panic!("nobody has said how often {method} copies"),
    };
    assert!(copied.contains(&receipt.copied), "{context:?} {receipt}");
}

#[test]
fn every_method_from_every_stream_in_either_mode() {
    let sent = bytes_at(0, LEN);
    for method in usable() {
        for kind in STREAMS {
            for (nonblocking, chunk) in [(false, 70_000), (true, 7919), (true, 1 << 20)] {
                for (offset, known) in [(0, false), (5000, true), (PAGE * 3, true)] {
                    let context = (method, kind, nonblocking, chunk, offset, known);
                    let (sender, reader) = stream(kind);
                    if nonblocking {
                        set_nonblocking(&reader, true);
                    }
                    let sending = send_all(sender, sent.clone(), chunk);
                    let file = empty_file();
                    move_position(&file);
                    let range = RangeInto { offset, len: known.then_some(LEN) };
                    let receipt = recv_file(&reader, &file, range, &by_method(method)).unwrap();
                    sending.join().unwrap();
                    assert_eq!(position(&file), 12_345, "{context:?}");
                    counted(&receipt, method, &context);
                    assert!(receipt.refusals.is_empty(), "{context:?} {receipt}");
                    let got = contents(&file);
                    let zeros = vec![0; offset as usize];
                    assert_same(&got[..offset as usize], &zeros, &context);
                    assert_same(&got[offset as usize..], &sent, &context);
                }
            }
        }
    }
}

fn position(file: &File) -> u64 {
    rustix::fs::tell(file).unwrap()
}

#[test]
fn what_stands_around_it_in_the_file_stays() {
    for method in usable() {
        for (offset, len) in [(1, 1), (4095, 2), (5000, 3000), (4096, 8192), (100, 1_500_000)] {
            let file = file_of(2_000_000);
            let mut expected = bytes_at(0, 2_000_000);
            let sent = bytes_at(99, len);
            expected[offset as usize..][..len as usize].copy_from_slice(&sent);
            let (sender, reader) = stream(Stream::Unix);
            let sending = send_all(sender, sent, 1 << 20);
            let range = RangeInto::new(offset, len);
            recv_file(&reader, &file, range, &by_method(method)).unwrap();
            sending.join().unwrap();
            assert_same(&contents(&file), &expected, &(method, offset, len));
        }
    }
}

#[test]
fn what_follows_the_length_stays_in_the_stream() {
    let sent = bytes_at(0, LEN);
    for method in usable() {
        for kind in STREAMS {
            let (sender, reader) = stream(kind);
            let sending = send_all(sender, sent.clone(), 1 << 20);
            let file = empty_file();
            let mut got = Vec::new();
            for len in [1, 100_001, 2_000_000] {
                let range = RangeInto::new(got.len() as u64, len);
                let receipt = recv_file(&reader, &file, range, &by_method(method)).unwrap();
                assert_eq!(receipt.bytes, len);
                got = contents(&file);
            }
            File::from(reader).read_to_end(&mut got).unwrap();
            sending.join().unwrap();
            assert_same(&got, &sent, &(method, kind));
        }
    }
}

#[test]
fn nothing_is_asked_for_where_nothing_is_wanted_and_an_empty_stream_is_no_error() {
    let (sender, reader) = stream(Stream::Tcp);
    let file = empty_file();
    let options = ReceiveOptions::default();
    let receipt = recv_file(&reader, &file, RangeInto::new(7, 0), &options).unwrap();
    assert_eq!(receipt, Received::default());
    drop(sender);
    for method in usable() {
        let options = by_method(method);
        let receipt = recv_file(&reader, &file, RangeInto::until_end(9), &options).unwrap();
        assert_eq!((receipt.bytes, receipt.methods.len()), (0, 0), "{method} {receipt}");
        assert!(receipt.to_string().starts_with("nothing calls="), "{receipt}");
        assert_eq!(contents(&file), b"");
    }
}

#[test]
fn it_is_chosen_by_length_and_by_what_is_asked_for() {
    for (kind, len, leave_no_trace, expected) in [
        (Stream::Unix, LITTLE, false, ReceiveMethod::Buffered),
        (Stream::Tcp, LITTLE + 1, false, ReceiveMethod::Buffered),
        (Stream::Unix, DIRECT_FROM, false, ReceiveMethod::Buffered),
        (Stream::Unix, DIRECT_FROM, true, ReceiveMethod::Direct),
        (Stream::Pipe, LITTLE, false, ReceiveMethod::Buffered),
        (Stream::Pipe, LITTLE + 1, false, ReceiveMethod::Splice),
    ] {
        if expected == ReceiveMethod::Direct && !has_direct_io() {
            return;
        }
        let (sender, reader) = stream(kind);
        let sending = send_all(sender, bytes_at(0, len), 1 << 20);
        let options =
            ReceiveOptions { leave_no_trace, timeout: Some(HANGS), ..ReceiveOptions::default() };
        let file = empty_file();
        let receipt = recv_file(&reader, &file, RangeInto::new(0, len), &options).unwrap();
        sending.join().unwrap();
        assert_eq!(receipt.methods, [expected], "{kind:?} {len} {leave_no_trace}");
        let seen = sendrail_sys::resident_pages(file.as_fd(), 0, len as usize);
        if let (Ok(resident), ReceiveMethod::Direct) = (seen, expected) {
            assert_eq!(resident, 0, "it has left a trace");
        }
    }
}

#[test]
fn what_comes_out_of_a_pipe_needs_no_other() {
    let (sender, reader) = stream(Stream::Pipe);
    send_all(sender, b"abcde".to_vec(), 5).join().unwrap();
    let (file, options) = (empty_file(), by_method(ReceiveMethod::Splice));
    let receipt = recv_file(&reader, &file, RangeInto::new(0, 5), &options).unwrap();
    assert_eq!(contents(&file), b"abcde");
    // fcntl(2) of both, getsockopt(2), fstat(2), getrlimit(2), and one splice(2).
    assert_eq!(receipt.system_calls, 6, "{receipt}");
}

#[test]
fn a_regular_file_is_a_stream_too() {
    for method in usable() {
        let source = file_of(LEN);
        (&*source).seek(SeekFrom::Start(1000)).unwrap();
        let target = empty_file();
        let receipt =
            recv_file(&source, &target, RangeInto::until_end(0), &by_method(method)).unwrap();
        assert_eq!(receipt.bytes, LEN - 1000, "{receipt}");
        assert_same(&contents(&target), &bytes_at(1000, LEN - 1000), &method);
    }
}

#[test]
fn a_file_that_is_appended_to_is_written_at_its_end_or_not_at_all() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("log");
    std::fs::write(&path, "before, ").unwrap();
    let file = OpenOptions::new().append(true).open(&path).unwrap();
    let (sender, reader) = stream(Stream::Tcp);
    send_all(sender, b"after".to_vec(), 5).join().unwrap();

    let wrong = RangeInto::new(3, 5);
    let error = recv_file(&reader, &file, wrong, &ReceiveOptions::default()).unwrap_err();
    let ReceiveFault::File { error, offset: 3 } = &error.fault else { panic!("{error}") };
    assert_eq!(error.raw_os_error(), Some(22));

    let options = by_method(ReceiveMethod::Splice);
    let receipt = recv_file(&reader, &file, RangeInto::until_end(8), &options).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"before, after");
    let expected = Refused { method: ReceiveMethod::Splice, why: Why::Append };
    assert_eq!(receipt.refusals, [expected]);
    assert!(receipt.to_string().ends_with(" refused=splice:O_APPEND"), "{receipt}");
}

#[test]
fn progress_is_told_and_may_stop_it_and_nothing_is_lost() {
    let sent = bytes_at(0, LEN);
    for method in usable() {
        let (sender, reader) = stream(Stream::Tcp);
        let sending = send_all(sender, sent.clone(), 1 << 20);
        let file = empty_file();
        let (mut done, mut stops) = (0, 0);
        loop {
            let (mut last, before) = (0, done);
            let range = RangeInto::until_end(before);
            let result =
                recv_file_with_progress(&reader, &file, range, &by_method(method), &mut |bytes| {
                    assert!(bytes > last, "{method}: {bytes} after {last}");
                    last = bytes;
                    if bytes > 500_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
            match result {
                Ok(receipt) => {
                    assert_eq!(receipt.bytes, last);
                    break;
                }
                Err(error) => {
                    assert!(matches!(error.fault, ReceiveFault::Stopped), "{error}");
                    assert_eq!((error.receipt.bytes, error.unwritten.len()), (last, 0));
                    done += last;
                    stops += 1;
                }
            }
        }
        sending.join().unwrap();
        assert!(stops > 1, "{method}");
        assert_same(&contents(&file), &sent, &method);
    }
}
