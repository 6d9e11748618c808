//! Step: whether it may sleep on the disk, and what it came to.

use crate::error::FileFault;
use std::io;

/// Whether a step may sleep until the disk has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// It may: the thread has nothing else to do.
    MayWait,
    /// It may not: other clients wait for this thread. A window that is not in the page cache ends
    /// the step with [`Step::WaitDisk`].
    MustNotWait,
}

/// What a step came to.
///
/// There will be no others without a new major version: a loop that does not know what it is told to wait for would hang. So
/// it can be matched without an arm for the rest.
///
/// ```
/// use sendrail_transfer::{Chain, Disk, FileFault, FileRange, Options, Step, Transfer};
/// use std::{os::unix::net::UnixStream, sync::Arc};
///
/// let (socket, _peer) = UnixStream::pair()?;
/// socket.set_nonblocking(true)?;
/// let mut chain = Chain::new();
/// chain.push_file(FileRange::new(Arc::new(tempfile::tempfile()?), 0, 10)); // but it is empty
/// let mut transfer = Transfer::new(chain, Options::default());
/// let close = loop {
///     match transfer.step(&socket, Disk::MayWait) {
///         Step::Done => break false,
///         Step::Yield | Step::WaitSocket | Step::WaitDisk => {} // see there
///         Step::PeerGone(_) => break true,
///         Step::Failed(fault) => {
///             assert!(matches!(fault, FileFault::Truncated { offset: 0, .. }));
///             break true; // nothing may follow a message that was cut short
///         }
///     }
/// };
/// assert!(close);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// Everything has been handed to the socket.
    Done,
    /// A window has been moved and the socket may take more: let others go first, then go on.
    Yield,
    /// The socket is full: go on when it is writable.
    WaitSocket,
    /// The next window is not in the page cache: go on in a thread that may wait, with
    /// [`Disk::MayWait`].
    WaitDisk,
    /// The connection is over: EPIPE, ECONNRESET, and whatever else the socket says. What was not sent cannot be sent.
    /// (`InvalidInput`: the socket is in blocking mode, and was not touched.)
    PeerGone(io::Error),
    /// The file could not be read, or is shorter than promised. The message cannot be finished:
    /// the connection must be closed, for nothing may follow a message that was cut short.
    Failed(FileFault),
}
