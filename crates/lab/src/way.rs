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
    /// `mmap(2)` and `write(2)`: the engine's `mapped`.
    MmapWrite,
    /// `sendfile(2)`.
    Sendfile,
    /// `splice(2)` through a pipe.
    Splice,
    /// `preadv2(2)` with RWF_DONTCACHE, and `send(2)`.
    Uncached,
    /// O_DIRECT by `io_uring(7)`, and `send(2)`.
    Direct,
    /// As Sendrail does it when nobody says how: it looks, it chooses, and it gives back what it brought in.
    Sendrail,
}

impl Way {
    /// The rows of the table.
    pub const ALL: [Self; 10] = [
        Self::ReadWrite { buffer: 4 << 10 },
        Self::ReadWrite { buffer: 64 << 10 },
        Self::ReadWrite { buffer: 1 << 20 },
        Self::MmapWrite,
        Self::Sendfile,
        Self::Splice,
        Self::ReadZerocopy { buffer: 256 << 10 },
        Self::Uncached,
        Self::Direct,
        Self::Sendrail,
    ];

    /// The engine's method that does it. `None` for loops of the lab's own, and where the engine chooses.
    pub fn method(self) -> Option<Method> {
        match self {
            Self::ReadWrite { .. } | Self::ReadZerocopy { .. } | Self::Sendrail => None,
            Self::MmapWrite => Some(Method::Mapped),
            Self::Sendfile => Some(Method::Sendfile),
            Self::Splice => Some(Method::Splice),
            Self::Uncached => Some(Method::Uncached),
            Self::Direct => Some(Method::Direct),
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
            Self::MmapWrite => f.write_str("mmap+write"),
            Self::Sendfile => f.write_str("sendfile"),
            Self::Splice => f.write_str("splice"),
            Self::Uncached => f.write_str("uncached"),
            Self::Direct => f.write_str("direct"),
            Self::Sendrail => f.write_str("sendrail"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_survive_the_wire() {
        let mut names: Vec<String> = Way::ALL.iter().map(Way::to_string).collect();
        assert_eq!(names[..3], ["read+write 4 KiB", "read+write 64 KiB", "read+write 1 MiB"]);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), Way::ALL.len());
        for way in Way::ALL {
            let wire = serde_json::to_string(&way).unwrap();
            assert_eq!(serde_json::from_str::<Way>(&wire).unwrap(), way, "{wire}");
        }
    }
}
