//! Direct reads by a ring: several under way at once, picked up in the order of the file.
//!
//! To pick up what is done takes no system call, so that who must not wait for the disk sends what is there. To begin reads
//! does, and it may sleep (see [`ReadRing::submit`](sendrail_sys::ReadRing::submit)): that is left to a thread that may, in
//! good time before nothing is left to be sent.

use super::{BUFFER, Source, Task, Trouble, rings::Lent};
use crate::{
    method::{Fault, Moved, Taken, read_failed, sort_socket},
    receipt::Receipt,
    transfer::Disk,
};
use rustix::io::Errno;
use sendrail_sys::{
    ring::{Completed, Read},
    send::send,
};
use std::{collections::VecDeque, io, os::fd::AsFd, time::Duration};

/// Reads that are under way before the first bytes have been sent; with each buffer that the client takes it is one more. A
/// client that seeks does not pay for what it does not want.
const FIRST_AHEAD: usize = 2;

/// How long a read is waited for before a thread of our own is sent for the bytes. It then waits for the same disk; but if
/// the read is done, and only its completion is held up (see [`ReadRing`](sendrail_sys::ReadRing), "Which thread"), this is
/// the way out.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often in a row reads are begun again that came to nothing.
const TRIES: u32 = 32;

/// The reads of one range: in the order of the file, without gaps.
#[derive(Debug)]
pub(super) struct RingReader {
    lent: Lent,
    /// Reads that may be under way, each into a buffer of its own.
    depth: usize,
    /// Reads that one call begins. Kept, so that none of them takes memory.
    batch: Vec<Read>,
    /// Buffers that no piece has and no read is under way for.
    free: Vec<usize>,
    pieces: VecDeque<Piece>,
    /// The byte that is to be sent next.
    at: u64,
    /// Where the piece after the last one begins.
    next: u64,
    /// Where the range ends.
    end: u64,
    ahead: usize,
    tries: u32,
}

/// A read, and its buffer.
#[derive(Debug)]
struct Piece {
    read: Read,
    state: State,
    /// It was asked for when its first byte's turn had come, and nothing of it has been sent since: where it has no
    /// bytes, the file has none *now*.
    fresh: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be begun.
    Wanted,
    UnderWay,
    /// So many bytes have been read: fewer than asked for where the file ends.
    Read(usize),
    Failed(i32),
}

/// What a failed read means.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing: it was given up before it was done.
    Again,
    /// The disk or the file system could not read it.
    File,
    /// Not by a ring.
    Ring,
}

fn verdict(errno: i32) -> Verdict {
    match Errno::from_raw_os_error(errno) {
        // The thread that had begun it has ended, or the kernel could not go on without waiting.
        Errno::CANCELED | Errno::AGAIN | Errno::INTR => Verdict::Again,
        // blk_status_to_errno of the kernel's block layer, and what file systems say of what they find.
        Errno::IO
        | Errno::NODATA
        | Errno::REMOTEIO
        | Errno::ILSEQ
        | Errno::TIMEDOUT
        | Errno::NOLINK
        | Errno::BADMSG
        | Errno::UCLEAN
        | Errno::STALE => Verdict::File,
        // If it is the file after all, pread(2) will say so.
        _ => Verdict::Ring,
    }
}

impl RingReader {
    pub(super) fn new(lent: Lent) -> Self {
        debug_assert_eq!(lent.ring().in_flight(), 0, "nothing of another's is to come");
        let depth = lent.ring().buffers();
        Self {
            free: (0..depth).rev().collect(),
            lent,
            depth,
            batch: Vec::with_capacity(depth),
            pieces: VecDeque::with_capacity(depth),
            at: 0,
            next: 0,
            end: 0,
            ahead: FIRST_AHEAD.min(depth),
            tries: 0,
        }
    }

    pub(super) fn close(self, receipt: &mut Receipt) {
        self.lent.give_back(receipt);
    }

    /// Lets go of all pieces. The buffers of those under way become free when they are done.
    pub(super) fn forget(&mut self) {
        for piece in self.pieces.drain(..) {
            if piece.state != State::UnderWay {
                self.free.push(piece.read.buffer);
            }
        }
        self.end = self.at; // so that the next range begins anew, wherever it lies
    }

    pub(super) fn advance(
        &mut self,
        source: &Source,
        task: &Task<'_>,
        receipt: &mut Receipt,
    ) -> Result<Moved, Trouble> {
        if (self.at, self.end) != (task.range.offset, task.end()) {
            self.turn_to(source, task);
        }
        loop {
            self.pick_up();
            let may_wait = task.disk == Disk::MayWait;
            if may_wait {
                self.ask(source, receipt)?;
            } else if self.runs_low() {
                return Ok(Moved::DiskNotReady);
            }
            let state = self.pieces.front().map_or(State::UnderWay, |piece| piece.state);
            match state {
                State::Read(count) => {
                    let piece = self.pieces.front_mut().expect("it has just been looked at");
                    if piece.read.offset + count as u64 > self.at {
                        return Ok(self.send(task, count, receipt)?);
                    }
                    if piece.fresh {
                        return Err(task.truncated().into());
                    }
                    // It came up short, a while ago. Whether the file still ends there the next read will tell.
                    self.turn_to(source, task);
                }
                State::Failed(errno) => self.failed(errno)?,
                State::Wanted | State::UnderWay => {
                    if !may_wait {
                        return Ok(Moved::DiskNotReady);
                    }
                    let ring = self.lent.ring_mut();
                    receipt.call(|| ring.wait(PATIENCE)).map_err(Trouble::Ring)?;
                }
            }
        }
    }

    /// Begins anew at the start of the task's range.
    fn turn_to(&mut self, source: &Source, task: &Task<'_>) {
        self.forget();
        self.at = task.range.offset;
        self.end = task.end();
        self.next = source.block_before(self.at);
    }

    /// Picks up what is done, whoever wanted it.
    fn pick_up(&mut self) {
        while let Some(Completed { buffer, result }) = self.lent.ring_mut().completed() {
            match self.pieces.iter_mut().find(|piece| piece.read.buffer == buffer) {
                None => self.free.push(buffer),
                Some(piece) => {
                    piece.state = match result {
                        Ok(count) => State::Read(count),
                        Err(error) => State::Failed(error.raw_os_error().unwrap_or_default()),
                    }
                }
            }
        }
    }

    /// Whether it is time to begin more reads: a half of those that may be ahead have been used up.
    fn runs_low(&self) -> bool {
        self.next < self.end && self.pieces.len() <= self.ahead / 2
    }

    /// Begins the reads that there is room for, if a call is worth it.
    fn ask(&mut self, source: &Source, receipt: &mut Receipt) -> Result<(), Trouble> {
        let end = source.block_after(self.end);
        let room = self.ahead.saturating_sub(self.pieces.len()).min(self.free.len());
        let left = (end - self.next).div_ceil(BUFFER as u64) as usize;
        let has_some = matches!(self.pieces.front(), Some(Piece { state: State::Read(_), .. }));
        if !has_some || self.runs_low() {
            for _ in 0..room.min(left) {
                self.want(end);
            }
        }
        let wanted = |piece: &&mut Piece| piece.state == State::Wanted;
        self.batch.clear();
        for piece in self.pieces.iter_mut().filter(wanted) {
            piece.state = State::UnderWay;
            self.batch.push(piece.read);
        }
        if !self.batch.is_empty() {
            receipt.system_calls += 1; // not to be made again if it fails
            let ring = self.lent.ring_mut();
            ring.submit(source.file.as_fd(), &self.batch).map_err(Trouble::Ring)?;
        }
        Ok(())
    }

    /// One piece more, up to the next multiple of the buffer's length: so that the disk sees long reads at even places.
    fn want(&mut self, end: u64) {
        let Some(buffer) = (self.next < end).then(|| self.free.pop()).flatten() else { return };
        let offset = self.next;
        let len = (BUFFER as u64 - offset % BUFFER as u64).min(end - offset);
        self.next += len;
        let read = Read { buffer, offset, len: len as usize };
        let fresh = self.pieces.is_empty() && offset <= self.at;
        self.pieces.push_back(Piece { read, state: State::Wanted, fresh });
    }

    /// Sends from the first piece, of which `count` bytes have been read.
    fn send(
        &mut self,
        task: &Task<'_>,
        count: usize,
        receipt: &mut Receipt,
    ) -> Result<Moved, Fault> {
        self.tries = 0;
        let piece = self.pieces.front_mut().expect("there is one to be sent from");
        let contents = self.lent.ring().contents(piece.read.buffer).expect("its read is done");
        let from = (self.at - piece.read.offset) as usize;
        // What is wanted ends with the range at the latest; what was read, with the block that holds its end.
        let offered = &contents[from..count.min(from + task.want as usize)];
        let more = task.more || task.range.len > offered.len() as u64;
        let sent = match receipt.call(|| send(task.socket, offered, more)) {
            Ok(sent) => sent,
            Err(error) => return sort_socket(error),
        };
        let taken = if sent == offered.len() { Taken::Whole } else { Taken::SocketFull };
        receipt.copied += sent as u64;
        self.at += sent as u64;
        piece.fresh = false;
        if self.at == piece.read.offset + piece.read.len as u64 {
            self.free.push(piece.read.buffer);
            self.pieces.pop_front();
            self.ahead = (self.ahead + 1).min(self.depth);
        }
        Ok(Moved::Bytes { count: sent as u64, taken })
    }

    /// The first piece has failed.
    fn failed(&mut self, errno: i32) -> Result<(), Trouble> {
        let error = io::Error::from_raw_os_error(errno);
        match verdict(errno) {
            Verdict::File => Err(read_failed("io_uring_enter(2)", self.at, error).into()),
            Verdict::Again if self.tries < TRIES => {
                self.tries += 1;
                let piece = self.pieces.front_mut().expect("the one that has failed");
                piece.state = State::Wanted;
                Ok(())
            }
            Verdict::Again | Verdict::Ring => Err(Trouble::Ring(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::{super::rings::Loan, *};
    use crate::{segment::FileRange, transfer::Disk};
    use std::{fs::File, io::Read as _, os::unix::net::UnixStream, sync::Arc};

    /// The most buffers that are ever in use on the way through a file which is longer than all of them.
    fn most_in_use(depth: usize) -> Option<usize> {
        let mut receipt = Receipt::default();
        let Loan::Ring(lent) = Lent::take(depth, Disk::MayWait, &mut receipt) else {
            eprintln!("skipped: no ring here");
            return None;
        };
        let file: Arc<File> = Arc::new(tempfile::tempfile().unwrap());
        let len = (3 * depth * BUFFER) as u64 + 1;
        file.set_len(len).unwrap();
        let source =
            Source { of: Arc::clone(&file), file: file.try_clone().unwrap().into(), block: 4096 };
        let (socket, mut peer) = UnixStream::pair().unwrap();
        let reading = std::thread::spawn(move || {
            let mut received = Vec::new();
            peer.read_to_end(&mut received).map(|_| received.len() as u64)
        });
        let mut ring = RingReader::new(lent);
        let (mut at, mut most) = (0, 0);
        while at < len {
            let range = FileRange::new(Arc::clone(&file), at, len - at);
            let (socket, disk) = (socket.as_fd(), Disk::MayWait);
            let task = Task { socket, range: &range, want: 64 << 10, more: false, disk };
            match ring.advance(&source, &task, &mut receipt) {
                Ok(Moved::Bytes { count, .. }) => at += count,
                Ok(Moved::SocketFull) => std::thread::yield_now(),
                _ => panic!("nothing is wrong with this file: {receipt}"),
            }
            assert!(ring.lent.ring().in_flight() <= depth);
            assert_eq!(ring.pieces.len() + ring.free.len(), depth);
            most = most.max(ring.pieces.len());
        }
        ring.close(&mut receipt);
        drop(socket);
        assert_eq!(reading.join().unwrap().unwrap(), len);
        Some(most)
    }

    #[test]
    fn as_many_reads_are_kept_going_as_were_asked_for() {
        for depth in [1, 2, 3, 8, 16, 64] {
            let Some(most) = most_in_use(depth) else { return };
            assert_eq!(most, depth);
        }
    }

    #[test]
    fn only_what_the_disk_says_is_the_files_fault() {
        for (errno, expected) in [
            (Errno::IO, Verdict::File),
            (Errno::NODATA, Verdict::File),
            (Errno::CANCELED, Verdict::Again),
            (Errno::AGAIN, Verdict::Again),
            (Errno::INVAL, Verdict::Ring),
            (Errno::OPNOTSUPP, Verdict::Ring),
            (Errno::NOMEM, Verdict::Ring),
        ] {
            assert_eq!(verdict(errno.raw_os_error()), expected, "{errno}");
        }
    }
}
