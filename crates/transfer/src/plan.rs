//! The plan: which method, which window, which glue. Pure functions of plain values, no I/O.
//!
//! The figures behind each line were measured on Linux 6.18 over loopback; `docs/decisions/0003`
//! has them.

use crate::{method::Method, receipt::Refusals};
use sendrail_sys::statfs::FileSystem;
use std::{fmt, time::Duration};

/// The most that one step moves for one client, in bytes. Below 1 MiB the cost per GiB rises
/// (64 KiB windows cost 1.5 times 2 MiB ones); above 2 MiB nothing is gained and other clients
/// wait longer.
pub const WINDOW: u64 = 2 << 20;

/// Up to this many bytes MSG_MORE on the head is enough; above it, corking the whole message is
/// worth its two calls (64 MiB: 0.87 to 1.0 of nginx; at 100 KiB it would cost 5 %).
pub const CORK_ABOVE: u64 = 256 << 10;

/// From this many bytes on a file goes through a pipe of 1 MiB that transfers share, as long as there is one:
/// `splice(2)` takes 3 % less CPU than `sendfile(2)` at 1 MiB and some 10 % less at 64 MiB and 1 GiB (decision 7).
pub const SPLICE_FROM: u64 = 1 << 20;

/// Pipes that the transfers of a process share at the most: 64 of 1 MiB are what a user without privileges may have
/// (`pipe(7)`, pipe-user-pages-soft). Each takes two descriptors. Who comes when all are lent uses `sendfile(2)`.
pub const SHARED_PIPES: usize = 64;

/// What a caller may ask of a transfer.
#[derive(Debug, Clone)]
pub struct Options {
    /// Use this method, whatever the plan would say. `None` lets the plan choose.
    pub method: Option<Method>,
    /// The most that one step moves, in bytes.
    pub window: u64,
    /// How long the blocking and the asynchronous front wait for a socket that takes nothing; each
    /// byte that it takes starts the time anew. `None` waits for ever.
    pub send_timeout: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { method: None, window: WINDOW, send_timeout: None }
    }
}

/// What a file lies on, as far as moving its bytes is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A local disk behind the page cache.
    Disk,
    /// Memory: tmpfs, ramfs, a memfd. Always resident.
    Memory,
    /// A network file system or FUSE: pages handed to the socket can go stale or be refilled
    /// behind its back, so its bytes are copied.
    Remote,
}

impl From<FileSystem> for Medium {
    fn from(file_system: FileSystem) -> Self {
        if file_system.is_network_or_fuse() {
            Self::Remote
        } else if matches!(file_system, FileSystem::Tmpfs) {
            Self::Memory
        } else {
            Self::Disk
        }
    }
}

/// How one range of a file is to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The method.
    pub method: Method,
    /// The most that one call of it moves, in bytes.
    pub window: u64,
    /// Why this method.
    pub reason: Reason,
}

/// Why a method was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The page cache can go to the socket as it is: the cheapest path there is.
    ZeroCopy,
    /// The caller named the method.
    Forced,
    /// The file lies on a network file system or FUSE.
    RemoteMedium,
    /// The kernel refused what would have been better; see [`Receipt::refusals`](crate::Receipt).
    Refused,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroCopy => "pages go from the page cache to the socket without a CPU copy",
            Self::Forced => "the method was asked for by name",
            Self::RemoteMedium => {
                "the file is on a network file system or FUSE, whose pages may change under a socket"
            }
            Self::Refused => "the kernel refused the better methods for this file or socket",
        })
    }
}

/// Chooses the method and the window for a range of a file, `len` bytes long. `splice` stands for a pipe that may not
/// be there in the end: then it is `sendfile`.
///
/// ```
/// use sendrail_transfer::{Medium, Method, Options, plan::plan};
/// let page = plan(Medium::Disk, 100_000, &Options::default(), &Default::default());
/// assert_eq!(page.method, Method::Sendfile);
/// let film = plan(Medium::Disk, 1 << 30, &Options::default(), &Default::default());
/// assert_eq!(film.method, Method::Splice);
/// let nfs = plan(Medium::Remote, 100_000, &Options::default(), &Default::default());
/// assert_eq!(nfs.method, Method::Copy);
/// ```
pub fn plan(medium: Medium, len: u64, options: &Options, refusals: &Refusals) -> Plan {
    let (wanted, reason) = match options.method {
        Some(method) => (method, Reason::Forced),
        None if medium == Medium::Remote => (Method::Copy, Reason::RemoteMedium),
        None if len < SPLICE_FROM => (Method::Sendfile, Reason::ZeroCopy),
        None if refusals.contains(Method::Splice) => (Method::Sendfile, Reason::Refused),
        None => (Method::Splice, Reason::ZeroCopy),
    };
    let (mut method, mut reason) = (wanted, reason);
    while refusals.contains(method) {
        match method.next_best() {
            Some(next) => (method, reason) = (next, Reason::Refused),
            None => break,
        }
    }
    Plan { method, window: options.window.clamp(1, method.widest_call()), reason }
}

/// What keeps a head and its body in the same packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glue {
    /// Nothing: one call sends it all.
    None,
    /// MSG_MORE on what goes before the file: no call of its own.
    More,
    /// TCP_CORK around the message: two calls, and the only way to hold back the partial packet
    /// at the end of a sendfile.
    Cork,
}

/// Chooses the glue for a message by its shape: how many bytes, whether a file is in it, and
/// whether anything comes after a file.
pub fn glue(bytes: u64, has_file: bool, continues_after_file: bool) -> Glue {
    match (has_file, continues_after_file) {
        (false, _) => Glue::None,
        (true, true) => Glue::Cork,
        (true, false) if bytes > CORK_ABOVE => Glue::Cork,
        (true, false) => Glue::More,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::Refusal;

    fn refused(methods: &[Method]) -> Refusals {
        let mut refusals = Refusals::default();
        for method in methods {
            refusals.push(Refusal { method: *method, errno: 22 });
        }
        refusals
    }

    #[test]
    fn degrades_step_by_step_and_says_so() {
        use Method::{Copy, Mapped, Sendfile, Splice};
        for (forced, refusals, method, reason) in [
            (None, &[][..], Sendfile, Reason::ZeroCopy),
            (None, &[Sendfile], Splice, Reason::Refused),
            (None, &[Sendfile, Splice], Copy, Reason::Refused),
            (Some(Mapped), &[], Mapped, Reason::Forced),
            (Some(Mapped), &[Mapped], Copy, Reason::Refused),
            (Some(Splice), &[Sendfile], Splice, Reason::Forced),
            (Some(Copy), &[Copy], Copy, Reason::Forced),
        ] {
            let options = Options { method: forced, ..Options::default() };
            let plan = plan(Medium::Disk, 4096, &options, &refused(refusals));
            assert_eq!((plan.method, plan.reason), (method, reason), "{forced:?} {refusals:?}");
        }
    }

    #[test]
    fn a_large_file_goes_through_a_pipe_unless_that_is_refused() {
        use Method::{Copy, Sendfile, Splice};
        for (len, refusals, method, reason) in [
            (SPLICE_FROM - 1, &[][..], Sendfile, Reason::ZeroCopy),
            (SPLICE_FROM, &[], Splice, Reason::ZeroCopy),
            (SPLICE_FROM, &[Splice], Sendfile, Reason::Refused),
            (SPLICE_FROM, &[Splice, Sendfile], Copy, Reason::Refused),
            (SPLICE_FROM, &[Sendfile], Splice, Reason::ZeroCopy),
        ] {
            let plan = plan(Medium::Disk, len, &Options::default(), &refused(refusals));
            assert_eq!((plan.method, plan.reason), (method, reason), "{len} {refusals:?}");
        }
    }

    #[test]
    fn a_window_is_never_empty_nor_wider_than_the_method_takes() {
        for method in Method::ALL {
            for window in [0, 1, WINDOW, u64::MAX] {
                let options = Options { method: Some(method), window, ..Options::default() };
                let plan = plan(Medium::Disk, 4096, &options, &Refusals::default());
                assert!((1..=method.widest_call()).contains(&plan.window), "{method} {window}");
            }
        }
    }

    #[test]
    fn glue_by_shape() {
        assert_eq!(glue(100, false, false), Glue::None);
        assert_eq!(glue(CORK_ABOVE, true, false), Glue::More);
        assert_eq!(glue(CORK_ABOVE + 1, true, false), Glue::Cork);
        assert_eq!(glue(100, true, true), Glue::Cork);
    }
}
