//! The asynchronous front: sends a whole chain from a tokio task, and receives into a file.
//!
//! While the file is in the page cache everything happens on the task's own thread. Windows that
//! are not are moved by the [disk pool](crate::disk_pool) of the process, so that no other task waits
//! on this one's disk.
//!
//! What comes in is written to the page cache on the task's own thread, and past it by the disk pool: see [`Receiving`].
//!
//! Sockets are those of tokio and their halves ([`Socket`], [`RecvSocket`]). The halves of `tokio::io::split` are not among
//! them: behind those there is a lock, and no descriptor.

mod receiving;
mod socket;

pub use receiving::{Receiving, recv_file};
pub use socket::{RecvSocket, Socket};

use crate::{
    chain::Chain,
    disk_pool::{DiskPool, Job, Turn, Whose, Windows},
    error::SendError,
    patience::Patience,
    plan::Options,
    receipt::Receipt,
    transfer::{Disk, Step, Transfer},
};
use sendrail_sys::stat::fstat;
use std::{
    fmt,
    future::Future,
    io,
    ops::ControlFlow,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Sends `chain` to `socket`, and yields to other tasks between windows.
///
/// If the future is dropped the message is cut short where it stands, and the connection is good
/// for nothing else; what a thread of the disk pool is busy with then still goes out.
///
/// With [`Options::send_timeout`] the runtime needs its timers (`enable_time`), else this panics.
///
/// # Errors
///
/// As [`blocking::send`](crate::blocking::send). [`SendError::Wait`] also if the disk pool takes no
/// more, for 100,000 wait for it; and with `InvalidInput`, and nothing sent, if the socket is in blocking mode (tokio's
/// `from_std` does not change that), which would hold up the thread and all its tasks.
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
    let mut transfer = Transfer::new(chain, options);
    transfer
        .check_mode(socket.descriptor(), Disk::MustNotWait)
        .map_err(|error| SendError::Wait { error })?;
    let step = transfer.step(socket.descriptor(), Disk::MustNotWait);
    finish(socket, transfer, step).await
}

/// Goes on with a transfer whose first step the caller has taken himself, and which ended in `step`: nearly always that was all, and then
/// he needs no task's memory for the rest.
///
/// The steps must have been taken on this socket, with [`Disk::MustNotWait`].
///
/// # Errors
///
/// As [`send`].
///
/// ```
/// use sendrail_transfer::{Chain, Disk, FileRange, Options, Step, Transfer, asynchronous::finish};
/// use std::{fs::File, os::fd::AsFd, sync::Arc};
/// use tokio::net::UnixStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (socket, _peer) = UnixStream::pair()?;
/// let mut chain = Chain::new();
/// chain.push_file(FileRange::new(Arc::new(File::open("Cargo.toml")?), 0, 100));
/// let mut transfer = Transfer::new(chain, Options::default());
/// let receipt = match transfer.begin(socket.as_fd(), b"a head in a buffer of mine, ", Disk::MustNotWait) {
///     Step::Done => transfer.into_receipt(),
///     step => Box::pin(finish(&socket, transfer, step)).await?,
/// };
/// assert_eq!(receipt.bytes, 128);
/// # Ok(())
/// # }
/// ```
pub async fn finish<S: Socket>(
    socket: &S,
    mut transfer: Transfer,
    mut step: Step,
) -> Result<Receipt, SendError> {
    let mut patience = Patience::new(transfer.send_timeout(), transfer.remaining(), now());
    // Made when the first cold window comes up.
    let mut for_pool: Option<(OwnedFd, Whose)> = None;
    loop {
        if matches!(step, Step::WaitDisk) {
            let (fd, whose) = match for_pool.take() {
                Some(known) => known,
                None => known_to_pool(socket.descriptor(), &mut transfer)?,
            };
            let (back, fd, then) = in_pool(transfer, fd, whose).await?;
            transfer = back;
            for_pool = Some((fd, whose));
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
        step = transfer.step(socket.descriptor(), Disk::MustNotWait);
    }
}

/// A chain on its way to a tokio socket, for who is polled himself: a wrapper of a socket, say. [`send`] is simpler.
///
/// [`Options::send_timeout`] is not heeded: who polls knows when it was last of any use.
///
/// If it is dropped the message is cut short where it stands, and the connection is good for nothing
/// else; what a thread of the disk pool is busy with then still goes out.
///
/// ```
/// use sendrail_transfer::{Chain, Options, asynchronous::Sending};
/// use std::future::poll_fn;
/// use tokio::net::UnixStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (socket, _peer) = UnixStream::pair()?;
/// let mut chain = Chain::new();
/// chain.push_bytes("a message");
/// let mut sending = Sending::new(chain, Options::default());
/// while sending.left() > 0 {
///     let gone = poll_fn(|context| sending.poll_send(context, &socket)).await?;
///     assert_eq!(gone, 9); // all at once, so little is it
/// }
/// # Ok(())
/// # }
/// ```
pub struct Sending {
    at: At,
    /// What has been told of so far: bytes that are left.
    left: u64,
}

/// Who has the transfer.
#[allow(clippy::large_enum_variant)] // mostly it is here, and a box for each would cost more than it saves
enum At {
    Here(Transfer, Option<(OwnedFd, Whose)>),
    Pool(InPool),
    /// All has gone, at this cost.
    Done(Receipt),
    /// It failed, or there was nothing to be sent.
    Over,
}

type InPool =
    Pin<Box<dyn Future<Output = Result<(Transfer, OwnedFd, Whose, Step), SendError>> + Send>>;

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Sending {
    /// Nothing is sent before it is polled.
    pub fn new(chain: Chain, options: Options) -> Self {
        let left = chain.remaining();
        Self { at: At::Here(Transfer::new(chain, options), None), left }
    }

    /// Bytes that are still to be sent, as far as has been told.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// What it cost, once all has gone. Of what failed the error has the receipt.
    pub fn receipt(&self) -> Option<&Receipt> {
        match &self.at {
            At::Done(receipt) => Some(receipt),
            At::Here(..) | At::Pool(_) | At::Over => None,
        }
    }

    /// Sends until something has gone, and says how much: 0 when there is nothing left, and nothing else is.
    ///
    /// # Errors
    ///
    /// As [`send`]. Nothing more can be sent after.
    pub fn poll_send<S: Socket>(
        &mut self,
        context: &mut Context<'_>,
        socket: &S,
    ) -> Poll<Result<u64, SendError>> {
        loop {
            let (mut transfer, for_pool, step) = match std::mem::replace(&mut self.at, At::Over) {
                At::Over => return Poll::Ready(Ok(0)),
                At::Done(receipt) => {
                    self.at = At::Done(receipt);
                    return Poll::Ready(Ok(0));
                }
                At::Here(mut transfer, for_pool) => {
                    transfer
                        .check_mode(socket.descriptor(), Disk::MustNotWait)
                        .map_err(|error| SendError::Wait { error })?;
                    let step = transfer.step(socket.descriptor(), Disk::MustNotWait);
                    (transfer, for_pool, step)
                }
                At::Pool(mut in_pool) => match in_pool.as_mut().poll(context) {
                    Poll::Pending => {
                        self.at = At::Pool(in_pool);
                        return Poll::Pending;
                    }
                    Poll::Ready(outcome) => {
                        let (transfer, fd, whose, step) = outcome?;
                        (transfer, Some((fd, whose)), step)
                    }
                },
            };
            let gone = self.left - transfer.remaining();
            self.left -= gone;
            match step {
                Step::Done => {
                    self.at = At::Done(transfer.into_receipt());
                    return Poll::Ready(Ok(gone));
                }
                Step::Yield => self.at = At::Here(transfer, for_pool),
                Step::WaitSocket => {
                    let full = socket.clear_writable();
                    transfer.receipt_mut().system_calls += full;
                    self.at = At::Here(transfer, for_pool);
                    if gone == 0 {
                        match socket.poll_writable(context) {
                            Poll::Pending => return Poll::Pending,
                            Poll::Ready(ready) => {
                                ready.map_err(|error| SendError::Wait { error })?;
                            }
                        }
                    }
                }
                Step::WaitDisk => {
                    let (fd, whose) = match for_pool {
                        Some(known) => known,
                        None => known_to_pool(socket.descriptor(), &mut transfer)?,
                    };
                    self.at = At::Pool(Box::pin(async move {
                        let (transfer, fd, step) = in_pool(transfer, fd, whose).await?;
                        Ok((transfer, fd, whose, step))
                    }));
                }
                Step::PeerGone(error) => {
                    return Poll::Ready(Err(SendError::peer_gone(error, transfer)));
                }
                Step::Failed(fault) => return Poll::Ready(Err(SendError::file(fault, transfer))),
            }
            if gone > 0 {
                return Poll::Ready(Ok(gone));
            }
        }
    }
}

/// Tokio's own clock, which a test may have stopped.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Has a thread that may sleep on the disk move the next windows.
async fn in_pool(
    transfer: Transfer,
    fd: OwnedFd,
    whose: Whose,
) -> Result<(Transfer, OwnedFd, Step), SendError> {
    let wait = |error| SendError::Wait { error };
    let (tell, told) = oneshot::channel();
    let mut with_disk = Some((Windows::of(transfer), fd));
    let work = move |turn: &Turn<'_>| {
        let (windows, fd) = with_disk.as_mut().expect("it has ended when this is gone");
        match windows.advance(fd, turn) {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(step) => ControlFlow::Break((with_disk.take(), step)),
        }
    };
    let job = Job::in_turns(whose, work, move |outcome| drop(tell.send(outcome)));
    // Dropped with this future: then what has not begun will not be done.
    let _ticket = DiskPool::of_the_process()
        .submit(job)
        .map_err(|_| wait(io::Error::other("the disk pool takes no more")))?;
    let (with_disk, step) = told
        .await
        .map_err(|error| wait(io::Error::other(error)))?
        .map_err(|panicked| wait(io::Error::other(panicked)))?;
    let (windows, fd) = with_disk.expect("it was there until the last turn");
    Ok((windows.into_transfer(), fd, step))
}

/// What the pool needs: a descriptor that lives as long as its thread uses it, and which disk it is
/// for. Here every transfer is a client of its own.
fn known_to_pool(
    socket: BorrowedFd<'_>,
    transfer: &mut Transfer,
) -> Result<(OwnedFd, Whose), SendError> {
    let file = transfer.current_file().cloned();
    let receipt = transfer.receipt_mut();
    receipt.system_calls += 1; // its close(2), in the end
    let fd =
        receipt.call(|| socket.try_clone_to_owned()).map_err(|error| SendError::Wait { error })?;
    let device = file.and_then(|file| receipt.call(|| fstat(file.as_fd())).ok());
    let device = device.map_or(0, |stat| stat.device);
    Ok((fd, Whose { device, client: next_client() }))
}

fn next_client() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match limit {
        None => Some(future.await),
        Some(limit) => tokio::time::timeout(limit, future).await.ok(),
    }
}
