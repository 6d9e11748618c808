//! io_uring: reads at an offset into buffers that the kernel knows, several under way at once.
//!
//! For files opened with `O_DIRECT`, whose reads the page cache neither serves nor hears of: the disk writes into the
//! buffers by DMA while the program does something else, and no thread sleeps for it. See io_uring(7),
//! io_uring_setup(2), io_uring_register(2), io_uring_enter(2). From Linux 5.6 on; where containers, seccomp or
//! `kernel.io_uring_disabled` (6.6) forbid it, [`ReadRing::new`] says `EPERM` or `ENOSYS`.
#![allow(unsafe_code)] // the kernel is given addresses that it writes to after the call has returned

mod buffers;
mod passing;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::cqueue::{self, Entry};
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode};

use self::buffers::Buffers;

/// A ring with buffers of its own: reads are begun, and picked up when they are done.
///
/// Each buffer takes one read at a time. What has been read can be looked at until the buffer is used again, and not
/// while a read is under way: then its contents are the kernel's.
///
/// # Which thread
///
/// Any, one at a time: a ring may move between threads, also with reads in flight. But the kernel hands a completion to
/// the thread that began the read (as task work: it interrupts a sleep that can be interrupted), and publishes it only
/// then. A thread that sleeps uninterruptibly, on another and dead disk perhaps, holds the completions of its reads up,
/// for which [`wait`](Self::wait) takes a time limit. The reads of a thread that ends are published too, some of them as
/// `ECANCELED`.
///
/// # Dropped with reads in flight
///
/// The kernel goes on writing to the pages that it has pinned, and lets go of them when the last read is done. That
/// harms nobody, but the memory stays taken until then.
///
/// ```
/// use std::{fs::File, io::ErrorKind, os::fd::AsFd, time::Duration};
/// use sendrail_sys::ring::{Read, ReadRing};
///
/// let file = File::open(std::env::current_exe()?)?;
/// let mut ring = match ReadRing::new(2, 64 << 10) {
///     Ok(ring) => ring,
///     Err(refused) => { eprintln!("no io_uring here: {}", refused.error); return Ok(()) }
/// };
/// ring.submit(file.as_fd(), &[Read { buffer: 0, offset: 0, len: 4096 }])?;
/// let done = loop {
///     match ring.completed() {
///         Some(done) => break done,
///         None => ring.wait(Duration::from_secs(5))?,
///     }
/// };
/// assert_eq!((done.buffer, done.result?), (0, 4096));
/// assert_eq!(&ring.contents(0).expect("no read is under way")[..4], b"\x7fELF");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ReadRing {
    // Before the buffers: it is closed first. Not that the order mattered, for the kernel holds on to the pages by itself.
    // Boxed: it is large, and rings are lent and given back.
    ring: Box<IoUring>,
    buffers: Buffers,
    /// Whether a read into the buffer of this number is under way.
    busy: Box<[bool]>,
    in_flight: usize,
    /// Of each buffer, the sends that the network is not done with.
    passed: Box<[u32]>,
    /// Reads that were done while something else was waited for.
    picked: VecDeque<Completed>,
    sound: bool,
    system_calls: u32,
}

/// A read to be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Into the buffer of this number, from its beginning.
    pub buffer: usize,
    /// From this byte of the file.
    pub offset: u64,
    /// So many bytes, at the most.
    pub len: usize,
}

/// A read that is done.
#[derive(Debug)]
pub struct Completed {
    /// The buffer that it was for.
    pub buffer: usize,
    /// How many bytes of the buffer were filled (0 at the end of the file), or why it failed.
    pub result: io::Result<usize>,
}

/// Why there is no ring, and what it cost to find out.
#[derive(Debug)]
pub struct NoRing {
    /// What the kernel said: `ENOSYS` (not in this kernel), `EPERM` (forbidden), `ENOMEM` (no memory, or more of it locked
    /// than `RLIMIT_MEMLOCK` allows, see getrlimit(2)), `EMFILE`, `ENFILE`.
    pub error: io::Error,
    /// System calls that were made.
    pub system_calls: u32,
}

impl ReadRing {
    /// Makes a ring with `count` buffers of `len` bytes each, a multiple of the page size. They count as locked memory.
    ///
    /// io_uring_setup(2), its two mmap(2) (three before 5.4), io_uring_register(2) with `IORING_REGISTER_BUFFERS`; and
    /// mmap(2) and madvise(2), twice, for the buffers. [`system_calls`](Self::system_calls) counts all but the mmap(2) that is
    /// an allocation.
    pub fn new(count: usize, len: usize) -> Result<ReadRing, NoRing> {
        let refused = |system_calls| move |error| NoRing { error, system_calls };
        let ring = Box::new(IoUring::new(count as u32).map_err(refused(1))?);
        let maps = if ring.params().is_feature_single_mmap() { 2 } else { 3 };
        // What closing the ring again takes: munmap(2) of the maps, and close(2).
        let undo = maps + 1;
        let buffers = Buffers::new(count, len).map_err(refused(1 + maps + undo))?;
        // SAFETY: the addresses are those of `buffers`, mapped for writing. From here on the kernel has their pages
        // pinned, and reads go to those pages and not to the addresses; so that when the mapping ends before the ring,
        // or before a read, nothing but these pages is written to.
        unsafe { ring.submitter().register_buffers(&buffers.slices()) }
            .map_err(refused(1 + maps + 3 + undo + 1))?;
        Ok(ReadRing {
            busy: vec![false; buffers.count()].into(),
            passed: vec![0; buffers.count()].into(),
            picked: VecDeque::new(),
            ring,
            buffers,
            in_flight: 0,
            sound: true,
            system_calls: 1 + maps + 3,
        })
    }

    /// System calls that it took to make this.
    pub fn system_calls(&self) -> u32 {
        self.system_calls
    }

    /// System calls that it takes to drop this: munmap(2) of the ring and of the buffers, close(2).
    pub fn calls_to_drop(&self) -> u32 {
        // As many maps as were made: all calls but io_uring_setup(2), io_uring_register(2) and madvise(2).
        (self.system_calls - 4) + 1 + 1
    }

    /// How many buffers there are.
    pub fn buffers(&self) -> usize {
        self.buffers.count()
    }

    /// The length of each in bytes.
    pub fn buffer_len(&self) -> usize {
        self.buffers.buffer_len()
    }

    /// Reads that have been begun and not been picked up.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether more reads may be begun. Not after a [`submit`](Self::submit) that failed.
    pub fn is_sound(&self) -> bool {
        self.sound
    }

    /// Begins reads of `file`, for which it need not stay open. One io_uring_enter(2), which waits for none of them.
    ///
    /// It may sleep all the same, and with a disk that does not answer for as long: when the device's queue is full (the
    /// kernel's direct I/O, fs/iomap/direct-io.c, asks for no `REQ_NOWAIT`; liburing issues 826 and 1184), and on ext4
    /// when the map of the file has to be read. So it is not for a thread that must not wait for the disk.
    ///
    /// `EAGAIN`: the kernel lacked memory, and has begun only some of the reads, or none. After any error the ring takes
    /// no more of them, and what is in flight can still be picked up. So this must not be called again after `EINTR`,
    /// which the kernel does not say here.
    ///
    /// # Panics
    ///
    /// If a read is for a buffer that is not there, not free, or too short, or if there are too many.
    pub fn submit(&mut self, file: BorrowedFd<'_>, reads: &[Read]) -> io::Result<()> {
        if !self.sound {
            return Err(crate::raw::invalid());
        }
        for read in reads {
            let start = self.buffers.start(read.buffer);
            assert!(read.len <= self.buffers.buffer_len(), "{read:?} does not fit its buffer");
            assert!(!self.busy[read.buffer], "a read into buffer {} is under way", read.buffer);
            assert!(self.passed[read.buffer] == 0, "buffer {} is the network's", read.buffer);
            let (file, len) = (Fd(file.as_raw_fd()), read.len as u32);
            let entry = opcode::ReadFixed::new(file, start, len, read.buffer as u16)
                .offset(read.offset)
                .build()
                .user_data(read.buffer as u64);
            // SAFETY: the descriptor is open until this function returns, and what the kernel begins by then it holds
            // its own reference for; what it does not begin it never looks at again, for the ring is not used any more.
            // `start` and `len` lie in one registered buffer, in which `busy` says that nobody but the kernel may look
            // from here on, until the completion has been picked up.
            unsafe { self.ring.submission().push(&entry) }.expect("as many entries as buffers");
            self.busy[read.buffer] = true;
        }
        let begun = self.ring.submit().inspect_err(|_| self.sound = false)?;
        self.in_flight += begun;
        if begun < reads.len() {
            // The rest stay in the queue, with a descriptor that may soon be another file's.
            self.sound = false;
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        Ok(())
    }

    /// Waits until a read is done that has not been picked up, or the network is done with a buffer. One io_uring_enter(2).
    ///
    /// `ETIME`: none was, for as long as `limit`; before Linux 5.11, which knows no limit, it waits until one is.
    /// `EINTR`: a signal came first.
    pub fn wait(&mut self, limit: Duration) -> io::Result<()> {
        if (self.in_flight == 0 && self.passed.iter().all(|sends| *sends == 0)) || !self.sound {
            // For ever, in the first case; and in the second it would begin what was left in the queue.
            return Err(crate::raw::invalid());
        }
        if self.ring.params().is_feature_ext_arg() {
            let limit = Timespec::from(limit);
            self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&limit))?;
        } else {
            self.ring.submit_and_wait(1)?;
        }
        Ok(())
    }

    /// Picks up a read that is done, in whichever order they are. No system call.
    pub fn completed(&mut self) -> Option<Completed> {
        loop {
            if let Some(read) = self.picked.pop_front() {
                return Some(read);
            }
            let entry = self.ring.completion().next()?;
            self.pick_up(&entry);
        }
    }

    /// Files what the kernel says. If it is of a send, and not that the network is done with it, says how that went.
    fn pick_up(&mut self, entry: &Entry) -> Option<io::Result<usize>> {
        let result = entry.result();
        let result = usize::try_from(result)
            .map_err(|_| io::Error::from_raw_os_error(result.saturating_neg()));
        if let Some(buffer) = passing::buffer_sent(entry) {
            if cqueue::notif(entry.flags()) {
                self.passed[buffer] -= 1;
                return None;
            }
            if !cqueue::more(entry.flags()) {
                self.passed[buffer] -= 1; // nothing was passed on, and nothing more will be said of it
            }
            return Some(result);
        }
        let buffer = entry.user_data() as usize;
        self.busy[buffer] = false;
        self.in_flight -= 1;
        self.picked.push_back(Completed { buffer, result });
        None
    }

    /// What is in a buffer, unless a read into it is under way.
    ///
    /// # Panics
    ///
    /// If there is no such buffer.
    pub fn contents(&self, buffer: usize) -> Option<&[u8]> {
        if self.busy[buffer] {
            return None;
        }
        // SAFETY: none of the reads that were begun for this buffer is still in flight, and `submit`, which could begin
        // one, wants `&mut self`.
        Some(unsafe { self.buffers.contents(buffer) })
    }
}

impl fmt::Debug for ReadRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadRing")
            .field("buffers", &self.buffers)
            .field("in_flight", &self.in_flight)
            .field("sound", &self.sound)
            .finish_non_exhaustive()
    }
}
