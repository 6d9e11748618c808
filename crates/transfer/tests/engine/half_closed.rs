//! Peers that close one half of a connection: what they have closed is said of that half alone.

use crate::common::*;
use sendrail_transfer::{Disk, Method, Options, SendError, Step, Transfer, blocking};
use socket2::Socket;
use std::{net::Shutdown, thread, thread::JoinHandle, time::Duration};

const LEN: u64 = 8 << 20;

fn read_in_a_thread(mut reader: Socket) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut received = Vec::new();
        while read_some(&mut reader, 100_000, &mut received) > 0 {}
        received
    })
}

/// As `nc -N` does when it has said what it wants: it sends nothing more, and reads on.
#[test]
fn a_reader_that_says_it_will_send_nothing_more_gets_everything() {
    for kind in KINDS {
        for method in Method::ALL {
            let file = file_of(LEN);
            for nonblocking in [true, false] {
                let (sender, reader) = pair(kind);
                sender.set_nonblocking(nonblocking).unwrap();
                reader.shutdown(Shutdown::Write).unwrap();
                let reading = read_in_a_thread(reader);
                blocking::send(&sender, chain_of(whole(&file)), by(method)).unwrap();
                drop(sender);
                let context = (kind, method, nonblocking);
                assert_same(&reading.join().unwrap(), &bytes_at(0, LEN), &context);
            }
            // In the middle, by steps.
            let (sender, mut reader) = pair(kind);
            let mut transfer = Transfer::new(chain_of(whole(&file)), by(method));
            let step = transfer.step(&sender, Disk::MayWait);
            assert!(matches!(step, Step::Yield | Step::WaitSocket), "{step:?}");
            reader.shutdown(Shutdown::Write).unwrap();
            let mut received = Vec::new();
            let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
            assert!(matches!(end, End::Done), "{end:?}");
            read_rest(&sender, &mut reader, &mut received);
            assert_same(&received, &bytes_at(0, LEN), &(kind, method));
        }
    }
}

/// A Unix socket says so. TCP has no word for it: shutdown(2) tells the other side nothing, so the sender finds a full socket, and it
/// is the limit that ends it.
#[test]
fn a_reader_that_says_it_will_read_nothing_more() {
    let options = |method| Options { send_timeout: Some(Duration::from_millis(100)), ..by(method) };
    for method in Method::ALL {
        let file = file_of(LEN);
        for nonblocking in [true, false] {
            let (sender, reader) = pair(Kind::Unix);
            sender.set_nonblocking(nonblocking).unwrap();
            reader.shutdown(Shutdown::Read).unwrap();
            let sent = blocking::send(&sender, chain_of(whole(&file)), options(method));
            let Err(SendError::PeerGone { error, receipt }) = sent else { panic!("{sent:?}") };
            assert_eq!((error.raw_os_error(), receipt.bytes), (Some(32), 0), "{method}: EPIPE");

            let (sender, reader) = pair(Kind::Tcp);
            sender.set_nonblocking(nonblocking).unwrap();
            sender.set_send_buffer_size(256 << 10).unwrap();
            reader.set_recv_buffer_size(256 << 10).unwrap();
            reader.shutdown(Shutdown::Read).unwrap();
            let sent = blocking::send(&sender, chain_of(whole(&file)), options(method));
            let Err(SendError::TimedOut { receipt }) = sent else { panic!("{method}: {sent:?}") };
            assert!(receipt.bytes < LEN, "{receipt}");
        }
    }
}

/// By this very side: the kernel says the same as of a peer that is gone.
#[test]
fn a_socket_that_was_closed_for_writing_sends_nothing() {
    for kind in KINDS {
        for method in Method::ALL {
            let (sender, _reader) = pair(kind);
            sender.shutdown(Shutdown::Write).unwrap();
            let sent = blocking::send(&sender, chain_of(whole(&file_of(LEN))), by(method));
            let Err(SendError::PeerGone { error, receipt }) = sent else { panic!("{sent:?}") };
            assert_eq!((error.raw_os_error(), receipt.bytes), (Some(32), 0), "{method}: EPIPE");
        }
    }
}

#[cfg(feature = "tokio")]
mod tasks {
    use super::*;
    use sendrail_transfer::{Receipt, asynchronous::send};
    use std::net;
    use tokio::net::{TcpStream, UnixStream};

    async fn send_to(kind: Kind, sender: Socket, options: Options) -> Result<Receipt, SendError> {
        let chain = chain_of(whole(&file_of(LEN)));
        match kind {
            Kind::Tcp => {
                let socket = TcpStream::from_std(net::TcpStream::from(sender)).unwrap();
                send(&socket, chain, options).await
            }
            Kind::Unix => {
                let sender = std::os::fd::OwnedFd::from(sender);
                let socket = UnixStream::from_std(sender.into()).unwrap();
                send(&socket, chain, options).await
            }
        }
    }

    #[tokio::test]
    async fn of_a_task() {
        for kind in KINDS {
            for method in Method::ALL {
                let (sender, reader) = pair(kind);
                reader.shutdown(Shutdown::Write).unwrap();
                let reading = read_in_a_thread(reader);
                send_to(kind, sender, by(method)).await.unwrap();
                assert_same(&reading.join().unwrap(), &bytes_at(0, LEN), &(kind, method));

                let (sender, reader) = pair(kind);
                sender.set_send_buffer_size(256 << 10).unwrap();
                reader.set_recv_buffer_size(256 << 10).unwrap();
                reader.shutdown(Shutdown::Read).unwrap();
                let limit = Some(Duration::from_millis(100));
                let sent =
                    send_to(kind, sender, Options { send_timeout: limit, ..by(method) }).await;
                match (kind, &sent) {
                    (Kind::Unix, Err(SendError::PeerGone { error, .. })) => {
                        assert_eq!(error.raw_os_error(), Some(32), "{method}: EPIPE");
                    }
                    (Kind::Tcp, Err(SendError::TimedOut { .. })) => {}
                    _ => panic!("{kind:?} {method}: {sent:?}"),
                }

                // Reset in the middle.
                let (sender, mut reader) = pair(kind);
                let resetting = thread::spawn(move || {
                    read_exactly(&mut reader, 100_000, &mut Vec::new());
                    let _ = reader.set_linger(Some(Duration::ZERO));
                });
                let sent = send_to(kind, sender, by(method)).await;
                resetting.join().unwrap();
                let Err(SendError::PeerGone { receipt, .. }) = &sent else {
                    panic!("{kind:?} {method}: {sent:?}")
                };
                assert!((100_000..LEN).contains(&receipt.bytes), "{receipt}");
            }
        }
    }
}
