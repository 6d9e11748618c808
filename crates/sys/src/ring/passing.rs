//! io_uring: what has been read is sent from its buffer without a copy (`IORING_OP_SEND_ZC`, Linux 6.0).
#![allow(unsafe_code)] // the kernel is given addresses that it reads from after the call has returned

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::cqueue::Entry;
use io_uring::opcode;
use io_uring::types::Fd;

use super::ReadRing;

/// In what a completion is known by: that it is of a send.
const SENT: u64 = 1 << 32;

/// The buffer that was sent from, if that is what a completion says.
pub(super) fn buffer_sent(entry: &Entry) -> Option<usize> {
    (entry.user_data() & SENT != 0).then_some((entry.user_data() & !SENT) as usize)
}

impl ReadRing {
    /// Sends `len` bytes of a buffer from `at`, without a copy where the way to the peer allows it, and waits until the
    /// socket has taken them; returns how many, and how many calls of io_uring_enter(2) it took. The buffer is the network's from then on
    /// until [`is_passed`](Self::is_passed) says otherwise: packets point to it until the peer has acknowledged them.
    ///
    /// The socket's own errors (`EPIPE`, `ECONNRESET`). `EINVAL`: not in this kernel. `EOPNOTSUPP`: not with this kind of
    /// socket. `ETIME`: it took longer than `limit`; nobody knows then how much was sent, and the ring takes no more.
    ///
    /// # Panics
    ///
    /// If there is no such buffer, a read into it is under way, or it is shorter.
    pub fn send_zc(
        &mut self,
        socket: BorrowedFd<'_>,
        buffer: usize,
        (at, len): (usize, usize),
        limit: Duration,
    ) -> io::Result<(usize, u32)> {
        if !self.sound {
            return Err(crate::raw::invalid());
        }
        let start = self.buffers.start(buffer).wrapping_add(at);
        let whole = self.buffers.buffer_len();
        assert!(at <= whole && len <= whole - at, "{at} and {len} do not fit buffer {buffer}");
        assert!(!self.busy[buffer], "a read into buffer {buffer} is under way");
        let entry = opcode::SendZc::new(Fd(socket.as_raw_fd()), start, len as u32)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .buf_index(Some(buffer as u16))
            .build()
            .user_data(SENT | buffer as u64);
        // SAFETY: the descriptor is open until this function returns, which is not before the kernel is done with it. `start` and
        // `len` lie in one registered buffer, whose pages the kernel has pinned. Nobody writes to it from here on: `submit`
        // refuses it until `passed` says that the network is done with it.
        unsafe { self.ring.submission().push(&entry) }.expect("one entry at a time");
        self.passed[buffer] += 1;
        self.ring.submit().inspect_err(|_| self.sound = false)?;
        let mut calls = 1;
        loop {
            while let Some(entry) = { self.ring.completion().next() } {
                if let Some(sent) = self.pick_up(&entry) {
                    return Ok((sent?, calls));
                }
            }
            match self.wait(limit) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.sound = false;
                    return Err(error);
                }
            }
            calls += 1;
        }
    }

    /// Whether the network is done with what was sent from a buffer, as far as has been picked up.
    pub fn is_passed(&self, buffer: usize) -> bool {
        self.passed[buffer] == 0
    }

    /// Looks whether the network is done with more. No system call.
    pub fn look(&mut self) {
        while let Some(entry) = { self.ring.completion().next() } {
            self.pick_up(&entry);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::io::Read as _;
    use std::os::fd::AsFd;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    use super::*;
    use crate::ring::{NoRing, Read};
    use crate::testing::{errno, file_with, pattern, tcp_pair};

    const LEN: usize = 64 << 10;
    const HANGS: Duration = Duration::from_mins(1);

    fn ring() -> Option<ReadRing> {
        match ReadRing::new(2, LEN) {
            Ok(ring) => Some(ring),
            Err(NoRing { error, .. }) => {
                eprintln!("skipped: no io_uring here: {error}");
                None
            }
        }
    }

    /// Whether this kernel has it, or a line that says it has not.
    fn sends(outcome: &io::Result<(usize, u32)>) -> bool {
        if let Err(error) = outcome
            && error.raw_os_error() == Some(libc::EINVAL)
        {
            eprintln!("skipped: no SEND_ZC here: {error}");
            return false;
        }
        true
    }

    #[test]
    fn what_was_read_is_sent_and_the_buffer_comes_back() {
        let Some(mut ring) = ring() else { return };
        let bytes = pattern(10 * LEN);
        let file = file_with(&bytes);
        let (socket, mut peer) = tcp_pair();
        let receiving = thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).map(|_| all)
        });
        for piece in 0..10 {
            let buffer = piece % 2;
            while !ring.is_passed(buffer) {
                ring.wait(HANGS).unwrap();
                ring.look();
            }
            let offset = (piece * LEN) as u64;
            ring.submit(file.as_fd(), &[Read { buffer, offset, len: LEN }]).unwrap();
            let done = loop {
                match ring.completed() {
                    Some(done) => break done,
                    None => ring.wait(HANGS).unwrap(),
                }
            };
            assert_eq!((done.buffer, done.result.unwrap()), (buffer, LEN));
            for span in [(0, 1000), (1000, LEN - 1000)] {
                let outcome = ring.send_zc(socket.as_fd(), buffer, span, HANGS);
                if !sends(&outcome) {
                    return;
                }
                assert_eq!(outcome.unwrap().0, span.1);
            }
        }
        drop(ring);
        drop(socket);
        assert!(receiving.join().unwrap().unwrap() == bytes);
    }

    #[test]
    fn a_peer_that_has_gone_is_an_error() {
        let Some(mut ring) = ring() else { return };
        let (socket, peer) = tcp_pair();
        drop(peer);
        for _ in 0..100 {
            let outcome = ring.send_zc(socket.as_fd(), 0, (0, LEN), HANGS);
            if !sends(&outcome) {
                return;
            }
            if let Err(error) = outcome {
                let errno = error.raw_os_error();
                assert!(errno == Some(libc::EPIPE) || errno == Some(libc::ECONNRESET), "{error}");
                return;
            }
        }
        panic!("nobody noticed");
    }

    #[test]
    fn a_file_is_no_socket() {
        let Some(mut ring) = ring() else { return };
        let file = file_with(b"abc");
        let outcome = ring.send_zc(file.as_fd(), 0, (0, 1), HANGS);
        if sends(&outcome) {
            assert_eq!(errno(outcome.map(|_| ())), libc::ENOTSOCK);
        }
        while !ring.is_passed(0) {
            ring.wait(HANGS).unwrap(); // what was not sent comes back as well
            ring.look();
        }
    }

    #[test]
    fn a_buffer_that_the_network_has_is_not_read_into() {
        let Some(mut ring) = ring() else { return };
        let (socket, _peer) = tcp_pair(); // which reads nothing
        let outcome = ring.send_zc(socket.as_fd(), 0, (0, LEN), HANGS);
        if !sends(&outcome) || ring.is_passed(0) {
            return; // it was copied, and so is nobody's any more
        }
        let file = file_with(b"abc");
        let reading = AssertUnwindSafe(|| {
            ring.submit(file.as_fd(), &[Read { buffer: 0, offset: 0, len: 1 }])
        });
        let panicked = catch_unwind(reading).expect_err("it is the network's");
        assert!(panicked.downcast::<String>().unwrap().contains("is the network's"));
    }
}
