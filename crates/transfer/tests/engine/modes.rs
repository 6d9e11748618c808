//! Sockets in the wrong mode: a blocking one where nobody may wait is refused, before anything is sent; a non-blocking one is as good
//! as any to who waits himself.

use crate::common::*;
use sendrail_transfer::{Chain, Disk, Method, Step, Transfer, blocking};
use std::{io, thread};

const LEN: u64 = 8 << 20;

fn assert_refused(error: &io::Error) {
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains("O_NONBLOCK"), "{error}");
}

/// A head and a file.
fn message() -> Chain {
    let mut chain = Chain::new();
    chain.push_bytes("a head");
    chain.push_file(whole(&file_of(LEN)));
    chain
}

/// Nothing has been sent: the next thing that is, is the first.
fn assert_untouched(sender: socket2::Socket, mut reader: socket2::Socket) {
    drop(sender);
    let mut received = Vec::new();
    assert_eq!(read_some(&mut reader, 100, &mut received), 0, "{received:?}");
}

#[test]
fn a_step_that_must_not_wait_refuses_a_blocking_socket() {
    for kind in KINDS {
        for method in Method::ALL {
            let (sender, reader) = pair(kind);
            sender.set_nonblocking(false).unwrap();
            let mut transfer = Transfer::new(message(), by(method));
            for _ in 0..2 {
                let Step::PeerGone(error) = transfer.step(&sender, Disk::MustNotWait) else {
                    panic!("it would have waited inside, {kind:?} {method}")
                };
                assert_refused(&error);
            }
            let mut begun = Transfer::new(message(), by(method));
            let Step::PeerGone(error) = begun.begin(&sender, b"a head", Disk::MustNotWait) else {
                panic!("it would have waited inside, {kind:?} {method}")
            };
            assert_refused(&error);
            assert_eq!((transfer.receipt().bytes, transfer.receipt().system_calls), (0, 2));
            assert_untouched(sender, reader);
        }
    }
}

#[test]
fn it_is_asked_once_and_not_of_who_has_said_it() {
    let (sender, _reader) = pair(Kind::Tcp);
    let chain = || {
        let mut chain = Chain::new();
        chain.push_bytes("12345");
        chain
    };
    let mut asks = Transfer::new(chain(), by(Method::Copy));
    assert!(matches!(asks.step(&sender, Disk::MustNotWait), Step::Done));
    let mut knows = Transfer::new(chain(), by(Method::Copy));
    knows.socket_is_nonblocking();
    assert!(matches!(knows.step(&sender, Disk::MustNotWait), Step::Done));
    assert_eq!((asks.receipt().system_calls, knows.receipt().system_calls), (2, 1));
}

#[test]
fn the_blocking_front_takes_either() {
    for kind in KINDS {
        for method in Method::ALL {
            for nonblocking in [false, true] {
                let (sender, mut reader) = pair(kind);
                sender.set_nonblocking(nonblocking).unwrap();
                let reading = thread::spawn(move || {
                    let mut received = Vec::new();
                    while read_some(&mut reader, 100_000, &mut received) > 0 {}
                    received
                });
                blocking::send(&sender, message(), by(method)).unwrap();
                drop(sender);
                let expected = [b"a head", &bytes_at(0, LEN)[..]].concat();
                assert_same(&reading.join().unwrap(), &expected, &(kind, method, nonblocking));
            }
        }
    }
}

#[cfg(feature = "tokio")]
mod tasks {
    use super::*;
    use sendrail_transfer::{
        SendError,
        asynchronous::{Sending, send},
    };
    use std::net;
    use tokio::net::TcpStream;

    /// A socket that tokio has, and that somebody has put in blocking mode since. (A tokio built with assertions takes none that is so
    /// already; a release takes it.)
    fn blocking_socket() -> (TcpStream, socket2::Socket, socket2::Socket) {
        let (sender, reader) = pair(Kind::Tcp);
        let kept = sender.try_clone().unwrap();
        let tokios = TcpStream::from_std(net::TcpStream::from(sender)).unwrap();
        kept.set_nonblocking(false).unwrap();
        (tokios, kept, reader)
    }

    #[tokio::test]
    async fn the_asynchronous_front_refuses_a_blocking_socket() {
        let (socket, kept, reader) = blocking_socket();
        let error = send(&socket, message(), by(Method::Sendfile)).await.unwrap_err();
        let SendError::Wait { error } = error else { panic!("{error:?}") };
        assert_refused(&error);

        let mut sending = Sending::new(message(), by(Method::Sendfile));
        let polled = std::future::poll_fn(|context| sending.poll_send(context, &socket)).await;
        let Err(SendError::Wait { error }) = polled else { panic!("{polled:?}") };
        assert_refused(&error);
        drop(socket);
        assert_untouched(kept, reader);
    }
}
