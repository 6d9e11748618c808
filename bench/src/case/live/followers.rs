//! N followers of one file in one thread, which also is the one that appends: a moment before an append is the moment from
//! which its latency counts.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::chunks::Decoder;
use crate::case::pattern::Pattern;
use crate::cpu;
use crate::interrupt::Interrupt;
use crate::load::Work;

/// Taken by one receive.
const TAKEN: usize = 256 << 10;
const GLANCE: Duration = Duration::from_millis(200);
/// Nothing at all arriving for so long, while something should, is a failure of the server.
const STALLED: Duration = Duration::from_secs(10);

/// A file that grows by so many bytes at a time.
pub(super) struct Growing {
    file: File,
    pattern: Pattern,
    len: u64,
    step: usize,
    /// What is appended next.
    next: Vec<u8>,
}

impl Growing {
    /// Begins with one step.
    pub(super) fn begin(path: &Path, step: usize) -> Result<Growing> {
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(path);
        let file = file.with_context(|| format!("making {}", path.display()))?;
        let pattern = Pattern::new();
        let next = pattern.bytes(0, step);
        let mut growing = Growing { file, pattern, len: 0, step, next };
        growing.append()?;
        Ok(growing)
    }

    /// When that began, and how long the file is now.
    fn append(&mut self) -> Result<(Instant, u64)> {
        let begun = Instant::now();
        // One write(2): a regular file takes it whole, or there is no room.
        let written = self.file.write(&self.next).context("appending")?;
        ensure!(written == self.step, "only {written} of {} bytes were appended", self.step);
        self.len += self.step as u64;
        self.next = self.pattern.bytes(self.len, self.step);
        Ok((begun, self.len))
    }
}

pub(super) struct Followers<'a> {
    epoll: OwnedFd,
    all: Vec<Follower>,
    /// Those that lack something of the file.
    behind: usize,
    growing: Growing,
    buffer: Vec<u8>,
    events: Vec<epoll::Event>,
    interrupt: &'a Interrupt,
}

struct Follower {
    stream: TcpStream,
    decoder: Decoder,
    /// How many appends of the stretch have arrived.
    arrived: usize,
}

impl<'a> Followers<'a> {
    /// All of them have all there is when this returns.
    pub(super) fn connect(
        address: SocketAddr,
        target: &str,
        count: usize,
        growing: Growing,
        interrupt: &'a Interrupt,
    ) -> Result<Followers<'a>> {
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).context("creating an epoll instance")?;
        let (all, buffer) = (Vec::with_capacity(count), vec![0; TAKEN]);
        let events = Vec::with_capacity(512);
        let mut these = Followers { epoll, all, behind: 0, growing, buffer, events, interrupt };
        let request = format!("GET {target} HTTP/1.1\r\nHost: arena.test\r\n\r\n");
        for number in 0..count {
            let mut stream = TcpStream::connect(address).context("connecting")?;
            stream.set_nodelay(true).context("setting TCP_NODELAY")?;
            stream.write_all(request.as_bytes()).context("sending a request")?;
            stream.set_nonblocking(true).context("making it non-blocking")?;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&these.epoll, &stream, data, flags).context("adding to epoll")?;
            these.all.push(Follower { stream, decoder: Decoder::default(), arrived: 0 });
            these.behind += 1;
            if number % 100 == 99 || number + 1 == count {
                these.stretch(0, GLANCE)?; // never more at once than a listener's queue holds
            }
        }
        Ok(these)
    }

    /// Appends `count` times, `gap` apart, and waits until every follower has everything. A request of the result is an append
    /// at one follower.
    pub(super) fn stretch(&mut self, count: usize, gap: Duration) -> Result<Work> {
        let (started, generator) = (Instant::now(), cpu::of_this_thread());
        let mut work = Work::nothing();
        let mut appends: Vec<(Instant, u64)> = Vec::with_capacity(count);
        for follower in &mut self.all {
            follower.arrived = 0;
        }
        let (mut next, mut last_event) = (started, started);
        while appends.len() < count || self.behind > 0 {
            self.interrupt.check()?;
            let now = Instant::now();
            let mut wait = GLANCE;
            if appends.len() < count {
                if now >= next {
                    appends.push(self.growing.append()?);
                    next += gap;
                    (self.behind, last_event) = (self.all.len(), now);
                }
                wait = next.saturating_duration_since(Instant::now()).min(GLANCE);
            }
            if self.behind > 0 && last_event.elapsed() > STALLED {
                bail!("{} followers still lack something after {STALLED:?}", self.behind);
            }
            if self.turn(wait, &appends, &mut work)? {
                last_event = Instant::now();
            }
        }
        work.wall = started.elapsed();
        work.generator = cpu::of_this_thread().saturating_sub(generator);
        Ok(work)
    }

    /// Whether something came.
    fn turn(
        &mut self,
        wait: Duration,
        appends: &[(Instant, u64)],
        work: &mut Work,
    ) -> Result<bool> {
        let wait = Timespec::try_from(wait).expect("a fraction of a second is one");
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting on epoll"),
        }
        for event in &self.events {
            let number = event.data.u64() as usize;
            let (follower, growing) = (&mut self.all[number], &self.growing);
            let lacked = follower.decoder.received < growing.len;
            follower
                .take(&mut self.buffer, &growing.pattern, appends, work)
                .with_context(|| format!("follower {number}"))?;
            if lacked && follower.decoder.received == growing.len {
                self.behind -= 1;
            }
        }
        Ok(!self.events.is_empty())
    }
}

impl Follower {
    fn take(
        &mut self,
        buffer: &mut [u8],
        pattern: &Pattern,
        appends: &[(Instant, u64)],
        work: &mut Work,
    ) -> Result<()> {
        loop {
            let got = match recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) => bail!("the server closed the connection"),
                Ok((_, got)) => got,
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(error) => return Err(error).context("receiving"),
            };
            let before = self.decoder.received;
            self.decoder.take(&buffer[..got], pattern)?;
            work.body_bytes += self.decoder.received - before;
            if got < buffer.len() {
                break; // a new edge will tell of more (epoll(7))
            }
        }
        let now = Instant::now();
        while let Some((begun, len)) = appends.get(self.arrived)
            && *len <= self.decoder.received
        {
            work.completed(*begun, now);
            self.arrived += 1;
        }
        Ok(())
    }
}
