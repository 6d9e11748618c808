//! The hot answer: the head of a kept file's usual response, rendered once, with the body of a
//! small file behind it.
//!
//! Up to 4 KiB, one contiguous send of head and body from memory is cheaper than head and sendfile
//! (3.3 against 3.9 microseconds); from 10 KiB on it is dearer. See docs/decisions/0003.

use sendrail_files::OpenFile;
use sendrail_http::{date::DateLine, negotiate::Coding, render::date_position};
use sendrail_sys::{pread::pread, stat::fstat};
use std::{
    cell::{Cell, RefCell},
    ops::Range,
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// Files up to this many bytes are kept in memory behind their head.
pub(crate) const SMALL: u64 = 4096;

/// What is kept with an open file, for each coding it can be sent as (as itself, or as the
/// precompressed variant of another file).
#[derive(Debug, Default)]
pub(crate) struct Hot {
    as_itself: RefCell<Option<Rendered>>,
    as_variant: RefCell<Option<Rendered>>,
    resident_until: Cell<Option<Instant>>,
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
pub(crate) struct Rendered {
    bytes: Vec<u8>,
    head_len: usize,
    date: Range<usize>,
    /// For which second the date was written.
    second: i64,
    /// Whether it says `Vary: Accept-Encoding`.
    vary: bool,
}

impl Rendered {
    /// Takes a rendered `head`, and reads the body of a small `file` behind it if `with_body`.
    pub(crate) fn new(
        head: &[u8],
        file: &OpenFile,
        with_body: bool,
        second: i64,
        vary: bool,
    ) -> Self {
        let mut bytes = Vec::with_capacity(head.len() + body_len(file, with_body));
        bytes.extend_from_slice(head);
        if with_body && file.facts().len <= SMALL {
            append_body(&mut bytes, file);
        }
        Self { head_len: head.len(), date: date_position(head), bytes, second, vary }
    }

    fn redate(&mut self, second: i64, date: &mut DateLine) {
        if self.second != second {
            self.bytes[self.date.clone()].copy_from_slice(date.at(second));
            self.second = second;
        }
    }
}

impl Hot {
    fn slot(&self, variant: bool) -> &RefCell<Option<Rendered>> {
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
        let mut slot = self.slot(coding != Coding::Identity).borrow_mut();
        let rendered = slot.as_mut().filter(|rendered| rendered.vary == vary)?;
        rendered.redate(second, date);
        Some((rendered.head_len, rendered.bytes.len() - rendered.head_len))
    }

    /// The whole file was just found in the page cache, and sent.
    pub(crate) fn was_resident(&self, now: Instant) {
        self.resident_until.set(Some(now + RESIDENT_FOR));
    }

    /// Whether that is so recent that nobody need look again.
    pub(crate) fn is_resident(&self, now: Instant) -> bool {
        self.resident_until.get().is_some_and(|until| now < until)
    }

    /// Keeps a rendered answer.
    pub(crate) fn keep(&self, coding: Coding, rendered: Rendered) {
        *self.slot(coding != Coding::Identity).borrow_mut() = Some(rendered);
    }

    /// Lends the bytes of a part to `send`.
    pub(crate) fn with<T>(&self, part: Part, send: impl FnOnce(&[u8]) -> T) -> T {
        match self.slot(part.variant).borrow().as_ref() {
            Some(rendered) if part.body => send(&rendered.bytes),
            Some(rendered) => send(&rendered.bytes[..rendered.head_len]),
            None => send(&[]),
        }
    }
}

fn body_len(file: &OpenFile, with_body: bool) -> usize {
    if with_body && file.facts().len <= SMALL { file.facts().len as usize } else { 0 }
}

/// Reads the body behind the head, unless the file is not what its facts say any more: then
/// nothing is kept, and the transfer will find out what is wrong.
fn append_body(bytes: &mut Vec<u8>, file: &OpenFile) {
    let start = bytes.len();
    let len = file.facts().len as usize;
    bytes.resize(start + len, 0);
    let fd = file.file().as_fd();
    let whole = matches!(pread(fd, &mut bytes[start..], 0), Ok(read) if read == len);
    let unchanged = fstat(fd).is_ok_and(|now| {
        let facts = file.facts();
        (now.len, now.modified, now.changed) == (facts.len, facts.modified, facts.changed)
    });
    if !whole || !unchanged {
        bytes.truncate(start);
    }
}
