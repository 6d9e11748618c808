//! The engine: moves chains of bytes and file ranges to a socket, and keeps a true receipt.
//!
//! A [`Chain`] is what is to be sent: bytes in memory and ranges of open files, in order. A
//! [`Transfer`] sends it, one [`step`](Transfer::step) at a time, by the method that a pure
//! [`plan`](plan::plan) chose, and its [`Receipt`] counts what that cost. Nothing in here knows
//! HTTP, and nothing needs a runtime: the step is for event loops, [`blocking`] for threads, and
//! `asynchronous` (feature `tokio`) for tasks. The other way, from a socket into a file, is
//! [`receive`]; from file to file, [`copy`].
//!
//! ```
//! use std::{fs::File, io::Write, net::{TcpListener, TcpStream}, sync::Arc};
//! use sendrail_transfer::{Chain, FileRange, Options, blocking};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut file = tempfile::tempfile()?;
//! # file.write_all(&[7; 100_000])?;
//! # let listener = TcpListener::bind("127.0.0.1:0")?;
//! # let reader = TcpStream::connect(listener.local_addr()?)?;
//! # let (socket, _) = listener.accept()?;
//! # std::thread::spawn(move || std::io::copy(&mut &reader, &mut std::io::sink()));
//! let mut chain = Chain::new();
//! chain.push_bytes("a head, ");
//! chain.push_file(FileRange::new(Arc::new(file), 0, 100_000));
//! let receipt = blocking::send(&socket, chain, Options::default())?;
//! assert_eq!(receipt.bytes, 100_008);
//! println!("{receipt}"); // sendfile calls=3 copied=8 cold=0 waits=0/0
//! # Ok(())
//! # }
//! ```
//!
//! # Where to start
//!
//! | you have | you call |
//! |---|---|
//! | a file, a socket, and a thread for it | [`blocking::send`] |
//! | an event loop | [`Transfer::step`]; [`disk_pool`] for what is not in the page cache |
//! | a tokio task | `asynchronous::send`, `asynchronous::recv_file` (feature `tokio`) |
//! | something that comes in, and a file for it | [`receive::recv_file`] |
//! | two streams, such as a pipe and a socket | [`relay::relay`] |
//! | two files | [`copy::copy_file`] |
//! | a file to be looked at | [`mapped_read::read_mapped`] |
//!
//! The README says what each costs, what it does to your process, which kernels have what, and what is not promised.
//! What a file, a disk, a peer or an argument that is not as it should be comes to is written down, with the test of each case, in
//! `docs/bad-input-library.md` of the repository. Linux, 64 bits.
//!
//! # Rooms
//!
//! | room | what is decided or done there |
//! |---|---|
//! | [`segment`], [`chain`] | what is to be sent |
//! | [`residency`] | how much of a range is in the page cache, and how we know |
//! | [`plan`] | which method, which window, which glue: pure |
//! | `bulk` | what may stay in the page cache, and the giving back of what may not |
//! | [`method`] | one file per method of moving bytes |
//! | [`transfer`] | the state machine that owns the chain and takes the steps, or several small ones at once |
//! | [`disk_pool`] | threads that may sleep on a disk, and whose turn it is |
//! | [`receipt`] | what it cost |
//! | [`blocking`], `asynchronous` | fronts for threads and for tokio tasks |
//! | [`receive`] | the other way: from a stream into a file |
//! | [`copy`] | from file to file |
//! | [`mapped_read`] | looking at a range of a file in place, without SIGBUS |
//! | [`relay`] | from one stream to another: pipes, sockets, files |
//! | `conduit`, `ceiling`, `refused` | what these share: a pipe, how long a file may become, and what was refused |

#![forbid(unsafe_code)]

#[cfg(feature = "tokio")]
pub mod asynchronous;
mod background;
pub mod blocking;
mod bulk;
mod ceiling;
pub mod chain;
mod conduit;
pub mod copy;
pub mod disk_pool;
pub mod error;
pub mod mapped_read;
pub mod method;
mod patience;
pub mod plan;
pub mod receipt;
pub mod receive;
mod refused;
pub mod relay;
pub mod residency;
pub mod segment;
pub mod transfer;

pub use bulk::{Acknowledged, DropBehind, Place};
pub use chain::Chain;
pub use error::{FileFault, SendError};
pub use method::Method;
pub use plan::{Medium, Options};
pub use receipt::Receipt;
pub use residency::Residency;
pub use segment::{FileRange, Segment};
pub use transfer::{Disk, Prefetched, Step, Transfer};

/// The README, whose examples are tests.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
