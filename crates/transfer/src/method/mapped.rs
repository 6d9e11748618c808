//! mapped: mmap+write; one CPU copy, from the page cache to the socket. Only on request.
//!
//! User code never reads the mapping: the kernel does, inside send(2), where a page that is gone
//! is EFAULT and not SIGBUS.

use super::{Fault, Moved, Taken, file_end, read_failed, sort_socket, truncated};
use crate::{method::Method, receipt::Receipt, segment::FileRange};
use rustix::io::Errno;
use sendrail_sys::mmap::Mapping;
use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

/// The most that is mapped at once, in bytes. A mapping made anew for little never pays (below
/// 64 MiB it costs more than copying), and address space is not for nothing either.
const SPAN: u64 = 256 << 20;

/// The mapping that is kept from call to call.
#[derive(Debug, Default)]
pub(crate) struct Mapped {
    mapped: Option<Span>,
}

/// A mapping, of which file, and where in it.
#[derive(Debug)]
struct Span {
    mapping: Mapping,
    file: Arc<File>,
    start: u64,
}

impl Span {
    fn covers(&self, range: &FileRange) -> bool {
        Arc::ptr_eq(&self.file, &range.file)
            && (self.start..self.start + self.mapping.len() as u64).contains(&range.offset)
    }
}

impl Mapped {
    /// `munmap(2)` of what is mapped.
    pub(super) fn calls_to_close(&self) -> u64 {
        u64::from(self.mapped.is_some())
    }

    pub(super) fn advance(
        &mut self,
        socket: BorrowedFd<'_>,
        range: &FileRange,
        want: u64,
        more: bool,
        receipt: &mut Receipt,
    ) -> Result<Moved, Fault> {
        // The tail of the last page of a file reads as zeroes. If the file shrank, those zeroes
        // would go out as if they were its bytes: look before, and once more after.
        let end = file_end(range, receipt)?;
        let want = want.min(end.saturating_sub(range.offset));
        if want == 0 {
            return Err(truncated(range, range.offset)); // as the other methods say
        }
        let span = self.covering(range, want, receipt)?;
        let at = (range.offset - span.start) as usize;
        let want = want.min((span.mapping.len() - at) as u64);
        let more = more || range.len > want;
        match receipt.call(|| span.mapping.send(socket, at, want as usize, more)) {
            Ok(count) => {
                let count = count as u64;
                receipt.copied += count;
                let end = file_end(range, receipt)?;
                if end < range.offset + count {
                    // Zeroes went out. They cannot be called back, but they are in the receipt.
                    receipt.count_from_file(Method::Mapped, count);
                    return Err(truncated(range, end.max(range.offset)));
                }
                let taken = if count == want { Taken::Whole } else { Taken::Short };
                Ok(Moved::Bytes { count, taken })
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::FAULT) => {
                let end = file_end(range, receipt)?;
                if end < range.offset + want {
                    Err(truncated(range, end.max(range.offset)))
                } else {
                    // The disk failed under the mapping: what is SIGBUS for a load is EFAULT here.
                    Err(read_failed("send(2) from a mapping", range.offset, error))
                }
            }
            Err(error) => sort_socket(error),
        }
    }

    /// The mapping that holds the start of `range`, made anew when the last one is used up.
    fn covering(
        &mut self,
        range: &FileRange,
        want: u64,
        receipt: &mut Receipt,
    ) -> Result<&Span, Fault> {
        if let Some(span) = self.mapped.take() {
            if span.covers(range) {
                return Ok(self.mapped.insert(span));
            }
            receipt.system_calls += 1; // the munmap(2) of the old one
        }
        let len = range.len.min(SPAN).max(want) as usize;
        let fd = range.file.as_fd();
        match receipt.call(|| Mapping::new(fd, range.offset, len)) {
            Ok(mapping) => {
                let file = Arc::clone(&range.file);
                Ok(self.mapped.insert(Span { mapping, file, start: range.offset }))
            }
            // mmap(2) reads nothing yet: whatever it lacks (the file system's support, address
            // space, a place in vm.max_map_count), the bytes can still be copied.
            Err(error) => Err(Fault::Refused(error)),
        }
    }
}
