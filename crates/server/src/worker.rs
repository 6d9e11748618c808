//! A worker: one thread, one event loop, and all that its connections share without a lock.

use crate::{
    config::Config,
    connection::{Connection, drive, machine::Machine, slot::Slot},
    listen::Listeners,
    live::Live,
    log::{End, LogBuffer, LogHandle, Record},
    respond::{
        Site,
        listing::{self, PageBudget},
    },
    shutdown::{Order, Orders},
};
use closing::Closing;
use parking::Parking;
use seldom::Seldom;
use sendrail_http::status::Status;
use sendrail_transfer::{
    Receipt,
    disk_pool::{DiskPool, Limits},
};
use slab::Slab;
use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::unix::AsyncFd,
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore, oneshot},
    task::JoinSet,
};
use trim::Trim;

mod closing;
mod parking;
mod place;
mod seldom;
mod sweep;
mod trim;

pub(crate) use place::Place;

/// The read buffer in bytes. One for all connections of a worker, so that it stays in the L1 cache:
/// a buffer per connection costs 16 % at 512 connections. A head is 16 KiB at the most.
const READ_BUFFER: usize = 16 << 10;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    connections: AtomicUsize,
    pages: PageBudget,
    disks: DiskPool,
    trim: Trim,
}

impl Shared {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            connections: AtomicUsize::new(0),
            pages: PageBudget::default(),
            // A connection has one job at the most, so that none is refused.
            disks: DiskPool::new(Limits {
                per_device: config.disk_threads,
                queue: config.max_connections,
            }),
            trim: Trim::new(Instant::now()),
        }
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
    live: Rc<Live>,
    shared: Arc<Shared>,
    log: Option<RefCell<LogBuffer>>,
    slots: RefCell<Slab<Rc<Slot>>>,
    parking: Parking,
    closing: Closing,
    swept_at: Cell<Instant>,
    tidied_at: Cell<Instant>,
    /// That a connection could not be called back.
    lost: Seldom,
    phase: Cell<Order>,
    emptied: Notify,
    filled: Notify,
}

impl Worker {
    /// Runs until it is told to stop and its connections have ended, or the drain time is over. Says
    /// when it is ready.
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
        ready: oneshot::Sender<()>,
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(1) // to give memory back; disks have threads of their own
            .thread_name("trim")
            .build_local(tokio::runtime::LocalOptions::default())?;
        let worker = Rc::new(Self::new(config, shared, log)?);
        let done = runtime.block_on(Rc::clone(&worker).work(listeners, orders, ready));
        runtime.shutdown_background();
        done
    }

    fn new(config: Arc<Config>, shared: Arc<Shared>, log: Option<LogHandle>) -> io::Result<Self> {
        let format = config.log_format;
        Ok(Self {
            site: RefCell::new(Site::new(Arc::clone(&config))),
            live: Live::new(&config, shared.disks.clone()),
            config,
            read_buffer: RefCell::new(vec![0; READ_BUFFER].into()),
            listing_turns: Semaphore::new(listing::AT_ONCE),
            shared,
            log: log.map(|handle| RefCell::new(LogBuffer::new(format, handle))),
            slots: RefCell::new(Slab::new()),
            parking: Parking::new()?,
            closing: Closing::default(),
            swept_at: Cell::new(Instant::now()),
            tidied_at: Cell::new(Instant::now()),
            lost: Seldom::default(),
            phase: Cell::new(Order::Run),
            emptied: Notify::new(),
            filled: Notify::new(),
        })
    }

    #[cfg(test)]
    fn for_a_test() -> Rc<Self> {
        use crate::cli::{Cli, Command};
        let Command::Serve(typed) =
            <Cli as clap::Parser>::parse_from(["sendrail", "serve"]).command
        else {
            unreachable!("that is what was typed")
        };
        let config = Config::check(*typed).map_err(|problem| problem.to_string()).expect("valid");
        let shared = Arc::new(Shared::new(&config));
        Rc::new(Self::new(Arc::new(config), shared, None).expect("epoll"))
    }

    async fn work(
        self: Rc<Self>,
        listeners: Listeners,
        mut orders: Orders,
        ready: oneshot::Sender<()>,
    ) -> io::Result<()> {
        let mut accepting = JoinSet::new();
        for listener in listeners {
            let listener = TcpListener::from_std(listener)?;
            accepting.spawn_local(Rc::clone(&self).accept(listener));
        }
        let parking = self.parking.watch()?;
        let mut keeping = JoinSet::new();
        keeping.spawn_local(Rc::clone(&self).sweep());
        keeping.spawn_local(Rc::clone(&self).unpark(parking));
        let _ = ready.send(()); // who asked may have left
        // None ends by itself: a worker that accepts nobody, keeps no deadline or calls nobody back
        // must not live on.
        tokio::select! {
            () = orders.wait_for(Order::Drain) => {}
            _ = accepting.join_next() => return Err(io::Error::other("its listener died")),
            ended = keeping.join_next() => return Err(match ended {
                Some(Ok(Err(error))) => error,
                _ => io::Error::other("its sweep or its parking died"),
            }),
        }
        accepting.shutdown().await; // the listeners are closed when their tasks are gone
        self.enter_phase(Order::Drain);
        self.close_parked().await;
        tokio::select! {
            () = self.empty() => {}
            () = orders.wait_for(Order::Stop) => {
                let left = self.slots.borrow().len();
                tracing::warn!(connections = left, "closing what is left, unfinished");
                self.enter_phase(Order::Stop);
                let _ = tokio::time::timeout(Duration::from_secs(1), self.empty()).await;
            }
        }
        keeping.shutdown().await;
        Ok(())
    }

    fn enter_phase(&self, phase: Order) {
        self.phase.set(phase);
        self.slots.borrow().iter().for_each(|(_, slot)| slot.wake());
    }

    /// Waits until there is no connection.
    async fn empty(&self) {
        while !self.slots.borrow().is_empty() || !self.parking.is_empty() {
            self.emptied.notified().await;
        }
    }

    async fn accept(self: Rc<Self>, listener: TcpListener) {
        let said = Seldom::default();
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer),
                // Of one connection, gone before it was accepted: accept(2) says to try again.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if said.may_be_said(Instant::now()) {
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
        let machine = Machine::new(Instant::now(), &self.config.limits);
        let place = Place::enter(self, machine.deadline());
        let connection = Connection::new(Rc::clone(self), stream, peer, machine, place);
        tokio::task::spawn_local(drive(connection, false));
    }

    /// Calls parked connections back when something has come for them.
    ///
    /// # Errors
    ///
    /// The parking place does not say who is ready: nobody would be called back any more.
    async fn unpark(self: Rc<Self>, parking: AsyncFd<Rc<OwnedFd>>) -> io::Result<()> {
        /// Then others get their turn. One batch after the other: many that come at once make many
        /// others wait, and a turn of all those for each batch would make the last ones late.
        const TURN: Duration = Duration::from_millis(1);
        loop {
            let mut ready = parking.readable().await?;
            let begun = Instant::now();
            loop {
                let count = self.parking.take_ready(|socket, until| self.call_back(socket, until));
                if count? < parking::AT_ONCE {
                    ready.clear_ready();
                    break;
                }
                if begun.elapsed() >= TURN {
                    drop(ready);
                    tokio::task::yield_now().await;
                    break;
                }
            }
        }
    }

    /// Gives a connection that was parked a task again. Something has come for it.
    fn call_back(self: &Rc<Self>, socket: OwnedFd, idle_until: Instant) {
        self.shared.trim.have_left(1);
        let place = Place::enter(self, idle_until); // it is still counted, and from here on by its place
        let stream = std::net::TcpStream::from(socket);
        let Ok(peer) = stream.peer_addr() else { return }; // ENOTCONN: it was reset
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                // Where one is lost for want of memory or of watches, thousands may be.
                if self.lost.may_be_said(Instant::now()) {
                    tracing::warn!(%error, %peer, "a connection is lost, and perhaps others");
                }
                return;
            }
        };
        let machine = Machine::idle_until(idle_until);
        let connection = Connection::new(Rc::clone(self), stream, peer, machine, place);
        tokio::task::spawn_local(drive(connection, true));
    }

    /// Closes what is parked, but for what has asked for something: that is answered.
    async fn close_parked(self: &Rc<Self>) {
        let mut from = 0;
        while !self.parking.is_empty() {
            let (closed, next) = self.parking.close_some(from, |socket, until| {
                self.call_back(socket, until);
            });
            self.parked_have_left(closed);
            from = next.unwrap_or(0);
            tokio::task::yield_now().await;
        }
    }

    /// So many have been closed while they were parked.
    fn parked_have_left(&self, count: usize) {
        if count > 0 {
            self.shared.trim.have_left(count);
            self.shared.connections.fetch_sub(count, Ordering::Relaxed);
            self.emptied.notify_one();
        }
    }

    fn flush_log(&self) {
        if let Some(log) = &self.log {
            log.borrow_mut().flush();
        }
    }

    /// Parks an idle connection until something comes for it. Its place has to be given up.
    ///
    /// # Errors
    ///
    /// The stream, if it has to wait where it is; nothing, if it is lost.
    pub(crate) fn park(
        &self,
        stream: Arc<TcpStream>,
        idle_until: Instant,
    ) -> Result<(), Option<Arc<TcpStream>>> {
        self.parking.park(stream, idle_until)?;
        self.shared.trim.has_parked();
        Ok(())
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

    /// What it knows of files that grow.
    pub(crate) fn live(&self) -> &Rc<Live> {
        &self.live
    }

    /// The threads that may sleep on a disk.
    pub(crate) fn disks(&self) -> &DiskPool {
        &self.shared.disks
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
