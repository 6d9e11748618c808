//! One transfer: the subject sends, this process receives, the probe watches; and the file it is of.

use crate::{
    link::Pair,
    probe::{Counts, Probe},
    receiver::Receiver,
    subject::{Done, Subject, Task},
    way::Way,
};
use sendrail_sys::{
    cachestat::cachestat,
    fadvise::{Advice, fadvise},
};
use std::{
    fs::File,
    io::{self, Write},
    net::Ipv4Addr,
    os::fd::AsFd,
    path::Path,
    sync::mpsc::channel,
    thread,
};

/// What is told of a transfer, and what was seen of it.
pub type Seen = (Done, Option<Counts>);

/// Has `subject` send `len` bytes of a file, and takes them: over loopback, or at the other end of a pair of
/// devices. With `checks`, holds them against that file.
///
/// # Errors
///
/// Something broke, or other bytes came than were sent.
pub fn transfer(
    subject: &mut Subject,
    probe: Option<&mut Probe>,
    (way, file, len): (Way, &Path, u64),
    checks: Option<&File>,
    over: Option<&Pair>,
) -> io::Result<Seen> {
    thread::scope(|scope| {
        let (tell, told) = channel();
        let receiving = scope.spawn(move || {
            let address = over.map_or(Ok(Ipv4Addr::LOCALHOST.into()), Pair::enter)?;
            let receiver = Receiver::listen(address)?;
            let _ = tell.send(receiver.address());
            receiver.receive(checks)
        });
        let Ok(address) = told.recv() else {
            let ended = receiving.join().unwrap_or_else(|_| Err(io::Error::other("a bug")));
            return Err(ended.err().unwrap_or_else(|| io::Error::other("nobody listens")));
        };
        let task = Task { way, file: file.to_owned(), len, address };
        let port = subject.prepare(&task)?;
        let watched = probe
            .map(|probe| probe.watch(subject.process(), std::process::id(), port).map(|()| probe));
        let probe = watched.transpose().map_err(|why| io::Error::other(why.to_string()))?;
        let done = subject.go()?;
        let count = receiving.join().unwrap_or_else(|_| Err(io::Error::other("a bug")))?;
        if count != len {
            return Err(io::Error::other(format!("{count} bytes came of {len}, by {way}")));
        }
        let counts = probe.map(|probe| probe.counts()).transpose();
        Ok((done, counts.map_err(|why| io::Error::other(why.to_string()))?))
    })
}

/// A file of so many bytes, written to the disk; it is gone when this is dropped.
///
/// # Errors
///
/// There is no room for it.
pub fn make_file(scratch: &Path, len: u64) -> io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("sendrail-lab-").tempfile_in(scratch)?;
    // No two pages alike: one that came in another's place would be noticed.
    let mut block = vec![0_u8; 1 << 20];
    let mut written = 0;
    while written < len {
        for (at, word) in (written / 8..).zip(block.chunks_exact_mut(8)) {
            word.copy_from_slice(&at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        }
        let count = block.len().min(usize::try_from(len - written).unwrap_or(usize::MAX));
        file.write_all(&block[..count])?;
        written += count as u64;
    }
    file.as_file().sync_all()?;
    Ok(file)
}

/// Throws a file out of the page cache. Says whether it has gone.
pub fn evict(file: &File) -> bool {
    let _ = fadvise(file.as_fd(), 0, 0, Advice::DontNeed);
    cachestat(file.as_fd(), 0, 0).is_ok_and(|stat| stat.cached == 0)
}
