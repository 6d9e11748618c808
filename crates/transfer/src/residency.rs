//! Residency: how much of a range is in the page cache, and how sure we are.
//!
//! The ladder of probes, cheapest and most telling first (costs in microseconds for a hot 1 MiB):
//! `cachestat(2)` 0.15 (Linux 6.5), `preadv2(2)` with RWF_NOWAIT 0.11 per byte asked (4.14),
//! `mincore(2)` over a mapping of its own 6.9. Each can be refused: cachestat by kernels before 6.5
//! and for files that the process may neither write nor own, RWF_NOWAIT by file systems.
//!
//! cachestat counts a page from the moment its reading begins, and who sends it then sleeps until the
//! disk has answered. So an event loop has what cachestat calls resident confirmed by RWF_NOWAIT, a byte
//! for each 512 KiB: on network file systems and FUSE not even that is a promise (a read may ask
//! the server whether its copy is still good), and nothing counts as ready there.

use crate::{plan::Medium, receipt::Receipt};
use sendrail_sys::{
    cachestat::cachestat,
    limits::page_size,
    mincore::resident_pages,
    pread::{ReadFlags, preadv2},
};
use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
};

/// One byte is tried in so many, in bytes: a read that is under way ends piece by piece, and no
/// piece that a disk is asked for is much smaller.
const CONFIRM: u64 = 512 << 10;

/// How much of a range is in the page cache, and how we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Residency {
    /// Pages of the range that are in the page cache.
    pub resident: u64,
    /// Pages that the range touches.
    pub pages: u64,
    /// How we know.
    pub evidence: Evidence,
}

/// How much of a range is in the page cache, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All of it.
    Resident,
    /// Some of it.
    Partly,
    /// Nothing of it.
    Cold,
}

/// What a [`Residency`] rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Evidence {
    /// `cachestat(2)`: exact.
    Cachestat,
    /// `preadv2(2)` with RWF_NOWAIT of the first byte and of one in each 512 KiB: what lies between is
    /// assumed.
    NoWait,
    /// `mincore(2)`: exact.
    Mincore,
    /// The file system keeps its files in memory.
    Memory,
    /// Every probe was refused. The range is taken for cold, which costs time but stalls nobody.
    None,
}

/// All that the looks of one transfer rested on.
///
/// ```
/// use sendrail_transfer::residency::{Evidence, EvidenceSet};
/// let none = EvidenceSet::default();
/// assert!(none.is_empty() && !none.contains(Evidence::Cachestat));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EvidenceSet(u8);

impl EvidenceSet {
    pub(crate) fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    const ALL: [Evidence; 5] = [
        Evidence::Cachestat,
        Evidence::NoWait,
        Evidence::Mincore,
        Evidence::Memory,
        Evidence::None,
    ];

    pub(crate) fn insert(&mut self, evidence: Evidence) {
        self.0 |= 1 << evidence as u8;
    }

    /// Whether a look rested on this.
    pub fn contains(self, evidence: Evidence) -> bool {
        self.0 & (1 << evidence as u8) != 0
    }

    /// Whether nothing was looked at.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for EvidenceSet {
    /// `cachestat`, `cachestat+nowait`: without spaces, for log lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = Self::ALL.into_iter().filter(|evidence| self.contains(*evidence));
        for (place, evidence) in seen.enumerate() {
            write!(f, "{}{}", if place == 0 { "" } else { "+" }, evidence.name())?;
        }
        Ok(())
    }
}

impl Evidence {
    /// The name in receipts and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cachestat => "cachestat",
            Self::NoWait => "nowait",
            Self::Mincore => "mincore",
            Self::Memory => "memory",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cachestat => "cachestat",
            Self::NoWait => "preadv2(RWF_NOWAIT)",
            Self::Mincore => "mincore",
            Self::Memory => "a file system in memory",
            Self::None => "no probe",
        })
    }
}

impl Residency {
    /// Looks at `len` bytes of `file` from byte `offset` on.
    ///
    /// # Errors
    ///
    /// None: a probe that is refused makes way for the next, and the last one is
    /// [`Evidence::None`].
    ///
    /// ```
    /// use sendrail_transfer::{Medium, Residency, residency::State};
    /// use std::io::Write;
    ///
    /// let mut file = tempfile::tempfile()?;
    /// file.write_all(&[7; 100_000])?;
    /// let seen = Residency::look(&file, Medium::Disk, 0, 100_000);
    /// println!("{seen}"); // 25 of 25 pages resident (100.0 %), by cachestat
    /// assert_eq!((seen.pages, seen.state()), (25, State::Resident));
    /// assert!(seen.is_hot() && seen.cold_bytes() == 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn look(file: impl AsFd, medium: Medium, offset: u64, len: u64) -> Self {
        Self::look_counted(file.as_fd(), medium, offset, len, &mut Receipt::default())
    }

    pub(crate) fn look_counted(
        file: BorrowedFd<'_>,
        medium: Medium,
        offset: u64,
        len: u64,
        receipt: &mut Receipt,
    ) -> Self {
        let pages = pages_touched(offset, len, page_size() as u64);
        if pages == 0 || medium == Medium::Memory {
            return Self { resident: pages, pages, evidence: Evidence::Memory };
        }
        let lies = medium == Medium::Overlay;
        let refused = if lies {
            io::ErrorKind::Unsupported.into()
        } else {
            match receipt.call(|| cachestat(file, offset, len)) {
                Ok(stat) => {
                    let resident = stat.cached.min(pages);
                    return Self { resident, pages, evidence: Evidence::Cachestat };
                }
                Err(error) => error,
            }
        };
        let nothing = Self { resident: 0, pages, evidence: Evidence::None };
        match ready_bytes(file, offset, len, pages > 1, receipt) {
            Ok(ready) => {
                let resident = if ready == len { pages } else { ready / page_size() as u64 };
                Self { resident, pages, evidence: Evidence::NoWait }
            }
            // To those who may neither write nor own the file, mincore(2) says that all is resident,
            // where cachestat(2) says EPERM.
            Err(_) if refused.kind() == io::ErrorKind::PermissionDenied => nothing,
            Err(_) => match receipt.call(|| resident_pages(file, offset, len as usize)) {
                Ok(resident) => {
                    // mincore(2) for each 4096 pages, between mmap(2) and munmap(2).
                    receipt.system_calls += 1 + pages.div_ceil(4096);
                    Self { resident: resident.min(pages), pages, evidence: Evidence::Mincore }
                }
                Err(_) => nothing,
            },
        }
    }

    /// The same for an event loop, which must not sleep: what is still being read does not count as
    /// resident, nor what may have to be asked of a server.
    pub(crate) fn ready_counted(
        file: BorrowedFd<'_>,
        medium: Medium,
        offset: u64,
        len: u64,
        receipt: &mut Receipt,
    ) -> Self {
        let mut seen = Self::look_counted(file, medium, offset, len, receipt);
        if medium == Medium::Remote {
            return Self { resident: 0, evidence: Evidence::None, ..seen };
        }
        if seen.evidence != Evidence::Cachestat || !seen.is_hot() {
            return seen;
        }
        match ready_bytes(file, offset, len, false, receipt) {
            Ok(ready) if ready < len => {
                seen.resident = seen.resident.min(ready / page_size() as u64);
            }
            // If this file system does not know RWF_NOWAIT, what cachestat says must do.
            Ok(_) | Err(_) => {}
        }
        seen
    }

    /// All, some or nothing of the range.
    pub fn state(self) -> State {
        match self.resident {
            all if all == self.pages => State::Resident,
            0 => State::Cold,
            _ => State::Partly,
        }
    }

    /// Whether all of the range is in the page cache.
    pub fn is_hot(self) -> bool {
        self.resident == self.pages
    }

    /// Bytes of the range that are not in the page cache, in whole pages.
    pub fn cold_bytes(self) -> u64 {
        (self.pages - self.resident) * page_size() as u64
    }
}

impl fmt::Display for Residency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.resident as f64 * 100.0 / self.pages.max(1) as f64;
        let percent = if self.pages == 0 { 100.0 } else { percent };
        write!(
            f,
            "{} of {} pages resident ({percent:.1} %), by {}",
            self.resident, self.pages, self.evidence
        )
    }
}

/// How many bytes from `offset` on can be read without waiting, by trying one in each [`CONFIRM`], and
/// the `first`, if that is asked for. RWF_NOWAIT answers EAGAIN for a page that is not there, and
/// starts reading it.
fn ready_bytes(
    file: BorrowedFd<'_>,
    offset: u64,
    len: u64,
    first: bool,
    receipt: &mut Receipt,
) -> io::Result<u64> {
    let nowait = ReadFlags { nowait: true, ..ReadFlags::default() };
    let end = offset + len;
    let mut ready = offset;
    while ready < end {
        let to = (ready / CONFIRM + 1).saturating_mul(CONFIRM).min(end);
        let tries = [offset, to - 1];
        let tries = if first && ready == offset { &tries[..] } else { &tries[1..] };
        for at in tries {
            match receipt.call(|| preadv2(file, &mut [0], *at, nowait)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(ready - offset);
                }
                Err(error) => return Err(error),
            }
        }
        ready = to;
    }
    Ok(len)
}

fn pages_touched(offset: u64, len: u64, page: u64) -> u64 {
    if len == 0 { 0 } else { (offset + len - 1) / page - offset / page + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn counts_the_pages_a_range_touches() {
        for (offset, len, pages) in
            [(0, 0, 0), (0, 1, 1), (4095, 1, 1), (4095, 2, 2), (4096, 4096, 1), (1, 8192, 3)]
        {
            assert_eq!(pages_touched(offset, len, 4096), pages, "{offset}+{len}");
        }
    }

    #[test]
    fn a_file_just_written_is_resident_and_an_evicted_one_is_not() {
        // In the build's own folder: /tmp may be a tmpfs, which cannot be evicted.
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).expect("a temporary file");
        file.write_all(&vec![1; 300_000]).expect("written");
        file.sync_all().expect("synced");
        let hot = Residency::look(&file, Medium::Disk, 0, 300_000);
        assert!(hot.is_hot(), "{hot}");
        if hot.evidence != Evidence::Cachestat {
            eprintln!("skipped: the cold half needs cachestat(2), Linux 6.5; this is {hot}");
            return;
        }
        sendrail_sys::fadvise::fadvise(
            file.as_fd(),
            0,
            300_000,
            sendrail_sys::fadvise::Advice::DontNeed,
        )
        .expect("advice");
        let cold = Residency::look(&file, Medium::Disk, 0, 300_000);
        if cold.is_hot() {
            eprintln!("skipped: this file system does not evict on POSIX_FADV_DONTNEED");
            return;
        }
        assert_eq!(cold.cold_bytes(), cold.pages * page_size() as u64, "{cold}");
    }
}
