//! A worker: one thread, one event loop, and all that its connections share without a lock.

use crate::{
    config::Config,
    connection::{drive, slot::Slot},
    listen::Listeners,
    log::{End, LogBuffer, LogHandle, Record},
    respond::{
        Site,
        listing::{self, PageBudget},
    },
    shutdown::{Order, Orders},
};
use sendrail_http::status::Status;
use sendrail_transfer::Receipt;
use slab::Slab;
use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    task::JoinSet,
};

/// The read buffer in bytes. One for all connections of a worker, so that it stays in the L1 cache:
/// a buffer per connection costs 16 % at 512 connections. A head is 16 KiB at the most.
const READ_BUFFER: usize = 16 << 10;

/// How often deadlines are looked at. A deadline is kept to within this much.
const SWEEP: Duration = Duration::from_millis(250);

/// Threads that may sleep on the disk, per worker.
const DISK_THREADS: usize = 16;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    connections: AtomicUsize,
    pages: PageBudget,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self { connections: AtomicUsize::new(0), pages: PageBudget::default() }
    }

    /// Connections that are open now.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// What the connections of one worker share.
pub(crate) struct Worker {
    pub(crate) config: Arc<Config>,
    pub(crate) site: RefCell<Site>,
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    /// Who may make a listing.
    pub(crate) listing_turns: Semaphore,
    shared: Arc<Shared>,
    log: Option<RefCell<LogBuffer>>,
    slots: RefCell<Slab<Rc<Slot>>>,
    swept_at: Cell<Instant>,
    phase: Cell<Order>,
    emptied: Notify,
    filled: Notify,
}

impl Worker {
    /// Runs until it is told to stop and its connections have ended, or the drain time is over.
    ///
    /// # Errors
    ///
    /// The kernel refuses an event loop (`epoll_create1(2)`), or a listener does not fit into it.
    pub(crate) fn run(
        config: Arc<Config>,
        shared: Arc<Shared>,
        log: Option<LogHandle>,
        listeners: Listeners,
        orders: Orders,
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(DISK_THREADS)
            .thread_name("disk")
            .build_local(tokio::runtime::LocalOptions::default())?;
        let worker = Rc::new(Self::new(config, shared, log));
        let done = runtime.block_on(Rc::clone(&worker).work(listeners, orders));
        // A thread that sleeps on a dead disk must not keep the process alive.
        runtime.shutdown_background();
        done
    }

    fn new(config: Arc<Config>, shared: Arc<Shared>, log: Option<LogHandle>) -> Self {
        let format = config.log_format;
        Self {
            site: RefCell::new(Site::new(Arc::clone(&config))),
            config,
            read_buffer: RefCell::new(vec![0; READ_BUFFER].into()),
            listing_turns: Semaphore::new(listing::AT_ONCE),
            shared,
            log: log.map(|handle| RefCell::new(LogBuffer::new(format, handle))),
            slots: RefCell::new(Slab::new()),
            swept_at: Cell::new(Instant::now()),
            phase: Cell::new(Order::Run),
            emptied: Notify::new(),
            filled: Notify::new(),
        }
    }

    async fn work(self: Rc<Self>, listeners: Listeners, mut orders: Orders) -> io::Result<()> {
        let mut accepting = JoinSet::new();
        for listener in listeners {
            let listener = TcpListener::from_std(listener)?;
            accepting.spawn_local(Rc::clone(&self).accept(listener));
        }
        let mut sweeping = JoinSet::new();
        sweeping.spawn_local(Rc::clone(&self).sweep());
        // Neither ends by itself: a worker that accepts nobody or keeps no deadline must not live on.
        tokio::select! {
            () = orders.wait_for(Order::Drain) => {}
            _ = accepting.join_next() => return Err(io::Error::other("its listener died")),
            _ = sweeping.join_next() => return Err(io::Error::other("its sweep died")),
        }
        accepting.shutdown().await; // the listeners are closed when their tasks are gone
        self.enter_phase(Order::Drain);
        tokio::select! {
            () = self.empty() => {}
            () = orders.wait_for(Order::Stop) => {
                let left = self.slots.borrow().len();
                tracing::warn!(connections = left, "closing what is left, unfinished");
                self.enter_phase(Order::Stop);
                // A connection whose window is with a slow disk cannot be reached.
                let _ = tokio::time::timeout(Duration::from_secs(1), self.empty()).await;
            }
        }
        sweeping.shutdown().await;
        Ok(())
    }

    fn enter_phase(&self, phase: Order) {
        self.phase.set(phase);
        self.slots.borrow().iter().for_each(|(_, slot)| slot.wake());
    }

    /// Waits until there is no connection.
    async fn empty(&self) {
        while !self.slots.borrow().is_empty() {
            self.emptied.notified().await;
        }
    }

    async fn accept(self: Rc<Self>, listener: TcpListener) {
        const SAID_EVERY: Duration = Duration::from_secs(10);
        let mut said: Option<Instant> = None;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer),
                // Of one connection, gone before it was accepted: accept(2) says to try again.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
                        said = Some(Instant::now());
                        tracing::error!(%error, "cannot accept connections; trying on");
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn admit(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr) {
        const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
            Content-Length: 0\r\nConnection: close\r\n\r\n";
        if self.shared.connections.fetch_add(1, Ordering::Relaxed) >= self.config.max_connections {
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
            let _ = stream.try_write(BUSY);
            return;
        }
        // Without it Nagle holds back the last packet of a response for the client's delayed ACK.
        let _ = stream.set_nodelay(true);
        tokio::task::spawn_local(drive(Rc::clone(self), stream, peer));
    }

    /// Looks at the deadlines of all connections, and does what is due now and then.
    async fn sweep(self: Rc<Self>) {
        const TIDY_EVERY: u32 = 40; // sweeps, so every ten seconds
        let mut sweeps = 0_u32;
        loop {
            if self.slots.borrow().is_empty() {
                self.flush_log();
                let somebody = self.filled.notified();
                if tokio::time::timeout(SWEEP * TIDY_EVERY, somebody).await.is_err() {
                    // What is kept open is of use to nobody, and a deleted file wants its space back.
                    self.site.borrow_mut().close_all();
                    self.filled.notified().await; // sleeps without waking up
                }
            }
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            self.swept_at.set(now);
            for (_, slot) in self.slots.borrow().iter() {
                if slot.is_over(now) {
                    slot.wake();
                }
            }
            self.flush_log();
            sweeps = sweeps.wrapping_add(1);
            if sweeps.is_multiple_of(TIDY_EVERY) {
                let mut site = self.site.borrow_mut();
                site.clock.tick();
                site.tidy();
            }
        }
    }

    fn flush_log(&self) {
        if let Some(log) = &self.log {
            log.borrow_mut().flush();
        }
    }

    /// Takes a connection in, until its place is dropped.
    pub(crate) fn enter(self: &Rc<Self>, deadline: Instant) -> Place {
        let slot = Rc::new(Slot::new(deadline));
        let mut slots = self.slots.borrow_mut();
        if slots.is_empty() {
            self.filled.notify_one();
        }
        let key = slots.insert(Rc::clone(&slot));
        Place { worker: Rc::clone(self), key, slot }
    }

    fn leave(&self, key: usize) {
        let mut slots = self.slots.borrow_mut();
        slots.remove(key);
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        if slots.is_empty() {
            slots.shrink_to_fit();
            self.emptied.notify_one();
        }
    }

    /// The time of the last sweep: a deadline before it has passed.
    pub(crate) fn swept_at(&self) -> Instant {
        self.swept_at.get()
    }

    /// Whether the server takes no more requests.
    pub(crate) fn is_draining(&self) -> bool {
        self.phase.get() >= Order::Drain
    }

    /// Whether it does not even finish what it is sending.
    pub(crate) fn is_stopping(&self) -> bool {
        self.phase.get() >= Order::Stop
    }

    /// What the listings on their way take of the memory.
    pub(crate) fn page_budget(&self) -> PageBudget {
        self.shared.pages.clone()
    }

    /// Whether there is an access log.
    pub(crate) fn is_logged(&self) -> bool {
        self.log.is_some()
    }

    /// Logs a finished request.
    pub(crate) fn log(
        &self,
        record: &Record,
        status: Status,
        head_len: u64,
        receipt: &Receipt,
        end: End,
    ) {
        if let Some(log) = &self.log {
            log.borrow_mut().write(record, status, head_len, receipt, end);
        }
    }
}

/// A connection's place with its worker, given up when it is dropped: also by a panic, which ends one
/// connection and must neither be counted as open for ever nor keep the server from stopping.
pub(crate) struct Place {
    worker: Rc<Worker>,
    key: usize,
    slot: Rc<Slot>,
}

impl Place {
    pub(crate) fn slot(&self) -> &Rc<Slot> {
        &self.slot
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker.leave(self.key);
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    #[test]
    fn a_connection_that_panics_leaves_its_place() {
        let Command::Serve(typed) = Cli::parse_from(["sendrail", "serve"]).command else {
            unreachable!("that is what was typed")
        };
        let config = Config::check(*typed).map_err(|problem| problem.to_string()).expect("valid");
        let shared = Arc::new(Shared::new());
        shared.connections.fetch_add(1, Ordering::Relaxed); // as admit does
        let worker = Rc::new(Worker::new(Arc::new(config), Arc::clone(&shared), None));
        let place = worker.enter(Instant::now());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _place = place;
            panic!("a bug in one connection; the test wants it");
        }));
        assert!(panicked.is_err());
        assert_eq!((shared.connections(), worker.slots.borrow().len()), (0, 0));
    }
}
