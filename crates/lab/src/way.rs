//! The ways of sending a file that are compared, by the names that the articles give them.

use sendrail_transfer::Method;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A way of sending a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// `read(2)` into a buffer of so many bytes, and `write(2)` from it, again and again: as in the
    /// articles, and not by the engine.
    ReadWrite {
        /// The buffer, in bytes.
        buffer: usize,
    },
    /// `read(2)` into fresh buffers of so many bytes, and `send(2)` with MSG_ZEROCOPY.
    ReadZerocopy {
        /// The buffer, in bytes.
        buffer: usize,
    },
    /// `mmap(2)`, and `send(2)` with MSG_ZEROCOPY from the mapping, so many bytes at a time.
    MmapZerocopy {
        /// Bytes for each call.
        piece: usize,
    },
    /// Reads through the page cache by `io_uring(7)`, several ahead, and `send(2)`.
    RingRead,
    /// O_DIRECT by `io_uring(7)`, and its SEND_ZC from the same buffers: what can be had without the page cache
    /// and without a copy.
    DirectZerocopy,
    /// `mmap(2)` of the whole file, and `send(2)` from there.
    MmapWrite,
    /// `sendfile(2)` of the whole file.
    Sendfile,
    /// `splice(2)` through a pipe of 64 KiB.
    Splice,
    /// The engine's `uncached`: `preadv2(2)` with RWF_DONTCACHE, and `send(2)`.
    Uncached,
    /// The engine's `direct`: O_DIRECT by `io_uring(7)`, and `send(2)`.
    Direct,
    /// As Sendrail does it when nobody says how: it looks, it chooses, and it gives back what it brought in.
    Sendrail,
    /// `sendfile(2)` through one of the engine's fronts.
    Front(Front),
    /// Nothing is sent: the bytes are read for a checksum.
    Checksum(Reading),
    /// A program of which everything is known.
    Known,
}

/// The models of I/O, as the engine's fronts have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Front {
    /// The thread sleeps in its call.
    Blocking,
    /// The call says that it would have to wait (EAGAIN), and `poll(2)` when it would not.
    NonBlocking,
    /// A task is resumed when there is something to do (tokio: `epoll(7)`; the disk by other threads).
    Asynchronous,
}

/// Ways of reading a file into a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// `read(2)`, 64 KiB at a time.
    Read,
    /// From a mapping, without a copy.
    Mmap,
    /// O_DIRECT by `io_uring(7)`, past the page cache.
    Direct,
    /// Not at all: the checksum of as many bytes of memory.
    Nothing,
}

impl Way {
    /// The rows of the table that send.
    pub const ALL: [Self; 13] = [
        Self::ReadWrite { buffer: 4 << 10 },
        Self::ReadWrite { buffer: 64 << 10 },
        Self::ReadWrite { buffer: 1 << 20 },
        Self::MmapWrite,
        Self::Sendfile,
        Self::Splice,
        Self::ReadZerocopy { buffer: 256 << 10 },
        Self::MmapZerocopy { piece: 1 << 20 },
        Self::RingRead,
        Self::Uncached,
        Self::Direct,
        Self::DirectZerocopy,
        Self::Sendrail,
    ];

    /// The same transfer through each of the fronts.
    pub const FRONTS: [Self; 3] = [
        Self::Front(Front::Blocking),
        Self::Front(Front::NonBlocking),
        Self::Front(Front::Asynchronous),
    ];

    /// What reading for a checksum costs.
    pub const CHECKSUMS: [Self; 4] = [
        Self::Checksum(Reading::Nothing),
        Self::Checksum(Reading::Read),
        Self::Checksum(Reading::Mmap),
        Self::Checksum(Reading::Direct),
    ];

    /// Whether bytes go to a socket.
    pub fn sends(self) -> bool {
        !matches!(self, Self::Checksum(_))
    }

    /// Whether it knows each of its calls. A fresh buffer for each send is a fresh mapping, at times; the
    /// runtime and the library that maps count for themselves, if at all.
    pub fn counts_calls(self) -> bool {
        !matches!(
            self,
            Self::ReadZerocopy { .. }
                | Self::Front(Front::Asynchronous)
                | Self::Checksum(Reading::Mmap | Reading::Direct)
        )
    }

    /// The engine's method, where it is told one. The ways of the articles are loops of a few lines.
    pub fn method(self) -> Option<Method> {
        match self {
            Self::Front(_) => Some(Method::Sendfile),
            Self::Uncached => Some(Method::Uncached),
            Self::Direct => Some(Method::Direct),
            _ => None,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadWrite { buffer } if *buffer >= 1 << 20 => {
                write!(f, "read+write {} MiB", buffer >> 20)
            }
            Self::ReadWrite { buffer } => write!(f, "read+write {} KiB", buffer >> 10),
            Self::ReadZerocopy { buffer } => {
                write!(f, "read+MSG_ZEROCOPY {} KiB", buffer >> 10)
            }
            Self::MmapZerocopy { .. } => f.write_str("mmap+MSG_ZEROCOPY"),
            Self::RingRead => f.write_str("io_uring read+send"),
            Self::DirectZerocopy => f.write_str("direct+SEND_ZC"),
            Self::MmapWrite => f.write_str("mmap+write"),
            Self::Sendfile => f.write_str("sendfile"),
            Self::Splice => f.write_str("splice"),
            Self::Uncached => f.write_str("uncached"),
            Self::Direct | Self::Checksum(Reading::Direct) => f.write_str("direct"),
            Self::Sendrail => f.write_str("sendrail"),
            Self::Front(Front::Blocking) => f.write_str("blocking"),
            Self::Front(Front::NonBlocking) => f.write_str("non-blocking"),
            Self::Front(Front::Asynchronous) => f.write_str("asynchronous"),
            Self::Checksum(Reading::Read) => f.write_str("read 64 KiB"),
            Self::Checksum(Reading::Mmap) => f.write_str("mmap"),
            Self::Checksum(Reading::Nothing) => f.write_str("from memory"),
            Self::Known => f.write_str("the self-test"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_survive_the_wire() {
        let all = || Way::ALL.into_iter().chain(Way::FRONTS).chain(Way::CHECKSUMS);
        let mut names: Vec<String> =
            Way::ALL.iter().chain(&Way::FRONTS).map(Way::to_string).collect();
        assert_eq!(names[..3], ["read+write 4 KiB", "read+write 64 KiB", "read+write 1 MiB"]);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), Way::ALL.len() + Way::FRONTS.len());
        for way in all() {
            let wire = serde_json::to_string(&way).unwrap();
            assert_eq!(serde_json::from_str::<Way>(&wire).unwrap(), way, "{wire}");
        }
    }
}
