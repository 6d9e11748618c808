//! An append-only log in segment files, as Kafka has it: any number of consumers are fed from the page cache by sendfile.
//!
//! A [`Log`] is a directory. Producers [append](Log::append) records to its last segment; consumers [fetch](Log::fetch) any offset as a
//! range of a file, which the engine of `sendrail-transfer` sends without a byte of it going through this program. The
//! [`broker`] (feature `tokio`) does that over TCP, and [`Client`] speaks to it.
//!
//! ```
//! use sendrail_segment_log::{Log, Options};
//! use sendrail_transfer::{Chain, blocking};
//! use std::os::unix::net::UnixStream;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path();
//! let log = Log::open(path, Options::default())?;
//! log.append([&b"one"[..], b"two", b"three"])?;
//!
//! let (socket, _consumer) = UnixStream::pair()?;
//! let fetched = log.fetch(0, 64 << 10)?;
//! let mut chain = Chain::new();
//! chain.push_bytes(format!("records {} to {}\n", fetched.first, fetched.next));
//! chain.push_file(fetched.range);
//! let receipt = blocking::send(&socket, chain, Default::default())?;
//! assert_eq!(receipt.file_bytes, 3 * 16 + 11);
//! # Ok(())
//! # }
//! ```
//!
//! # Rooms
//!
//! | room | what is decided or done there |
//! |---|---|
//! | `record` | the format of a record, on disk and on the wire; [`records`] checks them |
//! | `index` | which records have an entry; the index file |
//! | `scan` | how far a segment is good; whether what follows is a torn tail or damage |
//! | `directory` | names, the lock, making and dropping segments |
//! | `recovery` | opening: torn tails, damage, indexes that lie |
//! | `view`, `tail` | what readers see, and where a fetch begins and ends; the last bytes in memory |
//! | `log` | opening, fetching, waiting |
//! | `writer` | appending: one write for a batch, one `fdatasync(2)` for all that wait |
//! | `retention` | dropping what need not be kept |
//! | [`wire`] | the protocol: pure |
//! | `client` | a client for threads |
//! | [`broker`] | the server (feature `tokio`): `connection`, and `appender`, the thread that waits for the disk |
//!
//! Bad input and what becomes of it: `docs/segment-log.md` of the repository; why all this: `docs/decisions/0016-segment-log.md`. Linux, 64 bits.

#[cfg(feature = "tokio")]
pub mod broker;
mod client;
mod directory;
mod error;
mod index;
mod log;
mod options;
mod record;
mod recovery;
mod retention;
mod scan;
#[cfg(feature = "tokio")]
mod tail;
mod view;
pub mod wire;
mod writer;

pub use client::{Batch, Client, ClientError};
pub use error::{AppendError, OpenError, OutOfRange};
pub use index::IndexFault;
pub use log::Log;
pub use options::{MOST_APPEND_BYTES, MOST_SEGMENT_BYTES, Options, Retention, SyncPolicy};
pub use record::{HEADER, Record, RecordFault, Records, records};
pub use recovery::{Damage, Recovery, Torn};
pub use retention::Dropped;
pub use view::Fetched;
pub use writer::Appended;

/// The README, whose examples are tests.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
