//! Why a transfer ended early, and on whose side: the file's or the peer's.

use crate::{receipt::Receipt, transfer::Transfer};
use std::{fmt, io};

/// What went wrong on the side of the file. Never the client's fault.
///
/// More kinds may come: a `match` needs an arm for the rest.
///
/// ```
/// use sendrail_transfer::FileFault;
/// let fault = FileFault::Truncated { offset: 500, promised_end: 1000 };
/// assert_eq!(
///     fault.to_string(),
///     "the file ends at byte 500, before the promised byte 1000: it was truncated while being sent"
/// );
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum FileFault {
    /// The file is shorter than the range that was promised. Nothing was padded.
    Truncated {
        /// The byte at which the file had nothing more to give.
        offset: u64,
        /// The end of the promised range.
        promised_end: u64,
    },
    /// The file is not the version any more that all of the range had to be of: see
    /// [`FileRange::unchanged_since`](crate::FileRange::unchanged_since).
    Changed {
        /// The byte up to which it was sent, in that version.
        offset: u64,
    },
    /// The kernel could not read the file.
    Read {
        /// The call that failed, by the name of its man page.
        doing: &'static str,
        /// Where in the file.
        offset: u64,
        /// What the kernel said.
        error: io::Error,
    },
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { offset, promised_end } => write!(
                f,
                "the file ends at byte {offset}, before the promised byte {promised_end}: it was truncated while being sent"
            ),
            Self::Changed { offset } => {
                write!(f, "the file was changed while being sent, when byte {offset} was to come")
            }
            Self::Read { doing, offset, error } => {
                write!(f, "{doing} of the file failed at byte {offset}: {error}")
            }
        }
    }
}

impl std::error::Error for FileFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Truncated { .. } | Self::Changed { .. } => None,
            Self::Read { error, .. } => Some(error),
        }
    }
}

/// Why the blocking or the asynchronous front gave up, with the receipt up to there.
///
/// After any of them the message is cut short where the receipt says, and nothing may follow it on that connection. More kinds
/// may come: a `match` needs an arm for the rest.
///
/// ```
/// use sendrail_transfer::{Chain, FileRange, Options, SendError, blocking};
/// use std::{os::unix::net::UnixStream, sync::Arc};
///
/// let (socket, _peer) = UnixStream::pair()?;
/// let mut chain = Chain::new();
/// chain.push_bytes("head");
/// chain.push_file(FileRange::new(Arc::new(tempfile::tempfile()?), 0, 10)); // but it is empty
/// match blocking::send(&socket, chain, Options::default()) {
///     Ok(receipt) => println!("{receipt}"),
///     Err(SendError::PeerGone { error, receipt }) => println!("{error} after {}", receipt.bytes),
///     Err(SendError::File { fault, receipt }) => {
///         assert_eq!(receipt.bytes, 4);
///         eprintln!("our side: {fault}");
///     }
///     Err(error) => println!("{error}"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The socket took no more: the peer has closed or reset the connection.
    PeerGone {
        /// What the kernel said of the socket: EPIPE, ECONNRESET, ETIMEDOUT (TCP's own: no acknowledgement came), EHOSTUNREACH;
        /// ENOTCONN and EBADF if it is no connected stream.
        error: io::Error,
        /// What had been done by then.
        receipt: Box<Receipt>,
    },
    /// The file could not be read, is shorter than promised, or has been changed where it must not be. Never the peer's doing.
    File {
        /// What happened to the file.
        fault: FileFault,
        /// What had been done by then.
        receipt: Box<Receipt>,
    },
    /// The socket took nothing for as long as [`Options::send_timeout`](crate::Options::send_timeout) allows.
    TimedOut {
        /// What had been done by then.
        receipt: Box<Receipt>,
    },
    /// The caller's progress function broke off.
    Stopped {
        /// What had been done by then.
        receipt: Box<Receipt>,
    },
    /// Waiting for the socket or the disk failed in itself: `poll(2)`, setting a time limit, or a disk pool that takes no more.
    /// The only one without a receipt.
    Wait {
        /// What the kernel or the runtime said.
        error: io::Error,
    },
}

impl SendError {
    /// What had been done by then. Nothing for [`Wait`](Self::Wait): a thread of the disk pool may have the transfer still.
    pub fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::PeerGone { receipt, .. }
            | Self::File { receipt, .. }
            | Self::TimedOut { receipt }
            | Self::Stopped { receipt } => Some(receipt),
            Self::Wait { .. } => None,
        }
    }

    pub(crate) fn peer_gone(error: io::Error, transfer: Transfer) -> Self {
        Self::PeerGone { error, receipt: Box::new(transfer.into_receipt()) }
    }

    pub(crate) fn file(fault: FileFault, transfer: Transfer) -> Self {
        Self::File { fault, receipt: Box::new(transfer.into_receipt()) }
    }

    pub(crate) fn timed_out(transfer: Transfer) -> Self {
        Self::TimedOut { receipt: Box::new(transfer.into_receipt()) }
    }

    pub(crate) fn stopped(transfer: Transfer) -> Self {
        Self::Stopped { receipt: Box::new(transfer.into_receipt()) }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerGone { error, receipt } => {
                write!(f, "the peer went away after {} bytes: {error}", receipt.bytes)
            }
            Self::File { fault, receipt } => {
                write!(f, "after {} bytes: {fault}", receipt.bytes)
            }
            Self::TimedOut { receipt } => {
                write!(f, "the peer took nothing more after {} bytes", receipt.bytes)
            }
            Self::Stopped { receipt } => {
                write!(f, "stopped by the caller after {} bytes", receipt.bytes)
            }
            Self::Wait { error } => write!(f, "could not wait for the socket or the disk: {error}"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::PeerGone { error, .. } | Self::Wait { error } => Some(error),
            Self::File { fault, .. } => Some(fault),
            Self::TimedOut { .. } | Self::Stopped { .. } => None,
        }
    }
}

/// For callers that only have an [`io::Error`] to give: the kernel's kind, where it was the kernel; `UnexpectedEof` for a file that was
/// truncated, `TimedOut`, and `Other` for one that was changed, or what the caller stopped.
///
/// ```
/// use sendrail_transfer::{Chain, FileRange, Options, blocking};
/// use std::{fs::File, io, os::unix::net::UnixStream, sync::Arc};
///
/// fn answer(socket: &UnixStream, file: File, len: u64) -> io::Result<()> {
///     let mut chain = Chain::new();
///     chain.push_file(FileRange::new(Arc::new(file), 0, len));
///     blocking::send(socket, chain, Options::default())?;
///     Ok(())
/// }
///
/// let (socket, _peer) = UnixStream::pair()?;
/// let error = answer(&socket, tempfile::tempfile()?, 10).unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
/// # Ok::<(), io::Error>(())
/// ```
impl From<SendError> for io::Error {
    fn from(error: SendError) -> Self {
        let kind = match &error {
            SendError::PeerGone { error, .. }
            | SendError::Wait { error }
            | SendError::File { fault: FileFault::Read { error, .. }, .. } => error.kind(),
            SendError::File { fault: FileFault::Truncated { .. }, .. } => {
                io::ErrorKind::UnexpectedEof
            }
            SendError::TimedOut { .. } => io::ErrorKind::TimedOut,
            SendError::File { fault: FileFault::Changed { .. }, .. }
            | SendError::Stopped { .. } => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
