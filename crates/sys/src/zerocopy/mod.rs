//! MSG_ZEROCOPY: sending user memory without a copy, and knowing when it may be used again.
//!
//! Linux 4.14, `Documentation/networking/msg_zerocopy.rst`. After such a send returns, the pages still belong to the
//! network: packets point at them until the peer has acknowledged every byte. If the memory were freed and used for
//! something else meanwhile, *that* would be sent (in retransmissions, long after). A borrowed slice therefore cannot do;
//! [`ZeroCopySender`] takes owned buffers and keeps each of them until the kernel reports, on the socket's error queue,
//! that it is done with it.
#![allow(unsafe_code)] // the memory passed to the kernel must outlive the call

mod error_queue;
mod in_flight;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::PollFlags;

use self::in_flight::InFlight;
use crate::{Mapping, poll, raw, sockopt};

/// Sends owned buffers with `MSG_ZEROCOPY` on **one** socket and holds them while the kernel needs them.
///
/// Use it for large buffers (from about 10 KiB: pinning pages and the completion cost more than copying less), read
/// [`completions`](Self::completions) as they come (the socket polls as readable with an error condition), and stop
/// using it for a socket that says [`copied`](Completions::copied): there, plain [`send`](crate::send::send) is cheaper.
/// Loopback and veth always copy, as do devices without scatter-gather.
///
/// The numbers in completions count sends on the socket since it was opened, so there must be one sender per socket,
/// made before anything else sends on it with `MSG_ZEROCOPY`, and each call must get that same socket.
///
/// **Dropped with buffers in flight, it leaks them**: the kernel may still have to send them again, and with the
/// socket closed nothing would tell when it is done. [`drain`](Self::drain) first.
///
/// ```
/// use std::{io::Read, net::{TcpListener, TcpStream}, os::fd::AsFd, time::Duration};
/// use sendrail_sys::ZeroCopySender;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut peer = TcpStream::connect(listener.local_addr()?)?;
/// let (socket, _) = listener.accept()?;
/// let mut sender = ZeroCopySender::new(socket.as_fd())?;
///
/// let sent = sender.send(socket.as_fd(), vec![7; 20_000].into(), false)?;
/// peer.read_exact(&mut vec![0; sent])?;
/// assert!(sender.drain(socket.as_fd(), Duration::from_secs(10))?);
/// assert_eq!(sender.in_flight(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ZeroCopySender {
    in_flight: InFlight,
}

/// What [`ZeroCopySender::completions`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completions {
    /// Sends that the kernel is done with.
    pub finished: u32,
    /// For at least one of them it made a copy after all (`SO_EE_CODE_ZEROCOPY_COPIED`).
    pub copied: bool,
    /// System calls made to learn this.
    pub system_calls: u32,
}

impl ZeroCopySender {
    /// Allows `MSG_ZEROCOPY` on a socket that has not used it yet. One setsockopt(2).
    ///
    /// Without `SO_ZEROCOPY` the flag would be ignored and no completion would ever come. `EOPNOTSUPP`: not on this
    /// kind of socket; `ENOPROTOOPT`: not in this kernel.
    pub fn new(socket: BorrowedFd<'_>) -> io::Result<ZeroCopySender> {
        sockopt::set_zerocopy(socket, true)?;
        Ok(ZeroCopySender { in_flight: InFlight::default() })
    }

    /// Sends `bytes`; returns how many the socket took, from the front. One send(2) with `MSG_ZEROCOPY` and
    /// `MSG_NOSIGNAL`, and `MSG_MORE` if `more`.
    ///
    /// If anything was taken, the buffer is held until its completion is read, whole: hand in a slice of what remains
    /// next time, `Bytes` shares the memory. `ENOBUFS`: too many completions unread, or the limit of locked memory is
    /// reached; read completions, or send with a copy.
    pub fn send(&mut self, socket: BorrowedFd<'_>, bytes: Bytes, more: bool) -> io::Result<usize> {
        let mut flags = libc::MSG_NOSIGNAL | libc::MSG_ZEROCOPY;
        if more {
            flags |= libc::MSG_MORE;
        }
        // SAFETY: `bytes` is alive during the call, and after it, if the kernel kept references, in `in_flight`, which
        // gives it up only once the kernel has reported that they are gone.
        let sent = raw::count(unsafe {
            libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags)
        })?;
        if sent > 0 {
            self.in_flight.push(bytes);
        }
        Ok(sent)
    }

    /// The same from a mapped file: `len` bytes, starting `at` bytes into the range.
    ///
    /// Nothing is held for it but the count. The kernel has pinned the pages of the file, whatever becomes of the
    /// mapping; and since this program never reads from a [`Mapping`], there is nothing that it could confuse. What
    /// others write to the file meanwhile is sent (again), as with sendfile(2). Errors as of [`send`](Self::send) and of
    /// [`Mapping::send`].
    pub fn send_mapped(
        &mut self,
        socket: BorrowedFd<'_>,
        mapping: &Mapping,
        (at, len): (usize, usize),
        more: bool,
    ) -> io::Result<usize> {
        let flags = libc::MSG_ZEROCOPY | if more { libc::MSG_MORE } else { 0 };
        let sent = mapping.send_by(socket, at, len, flags)?;
        if sent > 0 {
            self.in_flight.push(Bytes::new());
        }
        Ok(sent)
    }

    /// Sends that the kernel is not known to be done with.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Reads what the kernel has reported, and lets go of the buffers it is done with. Never waits.
    ///
    /// One recvmsg(2) with `MSG_ERRQUEUE` for each report (one covers many sends) and one that finds the queue empty;
    /// none at all if nothing is in flight. Other things on the error queue are read and ignored.
    pub fn completions(&mut self, socket: BorrowedFd<'_>) -> io::Result<Completions> {
        let mut found = Completions::default();
        while self.in_flight.len() > 0 {
            found.system_calls += 1;
            match error_queue::read(socket) {
                Ok(Some(report)) => {
                    found.finished += self.in_flight.finish(report.first, report.last);
                    found.copied |= report.copied;
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Waits until nothing is in flight any more; `false` if that took longer than `timeout`.
    ///
    /// For a connection about to be closed. Makes as many poll(2) and recvmsg(2) calls as it takes.
    pub fn drain(&mut self, socket: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
        let begun = Instant::now();
        let mut woken = false;
        loop {
            let found = self.completions(socket)?;
            if self.in_flight.len() == 0 {
                return Ok(true);
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            if woken && found.finished == 0 {
                // A reset or closed connection polls as ready for ever, while a device may still hold its packets.
                std::thread::sleep(left.min(Duration::from_millis(1)));
            }
            // No event is asked for: the error condition, which is always reported, is the one that is meant.
            match poll::wait(socket, PollFlags::empty(), Some(left)) {
                Ok(ready) => woken = ready,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::os::fd::AsFd;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::testing::{counted, errno, file_with, pattern, receive, tcp_pair};

    #[test]
    fn a_buffer_is_freed_once_the_kernel_is_done_with_it() {
        let (socket, mut peer) = tcp_pair();
        let mut sender = ZeroCopySender::new(socket.as_fd()).unwrap();
        let freed = Arc::default();
        let bytes = pattern(20_000);
        let sent = sender.send(socket.as_fd(), counted(bytes.clone(), &freed), false).unwrap();
        assert_eq!(sender.in_flight(), 1);
        assert_eq!(freed.load(Ordering::SeqCst), 0);
        assert_eq!(receive(&mut peer, sent), bytes[..sent]);
        assert!(sender.drain(socket.as_fd(), Duration::from_mins(1)).unwrap());
        assert_eq!(sender.in_flight(), 0);
        assert_eq!(freed.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_mapped_file_is_sent_from_where_it_lies() {
        let (socket, mut peer) = tcp_pair();
        let mut sender = ZeroCopySender::new(socket.as_fd()).unwrap();
        let file = file_with(&pattern(30_000));
        let mapping = Mapping::new(file.as_fd(), 100, 20_000).unwrap();
        let sent = sender.send_mapped(socket.as_fd(), &mapping, (50, 10_000), false).unwrap();
        assert_eq!((sender.in_flight(), sent), (1, 10_000));
        drop(mapping); // its pages are the network's
        assert_eq!(receive(&mut peer, sent), pattern(30_000)[150..10_150]);
        assert!(sender.drain(socket.as_fd(), Duration::from_mins(1)).unwrap());
        let mapping = Mapping::new(file.as_fd(), 0, 10).unwrap();
        let beyond = sender.send_mapped(socket.as_fd(), &mapping, (5, 6), false);
        assert_eq!((errno(beyond), sender.in_flight()), (libc::EINVAL, 0));
    }

    #[test]
    fn loopback_says_that_it_copied() {
        let (socket, mut peer) = tcp_pair();
        let mut sender = ZeroCopySender::new(socket.as_fd()).unwrap();
        for _ in 0..3 {
            let sent = sender.send(socket.as_fd(), pattern(5000).into(), false).unwrap();
            assert_eq!(receive(&mut peer, sent), pattern(5000)[..sent]);
        }
        let mut all = Completions::default();
        while sender.in_flight() > 0 {
            poll::wait(socket.as_fd(), PollFlags::empty(), None).unwrap();
            let found = sender.completions(socket.as_fd()).unwrap();
            assert!(found.system_calls >= 1);
            all.finished += found.finished;
            all.copied |= found.copied;
        }
        assert_eq!((all.finished, all.copied), (3, true));
        assert_eq!(
            sender.completions(socket.as_fd()).unwrap(),
            Completions::default(),
            "nothing in flight: not even a system call"
        );
    }

    #[test]
    fn what_the_peer_has_not_taken_stays_in_flight_and_is_leaked_rather_than_freed() {
        let (socket, _peer) = tcp_pair();
        socket.set_nonblocking(true).unwrap();
        let mut sender = ZeroCopySender::new(socket.as_fd()).unwrap();
        let freed = Arc::default();
        let mut sent = 0;
        while sender.send(socket.as_fd(), counted(pattern(1 << 16), &freed), false).is_ok() {
            sent += 1;
        }
        // The buffer that was refused is freed at once.
        assert_eq!(freed.load(Ordering::SeqCst), 1);
        assert!(!sender.drain(socket.as_fd(), Duration::from_millis(20)).unwrap());
        let held = sender.in_flight();
        assert!(held > 0);
        drop(sender);
        assert_eq!(freed.load(Ordering::SeqCst), 1 + sent - held);
    }

    #[test]
    fn a_reset_connection_gives_everything_back() {
        let (socket, peer) = tcp_pair();
        socket.set_nonblocking(true).unwrap();
        let mut sender = ZeroCopySender::new(socket.as_fd()).unwrap();
        while sender.send(socket.as_fd(), pattern(1 << 16).into(), false).is_ok() {}
        drop(peer);
        assert!(sender.drain(socket.as_fd(), Duration::from_mins(1)).unwrap());
    }

    #[test]
    fn an_empty_buffer_gets_no_number() {
        let (socket, mut peer) = tcp_pair();
        let mut sender = ZeroCopySender::new(socket.as_fd()).unwrap();
        assert_eq!(sender.send(socket.as_fd(), Bytes::new(), false).unwrap(), 0);
        assert_eq!(sender.in_flight(), 0);
        let sent = sender.send(socket.as_fd(), pattern(5000).into(), false).unwrap();
        receive(&mut peer, sent);
        assert!(sender.drain(socket.as_fd(), Duration::from_mins(1)).unwrap());
    }

    #[test]
    fn ipv6_reports_are_read_too() {
        let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
            eprintln!("skipped: this machine has no IPv6");
            return;
        };
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let mut sender = ZeroCopySender::new(socket.as_fd()).unwrap();
        let sent = sender.send(socket.as_fd(), pattern(5000).into(), false).unwrap();
        receive(&mut peer, sent);
        assert!(sender.drain(socket.as_fd(), Duration::from_mins(1)).unwrap());
    }
}
