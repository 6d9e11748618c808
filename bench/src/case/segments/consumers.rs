//! Consumers in a closed loop, in one thread: each fetches, drops the records in the kernel, and fetches what follows.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::layout::{Layout, RECORD_LEN};
use super::wire::{HEAD, Head, fetch};
use crate::cpu;
use crate::interrupt::Interrupt;
use crate::load::Work;

/// One receive takes the head and, of a small answer, some of the records.
const TAKEN: usize = 8 << 10;
/// Dropped by one call at the most.
const DROPPED: usize = 16 << 20;
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// Nothing at all arriving for so long is a failure of the server.
const STALLED: Duration = Duration::from_secs(10);

pub(super) struct Consumers<'a> {
    layout: &'a Layout,
    max_bytes: u32,
    epoll: OwnedFd,
    all: Vec<Consumer>,
    /// Where consumers begin, and begin again at the end of the log.
    random: fastrand::Rng,
    taken: Vec<u8>,
    /// Never written to, so it costs no memory.
    dropped: Vec<u8>,
    events: Vec<epoll::Event>,
    interrupt: &'a Interrupt,
}

struct Consumer {
    stream: TcpStream,
    /// What is asked for, or will be next.
    offset: u64,
    since: Instant,
    awaiting: Awaiting,
}

#[derive(Clone, Copy)]
enum Awaiting {
    /// So much of the head is there.
    Head([u8; HEAD], usize),
    /// The head is; so many bytes of records are not.
    Records(Head, u32),
}

const NOTHING_YET: Awaiting = Awaiting::Head([0; HEAD], 0);

impl<'a> Consumers<'a> {
    pub(super) fn connect(
        address: SocketAddr,
        count: usize,
        max_bytes: u32,
        layout: &'a Layout,
        interrupt: &'a Interrupt,
    ) -> Result<Consumers<'a>> {
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).context("creating an epoll instance")?;
        let mut random = fastrand::Rng::with_seed(11); // the same places for every server
        let mut all = Vec::with_capacity(count);
        for number in 0..count {
            let consumer = Consumer::connect(address, random.u64(..layout.end()));
            let consumer = consumer.with_context(|| format!("consumer {number}"))?;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&epoll, &consumer.stream, data, flags).context("adding to epoll")?;
            all.push(consumer);
        }
        let (taken, dropped) = (vec![0; TAKEN], vec![0; DROPPED]);
        let events = Vec::with_capacity(count.min(512));
        Ok(Consumers { layout, max_bytes, epoll, all, random, taken, dropped, events, interrupt })
    }

    /// All fetch for `length`; then every answer under way finishes, so that the server sleeps when this returns.
    pub(super) fn run(&mut self, length: Duration) -> Result<Work> {
        let (started, generator) = (Instant::now(), cpu::of_this_thread());
        let mut work = Work::nothing();
        let max_bytes = self.max_bytes;
        for consumer in &mut self.all {
            consumer.ask(max_bytes)?;
        }
        let (mut busy, mut last_event) = (self.all.len(), started);
        while busy > 0 {
            self.interrupt.check()?;
            self.events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&GLANCE)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("waiting on epoll"),
            }
            if self.events.is_empty() {
                if last_event.elapsed() > STALLED {
                    bail!("nothing arrived for {STALLED:?}; {busy} fetches are unanswered");
                }
                continue;
            }
            let asks = started.elapsed() < length;
            for event in &self.events {
                let number = event.data.u64() as usize;
                let consumer = &mut self.all[number];
                let next = consumer.take(&mut self.taken, &mut self.dropped, &mut work);
                let next = next.with_context(|| {
                    format!("consumer {number}, records from {} on", consumer.offset)
                })?;
                last_event = Instant::now();
                let Some(next) = next else { continue };
                work.completed(consumer.since, last_event);
                consumer.offset = next;
                if next >= self.layout.end() {
                    consumer.offset = self.random.u64(..self.layout.end());
                }
                if asks {
                    consumer.ask(max_bytes)?;
                } else {
                    busy -= 1;
                }
            }
        }
        work.wall = started.elapsed();
        work.generator = cpu::of_this_thread().saturating_sub(generator);
        Ok(work)
    }
}

impl Consumer {
    fn connect(address: SocketAddr, offset: u64) -> Result<Consumer> {
        let stream = TcpStream::connect(address).context("connecting")?;
        stream.set_nodelay(true).context("setting TCP_NODELAY")?;
        stream.set_nonblocking(true).context("making it non-blocking")?;
        Ok(Consumer { stream, offset, since: Instant::now(), awaiting: NOTHING_YET })
    }

    fn ask(&mut self, max_bytes: u32) -> Result<()> {
        let request = fetch(self.offset, max_bytes, 0);
        let sent = send(&self.stream, &request, SendFlags::NOSIGNAL).context("sending a fetch")?;
        ensure!(sent == request.len(), "only {sent} bytes of a fetch fitted an empty socket");
        (self.awaiting, self.since) = (NOTHING_YET, Instant::now());
        Ok(())
    }

    /// Takes what has arrived; the offset to go on with, once the answer is complete. A short receive means that the socket
    /// is empty and a new edge will tell of more (epoll(7)).
    fn take(
        &mut self,
        taken: &mut [u8],
        dropped: &mut [u8],
        work: &mut Work,
    ) -> Result<Option<u64>> {
        loop {
            let short = match &mut self.awaiting {
                Awaiting::Head(bytes, held) => {
                    let Some(got) = receive(&self.stream, taken, RecvFlags::empty())? else {
                        return Ok(None);
                    };
                    let of_head = got.min(HEAD - *held);
                    bytes[*held..][..of_head].copy_from_slice(&taken[..of_head]);
                    *held += of_head;
                    if let Some(head) = Head::parse(&bytes[..*held])? {
                        let records = (got - of_head) as u32;
                        let left = head.bytes.checked_sub(records);
                        let left = left.context("bytes after the end of the answer")?;
                        work.body_bytes += u64::from(records);
                        self.awaiting = Awaiting::Records(head, left);
                    }
                    got < taken.len()
                }
                Awaiting::Records(_, left) => {
                    // MSG_TRUNC on TCP drops the bytes instead of copying them (tcp(7)).
                    let wanted = dropped.len().min(*left as usize);
                    let got = receive(&self.stream, &mut dropped[..wanted], RecvFlags::TRUNC)?;
                    let Some(got) = got else { return Ok(None) };
                    *left -= got as u32;
                    work.body_bytes += got as u64;
                    got < wanted
                }
            };
            if let Awaiting::Records(head, 0) = self.awaiting {
                let asked_for = (head.first..head.next).contains(&self.offset);
                let whole = (head.next - head.first) * RECORD_LEN == u64::from(head.bytes);
                ensure!(asked_for && whole, "the answer is {head:?}");
                return Ok(Some(head.next));
            }
            if short {
                return Ok(None);
            }
        }
    }
}

/// `None` when nothing is there; an end of the stream is an error, since an answer is outstanding.
fn receive(stream: &TcpStream, buffer: &mut [u8], flags: RecvFlags) -> Result<Option<usize>> {
    match recv(stream, buffer, flags) {
        Ok((_, 0)) => bail!("the server closed the connection in the middle of an answer"),
        Ok((_, got)) => Ok(Some(got)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error).context("receiving an answer"),
    }
}
