//! The body of an upload on its way from the socket into a file: what a thread that may sleep does of it in one turn.

use super::{few::OneOfFew, target::Target};
use crate::trace::{Remains, Trace};
use sendrail_files::{ArrivalError, Digesting};
use sendrail_http::{
    body::{Drain, Taken},
    head::{Framing, Refusal},
    status::Status,
};
use sendrail_sys::{pread::pwrite, send::recv_now, sockopt::set_receive_low_water};
use sendrail_transfer::receive::{
    RangeInto, ReceiveFault, ReceiveMethod, ReceiveOptions, ReceiveStep, Received, Reception,
};
use std::{
    cell::Cell,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

const TOO_LARGE: Refusal = Refusal {
    status: Status::CONTENT_TOO_LARGE,
    why: "the file is larger than --upload-max allows",
};

/// What one step of the buffered way moves, in bytes.
const WINDOW: u64 = 1 << 20;
/// Length of a thread's buffer in bytes: as the engine's, see `docs/decisions/0012-receiving.md`.
const BUFFER: usize = 256 << 10;
/// From this length in bytes on a new file goes past the page cache: it costs less of the processor than making its pages, and what
/// others read stays there (docs/decisions/0019-uploads.md).
pub(super) const DIRECT_FROM: u64 = 8 << 20;
/// Up to this length in bytes: by one buffer, of which what came with the head is the beginning.
const BUFFERED_TO: u64 = 256 << 10;
/// So many bytes are waited for where so many are sure to come (SO_RCVLOWAT, socket(7)): a trip to the pool is to move much.
const LOW_WATER: u32 = 256 << 10;
thread_local! {
    /// Empty until the thread receives for the first time, and while it does.
    static THREADS: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What a step came to.
#[derive(Debug)]
pub(crate) enum Step {
    /// All of the body is in the file.
    End,
    /// There may be more at once.
    Yield,
    /// The socket has nothing now.
    Socket,
    /// It is over before its end.
    Failed(Fault),
}

/// Why a body does not come to its end.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The client has said that nothing more comes, and perhaps closed the connection.
    Ended,
    /// The client has reset it.
    PeerGone,
    /// It is malformed, or longer than it may be.
    Refused(Refusal),
    /// The file takes no more.
    File(io::Error),
    /// Nor will there be room for it.
    Stored(ArrivalError),
}

/// A body on its way.
#[derive(Debug)]
pub(crate) struct Body {
    offset: u64,
    /// Up to here there is room.
    granted: u64,
    /// What came with the head.
    ahead: Vec<u8>,
    way: Way,
    digesting: Option<Digesting>,
    /// Of what is large, or may become so.
    trace: Option<Trace<Arc<File>>>,
    received: Received,
    /// As the socket has it.
    low_water: u32,
}

/// How it is received.
#[derive(Debug)]
enum Way {
    /// So many bytes are still to come.
    Buffer { left: u64 },
    /// In chunks (RFC 9112 §7.1).
    Chunks(Drain),
    /// By the engine, from the first byte on that did not come with the head.
    Engine(Box<Engine>),
}

#[derive(Debug)]
struct Engine {
    file: Arc<File>,
    left: u64,
    method: ReceiveMethod,
    reception: Option<Reception>,
    _one: Option<OneOfFew>,
}

impl Body {
    /// A body that is framed as its head says, of which `ahead` has come, into `file` from `offset` on. `most`: bytes that it may
    /// have if it does not say how many it has.
    ///
    /// # Errors
    ///
    /// It says that it has more; or there is no descriptor left.
    pub(crate) fn new(
        file: &File,
        offset: u64,
        framing: Framing,
        ahead: Vec<u8>,
        digesting: Option<Digesting>,
        most: u64,
    ) -> Result<Self, Fault> {
        let shared = || file.try_clone().map(Arc::new).map_err(Fault::File);
        let (way, size) = match framing {
            Framing::None => (Way::Buffer { left: 0 }, Some(offset)),
            Framing::Length(left) if left > most => return Err(Fault::Refused(TOO_LARGE)),
            Framing::Length(left) if digesting.is_some() || left <= BUFFERED_TO => {
                (Way::Buffer { left }, Some(offset + left))
            }
            Framing::Length(left) => {
                let is_large = left - left.min(ahead.len() as u64) >= DIRECT_FROM;
                let one = is_large.then(OneOfFew::enter).flatten();
                let method = match one {
                    Some(_) => ReceiveMethod::Direct,
                    None => ReceiveMethod::Buffered,
                };
                let engine = Engine { file: shared()?, left, method, reception: None, _one: one };
                (Way::Engine(Box::new(engine)), Some(offset + left))
            }
            Framing::Chunked => {
                let drain = Drain::new(framing, most).map_err(Fault::Refused)?;
                (Way::Chunks(drain), None)
            }
        };
        let trace = match size {
            Some(size) if size <= BUFFERED_TO => None,
            _ => Some(Trace::new(Remains::Small, shared()?, offset, size)),
        };
        let received = Received::default();
        let granted = size.unwrap_or(offset); // for what was announced it has been asked
        Ok(Self { offset, granted, ahead, way, digesting, trace, received, low_water: 1 })
    }

    /// What it has cost so far, and how much there is of it.
    pub(crate) fn received(&self) -> Received {
        let mut all = self.received.clone();
        if let Some(reception) = self.reception() {
            add(&mut all, reception.received());
        }
        all.system_calls += self.trace.as_ref().map_or(0, |trace| trace.calls);
        all
    }

    /// Where the next byte belongs: all before it are in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.reception().map_or(self.offset, Reception::offset)
    }

    /// Bytes that have been taken off the socket, in the file or not.
    pub(crate) fn taken(&self) -> u64 {
        self.received.bytes + self.reception().map_or(0, Reception::taken)
    }

    /// What of a body with a length is still in the socket, or will be; nothing is known of one in chunks.
    pub(crate) fn left(&self) -> Option<u64> {
        match &self.way {
            Way::Buffer { left } => Some(*left),
            Way::Chunks(_) => None,
            Way::Engine(engine) => {
                Some(engine.left - engine.reception.as_ref().map_or(0, Reception::taken))
            }
        }
    }

    /// What has been made of the bytes meanwhile.
    pub(crate) fn take_digesting(&mut self) -> Option<Digesting> {
        self.digesting.take()
    }

    /// What came behind the body.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ahead)
    }

    /// Moves what has come, about one window at the most. Sleeps on the disk.
    pub(crate) fn step(&mut self, target: &mut Target, socket: BorrowedFd<'_>) -> Step {
        let step = match &self.way {
            Way::Buffer { .. } | Way::Chunks(_) => self.by_buffer(target, socket),
            Way::Engine(_) => self.by_engine(target, socket),
        };
        let step = step.unwrap_or_else(Step::Failed);
        let offset = self.offset();
        if !self.is_direct()
            && let Some(trace) = &mut self.trace
            && let Err(error) = trace.up_to(offset)
        {
            return Step::Failed(Fault::File(error));
        }
        match step {
            Step::Yield => {}
            Step::Socket => self.set_low_water(socket, self.left().unwrap_or(1)),
            Step::End | Step::Failed(_) => self.set_low_water(socket, 1), // what follows may be short
        }
        step
    }

    /// What the engine has taken off the socket is written now: nothing more comes.
    pub(crate) fn settle(&mut self) {
        if let Way::Engine(engine) = &mut self.way
            && let Some(reception) = &mut engine.reception
            && reception.holds_something()
        {
            let _ = reception.write_held(); // how far it came is known by the offset
        }
    }

    /// Whether it goes past the page cache, where it leaves no trace.
    fn is_direct(&self) -> bool {
        match &self.way {
            Way::Engine(engine) => {
                let refused =
                    engine.reception.as_ref().map(|it| !it.received().refusals.is_empty());
                engine.method == ReceiveMethod::Direct && refused != Some(true)
            }
            Way::Buffer { .. } | Way::Chunks(_) => false,
        }
    }

    fn reception(&self) -> Option<&Reception> {
        match &self.way {
            Way::Engine(engine) => engine.reception.as_ref(),
            Way::Buffer { .. } | Way::Chunks(_) => None,
        }
    }

    /// The last bytes come alone: what would follow them may be waited for in vain.
    fn set_low_water(&mut self, socket: BorrowedFd<'_>, sure: u64) {
        let wanted = u32::try_from(sure).map_or(LOW_WATER, |sure| sure.clamp(1, LOW_WATER));
        if wanted != self.low_water && set_receive_low_water(socket, wanted).is_ok() {
            self.received.system_calls += 1;
            self.low_water = wanted;
        }
    }

    fn by_engine(&mut self, target: &mut Target, socket: BorrowedFd<'_>) -> Result<Step, Fault> {
        if self.reception().is_none() && !self.ahead.is_empty() {
            let mut ours = std::mem::take(&mut self.ahead);
            if let Way::Engine(engine) = &mut self.way {
                self.ahead = ours.split_off(engine.left.min(ours.len() as u64) as usize);
                engine.left -= ours.len() as u64;
            }
            self.write(target, &ours)?;
        }
        let Way::Engine(engine) = &mut self.way else { unreachable!("who calls has looked") };
        let reception = engine.reception.get_or_insert_with(|| {
            let method = Some(engine.method);
            let options = ReceiveOptions { method, ..ReceiveOptions::default() };
            let range = RangeInto::new(self.offset, engine.left);
            Reception::new(Arc::clone(&engine.file), range, &options)
        });
        let mut step = reception.step(socket);
        if let ReceiveStep::WaitDisk = step {
            step = reception.write_held();
        }
        match step {
            ReceiveStep::Done => Ok(Step::End),
            ReceiveStep::WaitSocket => Ok(Step::Socket),
            ReceiveStep::Failed(ReceiveFault::File { error, .. }, _) => Err(Fault::File(error)),
            ReceiveStep::Failed(ReceiveFault::TooShort { .. }, _) => Err(Fault::Ended),
            ReceiveStep::Failed(..) => Err(Fault::PeerGone),
            _ => Ok(Step::Yield),
        }
    }

    fn by_buffer(&mut self, target: &mut Target, socket: BorrowedFd<'_>) -> Result<Step, Fault> {
        let mut buffer = THREADS.take();
        if buffer.is_empty() {
            buffer = vec![0; BUFFER];
        }
        let outcome = self.through(target, socket, &mut buffer);
        THREADS.set(buffer);
        outcome
    }

    fn through(
        &mut self,
        target: &mut Target,
        socket: BorrowedFd<'_>,
        buffer: &mut [u8],
    ) -> Result<Step, Fault> {
        let begun = self.offset;
        loop {
            let want = match &self.way {
                Way::Buffer { left } => (*left).min(BUFFER as u64) as usize,
                _ => BUFFER,
            };
            let mut filled = want.min(self.ahead.len());
            buffer[..filled].copy_from_slice(&self.ahead[..filled]);
            self.ahead.drain(..filled);
            let mut nothing_now = false;
            let mut ended = None;
            while filled < want && !nothing_now && ended.is_none() && !self.is_over() {
                self.received.system_calls += 1;
                match recv_now(socket, &mut buffer[filled..want]) {
                    Ok(0) => ended = Some(Fault::Ended),
                    Ok(count) => {
                        filled += count;
                        self.received.copied += count as u64;
                        // More than this end of a chunk is not sure to come.
                        if matches!(self.way, Way::Chunks(_)) {
                            break;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => nothing_now = true,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => ended = Some(Fault::PeerGone),
                }
            }
            let data = self.unframe(&mut buffer[..filled]);
            let (data, refused) = match data {
                Ok(data) => (data, None),
                Err((data, refusal)) => (data, Some(refusal)),
            };
            self.write(target, &buffer[..data])?;
            if let Some(refusal) = refused {
                return Err(Fault::Refused(refusal));
            }
            if self.is_over() {
                return Ok(Step::End);
            }
            if let Some(fault) = ended {
                return Err(fault);
            }
            if nothing_now {
                self.received.waits += 1;
                return Ok(Step::Socket);
            }
            if self.offset - begun >= WINDOW {
                return Ok(Step::Yield);
            }
        }
    }

    fn is_over(&self) -> bool {
        match &self.way {
            Way::Buffer { left } => *left == 0,
            Way::Chunks(drain) => drain.is_done(),
            Way::Engine(_) => false,
        }
    }

    /// Moves the data in `bytes` to their beginning. How many that are; with what is wrong behind them.
    fn unframe(&mut self, bytes: &mut [u8]) -> Result<usize, (usize, Refusal)> {
        match &mut self.way {
            Way::Buffer { left } => {
                *left -= bytes.len() as u64;
                Ok(bytes.len())
            }
            Way::Engine(_) => Ok(0),
            Way::Chunks(drain) => {
                let (mut at, mut data) = (0, 0);
                while at < bytes.len() && !drain.is_done() {
                    let Taken { consumed, data: found, .. } =
                        drain.take(&bytes[at..]).map_err(|refusal| (data, refusal))?;
                    let found = at + found.start..at + found.end;
                    let len = found.len();
                    bytes.copy_within(found, data);
                    data += len;
                    at += consumed;
                }
                // The next request, or its beginning.
                if at < bytes.len() {
                    let mut rest = bytes[at..].to_vec();
                    rest.append(&mut self.ahead);
                    self.ahead = rest;
                }
                Ok(data)
            }
        }
    }

    fn write(&mut self, target: &mut Target, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = self.offset + bytes.len() as u64;
        if end > self.granted {
            self.granted = target.claim(end).map_err(Fault::Stored)?;
        }
        let file = target.file();
        if let Some(digesting) = &mut self.digesting {
            digesting.update(bytes);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            self.received.system_calls += 1;
            match pwrite(file.as_fd(), rest, self.offset) {
                Ok(0) => return Err(Fault::File(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    rest = &rest[count..];
                    self.offset += count as u64;
                    self.received.bytes += count as u64;
                    self.received.copied += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::File(error)),
            }
        }
        if !self.received.methods.contains(&ReceiveMethod::Buffered) {
            self.received.methods.push(ReceiveMethod::Buffered);
        }
        Ok(())
    }
}

fn add(sum: &mut Received, more: &Received) {
    sum.bytes += more.bytes;
    sum.system_calls += more.system_calls;
    sum.copied += more.copied;
    sum.waits += more.waits;
    sum.refusals.extend(more.refusals.iter().copied());
    for method in &more.methods {
        if !sum.methods.contains(method) {
            sum.methods.push(*method);
        }
    }
}
