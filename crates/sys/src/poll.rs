//! poll(2): waiting for one descriptor, or only looking.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

/// Whether a send would make progress now. One ppoll(2) that does not wait.
///
/// Also true if the peer is gone or the socket has an error: the next send then says which.
///
/// ```
/// use std::os::{fd::AsFd, unix::net::UnixStream};
/// let (socket, peer) = UnixStream::pair()?;
/// assert!(sendrail_sys::writable_now(socket.as_fd())?);
/// drop(peer);
/// assert!(sendrail_sys::writable_now(socket.as_fd())?, "so that the caller learns of it");
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn writable_now(socket: BorrowedFd<'_>) -> io::Result<bool> {
    wait(socket, PollFlags::OUT, Some(Duration::ZERO))
}

/// Waits until a send would make progress, or the peer is gone; `false` if `timeout` passed first, `None` waits for
/// ever. One ppoll(2); `EINTR` comes back as an error, for only the caller knows how much time is left.
pub fn wait_writable(socket: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    wait(socket, PollFlags::OUT, timeout)
}

/// Waits until a receive would make progress: data, the end of the stream, or an error; otherwise like
/// [`wait_writable`].
pub fn wait_readable(socket: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    wait(socket, PollFlags::IN, timeout)
}

/// Waits for `events`, or for the error and hang-up conditions, which the kernel always reports.
pub(crate) fn wait(
    fd: BorrowedFd<'_>,
    events: PollFlags,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    // A duration too long for the kernel's clock is "for ever" in every sense that matters.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let ready = rustix::event::poll(&mut [PollFd::from_borrowed_fd(fd, events)], timeout.as_ref())?;
    Ok(ready > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::os::fd::AsFd;

    use super::*;
    use crate::testing::{errno, pattern, tcp_pair};

    const SHORT: Option<Duration> = Some(Duration::from_millis(5));

    #[test]
    fn a_full_socket_is_not_writable_until_the_peer_reads() {
        let (socket, mut peer) = tcp_pair();
        socket.set_nonblocking(true).unwrap();
        assert!(writable_now(socket.as_fd()).unwrap());
        let bytes = pattern(1 << 16);
        let mut sent = 0;
        while let Ok(more) = crate::send::send(socket.as_fd(), &bytes, false) {
            sent += more;
        }
        assert!(!writable_now(socket.as_fd()).unwrap());
        assert!(!wait_writable(socket.as_fd(), SHORT).unwrap());
        crate::testing::receive(&mut peer, sent);
        assert!(wait_writable(socket.as_fd(), None).unwrap());
    }

    #[test]
    fn data_and_the_end_of_the_stream_are_readable() {
        let (socket, peer) = tcp_pair();
        assert!(!wait_readable(socket.as_fd(), SHORT).unwrap());
        crate::send::send(peer.as_fd(), b"x", false).unwrap();
        assert!(wait_readable(socket.as_fd(), None).unwrap());
        crate::send::recv(socket.as_fd(), &mut [0]).unwrap();
        assert!(!wait_readable(socket.as_fd(), SHORT).unwrap());
        drop(peer);
        assert!(wait_readable(socket.as_fd(), Some(Duration::MAX)).unwrap(), "MAX is for ever");
    }

    #[test]
    fn a_socket_with_an_error_is_writable_so_that_the_error_is_met() {
        let (socket, peer) = tcp_pair();
        // Closing with unread data resets the connection.
        crate::send::send(socket.as_fd(), b"unread", false).unwrap();
        wait_readable(peer.as_fd(), None).unwrap();
        drop(peer);
        wait_readable(socket.as_fd(), None).unwrap();
        assert!(writable_now(socket.as_fd()).unwrap());
        let outcome = crate::send::send(socket.as_fd(), b"x", false);
        assert!([libc::ECONNRESET, libc::EPIPE].contains(&errno(outcome)));
    }
}
