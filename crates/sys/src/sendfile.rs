//! sendfile(2): file pages to a socket without a copy through user space.

use std::io;
use std::os::fd::BorrowedFd;

/// Sends up to `count` bytes of `file` from `offset` (bytes) into `socket`; returns how many the socket took.
///
/// One sendfile(2) call with an explicit offset, so the file's own position is neither read nor moved, and one open
/// file can be sent to many sockets at once. The kernel moves at most 0x7fff_f000 bytes per call.
///
/// A short count means, on a non-blocking socket, that the send buffer is full, and otherwise that the file ended. `Ok(0)`
/// means that `offset` is at or beyond the end of the file: for a range that was inside it, the file was truncated.
///
/// The call **sleeps on the disk** for pages that are not resident, on a non-blocking socket too.
///
/// Errors worth telling apart: `EAGAIN` (socket full), `EINVAL` and `ENOSYS` (this file cannot be sent so; take another
/// method), `EIO` (the disk), `EPIPE` and `ECONNRESET` (the peer).
///
/// ```
/// use std::{fs::File, os::{fd::AsFd, unix::net::UnixStream}};
/// let file = File::open(std::env::current_exe()?)?;
/// let (socket, _peer) = UnixStream::pair()?;
/// let end = file.metadata()?.len();
/// assert_eq!(sendrail_sys::sendfile(socket.as_fd(), file.as_fd(), end - 3, 100)?, 3);
/// assert_eq!(sendrail_sys::sendfile(socket.as_fd(), file.as_fd(), end, 100)?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn sendfile(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    count: usize,
) -> io::Result<usize> {
    let mut position = offset;
    Ok(rustix::fs::sendfile(socket, file, Some(&mut position), count)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::io::Seek;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::testing::{errno, file_with, pattern, receive, tcp_pair};

    #[test]
    fn sends_the_range_asked_for_and_leaves_the_position() {
        let bytes = pattern(100_000);
        let mut file = file_with(&bytes);
        let before = file.stream_position().unwrap();
        let (socket, mut peer) = tcp_pair();
        assert_eq!(sendfile(socket.as_fd(), file.as_fd(), 4097, 5000).unwrap(), 5000);
        assert_eq!(receive(&mut peer, 5000), bytes[4097..9097]);
        assert_eq!(file.stream_position().unwrap(), before);
    }

    #[test]
    fn stops_at_the_end_of_the_file() {
        let file = file_with(b"abc");
        let (socket, _peer) = tcp_pair();
        assert_eq!(sendfile(socket.as_fd(), file.as_fd(), 1, 100).unwrap(), 2);
        assert_eq!(sendfile(socket.as_fd(), file.as_fd(), 3, 100).unwrap(), 0);
        assert_eq!(sendfile(socket.as_fd(), file.as_fd(), 1 << 40, 100).unwrap(), 0);
    }

    #[test]
    fn reaches_beyond_4_gib() {
        let file = file_with(b"");
        let far = (5 << 30) + 7;
        file.write_all_at(b"far", far).unwrap();
        let (socket, mut peer) = tcp_pair();
        assert_eq!(sendfile(socket.as_fd(), file.as_fd(), far, 3).unwrap(), 3);
        assert_eq!(receive(&mut peer, 3), b"far");
    }

    #[test]
    fn a_full_socket_is_eagain() {
        let file = file_with(&pattern(1 << 20));
        let (socket, _peer) = tcp_pair();
        socket.set_nonblocking(true).unwrap();
        let error = loop {
            if let Err(error) = sendfile(socket.as_fd(), file.as_fd(), 0, 1 << 20) {
                break error;
            }
        };
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
    }

    #[test]
    fn an_offset_that_no_file_has_is_einval() {
        let file = file_with(b"abc");
        let (socket, _peer) = tcp_pair();
        assert_eq!(errno(sendfile(socket.as_fd(), file.as_fd(), 1 << 63, 1)), libc::EINVAL);
        assert_eq!(errno(sendfile(socket.as_fd(), file.as_fd(), u64::MAX, 1)), libc::EINVAL);
    }
}
