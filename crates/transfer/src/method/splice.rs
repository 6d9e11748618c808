//! splice: page-cache pages go to the socket through a pipe. Twice the calls of sendfile, and the cheaper way for large
//! files: sendfile's own pipe inside the kernel holds 16 pages, this one 256.

use super::{
    Fault, Moved, Taken, file_end, is_refusal, pipes::Lent, read_failed, sort_socket, truncated,
};
use crate::{receipt::Receipt, segment::FileRange};
use rustix::io::Errno;
use sendrail_sys::splice::{Pipe, splice_from_file, splice_to_socket};
use std::os::fd::{AsFd, BorrowedFd};

/// The pipe's capacity in bytes: 64 KiB pipes cost a quarter more (`fcntl(2)`, F_SETPIPE_SZ;
/// 1 MiB is the most an unprivileged process may ask for by default).
pub(crate) const PIPE: usize = 1 << 20;

/// The pipe, and what is in it: pages that have left the file and not yet reached the socket.
#[derive(Debug, Default)]
pub(crate) struct Splice {
    pipe: Option<Source>,
    in_pipe: u64,
}

/// Whose the pipe is.
#[derive(Debug)]
enum Source {
    Own(Pipe),
    Lent(Lent),
}

impl Splice {
    /// With a pipe that others have used before, if there is one to be had.
    pub(super) fn with_lent_pipe(receipt: &mut Receipt) -> Option<Self> {
        Some(Self { pipe: Some(Source::Lent(Lent::take(receipt)?)), in_pipe: 0 })
    }

    /// Gives back what was lent, empty, or closes both ends; the calls that takes.
    pub(super) fn close(self) -> u64 {
        match self.pipe {
            Some(Source::Lent(lent)) if self.in_pipe == 0 => {
                lent.give_back();
                0
            }
            Some(_) => 2,
            None => 0,
        }
    }

    pub(super) fn advance(
        &mut self,
        socket: BorrowedFd<'_>,
        range: &FileRange,
        want: u64,
        more: bool,
        receipt: &mut Receipt,
    ) -> Result<Moved, Fault> {
        let source = match self.pipe.take() {
            Some(source) => self.pipe.insert(source),
            None => self.pipe.insert(Source::Own(open_pipe(range.offset, receipt)?)),
        };
        let pipe = match source {
            Source::Own(pipe) => pipe,
            Source::Lent(lent) => lent.pipe(),
        };
        if self.in_pipe == 0 {
            let len = want.min(pipe.capacity() as u64) as usize;
            let file = range.file.as_fd();
            match receipt.call(|| splice_from_file(file, range.offset, pipe, len)) {
                Ok(0) => return Err(truncated(range, range.offset)),
                Ok(count) => self.in_pipe = count as u64,
                Err(error) if is_refusal(&error) => return Err(Fault::Refused(error)),
                Err(error) => return Err(read_failed("splice(2)", range.offset, error)),
            }
        } else {
            // These pages have waited for the socket. Truncation zeroes the rest of the folio that
            // holds the file's new end, also in a pipe: the zeroes would go out as the file's bytes.
            let end = file_end(range, receipt)?;
            if end < range.offset + self.in_pipe {
                return Err(truncated(range, end.max(range.offset)));
            }
        }
        let more = more || range.len > self.in_pipe;
        let offered = self.in_pipe;
        match receipt.call(|| splice_to_socket(pipe, socket, offered as usize, more)) {
            Ok(count) => {
                let count = count as u64;
                self.in_pipe -= count;
                let taken = if count == offered { Taken::Whole } else { Taken::SocketFull };
                Ok(Moved::Bytes { count, taken })
            }
            // Before a byte has moved, so nothing is stranded in the pipe but what can be read again.
            Err(error) if is_refusal(&error) => Err(Fault::Refused(error)),
            Err(error) => sort_socket(error),
        }
    }
}

fn open_pipe(offset: u64, receipt: &mut Receipt) -> Result<Pipe, Fault> {
    match Pipe::with_capacity(PIPE) {
        Ok(pipe) => {
            receipt.system_calls += u64::from(pipe.system_calls());
            Ok(pipe)
        }
        Err(error) => {
            receipt.system_calls += 1;
            // Without descriptors to spare (EMFILE, ENFILE) the bytes can still be copied.
            match Errno::from_io_error(&error) {
                Some(Errno::MFILE | Errno::NFILE) => Err(Fault::Refused(error)),
                _ if is_refusal(&error) => Err(Fault::Refused(error)),
                _ => Err(read_failed("pipe2(2)", offset, error)),
            }
        }
    }
}
