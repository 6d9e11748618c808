//! Residency: how much of a range is in the page cache, and how sure we are.
//!
//! The ladder of probes, cheapest and most telling first (costs in microseconds for a hot 1 MiB):
//! `cachestat(2)` 0.15 (Linux 6.5), `preadv2(2)` with RWF_NOWAIT 0.11 per byte asked (4.14),
//! `mincore(2)` over a mapping of its own 6.9. Each can be refused: cachestat by kernels before 6.5
//! and for files that the process may neither write nor own, RWF_NOWAIT by file systems.

use crate::{method::Method, plan::Medium, receipt::Receipt};
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

/// How much of a range is in the page cache, and how we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Residency {
    /// Pages of the range that are in the page cache.
    pub resident: u64,
    /// Pages that the range touches.
    pub pages: u64,
    /// How we know.
    pub evidence: Evidence,
}

/// What a [`Residency`] rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// `cachestat(2)`: exact.
    Cachestat,
    /// `preadv2(2)` with RWF_NOWAIT of the first and the last byte: what lies between is assumed.
    NoWait,
    /// `mincore(2)`: exact.
    Mincore,
    /// The file system keeps its files in memory.
    Memory,
    /// Every probe was refused. The range is taken for cold, which costs time but stalls nobody.
    None,
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
        let refused = match receipt.call(|| cachestat(file, offset, len)) {
            Ok(stat) => {
                let resident = stat.cached.min(pages);
                return Self { resident, pages, evidence: Evidence::Cachestat };
            }
            Err(error) => error,
        };
        let nothing = Self { resident: 0, pages, evidence: Evidence::None };
        match both_ends_without_waiting(file, offset, len, receipt) {
            Ok(true) => Self { resident: pages, pages, evidence: Evidence::NoWait },
            Ok(false) => Self { resident: 0, pages, evidence: Evidence::NoWait },
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

/// Methods that never block on the page cache need no look at it. None of today's does.
pub(crate) fn matters_for(method: Method) -> bool {
    match method {
        Method::Copy | Method::Mapped | Method::Sendfile | Method::Splice => true,
    }
}

/// RWF_NOWAIT answers EAGAIN for a page that is absent, and starts reading it.
fn both_ends_without_waiting(
    file: BorrowedFd<'_>,
    offset: u64,
    len: u64,
    receipt: &mut Receipt,
) -> io::Result<bool> {
    let nowait = ReadFlags { nowait: true, ..ReadFlags::default() };
    for at in [offset, offset + len - 1] {
        let mut byte = [0];
        match receipt.call(|| preadv2(file, &mut byte, at, nowait)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
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
