//! direct: O_DIRECT reads into aligned buffers, and send from there; one CPU copy, and the page cache never hears of it.
//!
//! Two ways of reading. The ring (`ring`): io_uring keeps several reads going, and nobody sleeps for them. Where the kernel
//! refuses a ring, or all that there may be are lent: a thread that may wait reads by `pread(2)` (`thread`), which the
//! receipt calls `direct(pread)`. What becomes of a read at an unaligned place, and of a file that ends, is the same for
//! both: the aligned range around it is read, and the middle sent.
//!
//! The served file is open without O_DIRECT, and others share its open file description: it is opened once more, through
//! `/proc/self/fd` (`openat(2)`, `proc_pid_fd(5)`), once per transfer as long as its ranges are of one file.

mod ring;
mod rings;
mod thread;

use super::{Fault, Moved, truncated};
use crate::{
    receipt::{Receipt, Refusal, Way},
    segment::FileRange,
    transfer::Disk,
};
use ring::RingReader;
use rings::{Lent, Loan};
use rustix::io::Errno;
use sendrail_sys::{
    open::{OpenFlags, reopen},
    stat::direct_alignment,
};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};
use thread::ThreadReader;

/// The length of one read in bytes.
pub(super) const BUFFER: usize = crate::plan::RING_BUFFER;

/// Where the kernel does not say what direct I/O must be aligned to (before 6.1; some file systems): the largest block that
/// disks have had.
const USUAL_BLOCK: u64 = 4096;

/// The file opened once more, and the way it is read.
#[derive(Debug)]
pub(crate) struct Direct {
    /// Reads that its ring keeps going at the most.
    depth: usize,
    source: Option<Source>,
    reader: Option<Reader>,
    /// Not by a ring any more: one has failed, or none is to be had.
    without_ring: bool,
}

/// A file open for direct I/O.
#[derive(Debug)]
struct Source {
    of: Arc<File>,
    file: OwnedFd,
    /// What offsets and lengths must be multiples of, in bytes.
    block: u64,
}

#[derive(Debug)]
enum Reader {
    Ring(RingReader),
    Thread(ThreadReader),
}

/// What a reader is asked to do: the arguments of `advance`.
#[derive(Debug, Clone, Copy)]
struct Task<'a> {
    socket: BorrowedFd<'a>,
    range: &'a FileRange,
    want: u64,
    more: bool,
    disk: Disk,
}

impl Task<'_> {
    /// Where the promised range ends in the file.
    fn end(&self) -> u64 {
        self.range.offset + self.range.len
    }

    /// The next byte to be sent is not in the file any more.
    fn truncated(&self) -> Fault {
        truncated(self.range, self.range.offset)
    }
}

/// Why a ring cannot go on. What it has not sent another reader can read.
enum Trouble {
    Fault(Fault),
    Ring(io::Error),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Direct {
    pub(super) fn new(depth: usize) -> Self {
        Self { depth, source: None, reader: None, without_ring: false }
    }

    pub(super) fn advance(
        &mut self,
        socket: BorrowedFd<'_>,
        range: &FileRange,
        want: u64,
        more: bool,
        disk: Disk,
        receipt: &mut Receipt,
    ) -> Result<Moved, Fault> {
        let task = Task { socket, range, want, more, disk };
        if !self.has_open(&range.file) {
            if disk == Disk::MustNotWait {
                // Somebody may be asked before a file is opened: a server, a scanner (fanotify(7)).
                return Ok(Moved::DiskNotReady);
            }
            self.open(&range.file, receipt)?;
        }
        loop {
            let source = self.source.as_ref().expect("it has just been opened");
            match &mut self.reader {
                Some(Reader::Ring(ring)) => match ring.advance(source, &task, receipt) {
                    Ok(moved) => return Ok(noted(moved, Way::Ring, receipt)),
                    Err(Trouble::Fault(fault)) => return Err(fault),
                    Err(Trouble::Ring(error)) => self.give_up_ring(&error, receipt),
                },
                Some(Reader::Thread(thread)) if self.without_ring || thread.goes_on() => {
                    return Ok(noted(thread.advance(source, &task, receipt)?, Way::Pread, receipt));
                }
                _ => match Lent::take(self.depth, disk, receipt) {
                    Loan::Ring(lent) => self.reader = Some(Reader::Ring(RingReader::new(lent))),
                    // Whoever may wait makes one, or reads without.
                    Loan::NotNow => return Ok(Moved::DiskNotReady),
                    Loan::None => self.go_on_without(),
                    Loan::Refused(errno) => {
                        receipt.refusals.push(Refusal::of_ring(errno));
                        self.without_ring = true;
                        self.go_on_without();
                    }
                },
            }
        }
    }

    /// The next read is a thread's.
    fn go_on_without(&mut self) {
        match &mut self.reader {
            Some(Reader::Thread(thread)) => thread.read_once_more(),
            other => *other = Some(Reader::Thread(ThreadReader::default())),
        }
    }

    fn has_open(&self, file: &Arc<File>) -> bool {
        self.source.as_ref().is_some_and(|source| Arc::ptr_eq(&source.of, file))
    }

    /// Opens the file once more; what was open is another.
    fn open(&mut self, file: &Arc<File>, receipt: &mut Receipt) -> Result<(), Fault> {
        match &mut self.reader {
            Some(Reader::Ring(ring)) => ring.forget(),
            Some(Reader::Thread(thread)) => thread.forget(),
            None => {}
        }
        if self.source.take().is_some() {
            receipt.system_calls += 1; // its close(2)
        }
        let source = Source::open(file, receipt).map_err(Fault::Refused)?;
        self.source = Some(source);
        Ok(())
    }

    fn give_up_ring(&mut self, error: &io::Error, receipt: &mut Receipt) {
        receipt.refusals.push(Refusal::of_ring(error.raw_os_error().unwrap_or_default()));
        // A disk that took its time, or a thread that did, may be well again after the next read.
        self.without_ring = Errno::from_io_error(error) != Some(Errno::TIME);
        if let Some(Reader::Ring(ring)) =
            self.reader.replace(Reader::Thread(ThreadReader::default()))
        {
            ring.close(receipt);
        }
    }

    /// Gives the ring back, and closes the file; what that takes is counted.
    pub(super) fn close(self, receipt: &mut Receipt) {
        if let Some(Reader::Ring(ring)) = self.reader {
            ring.close(receipt);
        }
        receipt.system_calls += u64::from(self.source.is_some());
    }
}

fn noted(moved: Moved, way: Way, receipt: &mut Receipt) -> Moved {
    if matches!(moved, Moved::Bytes { .. }) {
        receipt.methods.insert_way(way);
    }
    moved
}

impl Source {
    /// Whatever the kernel lacks for it (`/proc`, a descriptor, O_DIRECT on this file system, permission), the file can
    /// still be read as it is open.
    fn open(file: &Arc<File>, receipt: &mut Receipt) -> io::Result<Self> {
        let flags = OpenFlags::READ | OpenFlags::DIRECT;
        let direct = receipt.call(|| reopen(file.as_fd(), flags))?;
        let said = receipt.call(|| direct_alignment(direct.as_fd())).ok().flatten();
        let block = match said {
            None => Some(USUAL_BLOCK),
            // Our buffers begin on pages, and pages are no smaller than 4096 bytes anywhere.
            Some(said) if said.is_supported() && u64::from(said.memory) <= USUAL_BLOCK => {
                Some(u64::from(said.offset)).filter(|block| (BUFFER as u64).is_multiple_of(*block))
            }
            // It would open, and read through the page cache after all (data journalling, for one).
            Some(_) => None,
        };
        let Some(block) = block else {
            receipt.system_calls += 1; // close(2)
            return Err(Errno::INVAL.into());
        };
        Ok(Self { of: Arc::clone(file), file: direct, block })
    }

    fn block_before(&self, offset: u64) -> u64 {
        offset - offset % self.block
    }

    fn block_after(&self, offset: u64) -> u64 {
        offset.checked_next_multiple_of(self.block).unwrap_or_else(|| self.block_before(u64::MAX))
    }
}
