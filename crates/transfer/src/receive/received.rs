//! What receiving came to: the receipt, and why it ended early, on whose side.

use super::ReceiveMethod;
use crate::refused::{Refused, write_methods};
use std::{fmt, io};

/// What was received, and what it cost. Every figure is counted where it arises.
///
/// Figures will be added.
///
/// ```
/// use sendrail_transfer::receive::{RangeInto, ReceiveMethod, ReceiveOptions, recv_file};
/// use std::{io::Write, os::unix::net::UnixStream};
///
/// let (socket, mut sender) = UnixStream::pair()?;
/// sender.write_all(&[7; 1000])?;
/// let options = ReceiveOptions { method: Some(ReceiveMethod::Buffered), ..ReceiveOptions::default() };
/// let receipt = recv_file(&socket, &tempfile::tempfile()?, RangeInto::new(0, 1000), &options)?;
/// assert_eq!((receipt.bytes, receipt.copied), (1000, 2000));
/// assert_eq!(receipt.methods, [ReceiveMethod::Buffered]);
/// assert!(receipt.refusals.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Bytes that are in the file: from the offset that was asked for on, without a gap.
    pub bytes: u64,
    /// The methods that brought them, in the order of their first bytes. What was left in a pipe or a buffer when a method
    /// was refused counts for that method.
    pub methods: Vec<ReceiveMethod>,
    /// System calls, those included that a signal interrupted (EINTR) or the kernel refused.
    pub system_calls: u64,
    /// Bytes that the processor copied between kernel and user memory, each crossing counted once: `buffered` counts every
    /// byte twice, `direct` once, `splice` not at all. (What is spliced into a file is copied from the socket's pages to the
    /// file's all the same, within the kernel: splice(2), SPLICE_F_MOVE.)
    pub copied: u64,
    /// How often there was nothing to be had, so that it had to wait (`poll(2)`).
    pub waits: u64,
    /// What was refused, oldest first.
    pub refusals: Vec<Refused<ReceiveMethod>>,
}

impl fmt::Display for Received {
    /// `splice calls=12 copied=0 waits=3`, and what was refused: `refused=direct:EINVAL`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_methods(f, &self.methods)?;
        write!(f, " calls={} copied={} waits={}", self.system_calls, self.copied, self.waits)?;
        self.refusals.iter().try_for_each(|refused| write!(f, " {refused}"))
    }
}

/// What ended it early.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceiveFault {
    /// The socket or the pipe failed: the sender has reset the connection (ECONNRESET), or it is no stream that can be read
    /// from (EBADF, ENOTCONN; EPROTOTYPE for sockets whose messages would be cut).
    Socket(io::Error),
    /// The file took no more.
    File {
        /// What the kernel said: ENOSPC, EDQUOT, EFBIG (beyond RLIMIT_FSIZE, or the file system's
        /// most; beyond 2⁶³, with nothing received), EROFS, EIO. EBADF: it is not open for writing; EINVAL: it was opened with O_APPEND and does not end at the
        /// offset; nothing has been received then.
        error: io::Error,
        /// The first byte of the file that was not written.
        offset: u64,
    },
    /// The stream ended before as many bytes had come as were expected.
    TooShort {
        /// How many were to come.
        expected: u64,
        /// How many came.
        received: u64,
    },
    /// Nothing came for as long as the caller allowed.
    TimedOut,
    /// The caller's progress function broke off.
    Stopped,
}

impl fmt::Display for ReceiveFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => write!(f, "the stream failed: {error}"),
            Self::File { error, offset } => {
                write!(f, "writing the file failed at byte {offset}: {error}")
            }
            Self::TooShort { expected, received } => {
                write!(f, "the stream ended after {received} of {expected} bytes")
            }
            Self::TimedOut => f.write_str("the sender sent nothing more"),
            Self::Stopped => f.write_str("stopped by the caller"),
        }
    }
}

/// Receiving ended early.
///
/// `receipt.bytes` are in the file (which says nothing of the disk: fsync(2) does). All that was taken off the socket is
/// there, but for [`unwritten`](Self::unwritten): so whoever writes that behind them, when there is room again, can go on
/// with the same socket, and nothing is lost nor there twice.
///
/// ```
/// use sendrail_transfer::receive::{RangeInto, ReceiveFault, ReceiveOptions, recv_file};
/// use std::{io::Write, os::unix::net::UnixStream};
///
/// let (socket, mut sender) = UnixStream::pair()?;
/// sender.write_all(b"half")?;
/// drop(sender);
/// let (file, range) = (tempfile::tempfile()?, RangeInto::new(0, 8));
/// let error = recv_file(&socket, &file, range, &ReceiveOptions::default()).unwrap_err();
/// assert!(matches!(error.fault, ReceiveFault::TooShort { expected: 8, received: 4 }));
/// assert_eq!((error.receipt.bytes, error.unwritten.len()), (4, 0)); // what came is in the file
/// assert_eq!(error.to_string(), "after 4 bytes: the stream ended after 4 of 8 bytes");
/// # Ok::<(), std::io::Error>(())
/// ```
#[non_exhaustive]
pub struct ReceiveError {
    /// What happened.
    pub fault: ReceiveFault,
    /// What had been done by then.
    pub receipt: Box<Received>,
    /// Bytes that were taken off the socket and did not get into the file, at most 1 MiB: only if it was the file that
    /// failed. They belong at [`ReceiveFault::File::offset`].
    pub unwritten: Vec<u8>,
}

impl fmt::Debug for ReceiveError {
    /// Says how much was not written; who unwraps it does not want a megabyte of numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, receipt, unwritten } = self;
        f.debug_struct("ReceiveError")
            .field("fault", fault)
            .field("receipt", receipt)
            .field("unwritten", &format_args!("{} bytes", unwritten.len()))
            .finish()
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} bytes: {}", self.receipt.bytes, self.fault)
    }
}

impl std::error::Error for ReceiveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            ReceiveFault::Socket(error) | ReceiveFault::File { error, .. } => Some(error),
            _ => None,
        }
    }
}
