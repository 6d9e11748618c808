//! The plan: which method, which window, which glue. Pure functions of plain values, no I/O.
//!
//! The figures behind each line were measured on Linux 6.18 over loopback; `docs/decisions/0003`
//! has them.

mod options;

pub use options::Options;

use crate::{method::Method, receipt::Refusals};
use sendrail_sys::statfs::FileSystem;
use std::fmt;

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

/// Up to this many bytes, what is not in the page cache and would be given back anyway is read by `uncached`: a copy costs
/// less than keeping a ledger of so few pages and coming back for them (decision 8).
pub const LITTLE: u64 = 256 << 10;

/// Pipes that the transfers of a process share at the most: 64 of 1 MiB are what a user without privileges may have
/// (`pipe(7)`, pipe-user-pages-soft). Each takes two descriptors. Who comes when all are lent uses `sendfile(2)`.
pub const SHARED_PIPES: usize = 64;

/// Rings that the `direct` transfers of a process share at the most, however many transfers there are. Each takes a
/// descriptor. Who comes when all are lent reads by `pread(2)`.
pub const SHARED_RINGS: usize = 16;

/// Buffers that those rings have together at the most, 64 MiB in all: of rings that are deeper than usual there are fewer.
pub const SHARED_BUFFERS: usize = SHARED_RINGS * RING_DEPTH;

/// Reads that one ring keeps going at the most, each into a buffer of its own, unless told otherwise.
pub const RING_DEPTH: usize = 8;

/// The most reads that one ring can be asked to keep going: 32 MiB of buffers, so that two such rings may be lent.
pub const MOST_RING_DEPTH: usize = 64;

/// The length of a direct read in bytes: 1 MiB costs least by the figures (part B), but eight of them for each stream are
/// memory that serves two streams at half the length.
pub const RING_BUFFER: usize = 512 << 10;

/// The most that stays behind a bulk transfer unless told otherwise, in bytes: the receive queue of a peer on the same
/// machine holds pages that are acknowledged, and cannot be dropped yet.
pub const LAG: u64 = 16 << 20;

/// What is left of the lag when there are many bulk transfers, or little memory, in bytes: the least that may be asked for.
pub const LEAST_LAG: u64 = 2 << 20;

/// What a file lies on, as far as moving its bytes is concerned.
///
/// ```
/// use sendrail_transfer::Medium;
/// use std::{fs::File, os::fd::AsFd};
///
/// let file = File::open("Cargo.toml")?;
/// let medium = Medium::from(sendrail_sys::statfs::file_system(file.as_fd())?);
/// assert_ne!(medium, Medium::Remote); // or this is NFS
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Medium {
    /// A local disk behind the page cache.
    Disk,
    /// A layer over other file systems (overlayfs), as containers have it. The pages are those of the
    /// file beneath, which `cachestat(2)` does not see from here: it finds nothing, whatever is there.
    Overlay,
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
        } else if matches!(file_system, FileSystem::Overlay) {
            Self::Overlay
        } else {
            Self::Disk
        }
    }
}

/// How large something is that is to be sent, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// What is to be sent of the file.
    pub range: u64,
    /// The file, of which that is a part or all.
    pub file: u64,
}

impl Size {
    /// All of a file.
    pub fn whole(file: u64) -> Self {
        Self { range: file, file }
    }
}

/// How one range of a file is to be moved.
///
/// ```
/// use sendrail_transfer::{Medium, Options, plan::{Size, plan}};
/// let planned = plan(Medium::Disk, Size::whole(100_000), &Options::default(), &Default::default());
/// assert_eq!(planned.window, 2 << 20);
/// assert_eq!(
///     planned.reason.to_string(),
///     "pages go from the page cache to the socket without a CPU copy"
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
pub enum Reason {
    /// The page cache can go to the socket as it is: the cheapest path there is.
    ZeroCopy,
    /// The caller named the method.
    Forced,
    /// The caller named the size from which on files go by `direct`, and the file has it.
    LargeFile,
    /// The caller said that the file must not change while it is sent.
    MustNotChange,
    /// Transfers that clients have yet to take hold as much of the memory as they may.
    WantOfMemory,
    /// It is not in the page cache, would not be let stay there, and is little: see [`LITTLE`].
    Little,
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
            Self::LargeFile => "the file is as large as those that were asked to go past the page cache",
            Self::MustNotChange => {
                "the file must not change while it is sent: what was read is looked at before it leaves"
            }
            Self::WantOfMemory => {
                "transfers that clients have yet to take hold as much of the memory as they may"
            }
            Self::Little => "little, not in the page cache, and not wanted there",
            Self::RemoteMedium => {
                "the file is on a network file system or FUSE, whose pages may change under a socket"
            }
            Self::Refused => "the kernel refused the better methods for this file or socket",
        })
    }
}

/// Whether a file of `len` bytes goes by `direct` because it is large. What lies in memory has no disk that could be read
/// past the page cache.
///
/// ```
/// use sendrail_transfer::{Medium, Options, plan::is_large};
/// let options = Options { direct_above: Some(4 << 20), ..Options::default() };
/// assert!(is_large(Medium::Disk, 4 << 20, &options));
/// assert!(!is_large(Medium::Memory, 4 << 20, &options));
/// ```
pub fn is_large(medium: Medium, len: u64, options: &Options) -> bool {
    options.method.is_none()
        && medium != Medium::Memory
        && options.direct_above.is_some_and(|limit| len >= limit)
}

/// Chooses the method and the window for a range of a file. `splice` stands for a pipe that may not be there in the end:
/// then it is `sendfile`.
///
/// ```
/// use sendrail_transfer::{Medium, Method, Options, plan::{Size, plan}};
/// let options = Options::default();
/// let page = plan(Medium::Disk, Size::whole(100_000), &options, &Default::default());
/// assert_eq!(page.method, Method::Sendfile);
/// let film = plan(Medium::Disk, Size::whole(1 << 30), &options, &Default::default());
/// assert_eq!(film.method, Method::Splice);
/// let nfs = plan(Medium::Remote, Size::whole(100_000), &options, &Default::default());
/// assert_eq!(nfs.method, Method::Copy);
///
/// let options = Options { direct_above: Some(4 << 20), ..options };
/// let seek = plan(Medium::Disk, Size { range: 50_000, file: 1 << 30 }, &options, &Default::default());
/// assert_eq!(seek.method, Method::Direct);
/// ```
pub fn plan(medium: Medium, size: Size, options: &Options, refusals: &Refusals) -> Plan {
    let (wanted, reason) = match options.method {
        Some(method) => (method, Reason::Forced),
        None if is_large(medium, size.file, options) => (Method::Direct, Reason::LargeFile),
        None if medium == Medium::Remote => (Method::Copy, Reason::RemoteMedium),
        None if size.range < SPLICE_FROM => (Method::Sendfile, Reason::ZeroCopy),
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

/// The plan for a range that must not change: [`FileRange::unchanged_since`](crate::FileRange::unchanged_since). Pages that
/// are handed to the socket go on changing with the file, so that only what has been copied can be answered for.
///
/// ```
/// use sendrail_transfer::{Method, Options, plan};
/// let options = Options { method: Some(Method::Sendfile), ..Options::default() };
/// assert_eq!(plan::for_one_version(&options).method, Method::Copy);
/// ```
pub fn for_one_version(options: &Options) -> Plan {
    let window = options.window.clamp(1, Method::Copy.widest_call());
    Plan { method: Method::Copy, window, reason: Reason::MustNotChange }
}

/// The plan for a range that is not in the page cache, while so much of the memory is held by transfers that clients have
/// yet to take that more would throw out what is hot: the bytes are copied, and nothing stays behind.
///
/// ```
/// use sendrail_transfer::{Method, Options, plan};
/// assert_eq!(plan::for_want_of_memory(&Options::default()).method, Method::Direct);
/// ```
pub fn for_want_of_memory(options: &Options) -> Plan {
    let window = options.window.clamp(1, Method::Direct.widest_call());
    Plan { method: Method::Direct, window, reason: Reason::WantOfMemory }
}

/// The plan for a little that is not in the page cache, and would be given back if it came there.
///
/// ```
/// use sendrail_transfer::{Method, Options, plan};
/// assert_eq!(plan::for_a_little(&Options::default()).method, Method::Uncached);
/// ```
pub fn for_a_little(options: &Options) -> Plan {
    let window = options.window.clamp(1, Method::Uncached.widest_call());
    Plan { method: Method::Uncached, window, reason: Reason::Little }
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
///
/// ```
/// use sendrail_transfer::plan::{Glue, glue};
/// assert_eq!(glue(300, false, false), Glue::None); // all in memory
/// assert_eq!(glue(100_000, true, false), Glue::More); // a head and a small file
/// assert_eq!(glue(100_000, true, true), Glue::Cork); // something comes behind the file
/// ```
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
            refusals.push(Refusal::of(*method, 22));
        }
        refusals
    }

    #[test]
    fn degrades_step_by_step_and_says_so() {
        use Method::{Copy, Direct, Mapped, Sendfile, Splice, Uncached};
        for (forced, refusals, method, reason) in [
            (None, &[][..], Sendfile, Reason::ZeroCopy),
            (None, &[Sendfile], Splice, Reason::Refused),
            (None, &[Sendfile, Splice], Copy, Reason::Refused),
            (Some(Mapped), &[], Mapped, Reason::Forced),
            (Some(Mapped), &[Mapped], Copy, Reason::Refused),
            (Some(Splice), &[Sendfile], Splice, Reason::Forced),
            (Some(Copy), &[Copy], Copy, Reason::Forced),
            (Some(Direct), &[], Direct, Reason::Forced),
            (Some(Direct), &[Direct], Uncached, Reason::Refused),
            (Some(Direct), &[Direct, Uncached], Copy, Reason::Refused),
            (Some(Uncached), &[Uncached], Copy, Reason::Refused),
        ] {
            let options = Options { method: forced, ..Options::default() };
            let plan = plan(Medium::Disk, Size::whole(4096), &options, &refused(refusals));
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
            let size = Size::whole(len);
            let plan = plan(Medium::Disk, size, &Options::default(), &refused(refusals));
            assert_eq!((plan.method, plan.reason), (method, reason), "{len} {refusals:?}");
        }
    }

    #[test]
    fn the_length_of_the_file_decides_about_direct() {
        use Method::{Copy, Direct, Mapped, Sendfile, Splice, Uncached};
        const LIMIT: u64 = 4 << 20;
        let (disk, memory, remote) = (Medium::Disk, Medium::Memory, Medium::Remote);
        for (medium, forced, range, file, refusals, method, reason) in [
            (disk, None, LIMIT, LIMIT, &[][..], Direct, Reason::LargeFile),
            (disk, None, 1, LIMIT, &[], Direct, Reason::LargeFile),
            (disk, None, LIMIT - 1, LIMIT - 1, &[], Splice, Reason::ZeroCopy),
            (disk, None, 100, LIMIT - 1, &[], Sendfile, Reason::ZeroCopy),
            (disk, None, LIMIT, LIMIT, &[Direct], Uncached, Reason::Refused),
            (disk, None, LIMIT, LIMIT, &[Direct, Uncached], Copy, Reason::Refused),
            (disk, Some(Mapped), LIMIT, LIMIT, &[], Mapped, Reason::Forced),
            (memory, None, LIMIT, LIMIT, &[], Splice, Reason::ZeroCopy),
            (remote, None, LIMIT, LIMIT, &[], Direct, Reason::LargeFile),
            (remote, None, 1, LIMIT - 1, &[], Copy, Reason::RemoteMedium),
        ] {
            let direct_above = Some(LIMIT);
            let options = Options { method: forced, direct_above, ..Options::default() };
            let plan = plan(medium, Size { range, file }, &options, &refused(refusals));
            let context = (medium, forced, range, file, refusals);
            assert_eq!((plan.method, plan.reason), (method, reason), "{context:?}");
        }
    }

    #[test]
    fn a_window_is_never_empty_nor_wider_than_the_method_takes() {
        for method in Method::ALL {
            for window in [0, 1, WINDOW, u64::MAX] {
                let options = Options { method: Some(method), window, ..Options::default() };
                let plan = plan(Medium::Disk, Size::whole(4096), &options, &Refusals::default());
                assert!((1..=method.widest_call()).contains(&plan.window), "{method} {window}");
            }
        }
    }

    #[test]
    fn a_depth_is_taken_for_the_nearest_there_is() {
        for (asked, depth) in [(0, 1), (1, 1), (16, 16), (64, 64), (65, 64), (usize::MAX, 64)] {
            assert_eq!(Options { ring_depth: asked, ..Options::default() }.depth(), depth);
        }
        assert_eq!(Options::default().depth(), RING_DEPTH);
    }

    #[test]
    fn glue_by_shape() {
        assert_eq!(glue(100, false, false), Glue::None);
        assert_eq!(glue(CORK_ABOVE, true, false), Glue::More);
        assert_eq!(glue(CORK_ABOVE + 1, true, false), Glue::Cork);
        assert_eq!(glue(100, true, true), Glue::Cork);
    }
}
