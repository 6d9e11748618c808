//! The load generator: N keep-alive connections in one thread, so cheap that the server is the bottleneck.
//!
//! Closed loop (`run`, `window`): each connection asks, reads the whole answer, and asks again. Open loop (`offer`):
//! requests fall due at a fixed mean rate whatever the server does, and their latency counts from that moment.

pub(crate) mod beside;
mod connection;
pub(crate) mod open;
pub(crate) mod response;
pub(crate) mod slow;
pub(crate) mod trial;
pub(crate) mod windows;
pub(crate) mod workload;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::cpu;
use crate::interrupt::Interrupt;
use connection::{Buffers, Connection, DISCARD};
use windows::Windows;
use workload::Workload;

/// Connections opened and tried out together: less than any server's accept backlog.
const BATCH: usize = 128;
/// How often a waiting generator looks up for a signal.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
const NOT_AT_ALL: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// Nothing at all arriving for so long is a failure of the server, where nothing else is said.
const STALLED: Duration = Duration::from_secs(10);
/// Longer than this no stretch may last beyond its `length`, however slowly bytes still arrive.
const LONGEST: Duration = Duration::from_mins(10);

/// N open connections to one server that ask for one workload.
pub(crate) struct Load<'a> {
    workload: Workload,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    buffers: Buffers,
    events: Vec<epoll::Event>,
    interrupt: &'a Interrupt,
    sleeps: bool,
    acknowledges_at_once: bool,
    patience: Duration,
    /// Bytes of a body taken at a time.
    bite: usize,
}

/// What was done in one stretch of load.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// Complete answers.
    pub(crate) requests: u64,
    /// Their bodies, and what has come of bodies that are not complete yet.
    pub(crate) body_bytes: u64,
    /// From asking (or, at a fixed rate, from when it was due) to the last byte, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// The same by the window in which the request was due; empty unless there is a fixed rate.
    pub(crate) windows: Windows,
    pub(crate) wall: Duration,
    /// CPU time of the generator itself.
    pub(crate) generator: Duration,
    /// Of that, looking in vain for something to do; zero for a generator that sleeps.
    pub(crate) spun: Duration,
}

impl Work {
    pub(crate) fn nothing() -> Work {
        let latency = Histogram::new_with_bounds(1, LONGEST.as_nanos() as u64, 3);
        let latency = latency.expect("from a nanosecond to minutes, with three digits");
        let zero = Duration::ZERO;
        Work {
            requests: 0,
            body_bytes: 0,
            latency,
            windows: Windows::default(),
            wall: zero,
            generator: zero,
            spun: zero,
        }
    }

    pub(crate) fn completed(&mut self, since: Instant, now: Instant) {
        self.requests += 1;
        let nanoseconds = now.saturating_duration_since(since).as_nanos() as u64;
        self.latency.saturating_record(nanoseconds);
        self.windows.record(since, nanoseconds);
    }
}

impl<'a> Load<'a> {
    /// Opens `connections` to `address`, each of which asks once.
    pub(crate) fn open(
        address: SocketAddr,
        workload: &Workload,
        connections: usize,
        interrupt: &'a Interrupt,
    ) -> Result<Load<'a>> {
        let mut load = Load::open_silent(address, workload, 0, interrupt)?;
        while load.connections.len() < connections {
            let first = load.connections.len();
            let batch = BATCH.min(connections - first);
            load.connect(address, batch)?;
            load.drive(first..first + batch, Duration::ZERO)
                .with_context(|| format!("opening connections {first} to {}", first + batch - 1))?;
        }
        load.workload.rewind();
        Ok(load)
    }

    /// The same without asking.
    pub(crate) fn open_silent(
        address: SocketAddr,
        workload: &Workload,
        connections: usize,
        interrupt: &'a Interrupt,
    ) -> Result<Load<'a>> {
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).context("creating an epoll instance")?;
        let mut load = Load {
            workload: workload.clone(),
            epoll,
            connections: Vec::new(),
            buffers: Buffers::default(),
            events: Vec::with_capacity(512),
            interrupt,
            sleeps: true,
            acknowledges_at_once: false,
            patience: STALLED,
            bite: DISCARD,
        };
        load.connect(address, connections)?;
        Ok(load)
    }

    /// From now on looks for answers without ever sleeping, so that no server pays for waking the generator up. On
    /// loopback that is a part of the server's CPU time; a client across a network never costs it.
    pub(crate) fn spin(&mut self) {
        self.sleeps = false;
    }

    /// From now on asks for this instead; every answer must be complete.
    pub(crate) fn turn_to(&mut self, workload: &Workload) {
        self.workload = workload.clone();
    }

    /// From now on nothing at all may arrive for so long.
    pub(crate) fn wait_at_most(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// From now on leaves no answer waiting for an acknowledgement.
    pub(crate) fn acknowledge_at_once(&mut self) {
        self.acknowledges_at_once = true;
    }

    /// From now on takes `bite` bytes of an answer at a time, and looks at one connection a turn: whoever shares the thread
    /// is not kept waiting by megabytes.
    fn take_bites(&mut self, bite: usize) -> Result<()> {
        for (number, connection) in self.connections.iter().enumerate() {
            // Level-triggered, a connection with something left is at the end of the queue (epoll(7)).
            let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::modify(&self.epoll, connection.stream(), data, flags)
                .with_context(|| format!("changing connection {number} in epoll"))?;
        }
        self.bite = bite;
        self.events = Vec::with_capacity(1);
        Ok(())
    }

    fn connect(&mut self, address: SocketAddr, count: usize) -> Result<()> {
        for _ in 0..count {
            self.interrupt.check()?;
            let number = self.connections.len();
            let connection = Connection::open(address)
                .with_context(|| format!("connection {number} to {address}"))?;
            // Edge-triggered: one epoll entry less to look at again after every answer.
            let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
            epoll::add(
                &self.epoll,
                connection.stream(),
                epoll::EventData::new_u64(number as u64),
                flags,
            )
            .with_context(|| format!("adding connection {number} to epoll"))?;
            self.connections.push(connection);
        }
        Ok(())
    }

    /// Keeps all connections busy for `length`, then lets every answer under way finish, so that the server sleeps when
    /// this returns and its CPU time is settled. A `length` of zero asks once on each connection.
    pub(crate) fn run(&mut self, length: Duration) -> Result<Work> {
        self.workload.rewind();
        self.drive(0..self.connections.len(), length)
    }

    /// Keeps all connections busy and counts what comes in `length` after `warm`, with `mark` called at either end of
    /// that; answers under way are then abandoned, and the connections with them. For answers so long that waiting for
    /// the last of them would be most of the measurement.
    pub(crate) fn window<T>(
        mut self,
        warm: Duration,
        length: Duration,
        mut mark: impl FnMut() -> Result<T>,
    ) -> Result<(Work, T, T)> {
        self.ask_all(0..self.connections.len())?;
        let mut free = VecDeque::new();
        let mut stretch = |load: &mut Load<'_>, length: Duration| {
            let mut work = Work::nothing();
            let (started, generator) = (Instant::now(), cpu::of_this_thread());
            let mut last_event = started;
            let mut left = u64::MAX;
            while started.elapsed() < length {
                load.turn(&mut left, &mut work, &mut free, &mut last_event)?;
            }
            work.wall = started.elapsed();
            work.generator = cpu::of_this_thread().saturating_sub(generator);
            anyhow::Ok(work)
        };
        stretch(&mut self, warm)?;
        let first = mark()?;
        let work = stretch(&mut self, length)?;
        let last = mark()?;
        Ok((work, first, last))
    }

    fn ask_all(&mut self, which: std::ops::Range<usize>) -> Result<()> {
        for number in which {
            self.ask(number, Instant::now())?;
        }
        Ok(())
    }

    fn ask(&mut self, connection: usize, since: Instant) -> Result<()> {
        let number = self.workload.next();
        let exchange = &self.workload.exchanges[number as usize];
        self.connections[connection].ask(number, exchange, since)?;
        if self.acknowledges_at_once {
            self.connections[connection].acknowledge_at_once()?;
        }
        Ok(())
    }

    fn drive(&mut self, which: std::ops::Range<usize>, length: Duration) -> Result<Work> {
        let (started, generator) = (Instant::now(), cpu::of_this_thread());
        let mut work = Work::nothing();
        let busy = which.len();
        self.ask_all(which)?;
        let mut free = VecDeque::with_capacity(busy);
        let mut last_event = started;
        while free.len() < busy {
            let elapsed = started.elapsed();
            let mut left = if elapsed < length { u64::MAX } else { 0 };
            self.turn(&mut left, &mut work, &mut free, &mut last_event)
                .with_context(|| format!("{} answers outstanding", busy - free.len()))?;
            if elapsed > length + LONGEST {
                bail!("{} answers are still outstanding after {elapsed:?}", busy - free.len());
            }
        }
        work.wall = started.elapsed();
        work.generator = cpu::of_this_thread().saturating_sub(generator);
        Ok(work)
    }

    /// Takes in what has arrived. A connection whose answer is complete asks again at once while there is something `left`
    /// to be asked for, else it is `free`.
    fn turn(
        &mut self,
        left: &mut u64,
        work: &mut Work,
        free: &mut VecDeque<usize>,
        last_event: &mut Instant,
    ) -> Result<()> {
        self.interrupt.check()?;
        let before = (!self.sleeps).then(Instant::now);
        self.wait(if self.sleeps { &GLANCE } else { &NOT_AT_ALL })?;
        if self.events.is_empty() {
            let now = Instant::now();
            work.spun += before.map_or(Duration::ZERO, |before| now - before);
            if now - *last_event > self.patience {
                bail!("nothing arrived for {:?}", self.patience);
            }
            return Ok(());
        }
        let mut now = *last_event;
        for at in 0..self.events.len() {
            let number = self.events[at].data.u64() as usize;
            let connection = &mut self.connections[number];
            let exchange = &self.workload.exchanges[connection.exchange as usize];
            let progress =
                connection.advance(&mut self.buffers, exchange, self.bite).with_context(|| {
                    let asked = exchange.request.trim_ascii_end().escape_ascii();
                    format!("connection {number}, {asked}")
                })?;
            work.body_bytes += progress.bytes;
            now = Instant::now();
            if progress.complete {
                work.completed(self.connections[number].since, now);
                if *left > 0 {
                    *left -= 1;
                    self.ask(number, now)?;
                } else {
                    free.push_back(number);
                }
            } else if self.acknowledges_at_once && progress.bytes > 0 {
                self.connections[number].acknowledge_at_once()?;
            }
        }
        *last_event = now;
        Ok(())
    }

    /// Number of connections on which something happened unasked: they were closed by the server.
    pub(crate) fn closed_by_server(&mut self) -> Result<usize> {
        self.events = Vec::with_capacity(self.connections.len());
        self.wait(&NOT_AT_ALL)?;
        Ok(self.events.len())
    }

    fn wait(&mut self, timeout: &Timespec) -> Result<()> {
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()), // a signal is seen by whoever asks the interrupt next
            Err(error) => Err(error).context("waiting on epoll"),
        }
    }
}

#[cfg(test)]
mod tests;
