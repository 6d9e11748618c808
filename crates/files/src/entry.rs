//! One remembered path: what it led to, until when that holds, and what the server keeps with it.

use std::cell::Cell;
use std::time::Instant;

use crate::facts::Facts;
use crate::root::Found;
use crate::variants::Siblings;

/// What a path led to when it was last looked up, shared by `Rc`.
///
/// An entry never changes what it shows: when the path leads to another version, or when the facts
/// can make a stronger validator than before, the next lookup gives a *new* entry with a fresh
/// `extra`. Whatever was made from an entry is therefore right for as long as the entry is.
#[derive(Debug)]
pub struct Entry<T> {
    found: Found,
    /// Whatever the server wants to remember with this version, for example a rendered response.
    /// Use a `Cell`, `RefCell` or `OnceCell` inside to fill it later.
    pub extra: T,
    pub(crate) valid_until: Cell<Instant>,
    pub(crate) used: Cell<Instant>,
    pub(crate) siblings: Cell<Option<(Instant, Siblings)>>,
}

impl<T: Default> Entry<T> {
    pub(crate) fn new(found: Found, now: Instant, valid_until: Instant) -> Self {
        Self {
            found,
            extra: T::default(),
            valid_until: Cell::new(valid_until),
            used: Cell::new(now),
            siblings: Cell::new(None),
        }
    }
}

impl<T> Entry<T> {
    /// The open file, or the directory.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// The facts of whichever it is.
    pub fn facts(&self) -> &Facts {
        self.found.facts()
    }
}
