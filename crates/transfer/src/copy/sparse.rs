//! The holes of a source, and making them in the target.

use super::task::{Stop, Task};
use crate::method::is_refusal;
use rustix::fs::{OFlags, fcntl_getfl};
use sendrail_sys::{
    holes::{next_data, next_hole, punch_hole},
    open::{OpenFlags, reopen},
    stat::{FileKind, Stat, fstat},
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

/// A piece of the range, from where the copy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// How much of the whole range is copied when this is.
    pub(super) until: u64,
    pub(super) hole: bool,
}

/// Where the holes of a source are; nothing is known of those that have none, or cannot be opened once more.
pub(super) struct Holes(Option<OwnedFd>);

impl Holes {
    /// lseek(2) moves the position of an open file description: it must not be the caller's.
    pub(super) fn of(source: &Stat, task: &mut Task<'_>) -> Self {
        if source.kind != FileKind::File || source.blocks >= source.len / 512 {
            return Self(None);
        }
        // A descriptor that may not read must not get to know by another what it would read.
        let file = task.source;
        let mode = task.call(|| Ok(fcntl_getfl(file)?));
        if mode.is_ok_and(|mode| mode & OFlags::RWMODE == OFlags::WRONLY) {
            return Self(None);
        }
        Self(task.call(|| reopen(file, OpenFlags::READ)).ok())
    }

    /// The next piece. Whatever fails, the rest of it is copied as it is.
    pub(super) fn next(&self, task: &mut Task<'_>) -> Piece {
        let all = Piece { until: task.len, hole: false };
        let Some(file) = &self.0 else { return all };
        let look = |task: &mut Task<'_>| -> io::Result<Piece> {
            let (from, at, len) = (task.from, task.reads_at(), task.len);
            let within = |offset: u64| (offset - from).min(len);
            Ok(match task.call(|| next_data(file.as_fd(), at))? {
                Some(data) if data > at => Piece { until: within(data), hole: true },
                Some(_) => match task.call(|| next_hole(file.as_fd(), at))? {
                    Some(hole) if hole > at => Piece { until: within(hole), hole: false },
                    _ => all,
                },
                // Up to the end of the file, which may not be that of the range: whoever reads finds out.
                None => {
                    let end = task.call(|| fstat(file.as_fd()))?.len;
                    if end > at { Piece { until: within(end), hole: true } } else { all }
                }
            })
        };
        look(task).unwrap_or(all)
    }

    /// Asks no more, and closes what was opened.
    pub(super) fn forget(&mut self, task: &mut Task<'_>) {
        task.copied.system_calls += u64::from(self.0.take().is_some());
    }
}

/// Makes the next bytes a hole in the target too; `false` if that cannot be. Beyond the `end` of the target there is nothing to
/// be done: where nothing is written, there is a hole.
pub(super) fn skip(task: &mut Task<'_>, piece: Piece, end: u64) -> Result<bool, Stop> {
    let (target, at) = (task.target, task.writes_at());
    let len = piece.until - task.copied.bytes;
    let inside = len.min(end.saturating_sub(at));
    if inside > 0 {
        match task.call(|| punch_hole(target, at, inside)) {
            Ok(()) => {}
            Err(error) if is_refusal(&error) => return Ok(false),
            Err(error) => return Err(task.target_failed(error)),
        }
    }
    task.copied.bytes += len;
    task.copied.holes += len;
    task.report()?;
    Ok(true)
}
