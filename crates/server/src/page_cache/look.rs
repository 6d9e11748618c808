//! How much of one open file is in the page cache, by which evidence, and why it may not be known.

use rustix::io::Errno;
use sendrail_sys::{
    FileSystem, cachestat, limits::page_size, mincore_is_truthful, resident_pages, resident_runs,
};
use serde::Serialize;
use std::{
    fmt, io,
    ops::Range,
    os::fd::{AsFd, BorrowedFd},
};

/// Mapped at a time: address space may be limited (RLIMIT_AS), and files are as long as they like.
const PIECE: u64 = 1 << 30;

/// What was seen of a range of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Glance {
    /// Pages that the range touches.
    pub(super) pages: u64,
    /// How many of them are resident; `None` if this is not known.
    pub(super) resident: Option<u64>,
    /// What `cachestat(2)` says beyond that.
    pub(super) more: Option<More>,
    /// How we know.
    pub(super) evidence: Evidence,
}

/// What `cachestat(2)` says of pages beyond their being there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct More {
    /// Resident and not yet written to the disk.
    #[serde(rename = "dirty_pages")]
    pub(super) dirty: u64,
    /// Being written to the disk.
    #[serde(rename = "writeback_pages")]
    pub(super) writeback: u64,
    /// Were resident, and were evicted by the kernel.
    #[serde(rename = "evicted_pages")]
    pub(super) evicted: u64,
    /// Evicted so lately that the working set would like to have them.
    #[serde(rename = "recently_evicted_pages")]
    pub(super) recently_evicted: u64,
}

/// What a [`Glance`] rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evidence {
    /// `cachestat(2)`.
    Cachestat,
    /// `mincore(2)`, because `cachestat(2)` counts the wrong pages on this file system.
    MincoreStacked,
    /// `mincore(2)`, because `cachestat(2)` is missing or refused.
    Mincore,
    /// There is nothing to look at.
    Empty,
    /// Nothing: both are closed to those who may neither own nor write the file.
    NotYours,
    /// Nothing: the file system has no mappings, or both calls are refused; the errno.
    Refused(i32),
}

impl Evidence {
    /// The name for machines.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cachestat => "cachestat",
            Self::MincoreStacked | Self::Mincore => "mincore",
            Self::Empty => "empty",
            Self::NotYours | Self::Refused(_) => "none",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cachestat => f.write_str("cachestat"),
            Self::MincoreStacked => {
                f.write_str("mincore; cachestat cannot see below overlayfs or FUSE")
            }
            Self::Mincore => f.write_str("mincore; cachestat is missing or refused"),
            Self::Empty => f.write_str("the empty range"),
            Self::NotYours => {
                f.write_str("the kernel tells only who owns the file or may write to it")
            }
            Self::Refused(errno) => {
                write!(f, "the kernel refuses: {}", io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl Glance {
    /// What is seen of nothing.
    pub(super) const EMPTY: Self =
        Self { pages: 0, resident: Some(0), more: None, evidence: Evidence::Empty };

    /// Looks at the bytes `range` of `file`, which is `len` bytes long and lies on `file_system`.
    pub(super) fn at(
        file: impl AsFd,
        len: u64,
        range: &Range<u64>,
        file_system: FileSystem,
    ) -> Self {
        let file = file.as_fd();
        let pages = pages_of(range);
        let pages = pages.end - pages.start;
        let new = |resident, more, evidence| Self { pages, resident, more, evidence };
        if pages == 0 {
            return Self::EMPTY;
        }
        // The page cache of a file on overlayfs, or of one on FUSE in passthrough mode, belongs to the file below.
        // mmap(2) maps that one, so mincore(2) sees its pages; cachestat(2) looks at the upper inode,
        // which has none: "0 cached" of a file that is wholly resident (Linux 6.18).
        let stacked = matches!(file_system, FileSystem::Overlay | FileSystem::Fuse);
        if !stacked && let Ok(glance) = Self::by_cachestat(file, range, pages) {
            return glance;
        }
        // Refused with EPERM for want of ownership, or by a sandbox, or missing. mincore(2) follows the same rule of
        // ownership, but where cachestat(2) says EPERM it says that all is resident.
        let by_mincore = match mincore_is_truthful(file, len) {
            Ok(true) => mincore(file, range),
            Ok(false) => return new(None, None, Evidence::NotYours),
            Err(error) => Err(error),
        };
        match by_mincore {
            Ok(resident) if stacked => {
                new(Some(resident.min(pages)), None, Evidence::MincoreStacked)
            }
            Ok(resident) => new(Some(resident.min(pages)), None, Evidence::Mincore),
            // FUSE without mappings cannot be in passthrough mode either, so its pages are its own.
            Err(error) if file_system == FileSystem::Fuse => Self::by_cachestat(file, range, pages)
                .unwrap_or_else(|_| new(None, None, Evidence::Refused(errno(&error)))),
            Err(error) => new(None, None, Evidence::Refused(errno(&error))),
        }
    }

    fn by_cachestat(file: BorrowedFd<'_>, range: &Range<u64>, pages: u64) -> io::Result<Self> {
        let stat = cachestat(file, range.start, range.end - range.start)?;
        Ok(Self {
            pages,
            // A file that has grown meanwhile may have more.
            resident: Some(stat.cached.min(pages)),
            more: Some(More {
                dirty: stat.dirty,
                writeback: stat.writeback,
                evicted: stat.evicted,
                recently_evicted: stat.recently_evicted,
            }),
            evidence: Evidence::Cachestat,
        })
    }

    /// Calls `each` with every run of resident pages in the range that this glance is of, in order. Runs that touch
    /// may come apart. Ends early when `each` returns false.
    pub(super) fn runs(
        &self,
        file: impl AsFd,
        range: &Range<u64>,
        mut each: impl FnMut(Range<u64>) -> bool,
    ) -> io::Result<()> {
        let file = file.as_fd();
        let pages = pages_of(range);
        match (self.resident, self.evidence) {
            (None | Some(0), _) => Ok(()),
            (Some(resident), _) if resident == self.pages => {
                each(pages);
                Ok(())
            }
            (Some(resident), Evidence::Cachestat) => {
                bisect(file, pages, resident, &mut each).map(|_| ())
            }
            _ => {
                let page = page_size() as u64;
                let mut more = true;
                for piece in pieces(range) {
                    if !more {
                        break;
                    }
                    resident_runs(file, piece.start, (piece.end - piece.start) as usize, |run| {
                        more = more && each(run.start / page..run.end / page);
                    })?;
                }
                Ok(())
            }
        }
    }
}

/// Numbers of the pages that a range of bytes touches.
pub(super) fn pages_of(range: &Range<u64>) -> Range<u64> {
    let page = page_size() as u64;
    if range.is_empty() {
        return 0..0;
    }
    range.start / page..range.end.div_ceil(page)
}

/// Where the `resident` pages among `pages` are, by halving what is neither empty nor full. `cachestat(2)` only walks over
/// what is there, so this costs per boundary between warm and cold and not per page: a sparse terabyte is no
/// trouble. Returns whether `each` wants more.
fn bisect(
    file: BorrowedFd<'_>,
    pages: Range<u64>,
    resident: u64,
    each: &mut impl FnMut(Range<u64>) -> bool,
) -> io::Result<bool> {
    let count = pages.end - pages.start;
    if resident == 0 {
        return Ok(true);
    }
    if resident >= count {
        return Ok(each(pages));
    }
    let middle = pages.start + count / 2;
    let left = count_pages(file, &(pages.start..middle))?;
    // Pages come and go between two looks; the sum of the halves is held to what was seen of the whole.
    let right = resident.saturating_sub(left);
    Ok(bisect(file, pages.start..middle, left, each)?
        && bisect(file, middle..pages.end, right, each)?)
}

/// Resident pages among `pages`, by `cachestat(2)`.
pub(super) fn count_pages(file: BorrowedFd<'_>, pages: &Range<u64>) -> io::Result<u64> {
    let page = page_size() as u64;
    if pages.is_empty() {
        return Ok(0); // where cachestat(2) would go on to the end
    }
    let stat = cachestat(file, pages.start * page, (pages.end - pages.start) * page)?;
    Ok(stat.cached.min(pages.end - pages.start))
}

fn mincore(file: BorrowedFd<'_>, range: &Range<u64>) -> io::Result<u64> {
    let mut resident = 0;
    for piece in pieces(range) {
        resident += resident_pages(file, piece.start, (piece.end - piece.start) as usize)?;
    }
    Ok(resident)
}

/// The range in pieces that begin and end on multiples of [`PIECE`], so that no page is in two.
fn pieces(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let Range { mut start, end } = *range;
    std::iter::from_fn(move || {
        let next = (start / PIECE + 1).saturating_mul(PIECE).min(end);
        let piece = start..next;
        start = next;
        (!piece.is_empty()).then_some(piece)
    })
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::NOTSUP.raw_os_error())
}
