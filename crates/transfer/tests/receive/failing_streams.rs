//! Streams that end early, break, or fall silent: what has come is in the file, and the error says how much that is.

use crate::{common::*, *};
use sendrail_transfer::receive::{RangeInto, ReceiveError, ReceiveFault, recv_file};
use std::{os::fd::AsFd, time::Duration};

/// Some comes, and then what `then` does to the sender.
fn after_some(
    method: ReceiveMethod,
    kind: Stream,
    nonblocking: bool,
    some: &[u8],
    then: impl FnOnce(OwnedFd) -> Option<OwnedFd>,
) -> ReceiveError {
    let (sender, reader) = stream(kind);
    if nonblocking {
        set_nonblocking(&reader, true);
    }
    rustix::io::write(&sender, some).unwrap();
    let file = empty_file();
    let options = ReceiveOptions { timeout: Some(Duration::from_millis(30)), ..by_method(method) };
    let kept = then(sender);
    let error = recv_file(&reader, &file, RangeInto::new(10, 100_000), &options).unwrap_err();
    drop(kept);
    assert_eq!(error.receipt.bytes, some.len() as u64, "{method} {kind:?} {error}");
    assert!(error.unwritten.is_empty(), "{error}");
    let got = contents(&file);
    assert_same(&got[10..], some, &(method, kind));
    error
}

#[test]
fn a_sender_that_closes_early_is_told_by_the_count() {
    let some = bytes_at(0, 20_000);
    for method in usable() {
        for kind in STREAMS {
            let error = after_some(method, kind, true, &some, |sender| {
                drop(sender);
                None
            });
            let fault = &error.fault;
            let early = ReceiveFault::TooShort { expected: 100_000, received: 20_000 };
            assert_eq!(format!("{fault:?}"), format!("{early:?}"));
        }
    }
}

#[test]
fn a_sender_that_sends_nothing_more_is_not_waited_for_beyond_the_limit() {
    let some = bytes_at(0, 20_000);
    for method in usable() {
        for kind in STREAMS {
            for nonblocking in [false, true] {
                let error = after_some(method, kind, nonblocking, &some, Some);
                assert!(matches!(error.fault, ReceiveFault::TimedOut), "{method} {kind:?} {error}");
                assert!(error.receipt.waits > 0, "{}", error.receipt);
            }
        }
    }
}

#[test]
fn a_connection_that_is_reset_is_the_streams_fault() {
    for method in usable() {
        let (sender, reader) = stream(Stream::Tcp);
        socket2::SockRef::from(&sender).set_linger(Some(Duration::ZERO)).unwrap();
        rustix::io::write(&reader, b"unread").unwrap();
        drop(sender);
        sendrail_sys::wait_readable(reader.as_fd(), Some(HANGS)).unwrap();
        let range = RangeInto::until_end(0);
        let error = recv_file(&reader, &empty_file(), range, &by_method(method)).unwrap_err();
        let ReceiveFault::Socket(fault) = &error.fault else { panic!("{method}: {error}") };
        assert_eq!(fault.kind(), std::io::ErrorKind::ConnectionReset, "{method}: {fault}");
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn what_is_no_stream_is_refused_before_anything_is_taken() {
    let file = empty_file();
    let (one, other) = std::os::unix::net::UnixDatagram::pair().unwrap();
    one.send(b"a message").unwrap();
    let range = RangeInto::new(0, 3);
    let options = by_method(ReceiveMethod::Buffered);
    let error = recv_file(&other, &file, range, &options).unwrap_err();
    assert!(matches!(error.fault, ReceiveFault::Socket(_)), "{error}");
    let mut message = [0; 20];
    assert_eq!(other.recv(&mut message).unwrap(), 9, "all of it is still there");

    let folder = File::open("/").unwrap();
    for method in usable() {
        let error = recv_file(&folder, &file, range, &by_method(method)).unwrap_err();
        assert!(matches!(error.fault, ReceiveFault::Socket(_)), "{method}: {error}");
    }
}
