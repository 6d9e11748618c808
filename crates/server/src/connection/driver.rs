//! The driver: gives a connection's state machine a socket, a clock and a worker.

use super::{
    machine::{Closing, Event, LINGER, LINGER_BYTES, Machine},
    send::Sent,
};
use crate::{
    log::End,
    respond::{ForPeer, reply::Reply},
    worker::{Place, Worker},
};
use sendrail_sys::{
    send::{recv, recv_discard, send},
    sockopt::unsent_bytes,
};
use sendrail_transfer::Receipt;
use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{io::Interest, net::TcpStream};

/// One connection with its socket.
pub(crate) struct Connection {
    pub(super) worker: Rc<Worker>,
    /// Shared with a thread of the disk pool while that moves a cold window.
    pub(super) stream: Arc<TcpStream>,
    pub(super) peer: SocketAddr,
    /// Bytes that the socket has taken on this connection, and [`BEFORE`].
    pub(super) sent: u64,
    pub(super) machine: Machine,
    /// What is to be sent next.
    pub(super) reply: Option<Reply>,
    /// Given up last: who waits for the last one to leave finds the socket closed.
    pub(super) place: Place,
}

/// More than any socket can still hold of what was sent before the connection was parked. Only how
/// the number of acknowledged bytes grows is looked at.
const BEFORE: u64 = 1 << 40;

/// What a wait ended with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Ready,
    /// The deadline in the slot has passed.
    Over,
    /// An idle connection has been so for a while.
    Quiet,
    /// The server is stopping, and does not wait for this any more.
    Stopping,
}

/// What has become of a connection.
#[derive(Debug, PartialEq, Eq)]
enum Leaving {
    /// It has ended.
    Ended,
    /// It is idle, and has been for a while.
    Quiet,
}

/// Serves one connection until it ends or is parked. `called_back`: it was parked, and something
/// has come.
#[allow(clippy::manual_async_fn)] // an async fn keeps its arguments twice in every task
pub(crate) fn drive(
    mut connection: Connection,
    called_back: bool,
) -> impl Future<Output = ()> + 'static {
    async move {
        // Before tokio knows that there is something: a server that drains does not wait for an idle
        // connection, but answers what it was asked before.
        let mut event = called_back.then(|| connection.receive()).flatten();
        while connection.run(event.take().unwrap_or(Event::Read)).await == Leaving::Quiet {
            let idle_until = connection.machine.deadline();
            match connection.worker.park(connection.stream, idle_until) {
                Ok(()) => return connection.place.give_up(),
                Err(Some(stream)) => connection.stream = stream,
                Err(None) => return,
            }
        }
    }
}

impl Connection {
    pub(crate) fn new(
        worker: Rc<Worker>,
        stream: TcpStream,
        peer: SocketAddr,
        machine: Machine,
        place: Place,
    ) -> Self {
        let stream = Arc::new(stream);
        Self { worker, stream, peer, sent: BEFORE, machine, reply: None, place }
    }

    async fn run(&mut self, mut event: Event) -> Leaving {
        loop {
            event = match event {
                Event::Read => match self.read().await {
                    Some(event) => event,
                    None => return Leaving::Quiet,
                },
                Event::Interim(bytes) => {
                    // A few bytes into an empty buffer; if they do not fit, the client has
                    // stopped reading and may not be waiting for them either.
                    match send(self.fd(), bytes, false) {
                        Ok(sent) if sent == bytes.len() => self.sent += sent as u64,
                        Ok(_) | Err(_) => return Leaving::Ended,
                    }
                    self.with_machine(true, |machine, now, limits, responder| {
                        machine.on_interim_sent(now, limits, responder)
                    })
                }
                Event::Send => match self.send().await {
                    Sent::Whole { at_once } => {
                        // Whoever pipelines thousands of requests lets others go first now and then.
                        tokio::task::coop::consume_budget().await;
                        self.with_machine(!at_once, |machine, now, limits, responder| {
                            machine.on_sent(now, limits, responder)
                        })
                    }
                    Sent::Last => Event::Close(Closing::AfterReply),
                    Sent::CutShort => return Leaving::Ended,
                },
                Event::Close(closing) => {
                    match closing {
                        Closing::Idle => self.note_unsent(),
                        Closing::AfterReply => self.linger().await,
                    }
                    return Leaving::Ended;
                }
            };
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// A client that goes away while the body of its request is awaited gets no reply, but a line.
    fn note_unsent(&mut self) {
        if let Some(Reply { status, record: Some(record), .. }) = self.reply.take() {
            self.worker.log(&record, status, 0, &Receipt::default(), End::PeerGone);
        }
    }

    /// Waits for bytes and gives them to the machine. Nothing comes of it if none have come for a
    /// while between two requests.
    async fn read(&mut self) -> Option<Event> {
        loop {
            let idle = self.machine.is_idle();
            let deadline = self.machine.deadline();
            if idle {
                self.place.slot().set_idle_until(deadline);
            } else {
                self.place.slot().set_deadline(deadline);
            }
            match self.wait(Interest::READABLE, idle).await {
                Wait::Ready => {}
                Wait::Over => {
                    return Some(self.with_machine(true, |machine, _, _, responder| {
                        machine.on_timeout(responder)
                    }));
                }
                Wait::Stopping => return Some(Event::Close(Closing::Idle)),
                Wait::Quiet => return None,
            }
            if let Some(event) = self.receive() {
                return Some(event);
            }
        }
    }

    /// Takes what has come and gives it to the machine. Says what to do then, unless it is to wait
    /// for more.
    fn receive(&mut self) -> Option<Event> {
        let worker = Rc::clone(&self.worker);
        let mut buffer = worker.read_buffer.borrow_mut();
        match recv(self.fd(), &mut buffer) {
            // Whoever sends no more wants no more: what was asked has been answered.
            Ok(0) => Some(Event::Close(Closing::Idle)),
            Ok(count) => {
                if count < buffer.len() {
                    // The socket is empty: asking it again would only tell us so.
                    self.clear(Interest::READABLE);
                }
                let data = &buffer[..count];
                let event = self.with_machine(true, |machine, now, limits, responder| {
                    machine.on_data(data, now, limits, responder)
                });
                (event != Event::Read).then_some(event)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.clear(Interest::READABLE);
                None
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(_) => Some(Event::Close(Closing::Idle)),
        }
    }

    fn with_machine<T>(
        &mut self,
        time_has_passed: bool,
        act: impl FnOnce(&mut Machine, Instant, &crate::config::Limits, &mut ForPeer<'_>) -> T,
    ) -> T {
        if self.worker.is_draining() {
            self.machine.drain();
        }
        let mut site = self.worker.site.borrow_mut();
        if time_has_passed {
            site.clock.tick();
        }
        let now = site.clock.now();
        let logged = self.worker.is_logged();
        let reply = &mut self.reply;
        let mut responder = ForPeer { site: &mut site, reply, peer: self.peer, logged };
        act(&mut self.machine, now, &self.worker.config.limits, &mut responder)
    }

    /// Tells tokio that the socket is not ready, which the engine's own call has found out.
    pub(super) fn clear(&self, interest: Interest) {
        let _ = self
            .stream
            .try_io(interest, || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into()));
    }

    /// Waits for the socket, the slot's deadline, or the order to stop (`idle`: to drain).
    pub(super) async fn wait(&self, interest: Interest, idle: bool) -> Wait {
        poll_fn(|context| self.poll_wait(context, interest, idle)).await
    }

    fn poll_wait(&self, context: &mut Context<'_>, interest: Interest, idle: bool) -> Poll<Wait> {
        if self.worker.is_stopping() {
            return Poll::Ready(Wait::Stopping);
        }
        let ready = if interest.is_readable() {
            self.stream.poll_read_ready(context)
        } else {
            self.stream.poll_write_ready(context)
        };
        // An error of the socket is for the next call to report.
        if ready.is_ready() {
            return Poll::Ready(Wait::Ready);
        }
        // Only now: a request that came before the order is answered, the last one here.
        if idle && self.worker.is_draining() {
            return Poll::Ready(Wait::Stopping);
        }
        let slot = self.place.slot();
        if slot.is_over(self.worker.swept_at()) {
            return Poll::Ready(Wait::Over);
        }
        if slot.is_quiet() {
            return Poll::Ready(Wait::Quiet);
        }
        slot.waits(context);
        Poll::Pending
    }

    /// Closes so that the last reply arrives: says that nothing more comes, and takes what the
    /// client still sends for a while. Closing over unread bytes would be a reset.
    async fn linger(&mut self) {
        const LOOK: Duration = Duration::from_millis(50);
        if rustix::net::shutdown(self.fd(), rustix::net::Shutdown::Write).is_err() {
            return;
        }
        let mut left = LINGER_BYTES;
        let end = Instant::now() + LINGER;
        while left > 0 {
            // A server that drains does not wait for clients that keep a finished connection: it
            // looks now and then whether all has arrived, after which a reset does no harm.
            let draining = self.worker.is_draining();
            let now = Instant::now();
            let deadline = if draining { end.min(now + LOOK) } else { end };
            self.place.slot().set_deadline(deadline);
            match self.wait(Interest::READABLE, !draining).await {
                Wait::Ready => {}
                Wait::Stopping if !self.worker.is_stopping() => continue, // but draining now
                Wait::Over if now < end && unsent_bytes(self.fd()).is_ok_and(|left| left > 0) => {
                    continue;
                }
                Wait::Over | Wait::Quiet | Wait::Stopping => return,
            }
            match recv_discard(self.fd(), left) {
                Ok(0) => return,
                Ok(count) => left -= count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.clear(Interest::READABLE);
                }
                Err(_) => return,
            }
        }
    }
}
