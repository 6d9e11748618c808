//! Tries of what moves bytes and looks at the page cache.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::OFlags;

use super::{Facility, State, file, objects, reason};
use crate::cachestat::cachestat;
use crate::fadvise::{Advice, fadvise};
use crate::mincore::resident_pages;
use crate::pread::ReadFlags;
use crate::sendfile::sendfile;
use crate::splice::{Pipe, splice_from_file, splice_to_socket};
use crate::stat::direct_alignment;

pub(super) fn facilities() -> Vec<Facility> {
    vec![
        reason::facility("sendfile", "", try_sendfile()),
        reason::facility("splice", "", try_splice()),
        with_memory_file("mincore", "", |file| resident_pages(file, 0, 1)),
        with_memory_file("cachestat", "6.5", |file| cachestat(file, 0, 0)),
        with_disk_file("posix_fadvise", "", |file| fadvise(file, 0, 0, Advice::DontNeed)),
        with_disk_file("preadv2 RWF_NOWAIT", "4.14", |file| {
            file::read_at_end(file, ReadFlags { nowait: true, dontcache: false })
        }),
        dontcache(),
        reason::facility("O_DIRECT", "", objects::disk_file(OFlags::DIRECT)),
        dioalign(),
    ]
}

fn try_sendfile() -> io::Result<usize> {
    let file = objects::memory_file()?;
    let (socket, _peer) = objects::socket_pair()?;
    sendfile(socket.as_fd(), file.as_fd(), 0, 1)
}

fn try_splice() -> io::Result<usize> {
    let file = objects::memory_file()?;
    let (socket, _peer) = objects::socket_pair()?;
    let pipe = Pipe::with_capacity(64 * 1024)?;
    let inside = splice_from_file(file.as_fd(), 0, &pipe, 1)?;
    splice_to_socket(&pipe, socket.as_fd(), inside, false)
}

fn with_memory_file<T>(
    name: &'static str,
    since: &'static str,
    attempt: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
) -> Facility {
    let outcome = objects::memory_file().and_then(|file| attempt(file.as_fd()));
    reason::facility(name, since, outcome)
}

fn with_disk_file<T>(
    name: &'static str,
    since: &'static str,
    attempt: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
) -> Facility {
    let outcome = objects::disk_file(OFlags::empty()).and_then(|file| attempt(file.as_fd()));
    reason::facility(name, since, outcome)
}

fn dontcache() -> Facility {
    let state = match objects::disk_file(OFlags::empty()) {
        Ok(file) => file::dontcache(file.as_fd()),
        Err(error) => reason::unavailable(&error),
    };
    Facility { name: "preadv2 RWF_DONTCACHE", since: "6.14", state, detail: String::new() }
}

fn dioalign() -> Facility {
    let answer =
        objects::disk_file(OFlags::empty()).and_then(|file| direct_alignment(file.as_fd()));
    let (state, detail) = match answer {
        Ok(Some(alignment)) if alignment.is_supported() => {
            (State::Available, format!("memory {}, offsets {}", alignment.memory, alignment.offset))
        }
        Ok(Some(_)) => (State::Available, "no direct I/O in the temporary directory".to_owned()),
        Ok(None) => {
            let why = "not said by this kernel or by the temporary directory's file system";
            (reason::unavailable_because(0, why), String::new())
        }
        Err(error) => (reason::unavailable(&error), String::new()),
    };
    Facility { name: "statx STATX_DIOALIGN", since: "6.1", state, detail }
}
