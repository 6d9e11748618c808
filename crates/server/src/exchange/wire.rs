//! The connection: messages and bytes over a socket that is never waited for without looking whether to stop.

use super::{
    failure::Failure,
    protocol::{self, Message, Nonsense, PREAMBLE, Role},
};
use crate::page_cache::interrupt::Stop;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sendrail_sys::{
    send::{recv, recv_discard, send},
    sockopt::{acknowledged_bytes, set_receive_low_water, unsent_bytes},
};
use sendrail_transfer::Acknowledged;
use socket2::{SockRef, TcpKeepalive};
use std::{
    cell::Cell,
    io,
    net::{Shutdown, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// How long a signal may go unnoticed that came just before a wait.
const GLANCE: Duration = Duration::from_millis(250);
/// How long one who was told that nothing more can be taken may go on sending.
const LINGER: Duration = Duration::from_secs(10);

/// How often one who is busy says that it still is: three times before anybody may lose patience who asks for half a minute.
const BEAT: Duration = Duration::from_secs(10);

/// A connection.
pub(super) struct Wire {
    stream: Arc<TcpStream>,
    stop: Stop,
    /// How long the other side may be silent.
    idle: Option<Duration>,
    calls: Cell<u64>,
    /// So many bytes are waited for.
    low_water: Cell<u32>,
    /// When something was last said.
    said: Cell<Instant>,
}

/// What the other side said of itself.
#[derive(Debug)]
pub(super) struct Greeting {
    /// Whether checksums come with the files.
    pub(super) checksum: bool,
    /// How many bytes are to come, if that is known.
    pub(super) total: Option<u64>,
}

impl Wire {
    /// Takes a connection. `idle`: how long the other side may be silent where nobody says otherwise; for ever without.
    pub(super) fn new(stream: TcpStream, stop: Stop, idle: Option<Duration>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // Messages are small and waited for; what is large is corked by the engine.
        stream.set_nodelay(true)?;
        // Either side may have nothing to say for hours. This finds out whether it is still there.
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(30))
            .with_interval(Duration::from_secs(10))
            .with_retries(6);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        Ok(Self {
            stream: Arc::new(stream),
            stop,
            idle,
            calls: Cell::new(0),
            low_water: Cell::new(1),
            said: Cell::new(Instant::now()),
        })
    }

    /// The socket.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// System calls so far, for messages and for waiting.
    pub(super) fn calls(&self) -> u64 {
        self.calls.get()
    }

    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
    }

    /// Who knows what the other side has acknowledged.
    pub(super) fn far_end(&self) -> Arc<dyn Acknowledged> {
        Arc::new(FarEnd(Arc::downgrade(&self.stream)))
    }

    /// Both say who they are. `patience`: how long the other side may take.
    pub(super) fn greet(&self, hello: &Message, patience: Duration) -> Result<Greeting, Failure> {
        let patience = self.idle.map_or(patience, |idle| idle.min(patience));
        let until = Some(Instant::now() + patience);
        self.write_all(&PREAMBLE)?;
        self.say(hello)?;
        let mut preamble = [0; PREAMBLE.len()];
        self.read_exact(&mut preamble, until)?;
        let name = PREAMBLE.len() - 2; // up to the version
        if preamble[..name] != PREAMBLE[..name] {
            return Err(Nonsense("it is no sendrail send or recv".into()).into());
        }
        if preamble != PREAMBLE {
            let version = String::from_utf8_lossy(&preamble[name..]);
            return Err(Nonsense(format!("it speaks version {}", version.trim())).into());
        }
        let Message::Hello { role: ours, .. } = hello else { unreachable!("a greeting") };
        match self.hear(until)? {
            Message::Hello { role, checksum, total, .. } if role != *ours => {
                Ok(Greeting { checksum, total })
            }
            Message::Hello { .. } => Err(Failure::Connection(match ours {
                Role::Send => "both sides want to send".into(),
                Role::Receive => "both sides want to receive".into(),
            })),
            Message::Failed { message, again } => Err(Failure::of_peer(message, again)),
            _ => Err(Nonsense("it does not greet".into()).into()),
        }
    }

    /// Sends a message.
    pub(super) fn say(&self, message: &Message) -> Result<(), Failure> {
        self.write_all(&protocol::encode(message)?)
    }

    /// Says now and then that this side is still busy, when it has nothing else to say.
    pub(super) fn beat(&self, still: &[u8]) -> Result<(), Failure> {
        if self.said.get().elapsed() < BEAT { Ok(()) } else { self.write_all(still) }
    }

    /// Receives a message: exactly its bytes, for what follows may be a file's.
    pub(super) fn hear(&self, until: Option<Instant>) -> Result<Message, Failure> {
        loop {
            let mut head = [0; 4];
            self.read_exact(&mut head, until)?;
            let mut body = vec![0; protocol::message_len(head)?];
            self.read_exact(&mut body, until)?;
            match protocol::decode(&body)? {
                Message::Busy => {}
                message => return Ok(message),
            }
        }
    }

    /// From now on so many bytes are waited for, or the end. What is there below that can be taken all the same.
    pub(super) fn wait_for(&self, bytes: u32) {
        if self.low_water.get() != bytes {
            self.count();
            // Where it is refused, it stays at the one byte that it was.
            if set_receive_low_water(self.socket(), bytes).is_ok() {
                self.low_water.set(bytes);
            }
        }
    }

    /// Whether it can be waited any longer for one who was last heard then.
    pub(super) fn is_patient(&self, heard: Instant) -> Result<(), Failure> {
        match self.idle {
            Some(idle) if heard.elapsed() >= idle => Err(Failure::silent(idle)),
            _ => Ok(()),
        }
    }

    /// Receives exactly so many bytes.
    pub(super) fn read_exact(
        &self,
        mut buffer: &mut [u8],
        until: Option<Instant>,
    ) -> Result<(), Failure> {
        self.wait_for(1);
        while !buffer.is_empty() {
            self.count();
            match recv(self.socket(), buffer) {
                Ok(0) => return Err(Failure::closed()),
                Ok(count) => buffer = &mut buffer[count..],
                Err(error) => self.wait_after(&error, PollFlags::IN, until)?,
            }
        }
        Ok(())
    }

    /// Sends all of it.
    pub(super) fn write_all(&self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            self.count();
            match send(self.socket(), bytes, false) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => self.wait_after(&error, PollFlags::OUT, None)?,
            }
        }
        self.said.set(Instant::now());
        Ok(())
    }

    /// Waits until the socket is ready, if `error` says no more than that it was not.
    pub(super) fn wait_after(
        &self,
        error: &io::Error,
        what: PollFlags,
        until: Option<Instant>,
    ) -> Result<(), Failure> {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.wait(what, until).map(drop),
            io::ErrorKind::Interrupted => self.look(),
            _ => Err(Failure::broke(error)),
        }
    }

    /// Waits until the socket is ready for one of these.
    pub(super) fn wait(
        &self,
        what: PollFlags,
        until: Option<Instant>,
    ) -> Result<PollFlags, Failure> {
        let begun = Instant::now();
        loop {
            self.look()?;
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Failure::Connection("the other side says nothing".into()));
            }
            if until.is_none() {
                self.is_patient(begun)?;
            }
            self.count();
            let ready = ready(self.socket(), what, left.map_or(GLANCE, |left| left.min(GLANCE)))
                .map_err(|error| Failure::broke(&error))?;
            if !ready.is_empty() {
                return Ok(ready);
            }
        }
    }

    /// Whether the other side has said something, or is gone.
    pub(super) fn has_word(&self) -> Result<bool, Failure> {
        self.count();
        let ready = ready(self.socket(), PollFlags::IN, Duration::ZERO);
        Ok(!ready.map_err(|error| Failure::broke(&error))?.is_empty())
    }

    /// Whether a signal has come.
    pub(super) fn look(&self) -> Result<(), Failure> {
        if self.stop.is_asked() { Err(Failure::Interrupted) } else { Ok(()) }
    }

    /// What was sent is not all there is: the connection is reset when it is closed (socket(7), SO_LINGER), so that nobody
    /// takes its end for that of the bytes.
    pub(super) fn break_off(&self) {
        let _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Says that nothing more is sent, and waits until the other side, which must have read all of it by then, closes. What it
    /// says is thrown away.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        self.stream.shutdown(Shutdown::Write).map_err(|error| Failure::broke(&error))?;
        loop {
            self.count();
            match recv_discard(self.socket(), 1 << 20) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => self.wait_after(&error, PollFlags::IN, None)?,
            }
        }
    }

    /// Says why nothing more can be taken, and throws away what still comes: a socket that is closed with bytes unread
    /// is reset (RFC 1122, 4.2.2.13), and the reason may be lost with it.
    pub(super) fn give_up(&self, message: String, again: bool) {
        if self.say(&Message::Failed { message, again }).is_err() {
            return;
        }
        let _ = self.stream.shutdown(Shutdown::Write);
        let until = Some(Instant::now() + LINGER);
        loop {
            match recv_discard(self.socket(), 1 << 20) {
                Ok(0) => return,
                Ok(_) if until.is_some_and(|until| Instant::now() > until) => return,
                Ok(_) => {}
                Err(error) => {
                    if self.wait_after(&error, PollFlags::IN, until).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// Which of these a descriptor is ready for, or that it has failed. None after `patience`, or if a signal came.
pub(super) fn ready(
    descriptor: BorrowedFd<'_>,
    what: PollFlags,
    patience: Duration,
) -> io::Result<PollFlags> {
    let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
    let mut polled = [PollFd::from_borrowed_fd(descriptor, what)];
    match poll(&mut polled, Some(&patience)) {
        Ok(_) => Ok(polled[0].revents()),
        Err(rustix::io::Errno::INTR) => Ok(PollFlags::empty()),
        Err(error) => Err(error.into()),
    }
}

/// Holds no connection open: whoever waits for its end would wait for us.
struct FarEnd(Weak<TcpStream>);

impl Acknowledged for FarEnd {
    fn acknowledged(&self) -> Option<(u64, u64)> {
        let stream = self.0.upgrade()?;
        let socket = stream.as_fd();
        Some((acknowledged_bytes(socket).ok()?, unsent_bytes(socket).ok()?))
    }
}
