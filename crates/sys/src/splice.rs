//! splice(2): pages moved from file to pipe to socket (and back) without a copy.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};

/// What a new pipe holds where the user is within the limits of pipe(7): 16 pages of 4 KiB.
const DEFAULT_CAPACITY: usize = 64 * 1024;

/// A pipe to splice through: both ends non-blocking and close-on-exec.
///
/// The bytes in it are references to pages, so its capacity costs little memory; but what has been spliced into it and
/// not out of it is lost to the file's reader, so whoever owns a `Pipe` keeps count of what is inside.
///
/// ```
/// use std::{fs::File, os::{fd::AsFd, unix::net::UnixStream}};
/// use sendrail_sys::splice::{Pipe, splice_from_file, splice_to_socket};
///
/// let pipe = Pipe::with_capacity(256 * 1024)?;
/// let file = File::open(std::env::current_exe()?)?;
/// let (socket, _peer) = UnixStream::pair()?;
/// let inside = splice_from_file(file.as_fd(), 0, &pipe, 1000)?;
/// assert_eq!(splice_to_socket(&pipe, socket.as_fd(), inside, false)?, 1000);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
    system_calls: u32,
}

impl Pipe {
    /// Makes a pipe that holds `bytes`, or as much of it as the kernel grants; see [`Pipe::capacity`].
    ///
    /// pipe2(2) and fcntl(2) `F_SETPIPE_SZ`. `EPERM` there is no error: it means that `/proc/sys/fs/pipe-max-size` or
    /// the user's share (pipe(7), `pipe-user-pages-soft`) is smaller, so half is asked for, and so on; where nothing is
    /// granted the pipe stays as it was made. [`Pipe::system_calls`] says how many calls that took.
    pub fn with_capacity(bytes: usize) -> io::Result<Pipe> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let mut system_calls = 1;
        let mut wanted = bytes.max(rustix::param::page_size());
        let capacity = loop {
            system_calls += 1;
            match rustix::pipe::fcntl_setpipe_size(&write, wanted) {
                Ok(granted) => break granted,
                Err(Errno::PERM) if wanted > DEFAULT_CAPACITY => wanted /= 2,
                Err(Errno::PERM) => {
                    system_calls += 1;
                    break rustix::pipe::fcntl_getpipe_size(&write)?;
                }
                Err(error) => return Err(error.into()),
            }
        };
        Ok(Pipe { read, write, capacity, system_calls })
    }

    /// How many bytes it holds, if they come as whole pages: a range that starts or ends within a page still takes up
    /// the slot of a page.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many system calls it took to make.
    pub fn system_calls(&self) -> u32 {
        self.system_calls
    }

    /// The end to read from, for poll(2).
    pub fn read_end(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// The end to write to, for poll(2).
    pub fn write_end(&self) -> BorrowedFd<'_> {
        self.write.as_fd()
    }
}

/// Moves up to `len` bytes of `file` from `offset` (bytes) into the pipe. One splice(2); the file's position stays.
///
/// `Ok(0)`: `offset` is at or beyond the end of the file. `EAGAIN`: the pipe is full. Sleeps on the disk for pages that
/// are not resident. `EINVAL`: this file system has no splice; take another method.
#[inline]
pub fn splice_from_file(
    file: BorrowedFd<'_>,
    offset: u64,
    pipe: &Pipe,
    len: usize,
) -> io::Result<usize> {
    let mut position = offset;
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(rustix::pipe::splice(file, Some(&mut position), &pipe.write, None, len, flags)?)
}

/// Moves up to `len` bytes out of the pipe into `socket`. One splice(2).
///
/// `more` is `SPLICE_F_MORE`, the `MSG_MORE` of [`send`](crate::send::send). `EAGAIN`: the socket (if it is
/// non-blocking) is full, or the pipe is empty.
#[inline]
pub fn splice_to_socket(
    pipe: &Pipe,
    socket: BorrowedFd<'_>,
    len: usize,
    more: bool,
) -> io::Result<usize> {
    let mut flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    if more {
        flags |= SpliceFlags::MORE;
    }
    Ok(rustix::pipe::splice(&pipe.read, None, socket, None, len, flags)?)
}

/// Moves up to `len` received bytes from `socket` into the pipe. One splice(2).
///
/// `Ok(0)` is the end of the stream. `EAGAIN`: nothing received yet (on a non-blocking socket), or the pipe is full.
#[inline]
pub fn splice_from_socket(socket: BorrowedFd<'_>, pipe: &Pipe, len: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(rustix::pipe::splice(socket, None, &pipe.write, None, len, flags)?)
}

/// Moves up to `len` bytes out of the pipe into `file` at `offset` (bytes). One splice(2); the file's position stays.
///
/// The file system copies them into its page cache all the same (splice(2), `SPLICE_F_MOVE`). `EINVAL`: the file was
/// opened with `O_APPEND`, or its file system has no splice.
#[inline]
pub fn splice_to_file(
    pipe: &Pipe,
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
) -> io::Result<usize> {
    let mut position = offset;
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(rustix::pipe::splice(&pipe.read, None, file, Some(&mut position), len, flags)?)
}

/// Moves up to `len` bytes out of somebody else's pipe (`source`, its end to read from) into `file` at `offset` (bytes).
/// One splice(2) with `SPLICE_F_NONBLOCK`: it does not wait for the pipe, in whatever mode that is.
///
/// `Ok(0)`: nobody has the end to write to any more, and all is read. `EAGAIN`: nothing in the pipe. `EINVAL` as for
/// [`splice_to_file`], and if `source` is no pipe.
#[inline]
pub fn splice_pipe_to_file(
    source: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
) -> io::Result<usize> {
    let mut position = offset;
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(rustix::pipe::splice(source, None, file, Some(&mut position), len, flags)?)
}

/// Moves up to `len` bytes between two descriptors of which at least one is a pipe, at their positions where they have any. One
/// splice(2) with `SPLICE_F_NONBLOCK`: it does not wait for a pipe, in whatever mode that is, but may for a socket in blocking mode.
///
/// `Ok(0)`: `from` has ended. `EAGAIN`: nothing there, or no room. `EINVAL`: neither is a pipe, or one of them has no splice.
/// `EPIPE` (and SIGPIPE): nobody reads from the pipe `to`.
#[inline]
pub fn splice_between(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(rustix::pipe::splice(from, None, to, None, len, flags)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    use super::*;
    use crate::testing::{errno, file_with, pattern, receive, tcp_pair};

    #[test]
    fn a_pipe_of_the_size_asked_for_takes_two_calls() {
        let pipe = Pipe::with_capacity(256 * 1024).unwrap();
        assert_eq!(pipe.capacity(), 256 * 1024);
        assert_eq!(pipe.system_calls(), 2);
        assert!(Pipe::with_capacity(0).unwrap().capacity() > 0);
        for end in [pipe.read_end(), pipe.write_end()] {
            let inherited = rustix::io::fcntl_getfd(end).unwrap();
            assert!(inherited.contains(rustix::io::FdFlags::CLOEXEC));
            let blocking = rustix::fs::fcntl_getfl(end).unwrap();
            assert!(blocking.contains(rustix::fs::OFlags::NONBLOCK));
        }
    }

    #[test]
    fn an_unprivileged_pipe_is_as_large_as_the_limit_allows() {
        let limit: usize =
            std::fs::read_to_string("/proc/sys/fs/pipe-max-size").unwrap().trim().parse().unwrap();
        // Capabilities belong to the thread, so the other tests keep theirs.
        std::thread::spawn(move || {
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(CapabilitySet::SYS_RESOURCE);
            set_capabilities(None, sets).unwrap();
            let pipe = Pipe::with_capacity(limit * 8).unwrap();
            let refused = rustix::pipe::fcntl_setpipe_size(pipe.write_end(), limit).is_err();
            if pipe.capacity() < limit && refused {
                eprintln!("skipped: this user's pipes already hold more than pipe-user-pages-soft");
                return;
            }
            assert_eq!(pipe.capacity(), limit);
            assert_eq!(pipe.system_calls(), 5, "pipe2, and 8, 4, 2, 1 times the limit");
        })
        .join()
        .unwrap();
    }

    #[test]
    fn bytes_go_from_file_to_socket() {
        let bytes = pattern(200_000);
        let file = file_with(&bytes);
        let (socket, mut peer) = tcp_pair();
        let pipe = Pipe::with_capacity(64 * 1024).unwrap();
        let mut sent = 4097;
        while sent < 100_000 {
            let mut inside =
                splice_from_file(file.as_fd(), sent as u64, &pipe, 100_000 - sent).unwrap();
            while inside > 0 {
                let out = splice_to_socket(&pipe, socket.as_fd(), inside, false).unwrap();
                assert_eq!(receive(&mut peer, out), bytes[sent..sent + out]);
                inside -= out;
                sent += out;
            }
        }
        assert_eq!(splice_from_file(file.as_fd(), 200_000, &pipe, 1).unwrap(), 0, "end of file");
    }

    #[test]
    fn bytes_go_from_socket_to_file() {
        let (socket, peer) = tcp_pair();
        let file = file_with(b"0123456789");
        let pipe = Pipe::with_capacity(64 * 1024).unwrap();
        crate::send::send(peer.as_fd(), b"abc", false).unwrap();
        crate::poll::wait_readable(socket.as_fd(), None).unwrap();
        assert_eq!(splice_from_socket(socket.as_fd(), &pipe, 100).unwrap(), 3);
        assert_eq!(splice_to_file(&pipe, file.as_fd(), 4, 3).unwrap(), 3);
        let mut got = [0; 10];
        crate::pread::pread(file.as_fd(), &mut got, 0).unwrap();
        assert_eq!(&got, b"0123abc789");
    }

    #[test]
    fn bytes_go_from_a_pipe_to_a_file_without_waiting() {
        let file = file_with(b"0123456789");
        let (read, write) = rustix::pipe::pipe().unwrap();
        let empty = splice_pipe_to_file(read.as_fd(), file.as_fd(), 4, 3);
        assert_eq!(errno(empty), libc::EAGAIN, "in blocking mode too");
        crate::send::write(write.as_fd(), b"abcde").unwrap();
        assert_eq!(splice_pipe_to_file(read.as_fd(), file.as_fd(), 4, 3).unwrap(), 3);
        let mut left = [0; 9];
        assert_eq!(crate::send::read(read.as_fd(), &mut left).unwrap(), 2);
        drop(write);
        assert_eq!(splice_pipe_to_file(read.as_fd(), file.as_fd(), 4, 3).unwrap(), 0);
        let mut got = [0; 10];
        crate::pread::pread(file.as_fd(), &mut got, 0).unwrap();
        assert_eq!(&got, b"0123abc789");
    }

    #[test]
    fn neither_an_empty_nor_a_full_pipe_blocks() {
        let (socket, _peer) = tcp_pair();
        let file = file_with(&pattern(200_000));
        let pipe = Pipe::with_capacity(64 * 1024).unwrap();
        assert_eq!(errno(splice_to_socket(&pipe, socket.as_fd(), 1, false)), libc::EAGAIN);
        let inside = splice_from_file(file.as_fd(), 0, &pipe, 200_000).unwrap();
        assert_eq!(inside, pipe.capacity());
        assert_eq!(errno(splice_from_file(file.as_fd(), 0, &pipe, 1)), libc::EAGAIN);
    }

    #[test]
    fn more_holds_the_packet_back() {
        // See send.rs: held for 200 ms, so one of a few tries must see it.
        let file = file_with(b"head");
        let held = (0..5).any(|_| {
            let (socket, peer) = tcp_pair();
            let pipe = Pipe::with_capacity(64 * 1024).unwrap();
            splice_from_file(file.as_fd(), 0, &pipe, 4).unwrap();
            splice_to_socket(&pipe, socket.as_fd(), 4, true).unwrap();
            !crate::poll::wait_readable(peer.as_fd(), Some(std::time::Duration::ZERO)).unwrap()
        });
        assert!(held);
    }
}
