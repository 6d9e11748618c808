//! direct: recv(2) into an aligned buffer, pwrite(2) with O_DIRECT from there: past the page cache.

use super::{
    ReceiveFault,
    ReceiveMethod::Direct as Method,
    refuse,
    standing::{Standing, something},
    task::{Stop, Task},
};
use crate::method::is_refusal;
use rustix::io::Errno;
use sendrail_sys::{
    limits::page_size,
    open::{OpenFlags, reopen},
    pread::pwrite,
    stat::direct_alignment,
};
use std::{
    io,
    ops::Range,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Length of the buffer in bytes: a disk is told of so much at once.
pub(super) const BUFFER: usize = super::options::DIRECT_FROM as usize;

/// The way past the page cache, and what is on it.
#[derive(Debug)]
pub(super) struct Direct {
    file: OwnedFd,
    /// What offsets must be multiples of.
    block: usize,
    memory: Vec<u8>,
    /// So many bytes have been taken off the source, and are not in the file.
    filled: usize,
    /// What is to be said when they are there.
    pub(super) afterwards: Option<Stop>,
}

pub(super) fn run(task: &mut Task<'_>) -> Result<(), Stop> {
    let mut direct = match task.standing.direct.take() {
        Some(direct) => direct,
        None => open(task).map_err(Stop::Refused)?,
    };
    let result = through(task, &mut direct);
    if matches!(result, Err(Stop::Source | Stop::Disk)) {
        task.standing.direct = Some(direct);
    } else {
        drop(direct);
        task.standing.received.system_calls += 1; // close(2)
    }
    result
}

/// The file once more.
fn open(task: &mut Task<'_>) -> io::Result<Direct> {
    let file = task.file;
    let direct = task.call(|| reopen(file, OpenFlags::WRITE | OpenFlags::DIRECT))?;
    let said = task.call(|| direct_alignment(direct.as_fd())).ok().flatten();
    let page = page_size();
    let block = match said {
        // A kernel before 6.1. Nothing asks for more than a page.
        None => Some(page),
        // Whole pages, so that no page is written both ways.
        Some(said) if said.is_supported() && said.memory as usize <= page => {
            Some(page.max(said.offset as usize))
                .filter(|block| block.is_multiple_of(page) && BUFFER.is_multiple_of(*block))
        }
        // It would open, and write through the page cache after all (data journalling, for one).
        Some(_) => None,
    };
    if let Some(block) = block {
        let memory = vec![0; BUFFER + page_size()];
        return Ok(Direct { file: direct, block, memory, filled: 0, afterwards: None });
    }
    task.standing.received.system_calls += 1; // close(2)
    Err(Errno::INVAL.into())
}

fn through(task: &mut Task<'_>, direct: &mut Direct) -> Result<(), Stop> {
    loop {
        let outcome = direct.fill(task);
        if let Filled::Stopped(Stop::Source) = outcome {
            return Err(Stop::Source); // A little at a time would go through the page cache after all.
        }
        // What was taken comes into the file before anything else is said.
        if direct.filled > 0 {
            if !task.may_wait() {
                if let Filled::Stopped(stop) = outcome {
                    direct.afterwards = Some(stop);
                }
                return Err(Stop::Disk);
            }
            let written = direct.write(task.file, task.standing);
            let reported = match written {
                Ok(()) | Err(Stop::Refused(_)) => task.report(),
                Err(_) => Ok(()),
            };
            // What the stream has said it does not say again: a reset would pass for its end.
            let broke = matches!(outcome, Filled::Stopped(Stop::Fault(ReceiveFault::Socket(_), _)));
            match written {
                Ok(()) if broke => {}
                Err(Stop::Refused(error)) if broke => {
                    refuse(task.standing, &mut { Method }, error)?;
                }
                written => reported.and(written)?,
            }
        }
        match outcome {
            Filled::Room => {}
            Filled::End => return task.standing.end(),
            Filled::Stopped(stop) => return Err(stop),
        }
    }
}

/// Why no more was taken into the buffer.
enum Filled {
    Room,
    End,
    Stopped(Stop),
}

impl Direct {
    /// Takes up to the next block, if it begins within one; then as much as there is room for.
    fn fill(&mut self, task: &mut Task<'_>) -> Filled {
        if let Some(stop) = self.afterwards.take() {
            return Filled::Stopped(stop);
        }
        let within = (task.standing.offset() % self.block as u64) as usize;
        let room = if within == 0 { BUFFER } else { self.block - within };
        let lead = self.lead();
        loop {
            let want = task.want(room - self.filled);
            if want == 0 {
                // Either of the two is used up.
                return if self.filled == room { Filled::Room } else { Filled::End };
            }
            let free = lead + self.filled;
            match task.take_into(&mut self.memory[free..free + want]) {
                Ok(0) => return Filled::End,
                Ok(count) => self.filled += count,
                Err(stop) => return Filled::Stopped(stop),
            }
        }
    }

    /// What comes before the first page that is whole.
    fn lead(&self) -> usize {
        self.memory.as_ptr().align_offset(page_size())
    }

    /// What has been taken off the source and is not in the file.
    pub(super) fn held(&self) -> &[u8] {
        &self.memory[self.lead()..][..self.filled]
    }

    /// Writes what it holds: whole blocks past the page cache, the rest through it, by `file`. Then it holds nothing: what could
    /// not be written comes out with the error.
    pub(super) fn write(
        &mut self,
        file: BorrowedFd<'_>,
        standing: &mut Standing,
    ) -> Result<(), Stop> {
        let result = self.write_held(file, standing);
        self.filled = 0;
        result
    }

    fn write_held(&self, file: BorrowedFd<'_>, standing: &mut Standing) -> Result<(), Stop> {
        let bytes = self.held();
        let Range { start: mut at, end } = whole_blocks(standing.offset(), bytes.len(), self.block);
        while at < end {
            let offset = standing.offset();
            let written = standing.room(end - at).and_then(|room| {
                standing.call(|| pwrite(self.file.as_fd(), &bytes[at..at + room], offset))
            });
            match written.and_then(something) {
                Ok(count) => {
                    standing.wrote(Method, count);
                    at += count;
                    if !count.is_multiple_of(self.block) {
                        break; // The rest of the buffer is not aligned any more.
                    }
                }
                Err(error) if is_refusal(&error) => {
                    standing.write_out(file, Method, &bytes[at..])?;
                    return Err(Stop::Refused(error));
                }
                Err(error) => return Err(standing.file_failed(error, bytes[at..].to_vec())),
            }
        }
        standing.write_out(file, Method, &bytes[at..])
    }
}

/// Which of `len` bytes at `offset` can go past the page cache, from the first one on.
fn whole_blocks(offset: u64, len: usize, block: usize) -> Range<usize> {
    if offset.is_multiple_of(block as u64) { 0..len - len % block } else { 0..0 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails

    use super::{
        super::{Progress, RangeInto, ReceiveMethod, source::Source},
        *,
    };
    use crate::patience::Patience;
    use std::{
        io::Write,
        ops::ControlFlow,
        os::unix::net::UnixStream,
        time::{Duration, Instant},
    };

    /// A reset is told once, and what reads the stream after that takes it for its end.
    fn receive_from_one_who_resets(block: usize, progress: &mut Progress<'_>) {
        let (socket, mut peer) = UnixStream::pair().unwrap();
        peer.write_all(&[7; 5000]).unwrap();
        (&socket).write_all(b"never read").unwrap();
        drop(peer); // so it is a reset, behind the 5000 bytes
        let file = tempfile::tempfile_in("/var/tmp").unwrap();
        let direct = match reopen(file.as_fd(), OpenFlags::WRITE | OpenFlags::DIRECT) {
            Ok(direct) => direct,
            Err(error) => return eprintln!("skipped: no O_DIRECT in /var/tmp: {error}"),
        };
        let memory = vec![0; BUFFER + page_size()];
        let mut standing = Standing::new(RangeInto::until_end(0));
        standing.direct = Some(Direct { file: direct, block, memory, filled: 0, afterwards: None });
        let source = Source::look(socket.as_fd(), &mut standing.received).unwrap();
        let progress = &mut |bytes| progress(bytes);
        let patience = Some(Patience::new(Some(Duration::from_mins(1)), 0, Instant::now()));
        let file = file.as_fd();
        let mut task = Task { source, file, standing: &mut standing, patience, progress };
        let outcome = super::super::run(&mut task, &mut ReceiveMethod::Direct);
        assert!(matches!(outcome, Err(Stop::Fault(ReceiveFault::Socket(_), _))), "{outcome:?}");
        assert_eq!(standing.received.bytes, 5000);
    }

    #[test]
    fn what_the_stream_said_is_not_lost_when_the_file_refuses() {
        // As if the file system had not said what it wants.
        receive_from_one_who_resets(1, &mut |_| ControlFlow::Continue(()));
    }

    #[test]
    fn what_the_stream_said_is_not_lost_when_the_caller_breaks_off() {
        receive_from_one_who_resets(4096, &mut |_| ControlFlow::Break(()));
    }

    #[test]
    fn only_whole_blocks_at_their_places_go_past_the_page_cache() {
        for (offset, len, expected) in
            [(0, 4096, 4096), (0, 4095, 0), (8192, 10_000, 8192), (1, 8192, 0), (4096, 0, 0)]
        {
            assert_eq!(whole_blocks(offset, len, 4096), 0..expected, "{len} at {offset}");
        }
    }
}
