//! The hot answer: the head of a kept file's usual response, rendered once, with the body of a
//! small file behind it.
//!
//! One contiguous send of head and body is cheaper than head and sendfile, up to a size that
//! depends on the machine (`sendrail_lab::calibrate`). Which of those files are worth the memory, `tier` decides.

use super::tier::Lease;
use sendrail_files::OpenFile;
use sendrail_http::{date::DateLine, negotiate::Coding, render::date_position};
use sendrail_sys::pread::{ReadFlags, preadv2};
use std::{
    cell::{Cell, RefCell},
    ops::Range,
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// What is kept with an open file, for each coding it can be sent as (as itself, or as the
/// precompressed variant of another file).
#[derive(Debug, Default)]
pub(crate) struct Hot {
    as_itself: RefCell<Option<Rendered>>,
    as_variant: RefCell<Option<Rendered>>,
    resident_until: Cell<Option<Instant>>,
    confirmed: Cell<Option<Instant>>,
    asked: Cell<u32>,
}

/// For how long a file that was found in the page cache is taken to be there still. A look costs
/// 0.15 to 4 microseconds (by the size of the folios), which is 1 to 5 % of sending 100 KiB; a file
/// that was sent within this time is the last that the kernel would evict.
const RESIDENT_FOR: Duration = Duration::from_millis(100);

/// What is sent of a hot answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// Which of the two renderings.
    pub(crate) variant: bool,
    /// The body too, if it is there.
    pub(crate) body: bool,
}

/// A rendered response.
#[derive(Debug)]
struct Rendered {
    bytes: Vec<u8>,
    head_len: usize,
    date: Range<usize>,
    /// For which second the date was written.
    second: i64,
    /// Whether it says `Vary: Accept-Encoding`.
    vary: bool,
    /// The share of the memory tier that the body takes.
    lease: Option<Lease>,
}

impl Rendered {
    fn redate(&mut self, second: i64, date: &mut DateLine) {
        if self.second != second {
            self.bytes[self.date.clone()].copy_from_slice(date.at(second));
            self.second = second;
        }
    }

    fn drop_body(&mut self) {
        self.bytes.truncate(self.head_len);
        self.bytes.shrink_to_fit();
        self.lease = None;
    }
}

impl Hot {
    fn slot(&self, coding: Coding) -> &RefCell<Option<Rendered>> {
        self.slot_of(coding != Coding::Identity)
    }

    fn slot_of(&self, variant: bool) -> &RefCell<Option<Rendered>> {
        if variant { &self.as_variant } else { &self.as_itself }
    }

    /// If the answer is there with the right `Vary`, makes its date today's, and says how many
    /// bytes its head has and its body.
    pub(crate) fn ready(
        &self,
        coding: Coding,
        vary: bool,
        second: i64,
        date: &mut DateLine,
    ) -> Option<(usize, usize)> {
        let mut slot = self.slot(coding).borrow_mut();
        let rendered = slot.as_mut().filter(|rendered| rendered.vary == vary)?;
        rendered.redate(second, date);
        Some((rendered.head_len, rendered.bytes.len() - rendered.head_len))
    }

    /// Keeps a rendered head.
    pub(crate) fn keep(&self, coding: Coding, head: &[u8], second: i64, vary: bool) {
        let date = date_position(head);
        let (bytes, head_len) = (head.to_vec(), head.len());
        let rendered = Rendered { bytes, head_len, date, second, vary, lease: None };
        *self.slot(coding).borrow_mut() = Some(rendered);
    }

    /// Puts the body behind a kept head, if it can be read without waiting for the disk. Says
    /// whether it is there. Two system calls, or one where the file cannot change.
    pub(crate) fn keep_body(&self, coding: Coding, file: &OpenFile, lease: Option<Lease>) -> bool {
        let mut slot = self.slot(coding).borrow_mut();
        let Some(rendered) = slot.as_mut() else { return false };
        let there = append_body(&mut rendered.bytes, file);
        rendered.lease = lease.filter(|_| there);
        there
    }

    /// Counts a request that the kept answer can serve.
    pub(crate) fn count_request(&self) {
        self.asked.set(self.asked.get().saturating_add(1));
    }

    /// The facts were just found to be true.
    pub(crate) fn confirm(&self, now: Instant) {
        self.confirmed.set(Some(now));
    }

    /// Whether that was within this tick of the clock.
    pub(crate) fn is_confirmed(&self, now: Instant) -> bool {
        self.confirmed.get() == Some(now)
    }

    /// How often the answer was asked for since the last call.
    pub(crate) fn take_asked(&self) -> u32 {
        self.asked.replace(0)
    }

    /// How often it was asked for since that was last taken.
    pub(crate) fn asked(&self) -> u32 {
        self.asked.get()
    }

    /// Gives the memory of the bodies back.
    pub(crate) fn drop_bodies(&self) {
        for variant in [false, true] {
            if let Some(rendered) = self.slot_of(variant).borrow_mut().as_mut() {
                rendered.drop_body();
            }
        }
    }

    /// The whole file was just found in the page cache, and sent.
    pub(crate) fn was_resident(&self, now: Instant) {
        self.resident_until.set(Some(now + RESIDENT_FOR));
    }

    /// Whether that is so recent that nobody need look again.
    pub(crate) fn is_resident(&self, now: Instant) -> bool {
        self.resident_until.get().is_some_and(|until| now < until)
    }

    /// Lends the bytes of a part to `send`.
    pub(crate) fn with<T>(&self, part: Part, send: impl FnOnce(&[u8]) -> T) -> T {
        match self.slot_of(part.variant).borrow().as_ref() {
            Some(rendered) if part.body => send(&rendered.bytes),
            Some(rendered) => send(&rendered.bytes[..rendered.head_len]),
            None => send(&[]),
        }
    }
}

/// Reads the body behind the head. Nothing is kept if any of it is not in the page cache
/// (RWF_NOWAIT, `preadv2(2)`), or if the file is not what its facts say any more: then the transfer
/// will find out what is wrong.
fn append_body(bytes: &mut Vec<u8>, file: &OpenFile) -> bool {
    const NOWAIT: ReadFlags = ReadFlags { nowait: true, dontcache: false };
    let start = bytes.len();
    let len = file.facts().len as usize;
    bytes.reserve_exact(len);
    bytes.resize(start + len, 0);
    let fd = file.file().as_fd();
    let whole = matches!(preadv2(fd, &mut bytes[start..], 0, NOWAIT), Ok(read) if read == len);
    let unchanged = file.is_unchanged();
    if !whole || !unchanged {
        bytes.truncate(start);
        bytes.shrink_to_fit();
    }
    whole && unchanged
}
