//! gather: several small ranges of files and the bytes between them leave by one call.
//!
//! An answer of several ranges is a chain of heads and small pieces of a file. One at a time, each
//! costs a send of its head, a look at the page cache and a `sendfile(2)`, and all of them a cork
//! around them. For pieces of a few pages, calls are dearer than copies: `preadv2(2)` with
//! RWF_NOWAIT (4.14) is the read and the look in one, and a single `send(2)` takes the whole run.
//!
//! # Figures
//!
//! Server CPU per request in microseconds, ranges at random places of a hot 64 MiB file, 64
//! connections over loopback, Linux 6.18 on an AMD EPYC, medians:
//!
//! | ranges | one at a time | gathered | calls |
//! |---|---|---|---|
//! | 4 × 4 KiB | 25.7 | 13.1 | 17 → 6 |
//! | 4 × 8 KiB | 26.0 | 15.6 | 17 → 6 |
//! | 4 × 16 KiB | 28.8 | 25.7 | 17 → 6 |
//! | 16 × 4 KiB | 81 | 39 | 53 → 18 |
//!
//! At 4 × 24 KiB a gain of a tenth was left on a busy machine; from 4 × 32 KiB on none that could be
//! told from noise. Hence [`PIECE`]. Runs of 32 to 256 KiB cost the same but for the calls; hence
//! [`RUN`], the shortest that takes four of the longest pieces.
//!
//! # What is left to the methods
//!
//! Gathering is no method: it prepares nothing, keeps nothing, and whatever is out of the ordinary
//! goes the way it would go without it. A file that has ended or cannot be read is met again by the
//! method, which knows how to name that.
//!
//! So does what a full socket did not take: it is not kept but read again, and from then on by the
//! methods alone. A slow reader thereby costs no memory (the buffer is the thread's) and one run's
//! copy in vain at most, and gets the file as it is when its turn comes, as it would by sendfile.

use super::{Disk, Step, Transfer};
use crate::{
    chain::Chain,
    method::Method,
    plan::{Medium, is_large},
    receipt::Receipt,
    segment::{FileRange, Segment},
};
use bytes::Bytes;
use sendrail_sys::{
    pread::{ReadFlags, pread, preadv2},
    send::send,
};
use std::{
    cell::Cell,
    io,
    os::fd::{AsFd, BorrowedFd},
};

/// The longest range, or bytes in memory, that is copied into a run; see the figures above.
const PIECE: u64 = 16 << 10;

/// The most that one run holds, in bytes: four of the longest pieces with their heads. This is what
/// one thread keeps for gathering.
const RUN: u64 = 80 << 10;

/// The most segments that one run holds. A chain of crumbs is not looked through to its end at every
/// step.
const SEGMENTS: usize = 256;

thread_local! {
    /// Empty until the thread gathers for the first time, and while it does.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What gathering has met with in this transfer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gathering {
    /// Runs are tried when no more than this many bytes remain: when the range that stopped the last
    /// one has been sent by its method.
    below: u64,
    /// RWF_NOWAIT has said that this range is to be waited for. A look by `cachestat(2)` would say
    /// otherwise: the read that was refused has begun to fetch the pages, and they count as cached
    /// from then on, though who sends them sleeps until they are there.
    cold: bool,
}

impl Default for Gathering {
    fn default() -> Self {
        Self { below: u64::MAX, cold: false }
    }
}

impl Gathering {
    /// Whether the front range, behind which `after` bytes remain, is cold for sure. From the first
    /// time that somebody may wait for it, only a look can tell.
    pub(super) fn knows_cold(&mut self, after: u64, disk: Disk) -> bool {
        let cold = self.cold && after == self.below;
        self.cold &= !(cold && disk == Disk::MayWait);
        cold
    }
}

/// The bytes at the front of `chain` that are to be sent as one run behind `head` bytes, or `None`
/// if there are not two ranges to save calls for. Only whole segments are in a run. Pure.
fn run(head: usize, chain: &Chain, most: u64) -> Option<usize> {
    let most = most.min(RUN);
    let (mut len, mut ranges) = (head as u64, 0);
    if len > PIECE {
        return None;
    }
    for segment in chain.segments().take(SEGMENTS) {
        if segment.len() > PIECE || len + segment.len() > most || must_not_change(segment) {
            break;
        }
        len += segment.len();
        ranges += u64::from(matches!(segment, Segment::File(_)));
    }
    (ranges > 1).then_some(len as usize)
}

/// Whether each read of it has to be followed by a look, which `copy` takes.
fn must_not_change(segment: &Segment) -> bool {
    matches!(segment, Segment::File(range) if range.unchanged_since.is_some())
}

/// What became of a run.
pub(super) enum Gathered {
    /// All of it, or what could be read of it, has been handed to the socket.
    Sent,
    /// That ends the step.
    Ended(Step),
}

/// Why a run ended before its plan did.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// The range is not, or not wholly, in the page cache; or it is not in the file any more.
    Short,
    /// The file cannot be read this way.
    Unreadable,
}

/// Fills `buffer` with `head` and then the segments of `chain`, of which it holds a whole number,
/// by `read`. Says how many bytes there are, and if it was stopped, by which range and why.
fn fill<'a>(
    buffer: &mut [u8],
    head: &[u8],
    chain: &'a Chain,
    mut read: impl FnMut(&FileRange, &mut [u8]) -> io::Result<usize>,
) -> (usize, Option<(&'a FileRange, Stop)>) {
    buffer[..head.len()].copy_from_slice(head);
    let mut at = head.len();
    for segment in chain.segments() {
        if at == buffer.len() {
            break;
        }
        let place = &mut buffer[at..at + segment.len() as usize];
        match segment {
            Segment::Bytes(bytes) => place.copy_from_slice(bytes),
            Segment::File(range) => match read(range, place) {
                Ok(count) if count == place.len() => {}
                Ok(_) => return (at, Some((range, Stop::Short))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return (at, Some((range, Stop::Short)));
                }
                Err(_) => return (at, Some((range, Stop::Unreadable))),
            },
        }
        at += segment.len() as usize;
    }
    (at, None)
}

/// Whether reading this range keeps nobody else waiting.
fn waits_for_nobody(range: &FileRange, disk: Disk) -> bool {
    disk == Disk::MayWait || range.medium == Some(Medium::Memory)
}

fn read(
    range: &FileRange,
    place: &mut [u8],
    disk: Disk,
    receipt: &mut Receipt,
) -> io::Result<usize> {
    let file = range.file.as_fd();
    let nowait = ReadFlags { nowait: true, ..ReadFlags::default() };
    let result = receipt.call(|| {
        if waits_for_nobody(range, disk) {
            pread(file, place, range.offset)
        } else {
            preadv2(file, place, range.offset, nowait)
        }
    });
    receipt.copied += *result.as_ref().unwrap_or(&0) as u64;
    result
}

impl Transfer {
    /// Whether a run is worth looking for. The usual chain, a single file, gets no further than this.
    #[inline]
    pub(super) fn may_gather(&self) -> bool {
        self.chain.continues()
            && self.options.method.is_none()
            && self.chain.remaining() <= self.gathering.below
            // From the first full socket on it is the methods' turn.
            && self.receipt.socket_waits == 0
            // In the midst of a range that has been looked at, which is its method's.
            && !self.looked_at.is_some()
            // What was asked to go past the page cache is not read from it.
            && (self.options.direct_above.is_none() || !self.has_large_files())
    }

    fn has_large_files(&self) -> bool {
        self.chain.segments().take(SEGMENTS).any(|segment| match segment {
            Segment::Bytes(_) => false,
            Segment::File(range) => {
                let medium = range.medium.unwrap_or(Medium::Disk);
                is_large(medium, range.file_len(), &self.options)
            }
        })
    }

    /// Sends `head` and the run of small segments at the front of the chain by one call. `None` if
    /// there is no such run, or nothing of it can be read now: nothing has been sent then.
    #[inline(never)] // it would burden the steps of every other chain
    pub(super) fn gather(
        &mut self,
        socket: BorrowedFd<'_>,
        head: &[u8],
        budget: u64,
        disk: Disk,
    ) -> Option<Gathered> {
        let len = run(head.len(), &self.chain, budget)?;
        let mut buffer = BUFFER.take();
        if buffer.is_empty() {
            buffer = vec![0; RUN as usize];
        }
        let gathered = self.gather_into(&mut buffer[..len], socket, head, disk);
        BUFFER.set(buffer);
        gathered
    }

    fn gather_into(
        &mut self,
        buffer: &mut [u8],
        socket: BorrowedFd<'_>,
        head: &[u8],
        disk: Disk,
    ) -> Option<Gathered> {
        let Self { chain, receipt, .. } = self;
        let (filled, stopped) =
            fill(buffer, head, chain, |range, place| read(range, place, disk, receipt));
        let from_chain = (filled - head.len()) as u64;
        if let Some((range, stop)) = stopped {
            self.gathering = match stop {
                Stop::Short => Gathering {
                    below: chain.remaining() - from_chain - range.len,
                    cold: !waits_for_nobody(range, disk),
                },
                Stop::Unreadable => Gathering { below: 0, cold: false },
            };
        }
        if from_chain == 0 {
            return None;
        }
        // MSG_MORE is all the glue a run needs; what is left to a method chooses its own.
        let more = from_chain < chain.remaining();
        let sent = match receipt.call(|| send(socket, &buffer[..filled], more)) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Some(Gathered::Ended(self.gone(error))),
        };
        self.gathered(head, sent);
        Some(if sent == filled { Gathered::Sent } else { Gathered::Ended(self.wait_socket()) })
    }

    /// Takes what was sent off the head and the chain, and counts it for what it was.
    fn gathered(&mut self, head: &[u8], sent: usize) {
        let of_head = sent.min(head.len());
        self.receipt.count_from_memory(of_head);
        self.chain.push_front_bytes(Bytes::copy_from_slice(&head[of_head..]));
        let mut left = (sent - of_head) as u64;
        for segment in self.chain.segments() {
            if left == 0 {
                break;
            }
            let count = left.min(segment.len());
            match segment {
                Segment::Bytes(_) => self.receipt.count_from_memory(count as usize),
                Segment::File(_) => {
                    self.receipt.copied += count;
                    self.receipt.count_from_file(Method::Copy, count);
                }
            }
            left -= count;
        }
        self.chain.advance((sent - of_head) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    /// What the file holds at `offset`.
    fn byte_at(offset: u64) -> u8 {
        (offset % 251) as u8
    }

    fn bytes_of(segment: &Segment) -> Vec<u8> {
        match segment {
            Segment::Bytes(bytes) => bytes.to_vec(),
            Segment::File(range) => (range.offset..range.offset + range.len).map(byte_at).collect(),
        }
    }

    fn bytes_of_all(chain: &Chain) -> Vec<u8> {
        chain.segments().flat_map(bytes_of).collect()
    }

    fn chain_of(pieces: &[(bool, u64)]) -> Chain {
        let file = Arc::new(tempfile::tempfile().expect("a temporary file"));
        let mut chain = Chain::new();
        for (number, (in_file, len)) in pieces.iter().enumerate() {
            if *in_file {
                chain.push_file(FileRange::new(Arc::clone(&file), 77 * number as u64, *len));
            } else {
                chain.push_bytes(vec![number as u8; *len as usize]);
            }
        }
        chain
    }

    #[test]
    fn a_run_ends_before_what_is_large_and_where_it_is_full() {
        let (file, bytes) = (true, false);
        for (head, pieces, most, expected) in [
            (0, &[(file, 10)][..], RUN, None),
            (5, &[(bytes, 9), (file, 10), (bytes, 9)], RUN, None),
            (0, &[(file, 10), (file, 20)], RUN, Some(30)),
            (5, &[(bytes, 1), (file, 10), (bytes, 2), (file, 20), (bytes, 3)], RUN, Some(41)),
            (PIECE, &[(file, PIECE), (file, PIECE)], RUN, Some(3 * PIECE)),
            (PIECE + 1, &[(file, 1), (file, 1)], RUN, None),
            (0, &[(file, 1), (file, PIECE + 1), (file, 1)], RUN, None),
            (0, &[(file, 1), (file, 2), (bytes, PIECE + 1)], RUN, Some(3)),
            (0, &[(file, 1), (file, 2), (bytes, 10), (file, PIECE + 1)], RUN, Some(13)),
            (1, &[(file, 10), (file, 10), (file, 10)], 30, Some(21)),
            (1, &[(file, 10), (file, 10)], 20, None),
            (0, &[(file, PIECE); 9], u64::MAX, Some(RUN / PIECE * PIECE)),
            (0, &[(file, 1); SEGMENTS + 1], RUN, Some(SEGMENTS as u64)),
        ] {
            let chain = chain_of(pieces);
            let expected = expected.map(|len| len as usize);
            assert_eq!(run(head as usize, &chain, most), expected, "{head} {pieces:?} {most}");
        }
    }

    #[test]
    fn only_the_range_that_stopped_a_run_is_known_to_be_cold() {
        let mut gathering = Gathering { below: 100, cold: true };
        assert!(!gathering.knows_cold(150, Disk::MayWait), "an earlier one");
        assert!(gathering.knows_cold(100, Disk::MustNotWait));
        assert!(gathering.knows_cold(100, Disk::MustNotWait), "however often it is asked");
        assert!(gathering.knows_cold(100, Disk::MayWait));
        assert!(!gathering.knows_cold(100, Disk::MustNotWait), "somebody has waited for it");
        assert!(!Gathering::default().knows_cold(u64::MAX, Disk::MustNotWait));
    }

    fn any_chain() -> impl Strategy<Value = Vec<(bool, u64)>> {
        let len = prop_oneof![0..300_u64, PIECE - 2..PIECE + 3];
        prop::collection::vec((any::<bool>(), len), 0..40)
    }

    proptest! {
        #[test]
        fn a_run_and_the_rest_are_the_chain(
            pieces in any_chain(),
            head in prop_oneof![Just(0), 1..300_usize],
            most in prop_oneof![1..3 * RUN, Just(u64::MAX)],
            // Which read comes up short, and how.
            stop in prop::option::of((0..20_usize, 0..3_u8)),
        ) {
            let mut chain = chain_of(&pieces);
            let head = vec![b'h'; head];
            let everything = [head.clone(), bytes_of_all(&chain)].concat();
            let Some(len) = run(head.len(), &chain, most) else { return Ok(()) };
            prop_assert!(len as u64 <= RUN.min(most));

            let mut buffer = vec![0xee; len];
            let mut reads = 0;
            let (filled, stopped) = fill(&mut buffer, &head, &chain, |range, place| {
                reads += 1;
                match stop {
                    Some((at, how)) if at + 1 == reads => match how {
                        0 => Ok(place.len() - 1),
                        1 => Err(io::ErrorKind::WouldBlock.into()),
                        _ => Err(io::ErrorKind::Unsupported.into()),
                    },
                    _ => {
                        place.copy_from_slice(&bytes_of(&Segment::File(range.clone())));
                        Ok(place.len())
                    }
                }
            });
            let stopped = stopped.map(|(range, why)| (range.len(), why));
            match &stopped {
                None => prop_assert!(filled == len && reads >= 2),
                Some((_, Stop::Unreadable)) => prop_assert_eq!(stop, Some((reads - 1, 2))),
                Some((_, Stop::Short)) => prop_assert!(stop.is_some_and(|(_, how)| how < 2)),
            }
            // Whatever was filled ends where a segment does, and the range that stopped it is next.
            chain.advance((filled - head.len()) as u64);
            if let Some((len, _)) = stopped {
                let Some(Segment::File(range)) = chain.front() else { panic!("{chain:?}") };
                prop_assert_eq!(range.len(), len);
            }
            let sent = [&buffer[..filled], &bytes_of_all(&chain)].concat();
            prop_assert!(sent == everything);
        }
    }
}
