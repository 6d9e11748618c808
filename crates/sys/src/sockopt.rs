//! getsockopt(2), setsockopt(2) and the socket ioctl(2): socket(7), tcp(7). One call each.
#![allow(unsafe_code)] // rustix lacks TCP_NOTSENT_LOWAT, SO_MAX_PACING_RATE, SO_ZEROCOPY and SIOCOUTQ

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::net::sockopt;

use crate::raw;

/// A value that may cross the system call as plain bytes.
///
/// # Safety
/// Every bit pattern must be a valid value, and there must be no padding.
unsafe trait Plain: Copy + Default {}
// SAFETY: an integer.
unsafe impl Plain for libc::c_int {}
// SAFETY: an integer.
unsafe impl Plain for u64 {}
// SAFETY: integers, one after the other.
unsafe impl Plain for [u64; 16] {}

fn set<T: Plain>(socket: BorrowedFd<'_>, level: i32, name: i32, value: T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` lives across the call and is `len` bytes of plain data.
    raw::done(unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len)
    })
}

fn get<T: Plain>(socket: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<T> {
    let mut value = T::default();
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `value`, for which any bits are valid, and the length to `len`.
    raw::done(unsafe {
        let to = (&raw mut value).cast();
        libc::getsockopt(socket.as_raw_fd(), level, name, to, &raw mut len)
    })?;
    Ok(value)
}

/// Sets `TCP_NODELAY`: small packets leave at once instead of waiting for acknowledgements (Nagle's algorithm).
///
/// ```
/// use std::{net::TcpListener, os::fd::AsFd};
/// use sendrail_sys::sockopt;
/// let socket = TcpListener::bind("127.0.0.1:0")?;
/// sockopt::set_tcp_nodelay(socket.as_fd(), true)?;
/// assert!(sockopt::tcp_nodelay(socket.as_fd())?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn set_tcp_nodelay(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(socket, on)?)
}

/// Whether `TCP_NODELAY` is set.
pub fn tcp_nodelay(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(sockopt::tcp_nodelay(socket)?)
}

/// Sets `TCP_CORK`: no packet leaves unfilled until it is cleared, which sends the rest, or 200 ms have passed.
pub fn set_tcp_cork(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    Ok(sockopt::set_tcp_cork(socket, on)?)
}

/// Whether `TCP_CORK` is set.
pub fn tcp_cork(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(sockopt::tcp_cork(socket)?)
}

/// Sets `TCP_NOTSENT_LOWAT` (bytes): the socket counts as writable only while fewer bytes than this are unsent. Keeps
/// the send buffer from filling with what the network cannot take yet. 0 restores the system's default.
pub fn set_tcp_notsent_lowat(socket: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    // Inside the kernel the option is an unsigned int.
    set(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, bytes.cast_signed())
}

/// `TCP_NOTSENT_LOWAT` in bytes; 0 if only the system's default holds.
pub fn tcp_notsent_lowat(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let bytes: libc::c_int = get(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT)?;
    Ok(bytes.cast_unsigned())
}

/// Sets `SO_REUSEPORT`: several sockets of one user may listen on one address, and the kernel spreads connections over
/// them. Must be set before bind(2), on each of them.
pub fn set_reuse_port(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    Ok(sockopt::set_socket_reuseport(socket, on)?)
}

/// Whether `SO_REUSEPORT` is set.
pub fn reuse_port(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(sockopt::socket_reuseport(socket)?)
}

/// Sets `SO_SNDBUF` (bytes). The kernel doubles it for its own book-keeping, bounds it by `net.core.wmem_max` without
/// saying so, and no longer tunes the buffer by itself (socket(7)).
pub fn set_send_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    Ok(sockopt::set_socket_send_buffer_size(socket, bytes)?)
}

/// `SO_SNDBUF` in bytes: the doubled value.
pub fn send_buffer(socket: BorrowedFd<'_>) -> io::Result<usize> {
    Ok(sockopt::socket_send_buffer_size(socket)?)
}

/// Sets `SO_RCVLOWAT` (bytes): poll(2) and its kin call the socket readable, and wake whoever waits, only when so many
/// bytes have come, or the stream is at its end (socket(7); for poll since Linux 2.6.28). recv(2) without MSG_WAITALL and
/// splice(2) in non-blocking mode take what there is all the same. The receive buffer of a TCP socket grows to hold them, up
/// to half of the greatest that `net.ipv4.tcp_rmem` allows (4.18); more than that is taken for that.
pub fn set_receive_low_water(socket: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes)
}

/// `SO_RCVLOWAT` in bytes: 1 unless it was set.
pub fn receive_low_water(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let bytes: libc::c_int = get(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT)?;
    Ok(bytes.cast_unsigned())
}

/// Sets `SO_MAX_PACING_RATE`: TCP spreads its packets so that they do not exceed this many bytes per second;
/// `u64::MAX` is no limit.
pub fn set_max_pacing_rate(socket: BorrowedFd<'_>, bytes_per_second: u64) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, bytes_per_second)
}

/// `SO_MAX_PACING_RATE` in bytes per second; `u64::MAX` is no limit.
pub fn max_pacing_rate(socket: BorrowedFd<'_>) -> io::Result<u64> {
    get(socket, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE)
}

/// Sets `SO_ZEROCOPY` (4.14), without which `MSG_ZEROCOPY` is silently ignored; see [`zerocopy`](mod@crate::zerocopy).
/// `EOPNOTSUPP` on sockets that cannot.
pub fn set_zerocopy(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_ZEROCOPY, libc::c_int::from(on))
}

/// Whether `SO_ZEROCOPY` is set.
pub fn zerocopy(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let on: libc::c_int = get(socket, libc::SOL_SOCKET, libc::SO_ZEROCOPY)?;
    Ok(on != 0)
}

/// Bytes that were given to the socket and that the peer has not acknowledged: unsent or in flight. One ioctl(2)
/// `SIOCOUTQ` (tcp(7)). `EINVAL` on a listening socket.
///
/// As long as this is not 0, file pages may be referenced by packets.
#[inline]
pub fn unsent_bytes(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (which is TIOCOUTQ, linux/sockios.h) writes one int.
    raw::done(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) })?;
    Ok(bytes as u64)
}

/// Bytes that the peer of a TCP socket has acknowledged since the connection began: `tcpi_bytes_acked` of `TCP_INFO`
/// (tcp(7)), since Linux 4.1. Only how it grows means something: the connection's own packets count as a byte.
pub fn acknowledged_bytes(socket: BorrowedFd<'_>) -> io::Result<u64> {
    // linux/tcp.h: eight bytes, 24 numbers of 32 bits, two of 64 bits, and then this one. libc declares the structure
    // only up to what Linux 2.6 knew.
    let info: [u64; 16] = get(socket, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok(info[15])
}

/// The congestion control algorithm that the socket uses: `TCP_CONGESTION`.
pub fn tcp_congestion(socket: BorrowedFd<'_>) -> io::Result<String> {
    Ok(sockopt::tcp_congestion(socket)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::os::fd::AsFd;

    use super::*;
    use crate::testing::{errno, pattern, receive, tcp_pair};

    #[test]
    fn switches_turn_on_and_off() {
        type Set = fn(BorrowedFd<'_>, bool) -> io::Result<()>;
        type Get = fn(BorrowedFd<'_>) -> io::Result<bool>;
        let switches: [(&str, Set, Get); 4] = [
            ("TCP_NODELAY", set_tcp_nodelay, tcp_nodelay),
            ("TCP_CORK", set_tcp_cork, tcp_cork),
            ("SO_REUSEPORT", set_reuse_port, reuse_port),
            ("SO_ZEROCOPY", set_zerocopy, zerocopy),
        ];
        let (socket, _peer) = tcp_pair();
        for (name, set, get) in switches {
            for on in [true, false] {
                set(socket.as_fd(), on).unwrap();
                assert_eq!(get(socket.as_fd()).unwrap(), on, "{name}");
            }
        }
    }

    #[test]
    fn below_the_low_water_mark_there_is_nothing_to_read_but_it_can_be_read() {
        let (socket, peer) = tcp_pair();
        set_receive_low_water(socket.as_fd(), 4).unwrap();
        let soon = Some(std::time::Duration::from_millis(50));
        crate::send::send(peer.as_fd(), b"abc", false).unwrap();
        assert!(!crate::poll::wait_readable(socket.as_fd(), soon).unwrap());
        let mut got = [0; 8];
        assert_eq!(crate::send::recv_now(socket.as_fd(), &mut got).unwrap(), 3);
        crate::send::send(peer.as_fd(), b"defg", false).unwrap();
        assert!(crate::poll::wait_readable(socket.as_fd(), None).unwrap());
        assert_eq!(crate::send::recv_now(socket.as_fd(), &mut got).unwrap(), 4);
        drop(peer);
        assert!(crate::poll::wait_readable(socket.as_fd(), None).unwrap(), "the end");
    }

    #[test]
    fn numbers_come_back() {
        let (socket, _peer) = tcp_pair();
        let socket = socket.as_fd();
        for bytes in [1, 128 * 1024, u32::MAX] {
            set_tcp_notsent_lowat(socket, bytes).unwrap();
            assert_eq!(tcp_notsent_lowat(socket).unwrap(), bytes);
        }
        for rate in [1_000_000, 1 << 40, u64::MAX] {
            set_max_pacing_rate(socket, rate).unwrap();
            assert_eq!(max_pacing_rate(socket).unwrap(), rate);
        }
        assert_eq!(receive_low_water(socket).unwrap(), 1);
        set_receive_low_water(socket, 50_000).unwrap();
        assert_eq!(receive_low_water(socket).unwrap(), 50_000);
        set_send_buffer(socket, 32 * 1024).unwrap();
        assert_eq!(send_buffer(socket).unwrap(), 64 * 1024, "doubled, as socket(7) says");
        assert!(!tcp_congestion(socket).unwrap().is_empty());
    }

    #[test]
    fn acknowledged_bytes_grow_by_what_the_peer_has_received() {
        let (socket, mut peer) = tcp_pair();
        let before = acknowledged_bytes(socket.as_fd()).unwrap();
        crate::send::send(socket.as_fd(), &pattern(10_000), false).unwrap();
        receive(&mut peer, 10_000);
        while acknowledged_bytes(socket.as_fd()).unwrap() != before + 10_000 {
            std::thread::sleep(std::time::Duration::from_millis(1)); // a delayed acknowledgement
        }
    }

    #[test]
    fn unsent_bytes_are_those_the_peer_has_no_room_for() {
        let (socket, mut peer) = tcp_pair();
        socket.set_nonblocking(true).unwrap();
        assert_eq!(unsent_bytes(socket.as_fd()).unwrap(), 0);
        let bytes = pattern(1 << 16);
        let mut sent = 0;
        while let Ok(more) = crate::send::send(socket.as_fd(), &bytes, false) {
            sent += more;
        }
        let unsent = unsent_bytes(socket.as_fd()).unwrap();
        assert!(unsent > 0 && unsent <= sent as u64, "{unsent} of {sent}");
        receive(&mut peer, sent);
    }

    #[test]
    fn what_is_no_connection_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(errno(unsent_bytes(listener.as_fd())), libc::EINVAL);
        let file = crate::testing::file_with(b"");
        assert_eq!(errno(set_zerocopy(file.as_fd(), true)), libc::ENOTSOCK);
        assert_eq!(errno(max_pacing_rate(file.as_fd())), libc::ENOTSOCK);
    }
}
