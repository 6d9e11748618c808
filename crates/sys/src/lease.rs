//! fcntl(2), F_SETLEASE: whether anybody has a file open for writing.
#![allow(unsafe_code)] // rustix has neither F_SETLEASE nor F_SETSIG

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::raw;

/// `F_SETSIG`, which libc does not name: asm-generic/fcntl.h, the same on x86-64 and AArch64.
const SETSIG: libc::c_int = 10;

/// Whether anybody has `file` open for writing: by a descriptor, or by a shared mapping that may be written to. Three
/// fcntl(2), or two if somebody has. `file` itself must be open for reading only.
///
/// The kernel answers this to whoever asks for a read lease, which it refuses (`EAGAIN`) while there is a writer. The lease
/// is given back at once. Whoever opens the file for writing in that microsecond waits for it, or gets `EWOULDBLOCK` if he
/// said O_NONBLOCK.
///
/// He who holds a lease that another wants is sent a signal: SIGIO, which ends a process that does not expect it. So the
/// descriptor is told first to send SIGURG, which is ignored unless it is asked for (signal(7)).
///
/// A writer who closes is counted until the kernel is done with him: IN_CLOSE_WRITE (inotify(7)) is told shortly before.
///
/// # Errors
///
/// `EACCES`: the file is another user's, and this process lacks CAP_LEASE. `EINVAL`: it is no regular file, or its file
/// system has no leases (FUSE, NFS, overlayfs before Linux 4.19).
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("build.log");
/// let writer = File::create(&path)?;
/// let file = File::open(&path)?;
/// assert!(sendrail_sys::is_open_for_writing(file.as_fd())?);
/// drop(writer);
/// assert!(!sendrail_sys::is_open_for_writing(file.as_fd())?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_open_for_writing(file: BorrowedFd<'_>) -> io::Result<bool> {
    fcntl(file, SETSIG, libc::SIGURG)?;
    match fcntl(file, libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
        Err(error) => return Err(error),
    }
    // It may have been taken away by now, for a writer who came: that is not what was asked.
    let _ = fcntl(file, libc::F_SETLEASE, libc::F_UNLCK);
    Ok(false)
}

fn fcntl(file: BorrowedFd<'_>, what: i32, value: i32) -> io::Result<()> {
    // SAFETY: F_SETSIG and F_SETLEASE take an integer; the kernel is given no address.
    raw::done(unsafe { libc::fcntl(file.as_raw_fd(), what, value) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::OpenOptionsExt;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::testing::errno;

    fn named(name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, "x").unwrap();
        (directory, path)
    }

    #[test]
    fn writers_are_seen_and_readers_are_not() {
        let (_directory, path) = named("log");
        let file = File::open(&path).unwrap();
        let reader = File::open(&path).unwrap();
        assert!(!is_open_for_writing(file.as_fd()).unwrap());
        let first = File::options().append(true).open(&path).unwrap();
        let second = File::options().write(true).open(&path).unwrap();
        assert!(is_open_for_writing(file.as_fd()).unwrap());
        drop(first);
        assert!(is_open_for_writing(file.as_fd()).unwrap(), "there are two");
        drop(second);
        assert!(!is_open_for_writing(file.as_fd()).unwrap());
        drop(reader);
    }

    #[test]
    fn of_a_deleted_file_as_well() {
        let (_directory, path) = named("log");
        let writer = File::options().append(true).open(&path).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(is_open_for_writing(file.as_fd()).unwrap());
        drop(writer);
        assert!(!is_open_for_writing(file.as_fd()).unwrap());
    }

    #[test]
    fn the_lease_is_given_back() {
        let (_directory, path) = named("log");
        let file = File::open(&path).unwrap();
        assert!(!is_open_for_writing(file.as_fd()).unwrap());
        // With a lease in the way it would be EWOULDBLOCK.
        File::options().append(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    }

    /// Without F_SETSIG this test ends the whole process.
    #[test]
    fn a_writer_who_meets_the_lease_harms_nobody() {
        let (_directory, path) = named("log");
        let file = File::open(&path).unwrap();
        fcntl(file.as_fd(), SETSIG, libc::SIGURG).unwrap();
        fcntl(file.as_fd(), libc::F_SETLEASE, libc::F_RDLCK).unwrap();
        let met = File::options().append(true).custom_flags(libc::O_NONBLOCK).open(&path);
        assert_eq!(errno(met), libc::EWOULDBLOCK);
        fcntl(file.as_fd(), libc::F_SETLEASE, libc::F_UNLCK).unwrap();
    }

    #[test]
    fn asking_while_others_open_and_close_it() {
        let (_directory, path) = named("log");
        let file = File::open(&path).unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    drop(File::options().append(true).open(&path).unwrap());
                }
            });
            for _ in 0..20_000 {
                is_open_for_writing(file.as_fd()).unwrap();
            }
            over.store(true, Ordering::Relaxed);
        });
        assert!(!is_open_for_writing(file.as_fd()).unwrap());
    }

    #[test]
    fn what_is_no_regular_file_has_none() {
        let (reader, _writer) = io::pipe().unwrap();
        assert_eq!(errno(is_open_for_writing(reader.as_fd())), libc::EINVAL);
    }
}
