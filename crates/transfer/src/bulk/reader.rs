//! A reader: one transfer's way through a file that is not resident. It surveys what lies ahead,
//! says where it is, and gives back what it leaves behind.

use super::{
    DropBehind,
    admission::{Admission, Asked, STRETCH, Verdict, Version},
    brake::Share,
    device::Device,
    ramp,
    record::Record,
    survey,
    tails::{self, Acknowledged, Receiver},
};
use crate::{
    plan::{self, LEAST_LAG, Medium, Options},
    receipt::Receipt,
    segment::FileRange,
};
use sendrail_sys::{limits::page_size, sockopt::unsent_bytes, stat::fstat};
use std::{
    fmt,
    fs::File,
    ops::Range,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// What is taken to be unacknowledged, in bytes, where nobody has asked the socket: a large send buffer.
const MAYBE_UNACKNOWLEDGED: u64 = 16 << 20;

/// Pages are given back this many bytes at a time, in the midst of a file, by a single reader.
const ENOUGH: u64 = 4 << 20;

/// What is given back at a time when there are many: whole folios.
const LEAST_ENOUGH: u64 = 2 << 20;

/// So far ahead, in bytes, a reader saves another's trip to the disk, if there is memory.
const FARTHEST_AHEAD: u64 = 256 << 20;

static ADMISSION: LazyLock<Mutex<Admission>> = LazyLock::new(|| Mutex::new(Admission::new()));

fn admission() -> MutexGuard<'static, Admission> {
    // It is sound between any two of its lines.
    ADMISSION.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Readers there are in this process: they share what bulk may take of the memory.
static READERS: AtomicU64 = AtomicU64::new(0);

pub(crate) struct Reader {
    record: Arc<Record>,
    number: u64,
    file: Arc<File>,
    version: Version,
    file_len: u64,
    /// Where the transfer will stop reading.
    end: u64,
    position: u64,
    settled_at: u64,
    device: Arc<Device>,
    surveyed_to: u64,
    judged: Option<(u64, Verdict)>,
    has_begun: bool,
    share: Option<Share>,
    /// Whether pages may stay because memory is free.
    room_counts: bool,
    /// The most that stays behind what the peer has acknowledged, in bytes, before it is given back.
    most_lag: u64,
    connection: Option<Arc<dyn Acknowledged>>,
}

impl Reader {
    /// For a range of which something is not resident. `None` where nothing is to be done about it:
    /// the file cannot be looked at.
    pub(crate) fn enter(
        range: &FileRange,
        medium: Medium,
        options: &Options,
        connection: Option<&Arc<dyn Acknowledged>>,
        receipt: &mut Receipt,
    ) -> Option<Self> {
        let stat = receipt.call(|| fstat(range.file.as_fd())).ok()?;
        let page = page_size() as u64;
        // In whole pages, for pages are what is given back.
        let file_len = stat.len.checked_next_multiple_of(page)?;
        let record = Record::of((stat.device, stat.inode), &range.file, medium == Medium::Disk);
        let number = record.with(super::ledger::Ledger::enter);
        READERS.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            record,
            number,
            file: Arc::clone(&range.file),
            version: (stat.device, stat.inode, stat.modified),
            file_len,
            end: range.offset + range.len,
            position: range.offset,
            settled_at: range.offset,
            device: Device::of(stat.device),
            surveyed_to: range.offset / page * page,
            judged: None,
            has_begun: false,
            share: None,
            room_counts: options.drop_behind == DropBehind::Auto,
            most_lag: options.drop_behind_lag,
            connection: connection.cloned(),
        })
    }

    /// Whether this is the way through this range: it goes on where the last window ended.
    pub(crate) fn is_in(&self, range: &FileRange) -> bool {
        Arc::ptr_eq(&self.file, &range.file)
            && self.position == range.offset
            && self.end == range.offset + range.len
    }

    /// Looks at what the next `window` bytes, and the kernel ahead of them, will bring in.
    /// `known_absent`: a look has just said so of the whole window, and may have changed it.
    pub(crate) fn survey(&mut self, window: u64, known_absent: bool, receipt: &mut Receipt) {
        let window_end = self.position.saturating_add(window).min(self.file_len);
        let window_end = window_end.next_multiple_of(page_size() as u64); // as is the length
        // And a window more: the look at the next one comes first, and sets off read-ahead as well.
        let needed = window_end.saturating_add(window).saturating_add(self.device.read_ahead);
        let needed = needed.min(self.file_len);
        if self.surveyed_to >= needed {
            return;
        }
        let ahead = needed.saturating_add(window).min(self.file_len); // not at every step
        let from = self.surveyed_to;
        self.surveyed_to = ahead;
        self.stand(MAYBE_UNACKNOWLEDGED);
        if known_absent {
            let window = from..window_end.max(from);
            self.note(window.clone(), std::slice::from_ref(&window));
        }
        for gap in self.record.with(|ledger| ledger.unsurveyed(&(from..ahead))) {
            let absent = survey::absent(&self.file, gap.clone(), self.record.sees, receipt);
            self.note(gap, &absent);
        }
    }

    /// Before the first window that a thread may wait for, and after the survey: what is read ahead now
    /// would be found to be resident.
    ///
    /// Says whether there is memory for it. If not, and the transfer can go past the page cache, it should.
    pub(crate) fn begin(&mut self, can_go_past: bool, receipt: &mut Receipt) -> bool {
        if std::mem::replace(&mut self.has_begun, true) {
            return true;
        }
        if self.record.with(|ledger| ledger.owed()) > 0 {
            self.share = Share::take(self.end - self.position, all_that_bulk_may_hold());
            if self.share.is_none() && can_go_past {
                return false;
            }
        }
        if self.position == 0 && !self.device.is_slow() {
            ramp::begin(self.file.as_fd(), self.end, receipt);
        }
        true
    }

    /// Absent bytes are judged by the stretch they are in: what may stay is not owed.
    fn note(&mut self, bytes: Range<u64>, absent: &[Range<u64>]) {
        let mut owed = Vec::new();
        for absent in absent {
            let mut start = absent.start;
            while start < absent.end {
                let end = ((start / STRETCH + 1) * STRETCH).min(absent.end);
                if self.verdict(start) == Verdict::DropBehind {
                    owed.push(start..end);
                }
                start = end;
            }
        }
        self.record.with(|ledger| ledger.note_survey(bytes, &owed));
    }

    fn verdict(&mut self, offset: u64) -> Verdict {
        let stretch = offset / STRETCH;
        if let Some((judged, verdict)) = self.judged
            && judged == stretch
        {
            return verdict;
        }
        // What lies behind the end is only read ahead: nobody has asked for it.
        let stretch_end = (stretch + 1) * STRETCH;
        let len = self.end.min(stretch_end).saturating_sub(offset);
        if len == 0 {
            return Verdict::DropBehind;
        }
        let asked = Asked { version: self.version, file_len: self.file_len, offset, len };
        let verdict = admission().judge(&asked, self.room_counts, Instant::now());
        if verdict == Verdict::Popular {
            // Also what others have brought in of it.
            let whole = stretch * STRETCH..stretch_end;
            self.record.with(|ledger| ledger.keep(whole));
        }
        self.judged = Some((stretch, verdict));
        verdict
    }

    /// Whether this is so little that it is better read without a trace, and nobody wants it to stay.
    pub(crate) fn is_a_little_to_drop(&mut self) -> bool {
        self.may_leave_no_trace() && self.verdict(self.position) == Verdict::DropBehind
    }

    /// Whether this is a little, in a file that nobody keeps books of, and its disk can be read so.
    pub(crate) fn may_leave_no_trace(&self) -> bool {
        self.end - self.position <= plan::LITTLE
            && self.device.may_go_uncached()
            && self.record.with(|ledger| ledger.is_fresh())
    }

    /// Whether what comes next may stay in the page cache.
    pub(crate) fn stays(&mut self) -> bool {
        self.verdict(self.position) != Verdict::DropBehind
    }

    /// A thread has waited so long for a window.
    pub(crate) fn has_waited(&self, time: Duration) {
        self.device.has_taken(time);
    }

    /// The transfer has handed `count` more bytes to the socket.
    pub(crate) fn advance(&mut self, count: u64) {
        self.position += count;
    }

    /// Where it is, in bytes.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Has a thread give back what is due, for who must not take the time.
    pub(super) fn give_back_later(&self) {
        self.stand(MAYBE_UNACKNOWLEDGED);
        if self.record.with(|ledger| !ledger.due().is_empty()) {
            tails::follow(Arc::clone(&self.record), None, None, Instant::now());
        }
    }

    /// Whether it is time that a thread which may take its time gives something back.
    pub(crate) fn is_overdue(&self) -> bool {
        self.position - self.settled_at >= 4 * enough() && self.owes()
    }

    fn owes(&self) -> bool {
        self.record.with(|ledger| ledger.owed()) >= enough()
    }

    /// Gives back what lies behind the peer's acknowledgements and the lag. May take a while.
    pub(crate) fn settle(&mut self, socket: BorrowedFd<'_>, receipt: &mut Receipt) {
        self.settled_at = self.position;
        if !self.owes() {
            return;
        }
        let unacknowledged = receipt.call(|| unsent_bytes(socket)).unwrap_or(MAYBE_UNACKNOWLEDGED);
        self.stand(unacknowledged);
        self.record.settle(enough(), true, Instant::now(), receipt);
    }

    /// Says where this reader is, so that nobody drops what it needs.
    fn stand(&self, unacknowledged: u64) {
        let behind = self
            .position
            .saturating_sub(unacknowledged.saturating_add(lag(budget(), self.most_lag)));
        let ahead = self.device.read_ahead.max((budget() / 2).min(FARTHEST_AHEAD));
        // What has been surveyed must not be dropped before it is read: it would be surveyed again,
        // and found to be resident.
        let protects = behind..self.position.saturating_add(ahead).max(self.surveyed_to);
        self.record.with(|ledger| ledger.protect(self.number, protects));
    }
}

/// The kernel has refused to read this file without leaving it in the page cache: so it will others.
pub(crate) fn little_is_refused(range: &FileRange) {
    if let Ok(stat) = fstat(range.file.as_fd()) {
        Device::of(stat.device).refuses_uncached();
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("position", &self.position).finish_non_exhaustive()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        READERS.fetch_sub(1, Ordering::Relaxed);
        let owes = self.record.with(|ledger| {
            ledger.leave(self.number);
            !ledger.due().is_empty()
        });
        if owes {
            let receiver = self.connection.as_ref().and_then(Receiver::of);
            tails::follow(Arc::clone(&self.record), receiver, self.share.take(), Instant::now());
        }
    }
}

/// The memory there is, in bytes.
fn capacity() -> u64 {
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    let mut known = KNOWN.load(Ordering::Relaxed);
    if known == 0 {
        known = admission().capacity(Instant::now()).max(16);
        KNOWN.store(known, Ordering::Relaxed);
    }
    known
}

/// What bulk may take of the memory, for each reader, in bytes: a sixteenth of the memory for all.
fn budget() -> u64 {
    capacity() / 16 / READERS.load(Ordering::Relaxed).max(1)
}

/// What sockets may hold besides, in bytes: an eighth.
fn all_that_bulk_may_hold() -> u64 {
    capacity() / 8
}

fn enough() -> u64 {
    (budget() / 8).clamp(LEAST_ENOUGH, ENOUGH)
}

/// Half of what a reader may take, and `most`; but not so little that pages in packets are asked for again and again.
fn lag(budget: u64, most: u64) -> u64 {
    (budget / 2).min(most).max(LEAST_LAG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_lag_lies_between_the_least_and_the_most_that_is_asked_for(
            budget in prop_oneof![0..=64 * LEAST_LAG, any::<u64>()],
            most in prop_oneof![0..=64 * LEAST_LAG, any::<u64>()],
        ) {
            let lag = lag(budget, most);
            prop_assert!(lag >= LEAST_LAG && lag <= most.max(LEAST_LAG));
            // With memory enough it is what was asked for; with less, half of the reader's share.
            if budget / 2 >= most.max(LEAST_LAG) {
                prop_assert_eq!(lag, most.max(LEAST_LAG));
            } else {
                prop_assert_eq!(lag, (budget / 2).max(LEAST_LAG));
            }
        }
    }

    #[test]
    fn what_is_usual_has_not_changed() {
        for (budget, expected) in [(0, 2 << 20), (4 << 20, 2 << 20), (12 << 20, 6 << 20)] {
            assert_eq!(lag(budget, plan::LAG), expected, "{budget}");
        }
        for budget in [32 << 20, 64 << 20, u64::MAX] {
            assert_eq!(lag(budget, plan::LAG), 16 << 20, "{budget}");
        }
    }
}
