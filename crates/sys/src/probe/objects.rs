//! The private objects that facilities are tried on.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::pread::pwrite;

/// An anonymous file in memory, one byte long.
pub(super) fn memory_file() -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create("probe", MemfdFlags::CLOEXEC)?;
    pwrite(file.as_fd(), b"x", 0)?;
    Ok(file)
}

/// An empty file without a name in the directory for temporary files: on a real file system, usually.
pub(super) fn disk_file(extra: OFlags) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC | extra;
    let fd = rustix::fs::open(std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR)?;
    Ok(File::from(fd))
}

/// Two connected stream sockets of this process.
pub(super) fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// A TCP socket, not connected; IPv6 where this machine has no IPv4.
pub(super) fn tcp_socket() -> io::Result<OwnedFd> {
    let open =
        |family| rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    Ok(open(AddressFamily::INET).or_else(|_| open(AddressFamily::INET6))?)
}
