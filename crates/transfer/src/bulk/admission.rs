//! Admission: whether what a transfer brings into the page cache may stay there.
//!
//! It may if there is room: while memory is free it costs nobody anything. It may if it is asked for
//! often: what was asked for again while less than the whole memory came into the cache would have
//! been found there. Everything else is bulk.
//!
//! | parameter | value | why |
//! |---|---|---|
//! | [`STRETCH`] | 16 MiB | the head of a film may be popular, and its end not |
//! | [`SMALL`] | 1 MiB | a miss costs as much as reading so many bytes, or more: small files are worth more of the memory, byte by byte |
//! | [`SMALL_FROM`], [`LARGE_FROM`] | 2nd, 4th request | with uniformly random requests, to four times the memory, few come so soon |
//! | decay | halves when as many bytes as there is memory have been let in, and after 131,072 requests | what is dropped behind displaces nothing, so it does not age anything either |
//! | reserve | a quarter of the memory, 32 MiB to 1 GiB; for files that are not small a half, up to 4 GiB | the kernel begins to throw out before the last page is gone; what is small is to find room behind what is large, and the kernel's records of many small files (inodes, names) count in a control group as well |
//! | share | an eighth of the memory, half of it anew each minute | whatever is popular must not throw out all the rest at once |

use super::{
    room::{Gauge, Room},
    sketch::{ONE, Sketch},
};
use sendrail_sys::stat::Timestamp;
use std::time::{Duration, Instant};

/// Popularity is counted by stretches of this length, in bytes.
pub(crate) const STRETCH: u64 = 16 << 20;

/// Up to this length, in bytes, a file is small.
const SMALL: u64 = 1 << 20;

/// The request with which a stretch of a small file becomes popular.
const SMALL_FROM: u8 = 2;

/// The request with which a stretch of a larger file becomes popular.
const LARGE_FROM: u8 = 4;

/// How long a look at the free memory holds, if it is not used up before.
const LOOK_HOLDS: Duration = Duration::from_millis(100);

/// The shortest time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// In which half of what has been let in for its popularity is forgotten.
const SHARE_HALVES: Duration = Duration::from_mins(1);

/// What becomes of the pages that a transfer brings in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They stay: memory is free.
    Room,
    /// They stay: they are asked for often.
    Popular,
    /// They are given back.
    DropBehind,
}

/// Which version of which file: device, inode, and when it was last written. An inode's number is
/// given out again when its file is gone, and its popularity is not.
pub(super) type Version = (u64, u64, Timestamp);

/// A stretch of a file that was not resident and is about to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) version: Version,
    pub(super) file_len: u64,
    /// Where in the file.
    pub(super) offset: u64,
    /// How much of it the transfer is going to send, in bytes, at most up to the end of the stretch.
    pub(super) len: u64,
}

/// Decides, and remembers what it decided by.
#[derive(Debug)]
pub(super) struct Admission {
    sketch: Sketch,
    gauge: Gauge,
    room: Room,
    looked: Option<Instant>,
    /// Bytes let in since everything was halved last.
    turned_over: u64,
    /// Bytes let in for their popularity, halved each minute.
    admitted: u64,
    admitted_halved: Option<Instant>,
}

impl Admission {
    pub(super) fn new() -> Self {
        Self {
            sketch: Sketch::default(),
            gauge: Gauge::new(),
            room: Room { free: 0, capacity: u64::MAX },
            looked: None,
            turned_over: 0,
            admitted: 0,
            admitted_halved: None,
        }
    }

    /// The memory there is, in bytes.
    pub(super) fn capacity(&mut self, now: Instant) -> u64 {
        if self.looked.is_none() {
            self.look(now);
        }
        self.room.capacity
    }

    /// Judges a stretch. `room_counts`: whether it may stay because memory is free.
    pub(super) fn judge(&mut self, asked: &Asked, room_counts: bool, now: Instant) -> Verdict {
        if self.turned_over >= self.capacity(now) {
            self.sketch.halve();
            self.turned_over = 0;
        }
        let count = self.sketch.add((asked.version, asked.offset / STRETCH), share(asked));
        let small = asked.file_len <= SMALL;
        let verdict = if room_counts && self.has_room_for(asked.len, small, now) {
            Verdict::Room
        } else if count >= ONE * if small { SMALL_FROM } else { LARGE_FROM }
            && self.may_displace(asked.len, now)
        {
            Verdict::Popular
        } else {
            Verdict::DropBehind
        };
        if verdict != Verdict::DropBehind {
            self.turned_over += asked.len;
        }
        verdict
    }

    /// Whether something else may have to go for these.
    fn may_displace(&mut self, bytes: u64, now: Instant) -> bool {
        let halved = *self.admitted_halved.get_or_insert(now);
        let minutes = now.saturating_duration_since(halved).as_secs() / SHARE_HALVES.as_secs();
        if minutes > 0 {
            self.admitted = self.admitted.checked_shr(minutes as u32).unwrap_or(0);
            self.admitted_halved = Some(now);
        }
        let may = self.admitted + bytes <= self.room.capacity / 8;
        if may {
            self.admitted += bytes;
        }
        may
    }

    fn has_room_for(&mut self, bytes: u64, small: bool, now: Instant) -> bool {
        let reserve = if small {
            (self.room.capacity / 4).clamp(32 << 20, 1 << 30)
        } else {
            (self.room.capacity / 2).min(4 << 30)
        };
        let age = self.looked.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let scarce = self.room.free < reserve + bytes;
        if age >= LOOK_HOLDS || (scarce && age >= LOOK_AGAIN) {
            self.look(now);
        }
        let there = self.room.free >= reserve + bytes;
        if there {
            self.room.free -= bytes; // until the next look
        }
        there
    }

    fn look(&mut self, now: Instant) {
        self.looked = Some(now);
        // Without /proc there is no telling: nothing is free then, and popularity alone counts.
        self.room = self.gauge.look().unwrap_or(Room { free: 0, capacity: 1 << 30 });
    }
}

/// How much of its stretch is asked for, in sixteenths of it, at least one.
fn share(asked: &Asked) -> u8 {
    let start = asked.offset / STRETCH * STRETCH;
    let whole = asked.file_len.saturating_sub(start).clamp(1, STRETCH);
    let sixteenths = (asked.len.min(whole) * u64::from(ONE)).div_ceil(whole);
    sixteenths.clamp(1, u64::from(ONE)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn version(file: u64) -> Version {
        (1, file, Timestamp::default())
    }

    fn whole(file: u64, file_len: u64, offset: u64) -> Asked {
        Asked { version: version(file), file_len, offset, len: (file_len - offset).min(STRETCH) }
    }

    /// Of `capacity` bytes, all taken.
    fn full(capacity: u64) -> (Admission, Instant) {
        let now = Instant::now();
        let room = Room { free: 0, capacity };
        (Admission { room, looked: Some(now), ..Admission::new() }, now)
    }

    #[test]
    fn what_is_asked_for_often_becomes_popular() {
        let (mut admission, now) = full(1 << 30);
        let mut judge = |asked| admission.judge(&asked, false, now);
        assert_eq!(judge(whole(1, 64 << 10, 0)), Verdict::DropBehind);
        assert_eq!(judge(whole(1, 64 << 10, 0)), Verdict::Popular);
        for _ in 1..LARGE_FROM {
            assert_eq!(judge(whole(2, 40 * MIB, 0)), Verdict::DropBehind);
        }
        assert_eq!(judge(whole(2, 40 * MIB, 0)), Verdict::Popular);
        assert_eq!(judge(whole(2, 40 * MIB, 2 * STRETCH)), Verdict::DropBehind, "another stretch");
    }

    #[test]
    fn parts_count_as_parts() {
        let (mut admission, now) = full(1 << 30);
        // One download in sixteen ranges over several connections is one request.
        for part in 0..16 {
            let asked =
                Asked { version: version(1), file_len: 16 * MIB, offset: part * MIB, len: MIB };
            assert_eq!(admission.judge(&asked, false, now), Verdict::DropBehind, "{part}");
        }
        assert_eq!(admission.judge(&whole(1, 16 * MIB, 0), false, now), Verdict::DropBehind);
        for (offset, len, sixteenths) in
            [(0, 16 * MIB, 16), (0, 1, 1), (STRETCH, 4 * MIB, 16), (0, 3 * MIB, 3)]
        {
            let asked = Asked { version: version(1), file_len: 20 * MIB, offset, len };
            assert_eq!(share(&asked), sixteenths, "{offset} {len}");
        }
    }

    #[test]
    fn free_memory_may_be_filled_up_to_the_reserve() {
        let (mut admission, now) = full(1 << 30);
        admission.room.free = (512 + 33) * MIB;
        let mut judge = |file| admission.judge(&whole(file, 16 * MIB, 0), true, now);
        assert_eq!([judge(1), judge(2)], [Verdict::Room; 2]);
        assert_eq!(judge(3), Verdict::DropBehind, "a mebibyte above the reserve");
        let asked = whole(4, 64 << 10, 0);
        assert_eq!(admission.judge(&asked, false, now), Verdict::DropBehind, "room does not count");
        let asked = whole(5, 64 << 10, 0);
        assert_eq!(admission.judge(&asked, true, now), Verdict::Room, "it is small");
    }

    #[test]
    fn what_is_let_in_ages_the_rest_and_what_is_dropped_does_not() {
        let (mut admission, now) = full(32 * MIB);
        let small = whole(1, 64 << 10, 0);
        assert_eq!(admission.judge(&small, false, now), Verdict::DropBehind);
        for film in 0..100 {
            let asked = whole(100 + film, 16 * MIB, 0);
            assert_eq!(admission.judge(&asked, false, now), Verdict::DropBehind);
        }
        assert_eq!(admission.judge(&small, false, now), Verdict::Popular, "though 1.6 GiB passed");

        let (mut admission, now) = full(32 * MIB);
        admission.judge(&small, false, now);
        admission.room.free = 1 << 30;
        for film in 0..2 {
            let asked = whole(200 + film, 16 * MIB, 0);
            assert_eq!(admission.judge(&asked, true, now), Verdict::Room);
        }
        assert_eq!(admission.judge(&small, false, now), Verdict::DropBehind, "half forgotten");
    }

    #[test]
    fn the_popular_may_not_throw_out_all_the_rest_at_once() {
        let (mut admission, now) = full(256 * MIB);
        let mut admitted = |now| {
            let judge = |request: u64| {
                let asked = whole(1, 240 * MIB, request / 4 * STRETCH);
                u64::from(admission.judge(&asked, false, now) == Verdict::Popular)
            };
            (0..60).map(judge).sum::<u64>() * STRETCH
        };
        assert_eq!(admitted(now), 256 * MIB / 8);
        assert_eq!(admitted(now), 0, "the share is used up");
        assert_eq!(admitted(now + SHARE_HALVES), 256 * MIB / 16);
    }
}
