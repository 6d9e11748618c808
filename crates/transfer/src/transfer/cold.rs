//! Before a window: whether it is in the page cache. After it: what it brought in is given back.

use super::{Disk, Transfer};
use crate::{
    bulk::{DropBehind, Reader},
    method::Method,
    plan::{self, Medium},
    residency::{Evidence, Residency},
    segment::FileRange,
};
use std::os::fd::{AsFd, BorrowedFd};

/// What a look at the page cache told about a window of the front range.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Look {
    /// Where the window ends in the file; 0 if none has been looked at.
    end: u64,
    hot: bool,
    /// None of it was resident, and the look itself may have begun to fetch some.
    disturbed: bool,
}

impl Look {
    /// Whether it was not in the page cache, or not all of it.
    pub(super) fn is_cold(self) -> bool {
        self.is_some() && !self.hot
    }

    /// Whether a window has been looked at.
    pub(super) fn is_some(self) -> bool {
        self.end > 0
    }
}

impl Transfer {
    /// How many of the next bytes can be moved now: without sleeping on the disk, unless that is
    /// allowed. 0 if a thread that may sleep has to go on.
    pub(super) fn look_ahead(
        &mut self,
        range: &FileRange,
        (medium, method): (Medium, Method),
        window: u64,
        known_cold: bool,
        disk: Disk,
    ) -> u64 {
        let ready = match disk {
            Disk::MustNotWait => match self.hot_bytes(range, medium, known_cold, disk) {
                0 => return 0,
                hot => window.min(hot),
            },
            Disk::MayWait => {
                if range.offset() >= self.looked_at.end {
                    self.hot_bytes(range, medium, known_cold, disk);
                }
                window
            }
        };
        let leaves_pages =
            matches!(medium, Medium::Disk | Medium::Overlay) && method != Method::Uncached;
        if !leaves_pages || self.options.drop_behind == DropBehind::Off {
            return ready;
        }
        if !self.bulk.as_ref().is_some_and(|reader| reader.is_in(range)) {
            self.bulk = None;
            if self.looked_at.hot {
                return ready;
            }
            let connection = self.connection.as_ref().map(|connection| &connection.0);
            let receipt = &mut self.receipt;
            let reader = Reader::enter(range, medium, &self.options, connection, receipt);
            self.bulk = reader.map(Box::new);
            // Nor does it pay then to look, to wait for acknowledgements, and to come back.
            if method == Method::Sendfile
                && self.options.method.is_none()
                && !self.receipt.refusals.contains(Method::Uncached)
                && self.bulk.as_mut().is_some_and(|reader| reader.is_a_little_to_drop())
            {
                self.bulk = None;
                let end = range.offset() + range.len();
                self.past_cache = Some((end, plan::for_a_little(&self.options)));
                return ready;
            }
        }
        let Some(reader) = &mut self.bulk else { return ready };
        if disk == Disk::MustNotWait && reader.is_overdue() {
            return 0;
        }
        let disturbed = std::mem::take(&mut self.looked_at.disturbed);
        let window = self.looked_at.end.saturating_sub(range.offset()).max(ready);
        reader.survey(window, disturbed, &mut self.receipt);
        // A method that was asked for by name is kept to.
        let can_go_past =
            self.options.method.is_none() && !self.receipt.refusals.contains(Method::Direct);
        if disk == Disk::MayWait && !reader.begin(can_go_past, &mut self.receipt) {
            self.bulk = None;
            let end = range.offset() + range.len();
            self.past_cache = Some((end, plan::for_want_of_memory(&self.options)));
        }
        ready
    }

    /// Bytes have been handed to the socket.
    pub(super) fn leave_behind(&mut self, socket: BorrowedFd<'_>, count: u64, disk: Disk) {
        let Some(reader) = &mut self.bulk else { return };
        reader.advance(count);
        if disk == Disk::MayWait {
            reader.settle(socket, &mut self.receipt);
        }
    }

    /// How many of the next bytes can be moved without sleeping on the disk; 0 if the rest of the
    /// window is not in the page cache altogether.
    ///
    /// Looks once per window that is hot, not once per step: a slow reader takes a window in many
    /// steps. A cold window is looked at again when only a part of it has been moved, for the disk
    /// may have read the rest in the meantime, or not; its cold bytes count once.
    fn hot_bytes(
        &mut self,
        range: &FileRange,
        medium: Medium,
        known_cold: bool,
        disk: Disk,
    ) -> u64 {
        let again = range.offset() < self.looked_at.end;
        if !again {
            let window = self.options.window.max(1).min(range.len());
            let end = range.offset() + window;
            self.looked_at = Look { end, ..Look::default() };
        }
        let len = self.looked_at.end - range.offset();
        if !self.looked_at.hot {
            let cold = if known_cold {
                self.receipt.evidence.insert(Evidence::NoWait);
                self.looked_at.disturbed = !again;
                len
            } else {
                let (file, offset) = (range.file.as_fd(), range.offset());
                let receipt = &mut self.receipt;
                let seen = match disk {
                    Disk::MustNotWait => {
                        Residency::ready_counted(file, medium, offset, len, receipt)
                    }
                    Disk::MayWait => Residency::look_counted(file, medium, offset, len, receipt),
                };
                self.receipt.evidence.insert(seen.evidence);
                let by_trying = seen.evidence == Evidence::NoWait && !again;
                self.looked_at.disturbed = by_trying && seen.resident == 0;
                seen.cold_bytes().min(len)
            };
            self.looked_at.hot = cold == 0;
            if !again {
                self.receipt.cold += cold;
            }
        }
        if self.looked_at.hot { len } else { 0 }
    }
}
