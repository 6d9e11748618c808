//! The kernel, safely: every unsafe block of Sendrail, one kernel facility per file.
//!
//! The functions here are thin on purpose:
//!
//! - **One function, one system call.** Where a function makes more, its documentation says how many. In particular
//!   there is no hidden retry after `EINTR`: receipts count calls, and a count that a wrapper falsifies is no receipt.
//! - **Errors are the kernel's own** ([`std::io::Error`] with `raw_os_error`), without added words: the caller knows
//!   the path, the offset and the purpose, and adds them there.
//! - **No allocation** on the way of a byte.
//! - **Old kernels degrade.** A facility that the running kernel lacks (`ENOSYS`), the file system does not implement
//!   (`EOPNOTSUPP`, `EINVAL`) or a sandbox denies (`EPERM`) comes back as that error; [`Probe`] says beforehand which
//!   ones to expect and why. Everything without a stated "since" is in Linux 5.4, the oldest kernel thought of.
//!
//! Nothing here ignores `SIGPIPE`. `send` passes `MSG_NOSIGNAL`, but sendfile(2) and splice(2) have no such flag; the
//! Rust runtime ignores the signal from the start of `main`, and a program that sets it back must expect it.
//!
//! ```
//! use std::{fs::File, io::Read, os::{fd::AsFd, unix::net::UnixStream}};
//!
//! let file = File::open(std::env::current_exe()?)?;
//! let (socket, mut peer) = UnixStream::pair()?;
//! let sent = sendrail_sys::sendfile(socket.as_fd(), file.as_fd(), 0, 4)?;
//! assert_eq!(sent, 4);
//!
//! let mut head = [0; 4];
//! peer.read_exact(&mut head)?;
//! assert_eq!(&head, b"\x7fELF");
//! # Ok::<(), std::io::Error>(())
//! ```

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!(
    "Sendrail runs on 64-bit Linux: its offsets are 64 bits wide and its methods are Linux's own"
);

pub mod cachestat;
pub mod cgroup;
pub mod child;
pub mod copy_range;
pub mod fadvise;
pub mod heap;
pub mod holes;
pub mod lease;
pub mod limits;
pub mod mincore;
pub mod mmap;
pub mod open;
pub mod poll;
pub mod pread;
pub mod private;
pub mod probe;
pub mod process_clock;
pub mod reflink;
pub mod ring;
pub mod send;
pub mod sendfile;
pub mod sockopt;
pub mod splice;
pub mod stat;
pub mod statfs;
pub mod sync_range;
pub mod window;
pub mod zerocopy;

mod raw;
#[cfg(test)]
mod testing;

// A function that bears its module's name can be re-exported beside it: they live in different namespaces.
pub use cachestat::{CacheStat, cachestat};
pub use copy_range::copy_range;
pub use fadvise::{Advice, fadvise, readahead};
pub use holes::{next_data, next_hole, punch_hole};
pub use lease::is_open_for_writing;
pub use mincore::{mincore_is_truthful, resident_pages, resident_runs};
pub use mmap::Mapping;
pub use open::{OpenFlags, Resolve, openat, openat2, reopen};
pub use poll::{wait_readable, wait_writable, writable_now};
pub use pread::{ReadFlags, pread, preadv2, pwrite};
pub use probe::{Facility, FileProbe, Probe, State};
pub use process_clock::process_cpu_time;
pub use reflink::{clone_file, clone_range, unnamed_file};
pub use ring::ReadRing;
pub use send::{read, recv, recv_discard, recv_now, send, send_vectored, write};
pub use sendfile::sendfile;
pub use splice::{
    Pipe, splice_from_file, splice_from_socket, splice_pipe_to_file, splice_to_file,
    splice_to_socket,
};
pub use stat::{
    DirectAlignment, FileKind, Stat, Timestamp, direct_alignment, fstat, fstat_cached, stat_at,
};
pub use statfs::{FileSystem, file_system};
pub use sync_range::{WriteOut, sync_range};
pub use zerocopy::{Completions, ZeroCopySender};
