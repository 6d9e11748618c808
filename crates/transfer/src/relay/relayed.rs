//! What relaying came to: the receipt, and why it ended early, on whose side.

use crate::refused::{Refused, write_methods};
use std::{fmt, io};

/// A way from stream to stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RelayMethod {
    /// `splice(2)`: at once where one end is a pipe, else through a pipe of 1 MiB.
    Splice,
    /// `read(2)` into a buffer of 256 KiB, and `write(2)`.
    Buffered,
}

impl fmt::Display for RelayMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Splice => "splice",
            Self::Buffered => "buffered",
        })
    }
}

/// What was relayed, and what it cost. Every figure is counted where it arises.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relayed {
    /// Bytes that have got across.
    pub bytes: u64,
    /// The methods that brought them, in the order of their first bytes.
    pub methods: Vec<RelayMethod>,
    /// System calls, those included that a signal interrupted (EINTR) or the kernel refused.
    pub system_calls: u64,
    /// Bytes that the processor copied between kernel and user memory: twice each by `buffered`, not at all by `splice`.
    pub copied: u64,
    /// How often it had to wait for one of the two (`poll(2)`).
    pub waits: u64,
    /// What was refused, oldest first.
    pub refusals: Vec<Refused<RelayMethod>>,
}

impl fmt::Display for Relayed {
    /// `splice calls=12 copied=0 waits=3`, and what was refused: `refused=splice:EINVAL`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_methods(f, &self.methods)?;
        write!(f, " calls={} copied={} waits={}", self.system_calls, self.copied, self.waits)?;
        self.refusals.iter().try_for_each(|refused| write!(f, " {refused}"))
    }
}

/// What ended it early.
#[derive(Debug)]
#[non_exhaustive]
pub enum RelayFault {
    /// Reading failed: the sender has reset the connection (ECONNRESET), or it is not open for reading (EBADF).
    Source(io::Error),
    /// Writing failed: nobody reads any more (EPIPE, ECONNRESET), no room (ENOSPC), not open for writing (EBADF).
    Target(io::Error),
    /// The stream ended before as many bytes had come as were asked for.
    TooShort {
        /// How many were to come.
        expected: u64,
        /// How many came, and have got across.
        relayed: u64,
    },
    /// The caller's progress function broke off.
    Stopped,
}

impl fmt::Display for RelayFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(f, "reading failed: {error}"),
            Self::Target(error) => write!(f, "writing failed: {error}"),
            Self::TooShort { expected, relayed } => {
                write!(f, "the stream ended after {relayed} of {expected} bytes")
            }
            Self::Stopped => f.write_str("stopped by the caller"),
        }
    }
}

/// Relaying ended early.
#[derive(Debug)]
#[non_exhaustive]
pub struct RelayError {
    /// What happened.
    pub fault: RelayFault,
    /// What had been done by then.
    pub receipt: Box<Relayed>,
    /// Bytes that were taken from the one end and did not get to the other, at most 1 MiB; only if that failed. What was in a pipe
    /// that is an end itself is still there.
    pub unwritten: Vec<u8>,
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} bytes: {}", self.receipt.bytes, self.fault)
    }
}

impl std::error::Error for RelayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            RelayFault::Source(error) | RelayFault::Target(error) => Some(error),
            RelayFault::TooShort { .. } | RelayFault::Stopped => None,
        }
    }
}

/// For callers that only have an [`io::Error`] to give: of the kernel's kind, where there was one.
impl From<RelayError> for io::Error {
    fn from(error: RelayError) -> Self {
        let kind = match &error.fault {
            RelayFault::Source(error) | RelayFault::Target(error) => error.kind(),
            RelayFault::TooShort { .. } => io::ErrorKind::UnexpectedEof,
            RelayFault::Stopped => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
