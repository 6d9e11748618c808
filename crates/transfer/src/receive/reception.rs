//! A reception in steps, none of which waits: for event loops, which have others to serve meanwhile.

use super::{
    RangeInto, ReceiveFault, ReceiveMethod, ReceiveOptions, Received, begin,
    options::choose,
    refuse, run,
    source::{Kind, Source},
    standing::Standing,
    task::{Stop, Task},
};
use crate::plan::WINDOW;
use std::{
    fs::File,
    io,
    ops::ControlFlow,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

/// One file on its way from one socket, in steps that never wait for the socket: as [`Transfer`](crate::Transfer), the other way.
///
/// A step writes to the page cache in place, which may sleep beyond `vm.dirty_ratio`; who may not sleep at all takes the steps in a thread
/// of the [disk pool](crate::disk_pool). Between two steps all that was taken off the socket is in the file, but for what `direct` holds,
/// at most 1 MiB; that is written by [`write_held`](Self::write_held), or when this is dropped.
///
/// ```
/// use sendrail_transfer::receive::{RangeInto, ReceiveOptions, ReceiveStep, Reception};
/// use std::{io::Write, os::{fd::AsFd, unix::net::UnixStream}, sync::Arc};
///
/// let (mut sender, socket) = UnixStream::pair()?;
/// socket.set_nonblocking(true)?;
/// let file = Arc::new(tempfile::tempfile()?);
/// let mut reception = Reception::new(Arc::clone(&file), RangeInto::new(0, 8), &ReceiveOptions::default());
///
/// sender.write_all(b"half")?;
/// assert!(matches!(reception.step(socket.as_fd()), ReceiveStep::WaitSocket)); // poll(2), epoll(7), …
/// sender.write_all(b" and half")?;
/// assert!(matches!(reception.step(socket.as_fd()), ReceiveStep::Done));
/// assert_eq!(reception.received().bytes, 8); // " half" is still in the socket
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Reception {
    file: Arc<File>,
    method: ReceiveMethod,
    /// Whether the caller named it.
    is_named: bool,
    begun: Option<Kind>,
    standing: Standing,
}

/// What a step of a [`Reception`] came to.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceiveStep {
    /// All is in the file.
    Done,
    /// There may be more at once: let others go first.
    Yield,
    /// The socket has nothing now: the next step when it is readable.
    WaitSocket,
    /// What it holds has to be written past the page cache: [`Reception::write_held`], in a thread that may sleep.
    WaitDisk,
    /// It is over; with what could not be written.
    Failed(ReceiveFault, Vec<u8>),
}

impl Reception {
    /// Of what comes next from a socket in non-blocking mode, into `file` where `range` says. `options`: its timeout is the caller's to keep.
    pub fn new(file: Arc<File>, range: RangeInto, options: &ReceiveOptions) -> Self {
        let method = choose(options, range.len, false);
        let is_named = options.method.is_some();
        Self { file, method, is_named, begun: None, standing: Standing::new(range) }
    }

    /// The file.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// What has been received so far, and what it has cost.
    pub fn received(&self) -> &Received {
        &self.standing.received
    }

    pub(crate) fn received_mut(&mut self) -> &mut Received {
        &mut self.standing.received
    }

    /// Where the next byte is written.
    pub fn offset(&self) -> u64 {
        self.standing.offset()
    }

    /// Bytes that were taken off the socket, in the file or not.
    pub fn taken(&self) -> u64 {
        self.standing.taken
    }

    /// Whether something of that is not in the file.
    pub fn holds_something(&self) -> bool {
        self.standing.direct.as_ref().is_some_and(|direct| !direct.held().is_empty())
    }

    /// Moves what has come, one window at the most (2 MiB).
    pub fn step(&mut self, socket: BorrowedFd<'_>) -> ReceiveStep {
        if self.standing.range.len == Some(0) {
            return ReceiveStep::Done;
        }
        let file = Arc::clone(&self.file);
        let kind = match self.begun {
            Some(kind) => kind,
            None => match begin(
                socket,
                file.as_fd(),
                (&mut self.method, self.is_named),
                &mut self.standing,
            ) {
                // splice(2) has no flag against waiting for it.
                Ok(source) if source.kind == Kind::Socket && source.sleeps => {
                    let blocking = "the socket is in blocking mode, where this thread must not wait (O_NONBLOCK, fcntl(2))";
                    let refused = io::Error::new(io::ErrorKind::InvalidInput, blocking);
                    return ReceiveStep::Failed(ReceiveFault::Socket(refused), Vec::new());
                }
                Ok(source) => *self.begun.insert(source.kind),
                Err(fault) => return ReceiveStep::Failed(fault, Vec::new()),
            },
        };
        // It is in non-blocking mode: that was asked.
        let source = Source { fd: socket, kind, sleeps: false };
        let enough = self.standing.received.bytes + WINDOW;
        let progress = &mut |bytes| {
            if bytes < enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let standing = &mut self.standing;
        let mut task = Task { source, file: file.as_fd(), standing, patience: None, progress };
        let result = run(&mut task, &mut self.method);
        Self::next(result)
    }

    /// Writes what it holds: waits for the disk.
    pub fn write_held(&mut self) -> ReceiveStep {
        let Some(mut direct) = self.standing.direct.take() else { return ReceiveStep::Yield };
        match direct.write(self.file.as_fd(), &mut self.standing) {
            Ok(()) => {
                self.standing.direct = Some(direct);
                ReceiveStep::Yield
            }
            Err(stop) => {
                self.standing.received.system_calls += 1; // close(2)
                // What is refused is in the file all the same: the next method goes on behind it.
                let result = match stop {
                    Stop::Refused(error) => refuse(&mut self.standing, &mut self.method, error),
                    stop => Err(stop),
                };
                match (result, direct.afterwards.take()) {
                    (Ok(()), None) => ReceiveStep::Yield,
                    (Ok(()), Some(stop)) => Self::next(Err(stop)),
                    (stopped, _) => Self::next(stopped),
                }
            }
        }
    }

    fn next(result: Result<(), Stop>) -> ReceiveStep {
        match result {
            Ok(()) => ReceiveStep::Done,
            Err(Stop::Source) => ReceiveStep::WaitSocket,
            Err(Stop::Disk) => ReceiveStep::WaitDisk,
            Err(Stop::Fault(ReceiveFault::Stopped, _)) => ReceiveStep::Yield,
            Err(Stop::Fault(fault, unwritten)) => ReceiveStep::Failed(fault, unwritten),
            Err(Stop::Refused(error)) => {
                ReceiveStep::Failed(ReceiveFault::Socket(error), Vec::new())
            }
        }
    }
}

impl Drop for Reception {
    /// Nobody takes what it holds from the socket again.
    fn drop(&mut self) {
        if let Some(direct) = self.standing.direct.take() {
            let _ =
                self.standing.write_out(self.file.as_fd(), ReceiveMethod::Direct, direct.held());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails

    use super::*;
    use std::io::{Read, Seek, Write};

    /// From a source that always has more: what is read of a file is as good as a stream.
    #[test]
    fn a_step_ends_with_its_window_however_much_there_is() {
        const LEN: u64 = 5 * WINDOW + 123;
        let bytes: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
        for method in ReceiveMethod::ALL {
            let mut source = tempfile::tempfile().unwrap();
            source.write_all(&bytes).unwrap();
            source.rewind().unwrap();
            let target = Arc::new(tempfile::tempfile().unwrap());
            let range = RangeInto::until_end(0);
            let options = ReceiveOptions { method: Some(method), ..ReceiveOptions::default() };
            let mut reception = Reception::new(Arc::clone(&target), range, &options);
            let (mut steps, mut before) = (0, 0);
            loop {
                let mut next = reception.step(source.as_fd());
                if matches!(next, ReceiveStep::WaitDisk) {
                    next = reception.write_held();
                }
                steps += 1;
                let moved = reception.received().bytes - before;
                before += moved;
                assert!(moved <= WINDOW, "{method}: {moved} in a step");
                match next {
                    ReceiveStep::Done => break,
                    ReceiveStep::Yield => {}
                    next => panic!("{method}: {next:?}"),
                }
            }
            assert!(steps > 5, "{method}: {steps}");
            let mut got = Vec::new();
            (&*target).rewind().unwrap();
            (&*target).read_to_end(&mut got).unwrap();
            assert!(got == bytes, "{method}");
        }
    }
}
