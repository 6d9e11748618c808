//! The ceiling: how long this process may make a file (RLIMIT_FSIZE), asked before the kernel would answer with SIGXFSZ.

use crate::refused::call;
use rustix::io::Errno;
use sendrail_sys::{
    limits,
    stat::{FileKind, fstat},
};
use std::{io, os::fd::BorrowedFd};

/// The first offset that may not be written to. A write there raises SIGXFSZ (`getrlimit(2)`), and Rust's programs do not ignore
/// that signal: no library may bring it upon them. Whoever lowers the limit while somebody writes gets it all the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ceiling(u64);

impl Ceiling {
    /// Before it was asked for.
    pub(crate) const NONE: Self = Self(u64::MAX);

    /// Asks, and adds the calls that this took to `calls`: one, if there is no limit.
    pub(crate) fn of(file: BorrowedFd<'_>, calls: &mut u64) -> Self {
        *calls += 1;
        let Some(limit) = limits::file_size() else { return Self::NONE };
        // Devices and pipes have none.
        let is_file = call(calls, || fstat(file)).is_ok_and(|stat| stat.kind == FileKind::File);
        if is_file { Self(limit) } else { Self::NONE }
    }

    /// Whether there is no limit.
    pub(crate) fn is_none(self) -> bool {
        self.0 == u64::MAX
    }

    /// How many of `want` bytes may be written at `offset`.
    ///
    /// # Errors
    ///
    /// EFBIG, if none may: what the kernel would say, too.
    pub(crate) fn room(self, offset: u64, want: usize) -> io::Result<usize> {
        match self.0.checked_sub(offset) {
            None | Some(0) if want > 0 => Err(Errno::FBIG.into()),
            room => Ok(want.min(usize::try_from(room.unwrap_or(0)).unwrap_or(usize::MAX))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_below_it_goes_up_to_it() {
        let room = |limit, offset, want| Ceiling(limit).room(offset, want).ok();
        assert_eq!(room(100, 0, 50), Some(50));
        assert_eq!(room(100, 90, 50), Some(10));
        assert_eq!(room(100, 100, 1), None);
        assert_eq!(room(100, u64::MAX, 1), None);
        assert_eq!(room(0, 0, 1), None);
        assert_eq!(room(100, 200, 0), Some(0));
        assert_eq!(room(u64::MAX, 1 << 60, usize::MAX), Some(usize::MAX - (1 << 60)));
    }
}
