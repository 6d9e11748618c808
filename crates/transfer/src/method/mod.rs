//! The methods of moving a file to a socket: one file each, one contract for all.
//!
//! | file | method | since | CPU copies | calls per window |
//! |---|---|---|---|---|
//! | `copy` | read+write, as `pread(2)` and `send(2)` | always | 2 | 2 per 64 KiB |
//! | `uncached` | the same with RWF_DONTCACHE, `preadv2(2)` | 6.14 | 2 | 2 per 256 KiB |
//! | `mapped` | mmap+write, as `mmap(2)` and `send(2)` | always | 1 | 1, and 2 `fstat(2)` |
//! | `direct` | O_DIRECT by `io_uring(7)`, or `pread(2)`, and `send(2)` | 5.6 | 1 | 2 to 3 per 1 MiB |
//! | `sendfile` | `sendfile(2)` | 2.6 | 0 | 1 |
//! | `splice` | `splice(2)` through a pipe | 2.6.17 | 0 | 2 |
//!
//! `sendfile(2)` and `splice(2)` know no MSG_NOSIGNAL: a peer that is gone raises SIGPIPE. Rust's
//! start-up code ignores that signal; a library in another language's program must do so itself.
//!
//! `zerocopy` (MSG_ZEROCOPY, SEND_ZC) will stand beside them, behind the same contract.

pub(crate) mod bounce;
mod copy;
mod direct;
mod mapped;
pub(crate) mod pipes;
mod sendfile;
pub(crate) mod splice;
mod uncached;

use crate::{
    error::FileFault,
    plan::{Options, Plan, Reason},
    receipt::Receipt,
    segment::FileRange,
    transfer::Disk,
};
use rustix::{io::Errno, net::getpeername};
use sendrail_sys::stat::fstat;
use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
    str::FromStr,
};

/// A method of moving file bytes to a socket, named as in the man pages.
///
/// More may come: a `match` needs an arm for the rest.
///
/// ```
/// use sendrail_transfer::Method;
/// let method: Method = "splice".parse()?;
/// assert_eq!((method, method.name()), (Method::Splice, "splice"));
/// assert!("teleport".parse::<Method>().unwrap_err().to_string().ends_with(
///     "there are copy uncached mapped direct sendfile splice"
/// ));
/// # Ok::<(), sendrail_transfer::method::UnknownMethod>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Method {
    /// read+write through a buffer in user memory of 64 KiB: `pread(2)`, `send(2)`. Every kernel, file and socket has it; each byte
    /// is copied twice.
    Copy,
    /// read+write that leaves nothing in the page cache: `preadv2(2)` with RWF_DONTCACHE. Linux 6.14, on file systems that have it
    /// (ext4 and XFS do); else refused with EOPNOTSUPP, and `copy` takes over.
    Uncached,
    /// mmap+write: one copy, from a mapping of the file to the socket (`mmap(2)`, `send(2)`). Truncated meanwhile, the file is
    /// [`FileFault::Truncated`], not SIGBUS. Only when asked for.
    Mapped,
    /// Past the page cache: O_DIRECT (`open(2)`) by `io_uring(7)`, Linux 5.6, or by `pread(2)` where there is no ring to be had; and
    /// `send(2)`. One copy.
    Direct,
    /// `sendfile(2)`: pages of the page cache go to the socket. Nothing is copied to user memory. Linux 2.6.
    Sendfile,
    /// `splice(2)`: the same, through a pipe of 1 MiB. Linux 2.6.17.
    Splice,
}

impl Method {
    /// Every method, from the most copies to the fewest.
    pub const ALL: [Self; 6] =
        [Self::Copy, Self::Uncached, Self::Mapped, Self::Direct, Self::Sendfile, Self::Splice];

    /// The name on command lines, in receipts and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Uncached => "uncached",
            Self::Mapped => "mapped",
            Self::Direct => "direct",
            Self::Sendfile => "sendfile",
            Self::Splice => "splice",
        }
    }

    /// Whether its file bytes come out of the page cache: then it matters whether they are there, and
    /// what it brings in stays there (but for `uncached`).
    pub(crate) fn reads_page_cache(self) -> bool {
        match self {
            Self::Copy | Self::Uncached | Self::Mapped | Self::Sendfile | Self::Splice => true,
            // It says itself whether the disk has answered: Moved::DiskNotReady.
            Self::Direct => false,
        }
    }

    /// What takes this method's place where the kernel refuses it. Nothing is below `copy`.
    pub(crate) fn next_best(self) -> Option<Self> {
        match self {
            Self::Sendfile => Some(Self::Splice),
            // What keeps out of the page cache makes way for what leaves nothing in it.
            Self::Direct => Some(Self::Uncached),
            Self::Splice | Self::Mapped | Self::Uncached => Some(Self::Copy),
            Self::Copy => None,
        }
    }

    /// The most that one call of this method moves, in bytes.
    pub(crate) const fn widest_call(self) -> u64 {
        match self {
            // Buffers above the L2 cache lose: 1 MiB costs 1.5 times 64 KiB.
            Self::Copy => copy::BUFFER as u64,
            Self::Uncached => uncached::BUFFER as u64,
            // What one read brings leaves by one send.
            Self::Direct => direct::BUFFER as u64,
            Self::Splice => splice::PIPE as u64,
            Self::Mapped => 1 << 20,
            // The kernel itself stops at 0x7ffff000 bytes (sendfile(2)).
            Self::Sendfile => 16 << 20,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name belongs to no method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownMethod(String);

impl fmt::Display for UnknownMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no method is called {:?}; there are", self.0)?;
        Method::ALL.iter().try_for_each(|method| write!(f, " {method}"))
    }
}

impl std::error::Error for UnknownMethod {}

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|method| method.name() == name)
            .ok_or_else(|| UnknownMethod(name.to_owned()))
    }
}

/// What one call of a mover came to.
#[derive(Debug)]
pub(crate) enum Moved {
    /// The socket took this many bytes.
    Bytes {
        count: u64,
        /// How it compares with what was offered.
        taken: Taken,
    },
    /// The socket takes nothing now.
    SocketFull,
    /// The disk has not delivered yet, and this thread may not wait for it.
    DiskNotReady,
}

/// Whether a call moved all that it was asked to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// All of it.
    Whole,
    /// Less, because the socket is full: there is no other way this method comes up short.
    SocketFull,
    /// Less. Either the socket is full or the file has come to an end or an error; the next call
    /// would tell.
    Short,
}

/// Why a mover could not go on.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The kernel does not do this method with this file or socket. Another one may.
    Refused(io::Error),
    /// The file side failed.
    File(FileFault),
    /// The socket side failed: the peer is gone.
    Socket(io::Error),
}

/// The state of one method between its calls.
#[derive(Debug)]
pub(crate) enum Mover {
    Copy(copy::Copy),
    Uncached(uncached::Uncached),
    Mapped(mapped::Mapped),
    /// Boxed: it is large, and every transfer has room for a mover.
    Direct(Box<direct::Direct>),
    Sendfile,
    Splice(splice::Splice),
}

impl Mover {
    fn new(method: Method, options: &Options) -> Self {
        match method {
            Method::Copy => Self::Copy(copy::Copy::default()),
            Method::Uncached => Self::Uncached(uncached::Uncached::default()),
            Method::Mapped => Self::Mapped(mapped::Mapped::default()),
            Method::Direct => Self::Direct(Box::new(direct::Direct::new(options.depth()))),
            Method::Sendfile => Self::Sendfile,
            Method::Splice => Self::Splice(splice::Splice::default()),
        }
    }

    /// For a range that goes by `plan`.
    pub(crate) fn for_plan(plan: &Plan, options: &Options) -> Self {
        match (plan.method, plan.reason) {
            (Method::Uncached, Reason::Little) => Self::Uncached(uncached::Uncached::of_a_little()),
            (method, _) => Self::new(method, options),
        }
    }

    /// For a range all of which is in `bytes` already: as `copy`, or as `uncached`.
    pub(crate) fn that_has_read(method: Method, bytes: Vec<u8>) -> Self {
        match method {
            Method::Uncached => Self::Uncached(uncached::Uncached::that_has_read(bytes)),
            _ => Self::Copy(copy::Copy::that_has_read(bytes)),
        }
    }

    /// Splice through a pipe that others have used before; `None` if there is none to be had.
    pub(crate) fn splice_through_lent_pipe(receipt: &mut Receipt) -> Option<Self> {
        splice::Splice::with_lent_pipe(receipt).map(Self::Splice)
    }

    pub(crate) fn method(&self) -> Method {
        match self {
            Self::Copy(_) => Method::Copy,
            Self::Uncached(_) => Method::Uncached,
            Self::Mapped(_) => Method::Mapped,
            Self::Direct(_) => Method::Direct,
            Self::Sendfile => Method::Sendfile,
            Self::Splice(_) => Method::Splice,
        }
    }

    /// Whether it has read bytes that come next into memory of its own: it matters no more whether
    /// they are in the page cache.
    pub(crate) fn has_read(&self) -> bool {
        match self {
            Self::Copy(copy) => copy.has_read(),
            Self::Uncached(uncached) => uncached.has_read(),
            Self::Direct(_) | Self::Mapped(_) | Self::Sendfile | Self::Splice(_) => false,
        }
    }

    /// Gives back what the method holds, and counts the calls that takes.
    pub(crate) fn close(self, receipt: &mut Receipt) {
        match self {
            Self::Copy(_) | Self::Uncached(_) | Self::Sendfile => {}
            Self::Mapped(mapped) => receipt.system_calls += mapped.calls_to_close(),
            Self::Direct(direct) => direct.close(receipt),
            Self::Splice(splice) => receipt.system_calls += splice.close(),
        }
    }

    /// Moves up to `window` bytes from the start of `range` to the socket, without waiting for it.
    /// `more` says that more of the message follows at once; `disk`, whether a method that reads
    /// around the page cache may wait for what it has asked for.
    pub(crate) fn advance(
        &mut self,
        socket: BorrowedFd<'_>,
        range: &FileRange,
        window: u64,
        more: bool,
        disk: Disk,
        receipt: &mut Receipt,
    ) -> Result<Moved, Fault> {
        let want = window.min(range.len);
        match self {
            Self::Copy(copy) => copy.advance(socket, range, want, more, receipt),
            Self::Uncached(uncached) => uncached.advance(socket, range, want, more, disk, receipt),
            Self::Direct(direct) => direct.advance(socket, range, want, more, disk, receipt),
            Self::Mapped(mapped) => mapped.advance(socket, range, want, more, receipt),
            Self::Sendfile => sendfile::advance(socket, range, want, receipt),
            Self::Splice(splice) => splice.advance(socket, range, want, more, receipt),
        }
    }
}

/// Where the file ends now.
fn file_end(range: &FileRange, receipt: &mut Receipt) -> Result<u64, Fault> {
    match receipt.call(|| fstat(range.file.as_fd())) {
        Ok(stat) => Ok(stat.len),
        Err(error) => Err(read_failed("fstat(2)", range.offset, error)),
    }
}

/// The file gave nothing at the start of `range`.
fn truncated(range: &FileRange, at: u64) -> Fault {
    Fault::File(FileFault::Truncated { offset: at, promised_end: range.offset + range.len })
}

fn read_failed(doing: &'static str, offset: u64, error: io::Error) -> Fault {
    Fault::File(FileFault::Read { doing, offset, error })
}

/// The errors with which the kernel says "not this way" before it has moved a byte:
/// EINVAL (no splice_read, or an O_APPEND descriptor), ENOSYS (sendfile(2), splice(2)),
/// EOPNOTSUPP and ENODEV (file systems), EPERM and EACCES (seccomp, LSM), ESPIPE.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::INVAL
                | Errno::NOSYS
                | Errno::OPNOTSUPP
                | Errno::NODEV
                | Errno::PERM
                | Errno::ACCESS
                | Errno::SPIPE
        )
    )
}

/// The errors that come from the socket's side of a call that touches both; a few of them from the file's as well.
fn is_socket_side(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::PIPE
                | Errno::CONNRESET
                | Errno::CONNABORTED
                | Errno::CONNREFUSED
                | Errno::NOTCONN
                | Errno::TIMEDOUT
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH
                | Errno::NETDOWN
                | Errno::NOBUFS
        )
    )
}

/// Whether the file may have said it: a FUSE file system without its server (ENOTCONN, ECONNABORTED), a network file system without its
/// own (ETIMEDOUT). Then the socket is still connected.
fn may_be_of_file(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::NOTCONN | Errno::CONNABORTED | Errno::TIMEDOUT))
}

/// Sorts an error of a call that reads the file and writes the socket in one.
fn sort(
    doing: &'static str,
    socket: BorrowedFd<'_>,
    offset: u64,
    error: io::Error,
    receipt: &mut Receipt,
) -> Result<Moved, Fault> {
    if error.kind() == io::ErrorKind::WouldBlock {
        Ok(Moved::SocketFull)
    } else if is_socket_side(&error) {
        if may_be_of_file(&error) && receipt.call(|| Ok(getpeername(socket)?)).is_ok() {
            return Err(read_failed(doing, offset, error));
        }
        Err(Fault::Socket(error))
    } else if is_refusal(&error) {
        Err(Fault::Refused(error))
    } else {
        Err(read_failed(doing, offset, error))
    }
}

/// Sorts an error of a call that only writes the socket, from our own memory or a pipe.
fn sort_socket(error: io::Error) -> Result<Moved, Fault> {
    if error.kind() == io::ErrorKind::WouldBlock {
        Ok(Moved::SocketFull)
    } else {
        Err(Fault::Socket(error))
    }
}
