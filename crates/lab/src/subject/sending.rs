//! How the subject sends: the loops of the articles, by hand, and the engine.

use super::{
    Task, Thresholds,
    known::{self, Known, Tools},
    rings,
};
use crate::way::{Front, Way};
use bytes::Bytes;
use sendrail_sys::{
    Mapping, ReadRing, ZeroCopySender,
    open::{OpenFlags, reopen},
    sendfile,
    splice::{Pipe, splice_from_file, splice_to_socket},
};
use sendrail_transfer::{Chain, DropBehind, FileRange, Options, asynchronous, blocking};
use socket2::Socket;
use std::{
    error::Error,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{net::TcpStream, runtime::Runtime};

/// What a way did, by its own count.
#[derive(Default)]
pub(super) struct Own {
    pub(super) calls: u64,
    pub(super) copied: u64,
    pub(super) methods: String,
    pub(super) waits: (u32, u32),
    pub(super) known: Option<Known>,
}

pub(super) type Sent = Result<Own, Box<dyn Error>>;

/// Buffers that the network may have at once. Each pins its pages.
const PINNED: usize = 16;

/// As pipes are unless somebody says otherwise (`pipe(7)`), in bytes.
const PIPE: usize = 64 << 10;

/// How long a disk may take for one read.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What a way needs before it begins.
#[derive(Default)]
pub(super) struct Prepared {
    socket: Option<Socket>,
    buffer: Vec<u8>,
    ring: Option<ReadRing>,
    direct: Option<File>,
    stream: Option<(TcpStream, Runtime)>,
    pipe: Option<Pipe>,
    tools: Option<Tools>,
}

impl Prepared {
    pub(super) fn new(
        task: &Task,
        file: &File,
        socket: Option<Socket>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut prepared = Self::default();
        match (task.way, &socket) {
            (Way::ReadWrite { buffer }, _) => prepared.buffer = vec![0; buffer],
            (Way::Splice, _) => prepared.pipe = Some(Pipe::with_capacity(PIPE)?),
            (Way::RingRead | Way::DirectZerocopy, _) => {
                prepared.ring = Some(rings::ring()?);
                if task.way == Way::DirectZerocopy {
                    let direct = reopen(file.as_fd(), OpenFlags::READ | OpenFlags::DIRECT)?;
                    prepared.direct = Some(direct.into());
                }
            }
            (Way::Known, _) => prepared.tools = Some(Tools::new(file)?),
            (Way::Front(Front::NonBlocking), Some(socket)) => socket.set_nonblocking(true)?,
            (Way::Front(Front::Asynchronous), Some(_)) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let socket = socket.ok_or("there is no socket")?;
                socket.set_nonblocking(true)?;
                let inside = runtime.enter();
                let stream = TcpStream::from_std(socket.into())?;
                drop(inside);
                return Ok(Self { stream: Some((stream, runtime)), ..prepared });
            }
            _ => {}
        }
        Ok(Self { socket, ..prepared })
    }

    pub(super) fn send(&mut self, task: &Task, file: &Arc<File>) -> Sent {
        if let Some((stream, runtime)) = &self.stream {
            let (chain, options) = for_the_engine(task, Arc::clone(file));
            let sent = runtime.block_on(asynchronous::send(stream, chain, options));
            return Ok(receipt(&sent?));
        }
        let socket = self.socket.as_ref().ok_or("there is no socket")?;
        if let Some(tools) = &mut self.tools {
            return known::act(file, socket, tools);
        }
        match task.way {
            Way::ReadWrite { .. } => read_and_write(file, task.len, socket, &mut self.buffer),
            Way::MmapWrite => map_and_write(file, task.len, socket),
            Way::Sendfile => by_sendfile(file, task.len, socket),
            Way::Splice => {
                let pipe = self.pipe.as_ref().ok_or("there is no pipe")?;
                by_splice(file, task.len, socket, pipe)
            }
            Way::ReadZerocopy { buffer } => read_and_pass(file, task.len, socket, buffer),
            Way::MmapZerocopy { piece } => map_and_pass(file, task.len, socket, piece),
            Way::RingRead | Way::DirectZerocopy => {
                let ring = self.ring.as_mut().ok_or("there is no ring")?;
                let passes = task.way == Way::DirectZerocopy;
                rings::send(self.direct.as_ref().unwrap_or(file), task.len, socket, ring, passes)
            }
            _ => {
                let (chain, options) = for_the_engine(task, Arc::clone(file));
                Ok(receipt(&blocking::send(socket, chain, options)?))
            }
        }
    }
}

fn for_the_engine(task: &Task, file: Arc<File>) -> (Chain, Options) {
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(file, 0, task.len));
    let (method, drop_behind) = match task.way {
        Way::Sendrail => (None, DropBehind::On),
        way => (way.method(), DropBehind::Off), // as the articles have it
    };
    let Thresholds { window, drop_behind_lag, ring_depth } = task.thresholds.unwrap_or_default();
    let options =
        Options { method, drop_behind, window, drop_behind_lag, ring_depth, ..Options::default() };
    (chain, options)
}

fn receipt(receipt: &sendrail_transfer::Receipt) -> Own {
    Own {
        calls: receipt.system_calls,
        copied: receipt.copied,
        methods: receipt.methods.to_string(),
        waits: (receipt.socket_waits, receipt.disk_waits),
        known: None,
    }
}

/// The loop of every article.
fn read_and_write(mut file: &File, len: u64, mut socket: &Socket, buffer: &mut [u8]) -> Sent {
    let (mut calls, mut copied, mut left) = (0, 0, len);
    while left > 0 {
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = file.read(&mut buffer[..want])?;
        if count == 0 {
            return Err("the file is shorter than it was".into());
        }
        calls += 1;
        let mut sent = 0;
        while sent < count {
            sent += socket.write(&buffer[sent..count])?;
            calls += 1;
        }
        copied += 2 * count as u64;
        left -= count as u64;
    }
    Ok(Own { calls, copied, methods: "the loop".to_owned(), ..Own::default() })
}

/// A mapping of the whole file, and as few calls as the socket lets it be.
fn map_and_write(file: &File, len: u64, socket: &Socket) -> Sent {
    let len = usize::try_from(len)?;
    let mapping = Mapping::new(file.as_fd(), 0, len)?;
    let (mut calls, mut at) = (2, 0); // and munmap(2)
    while at < len {
        at += mapping.send(socket.as_fd(), at, len - at, false)?;
        calls += 1;
    }
    Ok(Own { calls, copied: len as u64, methods: "mmap".to_owned(), ..Own::default() })
}

/// As few calls as the kernel lets it be: one is for up to 2 GiB (`sendfile(2)`).
fn by_sendfile(file: &File, len: u64, socket: &Socket) -> Sent {
    let (mut calls, mut at) = (0, 0);
    while at < len {
        let rest = usize::try_from(len - at)?;
        let sent = sendfile(socket.as_fd(), file.as_fd(), at, rest)?;
        if sent == 0 {
            return Err("the file is shorter than it was".into());
        }
        at += sent as u64;
        calls += 1;
    }
    Ok(Own { calls, methods: "sendfile".to_owned(), ..Own::default() })
}

/// Into the pipe, and out of it.
fn by_splice(file: &File, len: u64, socket: &Socket, pipe: &Pipe) -> Sent {
    let (mut calls, mut at) = (0, 0);
    while at < len {
        let want = pipe.capacity().min(usize::try_from(len - at)?);
        let mut filled = splice_from_file(file.as_fd(), at, pipe, want)?;
        calls += 1;
        if filled == 0 {
            return Err("the file is shorter than it was".into());
        }
        at += filled as u64;
        while filled > 0 {
            filled -= splice_to_socket(pipe, socket.as_fd(), filled, at < len)?;
            calls += 1;
        }
    }
    Ok(Own { calls, methods: "splice".to_owned(), ..Own::default() })
}

/// What is passed to the network and comes back.
struct Passing<'a> {
    socket: BorrowedFd<'a>,
    sender: ZeroCopySender,
    calls: u64,
    copied_late: bool,
}

impl<'a> Passing<'a> {
    fn new(socket: &'a Socket) -> io::Result<Self> {
        let socket = socket.as_fd();
        let sender = ZeroCopySender::new(socket)?;
        Ok(Self { socket, sender, calls: 1, copied_late: false })
    }

    /// Waits until the network has no more than so many buffers.
    fn collect(&mut self, most: usize) -> io::Result<()> {
        loop {
            let reported = self.sender.completions(self.socket)?;
            self.calls += u64::from(reported.system_calls);
            self.copied_late |= reported.copied;
            if self.sender.in_flight() <= most {
                return Ok(());
            }
            thread::sleep(Duration::from_micros(100));
            self.calls += 1;
        }
    }

    fn own(self, copied: u64) -> Own {
        let methods =
            if self.copied_late { "MSG_ZEROCOPY, copied at delivery" } else { "MSG_ZEROCOPY" };
        Own { calls: self.calls, copied, methods: methods.to_owned(), ..Own::default() }
    }
}

/// The loop with MSG_ZEROCOPY, which takes a fresh buffer each time: the last one belongs to the network
/// until it says otherwise.
fn read_and_pass(mut file: &File, len: u64, socket: &Socket, length: usize) -> Sent {
    let mut passing = Passing::new(socket)?;
    let mut left = len;
    while left > 0 {
        let mut buffer = vec![0; length.min(usize::try_from(left).unwrap_or(usize::MAX))];
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Err("the file is shorter than it was".into());
        }
        buffer.truncate(count);
        passing.calls += 1;
        left -= count as u64;
        let mut rest = Bytes::from(buffer);
        while !rest.is_empty() {
            let sent = passing.sender.send(passing.socket, rest.clone(), left > 0)?;
            passing.calls += 1;
            rest = rest.slice(sent..);
        }
        passing.collect(if left > 0 { PINNED } else { 0 })?;
    }
    Ok(passing.own(len))
}

/// MSG_ZEROCOPY from a mapping of the file: nothing is read at all.
fn map_and_pass(file: &File, len: u64, socket: &Socket, piece: usize) -> Sent {
    let len = usize::try_from(len)?;
    let mut passing = Passing::new(socket)?;
    let mapping = Mapping::new(file.as_fd(), 0, len)?;
    passing.calls += 2; // and munmap(2)
    let mut at = 0;
    while at < len {
        let span = (at, piece.min(len - at));
        at += passing.sender.send_mapped(passing.socket, &mapping, span, at + span.1 < len)?;
        passing.calls += 1;
        passing.collect(if at < len { PINNED } else { 0 })?;
    }
    drop(mapping);
    Ok(passing.own(0))
}
