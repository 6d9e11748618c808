//! The asynchronous front: sends a whole chain from a tokio task.
//!
//! While the file is in the page cache everything happens on the task's own thread. Windows that
//! are not are moved by tokio's blocking pool, so that no other task waits on this one's disk.

use crate::{
    chain::Chain,
    error::SendError,
    patience::Patience,
    plan::Options,
    receipt::Receipt,
    transfer::{Disk, Step, Transfer},
};
use sendrail_sys::poll::writable_now;
use std::{
    future::Future,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};
use tokio::{
    io::Interest,
    net::{TcpStream, UnixStream},
};

/// A tokio socket that the engine can send to.
pub trait Socket: AsFd {
    /// Waits until the socket takes more.
    fn writable(&self) -> impl Future<Output = io::Result<()>>;
    /// Tells tokio that the socket is full, if it still is, so that the next wait really waits.
    /// Says how many system calls that took.
    fn clear_writable(&self) -> u64;
}

/// A call that reports "would block" clears the readiness that tokio had recorded before the call.
///
/// The call must be made now. Since the one that found the socket full, the peer may have read and
/// tokio (in another thread, or while a window was in the disk pool) have recorded that; epoll is
/// edge-triggered, so what is cleared then does not come again, and the task would sleep for ever.
fn full(socket: BorrowedFd<'_>) -> io::Result<()> {
    if writable_now(socket)? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

macro_rules! socket {
    ($($kind:ty),*) => {$(
        impl Socket for $kind {
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
        }
    )*};
}
socket!(TcpStream, UnixStream);

/// Sends `chain` to `socket`, and yields to other tasks between windows.
///
/// If the future is dropped the message is cut short where it stands, and the connection is good
/// for nothing else; a window that is on its way through the disk pool then still goes out.
///
/// With [`Options::send_timeout`] the runtime needs its timers (`enable_time`), else this panics.
///
/// # Errors
///
/// As [`blocking::send`](crate::blocking::send).
///
/// ```
/// # use std::{io::Write, sync::Arc};
/// # use sendrail_transfer::{Chain, FileRange, Options, asynchronous};
/// # use tokio::{io::AsyncReadExt, net::{TcpListener, TcpStream}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut file = tempfile::tempfile()?;
/// # file.write_all(&[7; 100_000])?;
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let mut reader = TcpStream::connect(listener.local_addr()?).await?;
/// # let (socket, _) = listener.accept().await?;
/// # let reader = tokio::spawn(async move { reader.read_to_end(&mut Vec::new()).await });
/// let mut chain = Chain::new();
/// chain.push_file(FileRange::new(Arc::new(file), 0, 100_000));
/// let receipt = asynchronous::send(&socket, chain, Options::default()).await?;
/// # drop(socket);
/// # assert_eq!(reader.await??, 100_000);
/// assert_eq!(receipt.copied, 0);
/// # Ok(())
/// # }
/// ```
pub async fn send<S: Socket>(
    socket: &S,
    chain: Chain,
    options: Options,
) -> Result<Receipt, SendError> {
    let limit = options.send_timeout;
    let mut transfer = Transfer::new(chain, options);
    let mut patience = Patience::new(limit, transfer.remaining(), now());
    // Made when the first cold window comes up: the pool's thread needs a descriptor that lives
    // as long as it does.
    let mut duplicate: Option<OwnedFd> = None;
    loop {
        let mut step = transfer.step(socket, Disk::MustNotWait);
        if matches!(step, Step::WaitDisk) {
            let fd = match duplicate.take() {
                Some(fd) => fd,
                None => duplicated(socket.as_fd(), transfer.receipt_mut())?,
            };
            let pooled = tokio::task::spawn_blocking(move || {
                let step = transfer.step(&fd, Disk::MayWait);
                (transfer, fd, step)
            });
            let (back, fd, then) =
                pooled.await.map_err(|error| SendError::Wait { error: io::Error::other(error) })?;
            transfer = back;
            duplicate = Some(fd);
            step = then;
        }
        match step {
            Step::Done => return Ok(transfer.into_receipt()),
            Step::Yield => tokio::task::yield_now().await,
            Step::WaitSocket => {
                let Ok(left) = patience.left(transfer.remaining(), now()) else {
                    return Err(SendError::timed_out(transfer));
                };
                transfer.receipt_mut().system_calls += socket.clear_writable();
                // When the time is up the next step finds out; see Patience::left.
                if let Some(Err(error)) = within(left, socket.writable()).await {
                    return Err(SendError::Wait { error });
                }
            }
            Step::WaitDisk => unreachable!("a step that may wait for the disk does so itself"),
            Step::PeerGone(error) => return Err(SendError::peer_gone(error, transfer)),
            Step::Failed(fault) => return Err(SendError::file(fault, transfer)),
        }
    }
}

/// Tokio's own clock, which a test may have stopped.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn duplicated(socket: BorrowedFd<'_>, receipt: &mut Receipt) -> Result<OwnedFd, SendError> {
    receipt.system_calls += 1; // its close(2), in the end
    receipt.call(|| socket.try_clone_to_owned()).map_err(|error| SendError::Wait { error })
}

async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match limit {
        None => Some(future.await),
        Some(limit) => tokio::time::timeout(limit, future).await.ok(),
    }
}
