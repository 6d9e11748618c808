//! The asynchronous front: sends a whole chain from a tokio task.
//!
//! While the file is in the page cache everything happens on the task's own thread. Windows that
//! are not are moved by tokio's blocking pool, so that no other task waits on this one's disk.

use crate::{
    chain::Chain,
    error::SendError,
    plan::Options,
    receipt::Receipt,
    transfer::{Disk, Step, Transfer},
};
use std::{
    future::Future,
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};
use tokio::{
    io::Interest,
    net::{TcpStream, UnixStream},
};

/// A tokio socket that the engine can send to.
pub trait Socket: AsFd {
    /// Waits until the socket takes more.
    fn writable(&self) -> impl Future<Output = io::Result<()>>;
    /// Tells tokio that the socket is full, so that the next wait really waits.
    fn clear_writable(&self);
}

/// A call that reports "would block" clears tokio's readiness; the engine has made the real call
/// already, and knows.
fn full() -> io::Result<()> {
    Err(io::ErrorKind::WouldBlock.into())
}

macro_rules! socket {
    ($($kind:ty),*) => {$(
        impl Socket for $kind {
            fn writable(&self) -> impl Future<Output = io::Result<()>> {
                Self::writable(self)
            }

            fn clear_writable(&self) {
                let _ = self.try_io(Interest::WRITABLE, full);
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
    let timeout = options.send_timeout;
    let mut transfer = Transfer::new(chain, options);
    // Made when the first cold window comes up: the pool's thread needs a descriptor that lives
    // as long as it does.
    let mut duplicate: Option<OwnedFd> = None;
    loop {
        let mut step = transfer.step(socket, Disk::MustNotWait);
        while matches!(step, Step::WaitDisk) {
            let fd = match duplicate.take() {
                Some(fd) => fd,
                None => socket
                    .as_fd()
                    .try_clone_to_owned()
                    .map_err(|error| SendError::Wait { error })?,
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
                socket.clear_writable();
                match within(timeout, socket.writable()).await {
                    None => {
                        let receipt = Box::new(transfer.into_receipt());
                        return Err(SendError::TimedOut { receipt });
                    }
                    Some(Err(error)) => return Err(SendError::Wait { error }),
                    Some(Ok(())) => {}
                }
            }
            Step::WaitDisk => unreachable!("a step that may wait for the disk does so itself"),
            Step::PeerGone(error) => {
                return Err(SendError::PeerGone {
                    error,
                    receipt: Box::new(transfer.into_receipt()),
                });
            }
            Step::Failed(fault) => {
                return Err(SendError::File { fault, receipt: Box::new(transfer.into_receipt()) });
            }
        }
    }
}

async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match limit {
        None => Some(future.await),
        Some(limit) => tokio::time::timeout(limit, future).await.ok(),
    }
}
