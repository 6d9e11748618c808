//! The load generator: a closed loop over N keep-alive connections in one thread, so cheap that the server is the
//! bottleneck. Each connection asks, reads the whole answer, and asks again; only complete answers count.

mod connection;
mod response;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::cpu;
use crate::interrupt::Interrupt;
use crate::root::Document;
use connection::{Buffers, Connection};

/// Connections opened and tried out together: less than any server's accept backlog.
const BATCH: usize = 128;
/// How often a waiting generator looks up for a signal.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
const NOT_AT_ALL: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// Nothing at all arriving for so long is a failure of the server.
const STALLED: Duration = Duration::from_secs(10);
/// Longer than this no stretch may last beyond its `length`, however slowly bytes still arrive.
const LONGEST: Duration = Duration::from_mins(10);

/// N open connections to one server that ask for one document.
pub(crate) struct Load<'a> {
    document: &'a Document,
    request: Vec<u8>,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    buffers: Buffers,
    events: Vec<epoll::Event>,
    interrupt: &'a Interrupt,
    sleeps: bool,
}

/// What was done in one stretch of load. From the first request to the last byte of the last answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    /// Complete answers.
    pub(crate) requests: u64,
    /// Their bodies.
    pub(crate) body_bytes: u64,
    pub(crate) wall: Duration,
    /// CPU time of the generator itself.
    pub(crate) generator: Duration,
    /// Of that, looking in vain for something to do; zero for a generator that sleeps.
    pub(crate) spun: Duration,
}

impl<'a> Load<'a> {
    /// Opens `connections` to `address`. The first answer on each is compared byte for byte with the document (a
    /// sparse document's is only counted), so that no server is measured on doing something else.
    pub(crate) fn open(
        address: SocketAddr,
        document: &'a Document,
        connections: usize,
        interrupt: &'a Interrupt,
    ) -> Result<Load<'a>> {
        let mut load = Load::silent(address, document, interrupt)?;
        while load.connections.len() < connections {
            let first = load.connections.len();
            let batch = BATCH.min(connections - first);
            load.connect(address, batch)?;
            load.drive(first..first + batch, Duration::ZERO).with_context(|| {
                format!("trying out connections {first} to {}", first + batch - 1)
            })?;
        }
        Ok(load)
    }

    /// The same without a first answer: for documents so large that one answer is the whole measurement.
    pub(crate) fn open_untried(
        address: SocketAddr,
        document: &'a Document,
        connections: usize,
        interrupt: &'a Interrupt,
    ) -> Result<Load<'a>> {
        let mut load = Load::silent(address, document, interrupt)?;
        load.connect(address, connections)?;
        Ok(load)
    }

    fn silent(
        address: SocketAddr,
        document: &'a Document,
        interrupt: &'a Interrupt,
    ) -> Result<Load<'a>> {
        Ok(Load {
            document,
            request: format!("GET {} HTTP/1.1\r\nHost: {address}\r\n\r\n", document.target)
                .into_bytes(),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)
                .context("creating an epoll instance")?,
            connections: Vec::new(),
            buffers: Buffers::default(),
            events: Vec::with_capacity(512),
            interrupt,
            sleeps: true,
        })
    }

    /// From now on looks for answers without ever sleeping, so that no server pays for waking the generator up. On
    /// loopback that is a part of the server's CPU time; a client across a network never costs it.
    pub(crate) fn spin(&mut self) {
        self.sleeps = false;
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
        self.drive(0..self.connections.len(), length)
    }

    fn drive(&mut self, which: std::ops::Range<usize>, length: Duration) -> Result<Work> {
        let started = Instant::now();
        let generator = cpu::of_this_thread();
        let mut work = Work::default();
        let mut busy = which.len();
        for connection in &mut self.connections[which] {
            connection.ask(&self.request)?;
        }
        let mut last_event = started;
        let mut last_look = started;
        while busy > 0 {
            self.interrupt.check()?;
            self.wait(if self.sleeps { &GLANCE } else { &NOT_AT_ALL })?;
            let now = Instant::now();
            if !self.events.is_empty() {
                last_event = now;
            } else if !self.sleeps {
                work.spun += now - last_look;
            }
            if now - last_event > STALLED {
                bail!("nothing arrived for {STALLED:?} with {busy} answers outstanding");
            }
            if now - started > length + LONGEST {
                bail!("{busy} answers are still outstanding after {:?}", now - started);
            }
            let asking = now - started < length;
            for event in &self.events {
                let number = event.data.u64() as usize;
                let connection = &mut self.connections[number];
                let complete = connection
                    .advance(&mut self.buffers, self.document)
                    .with_context(|| format!("connection {number}, {}", self.document.target))?;
                if complete {
                    work.requests += 1;
                    work.body_bytes += self.document.len;
                    if asking {
                        connection.ask(&self.request)?;
                    } else {
                        busy -= 1;
                    }
                }
            }
            last_look = if self.events.is_empty() { now } else { Instant::now() };
        }
        work.wall = started.elapsed();
        work.generator = cpu::of_this_thread().saturating_sub(generator);
        Ok(work)
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
