//! A producer at a steady rate, consumers that wait at the tail, and beside them, at times, one that reads the log from its
//! beginning: all in one thread that never sleeps, so that what they notice is the server's doing.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use sendrail_sys::recv_discard;

use super::wire::{HEAD, Head, append, fetch, record};
use crate::interrupt::Interrupt;

/// Of a record, the first eight of which say when it was appended.
const PAYLOAD: usize = 1024;
/// What a consumer at the tail asks for, in bytes and milliseconds.
const AT_TAIL: u32 = 1 << 20;
const WAITS: u32 = 10_000;
/// What the one that lags asks for, in bytes.
const BEHIND: u32 = 1 << 20;
/// Bytes of its answers dropped at a time: to drop megabytes takes milliseconds, which the others would seem to have waited.
const BITE: usize = 128 << 10;
const NOT_AT_ALL: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// No phase lasts longer beyond what was asked for.
const LONGEST: Duration = Duration::from_mins(2);

/// Everybody, connected.
pub(super) struct Tailing<'a> {
    epoll: OwnedFd,
    producer: Producer,
    tail: Vec<Follower>,
    /// The offset of the first record that is appended.
    base: u64,
    /// Stamps count from here.
    epoch: Instant,
    buffer: Vec<u8>,
    events: Vec<epoll::Event>,
    interrupt: &'a Interrupt,
}

struct Producer {
    stream: TcpStream,
    gap: Duration,
    appended: u64,
    /// Of the acknowledgement that is under way.
    held: Vec<u8>,
    acknowledged: u64,
}

/// One at the tail, with a fetch under way.
struct Follower {
    stream: TcpStream,
    offset: u64,
    held: Vec<u8>,
}

/// One that begins at the beginning.
struct Laggard {
    stream: TcpStream,
    offset: u64,
    until: u64,
    head: Vec<u8>,
    /// Bytes of records that are still to come.
    left: u32,
    bytes: u64,
}

/// How long the consumers at the tail go on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    After(Duration),
    /// Somebody has read the log from its beginning up to this offset.
    Read(u64),
}

/// What was noticed.
#[derive(Debug)]
pub(super) struct Phase {
    pub(super) appended: u64,
    /// From before the append was sent to the record's last byte at a consumer, in nanoseconds; one for each of them.
    pub(super) latency: Histogram<u64>,
    pub(super) wall: Duration,
    /// Bytes of records that came to the one that lags.
    pub(super) lagged: u64,
}

const PRODUCER: u64 = u64::MAX;
const LAGGARD: u64 = u64::MAX - 1;

impl<'a> Tailing<'a> {
    /// `end` is the offset that the next record will have.
    pub(super) fn connect(
        address: SocketAddr,
        consumers: usize,
        rate: f64,
        end: u64,
        interrupt: &'a Interrupt,
    ) -> Result<Tailing<'a>> {
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).context("creating an epoll instance")?;
        let connect = |number: u64| {
            let stream = TcpStream::connect(address).context("connecting")?;
            stream.set_nodelay(true).context("setting TCP_NODELAY")?;
            stream.set_nonblocking(true).context("making it non-blocking")?;
            let data = epoll::EventData::new_u64(number);
            epoll::add(&epoll, &stream, data, epoll::EventFlags::IN).context("adding to epoll")?;
            anyhow::Ok(stream)
        };
        let producer = Producer {
            stream: connect(PRODUCER)?,
            gap: Duration::from_secs_f64(1.0 / rate),
            appended: 0,
            held: Vec::new(),
            acknowledged: 0,
        };
        let mut tail = Vec::with_capacity(consumers);
        for number in 0..consumers {
            let stream = connect(number as u64)?;
            let mut follower = Follower { stream, offset: end, held: Vec::new() };
            follower.ask()?;
            tail.push(follower);
        }
        Ok(Tailing {
            epoll,
            producer,
            tail,
            base: end,
            epoch: Instant::now(),
            buffer: vec![0; 64 << 10],
            events: Vec::with_capacity(64),
            interrupt,
        })
    }

    /// Appends at the rate, and takes in what comes; then waits for what is on its way, so that the server sleeps.
    pub(super) fn phase(&mut self, address: SocketAddr, until: Until) -> Result<Phase> {
        let mut laggard = match until {
            Until::After(_) => None,
            Until::Read(end) => Some(Laggard::connect(address, end, &self.epoll)?),
        };
        let latency = Histogram::new_with_bounds(1, LONGEST.as_nanos() as u64, 3);
        let latency = latency.expect("from a nanosecond to minutes, with three digits");
        let mut phase = Phase { appended: 0, latency, wall: Duration::ZERO, lagged: 0 };
        let (started, before) = (Instant::now(), self.producer.appended);
        let mut next = started;
        let mut over = false;
        while !(over && self.is_quiet()) {
            self.interrupt.check()?;
            let now = Instant::now();
            if !over {
                phase.wall = now - started;
                over = match until {
                    Until::After(length) => phase.wall >= length,
                    Until::Read(end) => laggard.as_ref().is_none_or(|one| one.has_read(end)),
                };
            }
            ensure!(now - started < LONGEST, "it is not over after {LONGEST:?}");
            if !over && next <= now {
                self.producer.append(self.epoch)?;
                next += self.producer.gap;
            }
            self.turn(laggard.as_mut(), &mut phase.latency)?;
        }
        phase.appended = self.producer.appended - before;
        phase.lagged = laggard.map_or(0, |laggard| laggard.bytes);
        Ok(phase)
    }

    /// Everybody has everything.
    fn is_quiet(&self) -> bool {
        let Producer { appended, acknowledged, .. } = self.producer;
        let end = self.base + appended;
        appended == acknowledged && self.tail.iter().all(|one| one.offset == end)
    }

    fn turn(&mut self, laggard: Option<&mut Laggard>, latency: &mut Histogram<u64>) -> Result<()> {
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&NOT_AT_ALL)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting on epoll"),
        }
        let mut lags = false;
        for event in &self.events {
            match event.data.u64() {
                PRODUCER => self.producer.take(&mut self.buffer).context("the producer")?,
                LAGGARD => lags = true,
                number => {
                    let follower = &mut self.tail[number as usize];
                    follower
                        .take(&mut self.buffer, self.epoch, latency)
                        .with_context(|| format!("consumer {number} at the tail"))?;
                }
            }
        }
        match laggard {
            Some(laggard) if lags => laggard.take().context("the consumer that lags"),
            _ => Ok(()),
        }
    }
}

impl Producer {
    fn append(&mut self, epoch: Instant) -> Result<()> {
        let mut payload = [0x5a; PAYLOAD];
        let stamp = epoch.elapsed().as_nanos() as u64;
        payload[..8].copy_from_slice(&stamp.to_be_bytes());
        say(&self.stream, &append(&payload)).context("appending")?;
        self.appended += 1;
        Ok(())
    }

    fn take(&mut self, buffer: &mut [u8]) -> Result<()> {
        let got = receive(&self.stream, buffer)?;
        self.held.extend(&buffer[..got]);
        // Length, status, first, next.
        while let Some((answer, _)) = self.held.split_first_chunk::<21>() {
            if answer[4] != 0 {
                bail!("an append is answered with status {}", answer[4]);
            }
            self.acknowledged += 1;
            self.held.drain(..21);
        }
        Ok(())
    }
}

impl Follower {
    fn ask(&mut self) -> Result<()> {
        say(&self.stream, &fetch(self.offset, AT_TAIL, WAITS)).context("sending a fetch")
    }

    fn take(
        &mut self,
        buffer: &mut [u8],
        epoch: Instant,
        latency: &mut Histogram<u64>,
    ) -> Result<()> {
        let got = receive(&self.stream, buffer)?;
        self.held.extend(&buffer[..got]);
        let Some(head) = Head::parse(&self.held)? else { return Ok(()) };
        let whole = HEAD + head.bytes as usize;
        if self.held.len() < whole {
            return Ok(());
        }
        ensure!(self.held.len() == whole, "bytes after the end of the answer");
        let now = epoch.elapsed().as_nanos() as u64;
        let mut rest = &self.held[HEAD..];
        while let Some((offset, payload, after)) = record(rest) {
            rest = after;
            if offset < self.offset {
                continue; // from where an entry of the index points
            }
            ensure!(offset == self.offset, "record {offset} instead of {}", self.offset);
            let stamp = payload.first_chunk().map_or(0, |stamp| u64::from_be_bytes(*stamp));
            latency.saturating_record(now.saturating_sub(stamp));
            self.offset += 1;
        }
        ensure!(rest.is_empty(), "half a record at the end of an answer");
        self.held.clear();
        self.ask()
    }
}

impl Laggard {
    /// Whether all up to this offset has come, and not only the head that announces it.
    fn has_read(&self, end: u64) -> bool {
        self.offset >= end && self.left == 0
    }

    fn connect(address: SocketAddr, until: u64, epoll: &OwnedFd) -> Result<Laggard> {
        let stream = TcpStream::connect(address).context("connecting")?;
        stream.set_nodelay(true).context("setting TCP_NODELAY")?;
        stream.set_nonblocking(true).context("making it non-blocking")?;
        let data = epoll::EventData::new_u64(LAGGARD);
        epoll::add(epoll, &stream, data, epoll::EventFlags::IN).context("adding to epoll")?;
        say(&stream, &fetch(0, BEHIND, 0)).context("sending a fetch")?;
        Ok(Laggard { stream, offset: 0, until, head: Vec::new(), left: 0, bytes: 0 })
    }

    /// One bite.
    fn take(&mut self) -> Result<()> {
        if self.left == 0 {
            let mut bytes = [0; HEAD];
            let wanted = HEAD - self.head.len();
            let got = receive(&self.stream, &mut bytes[..wanted])?;
            self.head.extend(&bytes[..got]);
            let Some(head) = Head::parse(&self.head)? else { return Ok(()) };
            ensure!((head.first..head.next).contains(&self.offset), "the answer is {head:?}");
            (self.offset, self.left) = (head.next, head.bytes);
            self.head.clear();
            return Ok(());
        }
        let dropped = match recv_discard(self.stream.as_fd(), BITE.min(self.left as usize)) {
            Ok(0) => bail!("the server closed the connection in the middle of an answer"),
            Ok(dropped) => dropped,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error).context("receiving records"),
        };
        self.left -= dropped as u32;
        self.bytes += dropped as u64;
        if self.left == 0 && self.offset < self.until {
            say(&self.stream, &fetch(self.offset, BEHIND, 0)).context("sending a fetch")?;
        }
        Ok(())
    }
}

fn say(stream: &TcpStream, request: &[u8]) -> Result<()> {
    let sent = send(stream, request, SendFlags::NOSIGNAL)?;
    ensure!(sent == request.len(), "only {sent} of {} bytes fitted the socket", request.len());
    Ok(())
}

/// Nothing where nothing is there; an end of the stream is an error.
fn receive(stream: &TcpStream, buffer: &mut [u8]) -> Result<usize> {
    match recv(stream, buffer, RecvFlags::empty()) {
        Ok((_, 0)) => bail!("the server closed the connection"),
        Ok((_, got)) => Ok(got),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(error) => Err(error).context("receiving an answer"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::super::mock;
    use super::*;

    #[test]
    fn everybody_at_the_tail_gets_every_record_while_one_reads_all() {
        let address = mock::serve((0..3000).map(|number| vec![number as u8; 1024]));
        let interrupt = Interrupt::default();
        let mut tailing = Tailing::connect(address, 3, 500.0, 3000, &interrupt).unwrap();
        let alone = tailing.phase(address, Until::After(Duration::from_millis(200))).unwrap();
        assert!(alone.appended > 0 && alone.lagged == 0, "{alone:?}");
        assert_eq!(alone.latency.len(), alone.appended * 3);
        assert!(alone.latency.min() > 0);
        let beside = tailing.phase(address, Until::Read(3000)).unwrap();
        assert!(beside.lagged >= 3000 * 1040, "{beside:?}");
        assert_eq!(beside.latency.len(), beside.appended * 3);
    }
}
