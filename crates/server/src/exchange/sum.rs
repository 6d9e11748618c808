//! Checksums of files that are being sent or received, without a trace in the page cache.
//!
//! What moves the bytes never sees them, so that they are read once more: by a thread that keeps close behind, while
//! they are still in the page cache. What is not there any more is read so that it does not stay.

use super::protocol::Sum;
use sendrail_sys::{
    Advice, OpenFlags, fadvise,
    limits::page_size,
    pread::{ReadFlags, pread, preadv2},
    reopen,
};
use std::{
    fs::File,
    io,
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

/// What is read at once, in bytes.
const BUFFER: usize = 256 << 10;
/// How far the bytes may be ahead of their checksum. No more than the least that the engine leaves behind a transfer before
/// it gives pages back (LEAST_LAG), so that they are still there.
const LEAD: u64 = sendrail_transfer::plan::LEAST_LAG;
/// A file up to this size is not worth a thread.
const LITTLE: u64 = 1 << 20;

/// Reads a file so that what was not in the page cache is not there afterwards either.
#[derive(Debug)]
struct Quiet {
    file: File,
    knows_dontcache: bool,
    calls: u64,
}

impl Quiet {
    fn new(file: &File) -> io::Result<Self> {
        // With a description of its own, so that no read-ahead does not hold for whoever sends.
        let file = match reopen(file.as_fd(), OpenFlags::READ) {
            Ok(own) => {
                let _ = fadvise(own.as_fd(), 0, 0, Advice::Random);
                own.into()
            }
            Err(_) => file.try_clone()?, // no /proc
        };
        Ok(Self { file, knows_dontcache: true, calls: 2 })
    }

    fn read(&mut self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let file = self.file.as_fd();
        if self.knows_dontcache {
            self.calls += 1;
            let flags = ReadFlags { dontcache: true, nowait: false };
            match preadv2(file, buffer, at, flags) {
                // Before Linux 6.14, and on file systems that do not have it.
                Err(error) if is_refusal(&error) => self.knows_dontcache = false,
                result => return result,
            }
        }
        self.calls += 1;
        let flags = ReadFlags { dontcache: false, nowait: true };
        match preadv2(file, buffer, at, flags) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Nobody can say what was resident: then nothing is given back that may be somebody's.
            Err(error) if is_refusal(&error) => return pread(file, buffer, at),
            result => return result,
        }
        self.calls += 2;
        let count = pread(file, buffer, at)?;
        let page = page_size() as u64;
        let end = (at + count as u64).next_multiple_of(page);
        let start = at / page * page;
        if end > start {
            fadvise(file, start, end - start, Advice::DontNeed)?;
        }
        Ok(count)
    }
}

fn is_refusal(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let refusals = [Errno::OPNOTSUPP, Errno::INVAL, Errno::NOSYS, Errno::PERM];
    Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
}

/// The checksum of the first bytes of a file.
#[derive(Debug)]
pub(super) struct Hashing {
    quiet: Quiet,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    at: u64,
}

impl Hashing {
    /// Of no byte yet.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        let (quiet, hasher) = (Quiet::new(file)?, blake3::Hasher::new());
        Ok(Self { quiet, hasher, buffer: Vec::new(), at: 0 })
    }

    /// Reads a little further, at most up to `end`. `false`: it is there.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof`: the file is shorter.
    pub(super) fn step(&mut self, end: u64) -> io::Result<bool> {
        if self.at >= end {
            return Ok(false);
        }
        let len = (end - self.at).min(BUFFER as u64) as usize;
        // Of many files most are small: a whole buffer for each would cost more than they do.
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        match self.quiet.read(&mut self.buffer[..len], self.at) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.hasher.update(&self.buffer[..count]);
                self.at += count as u64;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Up to `end`, however long that takes.
    pub(super) fn run(&mut self, end: u64) -> io::Result<()> {
        while self.step(end)? {}
        Ok(())
    }

    /// The checksum of what was read.
    pub(super) fn sum(&self) -> Sum {
        Sum(self.hasher.finalize())
    }

    /// Of how many bytes that is.
    pub(super) fn len(&self) -> u64 {
        self.at
    }

    /// Frees what is only needed to read on. There may be many that wait for their turn.
    pub(super) fn rest(mut self) -> Self {
        self.buffer = Vec::new();
        self
    }
}

/// A checksum that follows the bytes: in the same thread for a little, else in one of its own.
pub(super) enum Follower {
    /// A little.
    Here(Box<Hashing>, u64),
    /// More.
    Behind(Behind),
}

/// What a checksum took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Read {
    /// System calls.
    pub(super) calls: u64,
    /// Bytes copied out of the kernel.
    pub(super) copied: u64,
}

impl Follower {
    /// Goes on with a checksum for about `more` bytes.
    pub(super) fn new(hashing: Hashing, more: u64) -> Self {
        if more <= LITTLE {
            let at = hashing.at;
            Self::Here(Box::new(hashing), at)
        } else {
            Self::Behind(Behind::new(hashing))
        }
    }

    /// The bytes are there up to `end`. Waits if they are too far ahead.
    pub(super) fn up_to(&mut self, end: u64) {
        match self {
            Self::Here(_, goal) => *goal = end,
            Self::Behind(behind) => behind.up_to(end),
        }
    }

    /// The checksum of all bytes that were said to be there.
    pub(super) fn finish(self) -> io::Result<(Sum, Read)> {
        let hashing = match self {
            Self::Here(mut hashing, goal) => {
                hashing.run(goal)?;
                hashing
            }
            Self::Behind(behind) => behind.finish()?,
        };
        let read = Read { calls: hashing.quiet.calls, copied: hashing.at };
        Ok((hashing.sum(), read))
    }
}

/// A thread that keeps close behind.
pub(super) struct Behind {
    place: Arc<Place>,
    thread: Option<JoinHandle<io::Result<Box<Hashing>>>>,
}

#[derive(Default)]
struct Place {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    goal: u64,
    at: u64,
    /// No more will come.
    is_last: bool,
    /// The thread has ended.
    is_over: bool,
}

impl Place {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.moved.notify_all();
    }

    fn wait_while(&self, unchanged: impl FnMut(&mut State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.moved.wait_while(self.lock(), unchanged);
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Behind {
    fn new(mut hashing: Hashing) -> Self {
        let place = Arc::new(Place::default());
        place.change(|state| (state.at, state.goal) = (hashing.at, hashing.at));
        let theirs = Arc::clone(&place);
        let thread = thread::spawn(move || {
            let result = loop {
                let (goal, is_last) = {
                    let state = theirs.wait_while(|state| state.goal <= state.at && !state.is_last);
                    (state.goal, state.is_last)
                };
                match hashing.step(goal) {
                    Ok(true) => theirs.change(|state| state.at = hashing.at),
                    Ok(false) if is_last => break Ok(Box::new(hashing)),
                    Ok(false) => {}
                    Err(error) => break Err(error),
                }
            };
            theirs.change(|state| state.is_over = true);
            result
        });
        Self { place, thread: Some(thread) }
    }

    fn up_to(&self, end: u64) {
        self.place.change(|state| state.goal = end);
        drop(self.place.wait_while(|state| state.at + LEAD < state.goal && !state.is_over));
    }

    fn finish(mut self) -> io::Result<Box<Hashing>> {
        self.place.change(|state| state.is_last = true);
        let thread = self.thread.take().expect("it is taken here and in drop alone");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Behind {
    /// Nobody wants to know any more.
    fn drop(&mut self) {
        self.place.change(|state| {
            state.goal = 0;
            state.is_last = true;
        });
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[path = "sum_tests.rs"]
mod tests;
