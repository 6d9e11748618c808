//! One transfer: the subject sends, this process receives, the probe watches; and the file it is of.

use crate::{
    link::Pair,
    probe::{Counts, Probe},
    receiver::Receiver,
    subject::{Done, Subject, Task, known},
    way::Way,
};
use sendrail_sys::{
    cachestat::cachestat,
    fadvise::{Advice, fadvise},
    limits::page_size,
};
use std::{
    fs::File,
    io::{self, Seek, Write},
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    path::Path,
    sync::mpsc::channel,
    thread,
    time::Duration,
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
    let task = Task { way, file: file.to_owned(), len, address: None, thresholds: None };
    perform(subject, probe, task, checks, over)
}

/// The same as a whole task; where to is found out here, if the way sends at all.
///
/// # Errors
///
/// Something broke, or other bytes came than were sent.
pub fn perform(
    subject: &mut Subject,
    mut probe: Option<&mut Probe>,
    mut task: Task,
    checks: Option<&File>,
    over: Option<&Pair>,
) -> io::Result<Seen> {
    if !task.way.sends() {
        let port = subject.prepare(&task)?;
        watch(probe.as_deref_mut(), subject, port)?;
        return Ok((subject.go()?, seen(probe)?));
    }
    let (way, len) = (task.way, task.len);
    let expected = if way == Way::Known { known::SENT } else { len };
    receiving(checks, over, |address, received| {
        task.address = Some(address);
        let port = subject.prepare(&task)?;
        watch(probe.as_deref_mut(), subject, port)?;
        let done = subject.go()?;
        let count = received()?;
        if count != expected {
            return Err(io::Error::other(format!("{count} bytes came of {expected}, by {way}")));
        }
        Ok((done, seen(probe)?))
    })
}

fn watch(probe: Option<&mut Probe>, subject: &Subject, port: u16) -> io::Result<()> {
    let Some(probe) = probe else { return Ok(()) };
    let watched = probe.watch(subject.process(), std::process::id(), port);
    watched.map_err(|why| io::Error::other(why.to_string()))
}

fn seen(probe: Option<&mut Probe>) -> io::Result<Option<Counts>> {
    let counts = probe.map(|probe| probe.counts()).transpose();
    counts.map_err(|why| io::Error::other(why.to_string()))
}

/// Receives in a thread of its own what is sent to the address that `sending` is told, which can wait for
/// the end of it and how much it was.
pub(crate) fn receiving<T>(
    checks: Option<&File>,
    over: Option<&Pair>,
    sending: impl FnOnce(SocketAddr, &mut dyn FnMut() -> io::Result<u64>) -> io::Result<T>,
) -> io::Result<T> {
    with_receiver(over, |receiver| receiver.receive(checks), sending)
}

/// The same, but nothing is received before it is waited for; and then it is told what it was.
pub(crate) fn receiving_held<T>(
    over: Option<&Pair>,
    sending: impl FnOnce(SocketAddr, &mut dyn FnMut() -> io::Result<Vec<u8>>) -> io::Result<T>,
) -> io::Result<T> {
    let (go, word) = channel::<()>();
    // When the word cannot come any more there is nobody to receive for.
    let receive = move |receiver: &Receiver| receiver.receive_held(|| word.recv().is_ok());
    with_receiver(over, receive, |address, received| {
        let mut go = Some(go);
        sending(address, &mut || {
            let _ = go.take().map(|go| go.send(()));
            received()
        })
    })
}

fn with_receiver<R: Send, T>(
    over: Option<&Pair>,
    receive: impl FnOnce(&Receiver) -> io::Result<R> + Send,
    sending: impl FnOnce(SocketAddr, &mut dyn FnMut() -> io::Result<R>) -> io::Result<T>,
) -> io::Result<T> {
    thread::scope(|scope| {
        let (tell, told) = channel();
        let thread = scope.spawn(move || -> io::Result<R> {
            let address = over.map_or(Ok(Ipv4Addr::LOCALHOST.into()), Pair::enter)?;
            let receiver = Receiver::listen(address)?;
            let _ = tell.send(receiver.address());
            receive(&receiver)
        });
        let mut thread = Some(thread);
        let mut received = || match thread.take().map(thread::ScopedJoinHandle::join) {
            Some(Ok(received)) => received,
            _ => Err(io::Error::other("a bug")),
        };
        let Ok(address) = told.recv() else {
            return Err(received().err().unwrap_or_else(|| io::Error::other("nobody listens")));
        };
        sending(address, &mut received)
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

/// Throws a file out of the page cache, for which it may have to wait: a page that the network still has
/// stays. Says whether it has gone.
pub fn evict(file: &File) -> bool {
    for _ in 0..50 {
        let _ = fadvise(file.as_fd(), 0, 0, Advice::DontNeed);
        if cachestat(file.as_fd(), 0, 0).is_ok_and(|stat| stat.cached == 0) {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Brings a file into the page cache, and sees that it stays: a transfer that has just ended may still be about to
/// give back what it had brought in.
///
/// # Errors
///
/// It cannot be read.
pub fn warm(mut file: &File) -> io::Result<()> {
    for _ in 0..20 {
        file.rewind()?;
        io::copy(&mut file, &mut io::sink())?;
        thread::sleep(Duration::from_millis(20));
        let pages = file.metadata()?.len().div_ceil(page_size() as u64);
        // Where nobody can look, it is believed.
        if cachestat(file.as_fd(), 0, 0).map_or(true, |stat| stat.cached >= pages) {
            return Ok(());
        }
    }
    Ok(()) // there is too little memory for it
}
