//! send(2), sendmsg(2), recv(2), read(2) and write(2): bytes in user memory, to and from descriptors.
#![allow(unsafe_code)] // recv_discard passes no buffer at all, which no safe signature can say

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::raw;

/// Most slices that one call may carry: `UIO_MAXIOV`; the kernel answers more with `EMSGSIZE`.
const MAX_SLICES: usize = 1024;

fn flags(more: bool) -> SendFlags {
    if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL }
}

/// Sends `bytes`; returns how many the socket took. One send(2) with `MSG_NOSIGNAL`.
///
/// `more` is `MSG_MORE`: the kernel holds back the last, unfilled packet because more follows at once (tcp(7)
/// `TCP_CORK` for one call), so that a response head and the first file bytes share a packet.
///
/// ```
/// use std::os::{fd::AsFd, unix::net::UnixStream};
/// let (socket, peer) = UnixStream::pair()?;
/// assert_eq!(sendrail_sys::send(socket.as_fd(), b"head", true)?, 4);
/// let mut got = [0; 16];
/// assert_eq!(sendrail_sys::recv(peer.as_fd(), &mut got)?, 4);
/// assert_eq!(&got[..4], b"head");
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, flags(more))?)
}

/// Sends several slices as one gather; returns how many bytes the socket took. One sendmsg(2).
///
/// Slices beyond the kernel's 1024 (`UIO_MAXIOV`) are left for the next call: the count returned is then short, as it
/// may be for any other reason.
#[inline]
pub fn send_vectored(
    socket: BorrowedFd<'_>,
    slices: &[IoSlice<'_>],
    more: bool,
) -> io::Result<usize> {
    let slices = &slices[..slices.len().min(MAX_SLICES)];
    Ok(rustix::net::sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags(more))?)
}

/// Receives up to `buf.len()` bytes; `Ok(0)` is the end of the stream. One recv(2).
#[inline]
pub fn recv(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buf, RecvFlags::empty())?.0)
}

/// The same, but never waits, also on a socket in blocking mode: `EAGAIN` if nothing has been received. One recv(2) with
/// `MSG_DONTWAIT`.
#[inline]
pub fn recv_now(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buf, RecvFlags::DONTWAIT)?.0)
}

/// Takes up to `max` bytes off a **TCP** socket and drops them uncopied; `Ok(0)` is the end of the stream.
///
/// One recv(2) with `MSG_TRUNC`, which on TCP discards the payload inside the kernel (tcp(7)). Other stream sockets
/// know no such thing and answer `EFAULT`, for they are given no buffer.
#[inline]
pub fn recv_discard(socket: BorrowedFd<'_>, max: usize) -> io::Result<usize> {
    // SAFETY: the buffer is null. TCP does not touch it under MSG_TRUNC; any other protocol that would write to it gets
    // EFAULT, because nothing is mapped there.
    raw::count(unsafe {
        libc::recv(socket.as_raw_fd(), std::ptr::null_mut(), max, libc::MSG_TRUNC)
    })
}

/// Writes `bytes` to a descriptor that is no socket (pipe, file, terminal); returns how many it took. One write(2).
///
/// On sockets use [`send`]: write(2) there may raise `SIGPIPE`.
#[inline]
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(fd, bytes)?)
}

/// Reads up to `buf.len()` bytes from a descriptor that is no socket (pipe, terminal, file); `Ok(0)` is the end. One
/// read(2): of a file from its position, which moves.
#[inline]
pub fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, buf)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::testing::{errno, pattern, receive, tcp_pair};

    #[test]
    fn a_gather_arrives_in_order() {
        let (socket, mut peer) = tcp_pair();
        let slices = [IoSlice::new(b"head "), IoSlice::new(b""), IoSlice::new(b"body")];
        assert_eq!(send_vectored(socket.as_fd(), &slices, false).unwrap(), 9);
        assert_eq!(receive(&mut peer, 9), b"head body");
    }

    #[test]
    fn more_slices_than_the_kernel_takes_are_a_short_count() {
        let (socket, _peer) = tcp_pair();
        let slices = vec![IoSlice::new(b"x"); MAX_SLICES + 1];
        assert_eq!(send_vectored(socket.as_fd(), &slices, false).unwrap(), MAX_SLICES);
    }

    /// On loopback a packet that leaves is there at once; one held back arrives after 200 ms. A test thread may be held up
    /// for as long, but not every time.
    #[test]
    fn more_holds_the_packet_back() {
        for call in [send, |socket: BorrowedFd<'_>, bytes: &[u8], more| {
            send_vectored(socket, &[IoSlice::new(bytes)], more)
        }] {
            let held = (0..5).any(|_| {
                let (socket, peer) = tcp_pair();
                call(socket.as_fd(), b"head", true).unwrap();
                !crate::poll::wait_readable(peer.as_fd(), Some(std::time::Duration::ZERO)).unwrap()
            });
            assert!(held);
            let (socket, mut peer) = tcp_pair();
            call(socket.as_fd(), b"head", true).unwrap();
            call(socket.as_fd(), b"body", false).unwrap();
            assert_eq!(receive(&mut peer, 8), b"headbody");
        }
    }

    #[test]
    fn discarded_bytes_are_gone_and_the_next_ones_are_not() {
        let (socket, mut peer) = tcp_pair();
        let bytes = pattern(1000);
        assert_eq!(send(socket.as_fd(), &bytes, false).unwrap(), 1000);
        crate::poll::wait_readable(peer.as_fd(), None).unwrap();
        assert_eq!(recv_discard(peer.as_fd(), 900).unwrap(), 900);
        assert_eq!(receive(&mut peer, 100), bytes[900..]);
        drop(socket);
        assert_eq!(recv_discard(peer.as_fd(), 1 << 30).unwrap(), 0);
    }

    #[test]
    fn discarding_elsewhere_than_on_tcp_harms_nothing() {
        let (socket, peer) = UnixStream::pair().unwrap();
        send(socket.as_fd(), b"abc", false).unwrap();
        assert_eq!(errno(recv_discard(peer.as_fd(), 3)), libc::EFAULT);
    }

    #[test]
    fn a_peer_that_is_gone_is_an_error_and_no_signal() {
        let (socket, peer) = UnixStream::pair().unwrap();
        drop(peer);
        assert_eq!(errno(send(socket.as_fd(), b"abc", false)), libc::EPIPE);
        let slices = [IoSlice::new(b"abc")];
        assert_eq!(errno(send_vectored(socket.as_fd(), &slices, false)), libc::EPIPE);
    }

    #[test]
    fn recv_says_the_end_of_the_stream() {
        let (socket, peer) = UnixStream::pair().unwrap();
        drop(socket);
        assert_eq!(recv(peer.as_fd(), &mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn write_goes_to_files_and_pipes() {
        let file = crate::testing::file_with(b"");
        assert_eq!(write(file.as_fd(), b"abc").unwrap(), 3);
        assert_eq!(file.metadata().unwrap().len(), 3);
    }
}
