//! The sockets of tokio that the engine sends to and receives from, and what it must tell tokio of them.

use sendrail_sys::{
    poll::{wait_readable, writable_now},
    send::send_vectored,
};
use std::{
    future::Future,
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::Interest,
    net::{TcpStream, UnixStream, tcp, unix},
};

/// A tokio socket that the engine can send to: [`TcpStream`], [`UnixStream`], and the halves of either that write
/// ([`tcp::OwnedWriteHalf`], [`tcp::WriteHalf`], [`unix::OwnedWriteHalf`], [`unix::WriteHalf`]).
///
/// Only one task may send at a time. To implement it for a wrapper, hand each call on to the socket inside.
///
/// ```
/// use sendrail_transfer::{Chain, Options, asynchronous};
/// use tokio::{io::AsyncReadExt, net::UnixStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (socket, mut peer) = UnixStream::pair()?;
/// let (_requests, answers) = socket.into_split();
/// let mut chain = Chain::new();
/// chain.push_bytes("by half");
/// asynchronous::send(&answers, chain, Options::default()).await?;
/// # let mut got = [0; 7];
/// # peer.read_exact(&mut got).await?;
/// # assert_eq!(&got, b"by half");
/// # Ok(())
/// # }
/// ```
pub trait Socket {
    /// The socket itself, in non-blocking mode.
    fn descriptor(&self) -> BorrowedFd<'_>;
    /// Waits until the socket takes more.
    fn writable(&self) -> impl Future<Output = io::Result<()>>;
    /// Tells tokio that the socket is full, if it still is, so that the next wait really waits.
    /// Says how many system calls that took.
    fn clear_writable(&self) -> u64;
    /// The same wait, for who is polled.
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Gives it bytes of memory behind which more will follow (MSG_MORE, `send(2)`), as many as it takes.
    ///
    /// # Errors
    ///
    /// The socket's own; `WouldBlock` if it takes nothing now.
    fn try_send_more(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// A tokio socket that the engine can receive from: [`TcpStream`], [`UnixStream`], and the halves of either that read
/// ([`tcp::OwnedReadHalf`], [`tcp::ReadHalf`], [`unix::OwnedReadHalf`], [`unix::ReadHalf`]).
///
/// Only one task may receive at a time. To implement it for a wrapper, hand each call on to the socket inside; what that has
/// read ahead is not received.
///
/// ```
/// use sendrail_transfer::{asynchronous, receive::{RangeInto, ReceiveOptions}};
/// use std::sync::Arc;
/// use tokio::{io::AsyncWriteExt, net::UnixStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (socket, mut peer) = UnixStream::pair()?;
/// let (uploads, _answers) = socket.into_split();
/// peer.write_all(b"by half").await?;
/// let (file, options) = (Arc::new(tempfile::tempfile()?), ReceiveOptions::default());
/// asynchronous::recv_file(&uploads, &file, RangeInto::new(0, 7), &options).await?;
/// # assert_eq!(std::io::read_to_string(&*file)?, "by half");
/// # Ok(())
/// # }
/// ```
pub trait RecvSocket {
    /// The socket itself, in non-blocking mode.
    fn descriptor(&self) -> BorrowedFd<'_>;
    /// Waits until there is something to be had, or the stream has ended.
    fn readable(&self) -> impl Future<Output = io::Result<()>>;
    /// Tells tokio that the socket has nothing, if it still has not, so that the next wait really waits.
    /// Says how many system calls that took.
    fn clear_readable(&self) -> u64;
}

/// A call that reports "would block" clears the readiness that tokio had recorded before the call.
///
/// The call must be made now. Since the one that found the socket full, the peer may have read and
/// tokio (in another thread, or while a window was in the disk pool) have recorded that; epoll is
/// edge-triggered, so what is cleared then does not come again, and the task would sleep for ever.
fn full(socket: BorrowedFd<'_>) -> io::Result<()> {
    if writable_now(socket)? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

/// The same of a socket that had nothing.
fn empty(socket: BorrowedFd<'_>) -> io::Result<()> {
    let something = wait_readable(socket, Some(Duration::ZERO))?;
    if something { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

macro_rules! streams {
    ($($stream:ty),*) => {$(
        impl Socket for $stream {
            fn descriptor(&self) -> BorrowedFd<'_> {
                self.as_fd()
            }

            fn writable(&self) -> impl Future<Output = io::Result<()>> {
                Self::writable(self)
            }

            fn clear_writable(&self) -> u64 {
                let mut calls = 0;
                let _ = self.try_io(Interest::WRITABLE, || {
                    calls += 1; // none if tokio holds the socket for full already
                    full(self.as_fd())
                });
                calls
            }

            fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(context)
            }

            fn try_send_more(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
                self.try_io(Interest::WRITABLE, || send_vectored(self.as_fd(), bytes, true))
            }
        }

        impl RecvSocket for $stream {
            fn descriptor(&self) -> BorrowedFd<'_> {
                self.as_fd()
            }

            fn readable(&self) -> impl Future<Output = io::Result<()>> {
                Self::readable(self)
            }

            fn clear_readable(&self) -> u64 {
                let mut calls = 0;
                let _ = self.try_io(Interest::READABLE, || {
                    calls += 1; // none if tokio holds the socket for empty already
                    empty(self.as_fd())
                });
                calls
            }
        }
    )*};
}
streams!(TcpStream, UnixStream);

macro_rules! halves_that_write {
    ($($half:ty: $stream:ty),*) => {$(
        impl Socket for $half {
            fn descriptor(&self) -> BorrowedFd<'_> {
                AsRef::<$stream>::as_ref(self).as_fd()
            }

            fn writable(&self) -> impl Future<Output = io::Result<()>> {
                AsRef::<$stream>::as_ref(self).writable()
            }

            fn clear_writable(&self) -> u64 {
                Socket::clear_writable(AsRef::<$stream>::as_ref(self))
            }

            fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                Socket::poll_writable(AsRef::<$stream>::as_ref(self), context)
            }

            fn try_send_more(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
                Socket::try_send_more(AsRef::<$stream>::as_ref(self), bytes)
            }
        }
    )*};
}
halves_that_write!(
    tcp::OwnedWriteHalf: TcpStream,
    tcp::WriteHalf<'_>: TcpStream,
    unix::OwnedWriteHalf: UnixStream,
    unix::WriteHalf<'_>: UnixStream
);

macro_rules! halves_that_read {
    ($($half:ty: $stream:ty),*) => {$(
        impl RecvSocket for $half {
            fn descriptor(&self) -> BorrowedFd<'_> {
                AsRef::<$stream>::as_ref(self).as_fd()
            }

            fn readable(&self) -> impl Future<Output = io::Result<()>> {
                AsRef::<$stream>::as_ref(self).readable()
            }

            fn clear_readable(&self) -> u64 {
                RecvSocket::clear_readable(AsRef::<$stream>::as_ref(self))
            }
        }
    )*};
}
halves_that_read!(
    tcp::OwnedReadHalf: TcpStream,
    tcp::ReadHalf<'_>: TcpStream,
    unix::OwnedReadHalf: UnixStream,
    unix::ReadHalf<'_>: UnixStream
);
