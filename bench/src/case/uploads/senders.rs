//! Clients that upload over keep-alive connections, in one thread: each sends a file by PUT, waits for the answer, and sends the
//! next under another name.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::case::pattern::Pattern;
use crate::cpu;
use crate::interrupt::Interrupt;
use crate::load::{Work, response};

const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
const NOT_AT_ALL: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// A server that syncs, or one whose memory is full of dirty pages, may take its time.
const STALLED: Duration = Duration::from_mins(1);
/// Answers to uploads have short bodies.
const TAKEN: usize = 8 << 10;
/// From one file to the next the contents are shifted by so much.
const SHIFT: u64 = 65_537;

/// Files of one length, by number.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// In requests, before the number.
    pub(super) prefix: String,
    pub(super) len: u64,
    pub(super) count: u64,
}

impl Files {
    pub(super) fn name(number: u64) -> String {
        format!("{number}.bin")
    }

    /// Where in the pattern a file's contents begin.
    pub(super) fn begin(number: u64) -> u64 {
        number * SHIFT
    }
}

pub(super) struct Senders<'a> {
    epoll: OwnedFd,
    all: Vec<Sender>,
    files: Files,
    /// The next file's number.
    next: u64,
    busy: usize,
    pattern: &'a Pattern,
    /// Bytes that are sent at a time, at the most.
    bite: usize,
    work: Work,
    started: Instant,
    generator: Duration,
    last_event: Instant,
    events: Vec<epoll::Event>,
    interrupt: &'a Interrupt,
}

struct Sender {
    stream: TcpStream,
    /// What is still to be sent of the head.
    head: Vec<u8>,
    number: u64,
    /// Of the body.
    sent: u64,
    since: Instant,
    answer: Vec<u8>,
}

impl<'a> Senders<'a> {
    pub(super) fn connect(
        address: SocketAddr,
        count: usize,
        files: &Files,
        pattern: &'a Pattern,
        interrupt: &'a Interrupt,
    ) -> Result<Senders<'a>> {
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).context("creating an epoll instance")?;
        let mut all = Vec::with_capacity(count);
        for number in 0..count {
            let stream = TcpStream::connect(address).context("connecting")?;
            stream.set_nodelay(true).context("setting TCP_NODELAY")?;
            stream.set_nonblocking(true).context("making it non-blocking")?;
            let data = epoll::EventData::new_u64(number as u64);
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&epoll, &stream, data, flags).context("adding to epoll")?;
            let (head, answer) = (Vec::new(), Vec::new());
            all.push(Sender { stream, head, number: 0, sent: 0, since: Instant::now(), answer });
        }
        let now = Instant::now();
        Ok(Senders {
            epoll,
            all,
            files: files.clone(),
            next: 0,
            busy: 0,
            pattern,
            bite: usize::MAX,
            work: Work::nothing(),
            started: now,
            generator: Duration::ZERO,
            last_event: now,
            events: Vec::with_capacity(64),
            interrupt,
        })
    }

    /// From now on sends `bite` bytes of one connection at a time and looks at one connection a turn: whoever shares the thread is
    /// not kept waiting.
    pub(super) fn take_bites(&mut self, bite: usize) -> Result<()> {
        for (number, sender) in self.all.iter().enumerate() {
            // Level-triggered, a connection with room left is at the end of the queue (epoll(7)).
            let data = epoll::EventData::new_u64(number as u64);
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
            epoll::modify(&self.epoll, &sender.stream, data, flags).context("changing epoll")?;
        }
        self.bite = bite;
        self.events = Vec::with_capacity(1);
        Ok(())
    }

    /// All files, as fast as it goes; every one of them is answered when this returns.
    pub(super) fn run(mut self) -> Result<Work> {
        self.start()?;
        while self.wait_and_turn(&GLANCE)? {}
        Ok(self.finish())
    }

    pub(super) fn start(&mut self) -> Result<()> {
        self.generator = cpu::of_this_thread();
        (self.started, self.last_event) = (Instant::now(), Instant::now());
        for number in 0..self.all.len() {
            self.begin(number)?;
        }
        Ok(())
    }

    /// A little of it, without waiting; false when everything is answered.
    pub(super) fn turn(&mut self) -> Result<bool> {
        self.wait_and_turn(&NOT_AT_ALL)
    }

    pub(super) fn finish(mut self) -> Work {
        self.work.generator = cpu::of_this_thread().saturating_sub(self.generator);
        self.work
    }

    /// The next file for an idle connection, if there is one; and the one after it, where a server is so quick that the
    /// answer is there when the file is sent.
    fn begin(&mut self, connection: usize) -> Result<()> {
        while self.next < self.files.count {
            self.all[connection].begin(&self.files, self.next);
            self.next += 1;
            if !self.advance(connection)? {
                self.busy += 1;
                break;
            }
        }
        Ok(())
    }

    fn wait_and_turn(&mut self, timeout: &Timespec) -> Result<bool> {
        self.interrupt.check()?;
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting on epoll"),
        }
        if self.events.is_empty() && self.last_event.elapsed() > STALLED {
            bail!("nothing happened for {STALLED:?}; {} uploads are under way", self.busy);
        }
        for at in 0..self.events.len() {
            let connection = self.events[at].data.u64() as usize;
            self.last_event = Instant::now();
            if self.all[connection].is_busy(&self.files) && self.advance(connection)? {
                self.busy -= 1;
                self.begin(connection)?;
            }
        }
        Ok(self.busy > 0)
    }

    /// True when the file under way is answered.
    fn advance(&mut self, connection: usize) -> Result<bool> {
        let sender = &mut self.all[connection];
        let number = sender.number;
        let answered = sender
            .send(&self.files, self.pattern, self.bite)
            .and_then(|()| sender.answered())
            .with_context(|| format!("connection {connection}, file {number}"))?;
        if answered {
            ensure!(
                sender.sent == self.files.len,
                "file {number} was answered after {} bytes of it",
                sender.sent
            );
            sender.sent = u64::MAX;
            self.work.body_bytes += self.files.len;
            self.work.completed(sender.since, Instant::now());
            self.work.wall = self.started.elapsed();
        }
        Ok(answered)
    }
}

impl Sender {
    fn begin(&mut self, files: &Files, number: u64) {
        let Files { prefix, len, .. } = files;
        let name = Files::name(number);
        let head = format!(
            "PUT {prefix}{name} HTTP/1.1\r\nHost: arena.test\r\nContent-Length: {len}\r\n\r\n"
        );
        (self.head, self.number, self.sent) = (head.into_bytes(), number, 0);
        self.since = Instant::now();
    }

    fn is_busy(&self, files: &Files) -> bool {
        self.sent <= files.len
    }

    /// Until everything is sent, the socket is full, or the bite is taken.
    fn send(&mut self, files: &Files, pattern: &Pattern, bite: usize) -> Result<()> {
        while self.sent < files.len || !self.head.is_empty() {
            let run = pattern.run(Files::begin(self.number) + self.sent);
            let left = usize::try_from(files.len - self.sent).unwrap_or(usize::MAX);
            let run = &run[..run.len().min(left).min(bite)];
            let sent =
                match self.stream.write_vectored(&[IoSlice::new(&self.head), IoSlice::new(run)]) {
                    Ok(sent) => sent,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => {
                        // It may have said why it does not want the rest.
                        let _ = self.answered()?;
                        return Err(error).context("sending");
                    }
                };
            let of_head = sent.min(self.head.len());
            self.head.drain(..of_head);
            self.sent += (sent - of_head) as u64;
            if bite < usize::MAX {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether the answer is there; one that is no success is an error.
    fn answered(&mut self) -> Result<bool> {
        let mut taken = [0; TAKEN];
        match self.stream.read(&mut taken) {
            Ok(0) => bail!("the server closed the connection: {}", self.answer.escape_ascii()),
            Ok(got) => self.answer.extend(&taken[..got]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("receiving an answer"),
        }
        loop {
            let Some(head) = response::parse(&self.answer)? else { return Ok(false) };
            match head.status {
                100..=199 => {
                    let len = head.len;
                    self.answer.drain(..len); // on its way
                }
                200 | 201 | 204 => {
                    let len = head.len + head.content_length as usize;
                    ensure!(self.answer.len() <= len, "bytes after the end of the answer");
                    let whole = self.answer.len() == len;
                    if whole {
                        self.answer.clear();
                    }
                    return Ok(whole);
                }
                status => bail!("status {status}: {}", self.answer.escape_ascii()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Takes files of `len` bytes until the client goes, and says what came: head and body of each.
    fn server(len: usize, answer: &'static [u8]) -> (SocketAddr, thread::JoinHandle<Vec<Vec<u8>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taking = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut files = Vec::new();
            loop {
                let mut file = Vec::new();
                let mut byte = [0];
                while !file.ends_with(b"\r\n\r\n") {
                    if stream.read(&mut byte).unwrap() == 0 {
                        return files;
                    }
                    file.push(byte[0]);
                }
                let mut body = vec![0; len];
                stream.read_exact(&mut body).unwrap();
                file.extend(body);
                files.push(file);
                stream.write_all(answer).unwrap();
            }
        });
        (address, taking)
    }

    #[test]
    fn every_file_has_a_name_and_contents_of_its_own() {
        let pattern = Pattern::new();
        let files = Files { prefix: "/in/".into(), len: 3_000_001, count: 3 };
        let interrupt = Interrupt::default();
        for bite in [usize::MAX, 100_000] {
            let (address, taking) = server(
                3_000_001,
                b"HTTP/1.1 104 X\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok",
            );
            let mut senders = Senders::connect(address, 1, &files, &pattern, &interrupt).unwrap();
            if bite < usize::MAX {
                senders.take_bites(bite).unwrap();
            }
            let work = senders.run().unwrap();
            assert_eq!((work.requests, work.body_bytes), (3, 9_000_003));
            let came = taking.join().unwrap();
            assert_eq!(came.len(), 3);
            assert_ne!(came[0][1000..], came[1][1000..], "the same contents");
            for (number, file) in came.iter().enumerate() {
                let at = file.len() - 3_000_001;
                let head = String::from_utf8_lossy(&file[..at]).into_owned();
                assert!(head.starts_with(&format!("PUT /in/{number}.bin HTTP/1.1\r\n")), "{head}");
                assert!(head.contains("\r\nContent-Length: 3000001\r\n"), "{head}");
                assert!(pattern.is_at(Files::begin(number as u64), &file[at..]), "file {number}");
            }
        }
    }

    #[test]
    fn a_refusal_is_an_error_that_says_why() {
        let pattern = Pattern::new();
        let files = Files { prefix: "/".into(), len: 1000, count: 3 };
        let (address, _) = server(1000, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!");
        let interrupt = Interrupt::default();
        let senders = Senders::connect(address, 1, &files, &pattern, &interrupt).unwrap();
        let error = format!("{:#}", senders.run().unwrap_err());
        assert!(error.contains("status 403") && error.contains("no!"), "{error}");
    }
}
