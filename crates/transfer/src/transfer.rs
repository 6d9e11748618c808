//! The transfer: owns a chain and sends it in steps, each of which never waits for the socket.

mod begin;
mod cold;
mod gather;
mod prefetch;
mod step;

use crate::{
    bulk::{self, Acknowledged, Reader},
    chain::Chain,
    error::FileFault,
    method::{Fault, Method, Moved, Mover, Taken},
    plan::{self, Glue, Medium, Options, Plan, Reason, Size, glue, plan},
    receipt::{Receipt, Refusal},
    segment::{FileRange, Segment},
};
use cold::Look;
use gather::{Gathered, Gathering};
pub use prefetch::Prefetched;
use sendrail_sys::{
    poll::writable_now,
    send::{send, send_vectored},
    sockopt::set_tcp_cork,
    statfs::file_system,
};
use std::{
    fs::File,
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Instant,
};
pub use step::{Disk, Step};

/// How many pieces of memory go into one `sendmsg(2)`.
const GATHER: usize = 32;

/// The most of a bulk transfer that an event loop moves in a step of its own, in bytes: what a slow
/// client takes at a time. For a fast one a thread goes on, so that who asks for something small does
/// not find the loop busy with one window of each download after the other.
const IN_PASSING: u64 = 64 << 10;

/// One message on its way to one socket.
///
/// The order of calls: [`new`](Self::new); [`begin`](Self::begin) when there is a head in the
/// caller's memory; then [`step`](Self::step) until it is [`Step::Done`], [`Step::PeerGone`] or
/// [`Step::Failed`], waiting in between for what the last one named; then
/// [`receipt`](Self::receipt). The socket must be the same all along, and in non-blocking mode
/// (O_NONBLOCK, `fcntl(2)`): a step on a blocking one would wait inside its calls. So one that
/// [must not wait](Disk::MustNotWait) asks, once per transfer, and is [`Step::PeerGone`] with
/// `InvalidInput`, and nothing sent, if it is not: see [`socket_is_nonblocking`](Self::socket_is_nonblocking).
///
/// Memory is bounded whatever the size of the message: `sendfile` needs none, `copy` 64 KiB,
/// `splice` a pipe of 1 MiB in the kernel (large files share 64 of them), `mapped` 256 MiB of address space,
/// `direct` and `uncached` 64 KiB, a buffer of the thread's of 512 KiB, and rings with 64 MiB of buffers that all `direct` transfers share. Several small ranges in a
/// row are gathered in a buffer of 80 KiB that belongs to the thread, and leave by one call.
///
/// ```
/// use sendrail_transfer::{Chain, Disk, FileRange, Options, Step, Transfer};
/// use std::{fs::File, os::{fd::AsFd, unix::net::UnixStream}, sync::Arc};
///
/// let (socket, _peer) = UnixStream::pair()?;
/// socket.set_nonblocking(true)?;
/// let mut chain = Chain::new();
/// chain.push_file(FileRange::new(Arc::new(File::open("Cargo.toml")?), 0, 100));
/// let mut transfer = Transfer::new(chain, Options::default());
/// loop {
///     match transfer.step(&socket, Disk::MustNotWait) {
///         Step::Done => break,
///         Step::Yield => {}
///         Step::WaitSocket => drop(sendrail_sys::wait_writable(socket.as_fd(), None)?),
///         // disk_pool::Windows, or as here this thread, if it may.
///         Step::WaitDisk => drop(transfer.step(&socket, Disk::MayWait)),
///         Step::PeerGone(error) => return Err(error.into()),
///         Step::Failed(fault) => return Err(fault.into()),
///     }
/// }
/// assert_eq!((transfer.remaining(), transfer.receipt().bytes), (0, 100));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Transfer {
    chain: Chain,
    options: Options,
    mover: Option<Mover>,
    /// Set once, when the first byte is about to leave.
    glue: Option<Glue>,
    /// The window of the front range that was looked up in the page cache last.
    looked_at: Look,
    /// The way through the front range, from the first window that was not resident.
    bulk: Option<Box<Reader>>,
    /// Tells later what the peer has acknowledged.
    connection: Option<Connection>,
    gathering: Gathering,
    /// Where in its file the range ends that is to leave nothing in the page cache, and how it goes.
    past_cache: Option<(u64, Plan)>,
    /// Where in its file the range ends that goes through a pipe.
    piped_to: Option<u64>,
    /// The socket is known to be in non-blocking mode.
    nonblocking: bool,
    receipt: Receipt,
}

struct Connection(Arc<dyn Acknowledged>);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Transfer {
    /// A transfer of `chain`, not yet begun. Makes no system call.
    pub fn new(chain: Chain, options: Options) -> Self {
        Self {
            chain,
            options,
            mover: None,
            glue: None,
            looked_at: Look::default(),
            bulk: None,
            connection: None,
            gathering: Gathering::default(),
            past_cache: None,
            piped_to: None,
            nonblocking: false,
            receipt: Receipt::default(),
        }
    }

    /// Moves at most one window ([`Options::window`]) towards the socket, without waiting for it.
    ///
    /// After [`Step::Done`] another call says the same; after [`Step::PeerGone`] or [`Step::Failed`] it must not be called. The socket
    /// is given each time, because a transfer does not own it: it must be the same one, in non-blocking mode, and in between
    /// nobody else may write to it.
    pub fn step(&mut self, socket: impl AsFd, disk: Disk) -> Step {
        let socket = socket.as_fd();
        if let Err(error) = self.check_mode(socket, disk) {
            return self.gone(error);
        }
        let mut budget = self.options.window.max(1);
        let in_passing = disk == Disk::MustNotWait && self.is_bulk();
        if in_passing {
            budget = budget.min(IN_PASSING);
        }
        loop {
            let before = self.chain.remaining();
            let gathered =
                if self.may_gather() { self.gather(socket, &[], budget, disk) } else { None };
            let outcome = match gathered {
                None => self.step_front(socket, budget, disk),
                Some(Gathered::Sent) => None,
                Some(Gathered::Ended(step)) => Some(step),
            };
            if let Some(step) = outcome {
                return step;
            }
            budget = budget.saturating_sub(before - self.chain.remaining());
            if budget == 0 && !self.chain.is_empty() {
                // A socket that took all of it would take more, and others want this thread.
                return if in_passing && self.is_bulk() { self.wait_disk() } else { Step::Yield };
            }
        }
    }

    /// Says how to find out what the peer has acknowledged when the transfer is over. Without it, the
    /// last pages that it brought into the page cache are given back by trying now and then.
    ///
    /// To be said before the first step that may wait for the disk.
    pub fn acknowledged_by(&mut self, connection: Arc<dyn Acknowledged>) {
        self.connection = Some(Connection(connection));
    }

    /// Whether that has been said.
    pub fn knows_connection(&self) -> bool {
        self.connection.is_some()
    }

    /// Whether it is on its way through a file that was not resident when it came.
    pub(crate) fn is_bulk(&self) -> bool {
        self.bulk.is_some()
    }

    /// What the transfer has cost so far.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Ends the transfer and keeps its receipt.
    pub fn into_receipt(mut self) -> Receipt {
        self.close();
        self.receipt
    }

    /// The file whose bytes come next, if a file's do: after [`Step::Failed`], the one that failed.
    pub fn current_file(&self) -> Option<&Arc<File>> {
        match self.chain.front() {
            Some(Segment::File(range)) => Some(range.file()),
            _ => None,
        }
    }

    /// Bytes that are still to be sent.
    pub fn remaining(&self) -> u64 {
        self.chain.remaining()
    }

    /// How long a front waits for a socket that takes nothing.
    #[cfg(feature = "tokio")]
    pub(crate) fn send_timeout(&self) -> Option<std::time::Duration> {
        self.options.send_timeout
    }

    /// The receipt, for a front that makes system calls of its own for this transfer.
    pub(crate) fn receipt_mut(&mut self) -> &mut Receipt {
        &mut self.receipt
    }

    /// Counts a wait for a thread that may sleep on the disk: see [`Step::WaitDisk`].
    fn wait_disk(&mut self) -> Step {
        self.receipt.disk_waits += 1;
        Step::WaitDisk
    }

    fn wait_socket(&mut self) -> Step {
        self.receipt.socket_waits += 1;
        Step::WaitSocket
    }

    fn choose_glue(&mut self, socket: BorrowedFd<'_>, head: u64) {
        if self.glue.is_some() {
            return;
        }
        let mut has_file = false;
        let mut continues = false;
        for segment in self.chain.segments() {
            continues |= has_file;
            has_file |= matches!(segment, Segment::File(_));
        }
        let mut glue = glue(head + self.chain.remaining(), has_file, continues);
        if glue == Glue::Cork && self.receipt.call(|| set_tcp_cork(socket, true)).is_err() {
            glue = Glue::More; // Not TCP: a Unix socket has no packets to fill.
        }
        self.glue = Some(glue);
    }

    fn finish(&mut self, socket: BorrowedFd<'_>) -> Step {
        self.close();
        if self.glue == Some(Glue::Cork) {
            self.glue = Some(Glue::None);
            if let Err(error) = self.receipt.call(|| set_tcp_cork(socket, false)) {
                return self.gone(error);
            }
        }
        Step::Done
    }

    fn close(&mut self) {
        if let Some(mover) = self.mover.take() {
            mover.close(&mut self.receipt);
        }
    }

    /// Sends what is at the front of the chain by itself.
    fn step_front(&mut self, socket: BorrowedFd<'_>, budget: u64, disk: Disk) -> Option<Step> {
        self.choose_glue(socket, 0);
        match self.chain.front() {
            None => Some(self.finish(socket)),
            Some(Segment::Bytes(_)) => self.step_bytes(socket),
            Some(Segment::File(range)) => {
                let range = range.clone();
                self.step_file(socket, &range, budget, disk)
            }
        }
    }

    fn step_bytes(&mut self, socket: BorrowedFd<'_>) -> Option<Step> {
        let mut slices = [IoSlice::new(b""); GATHER];
        let (used, bytes, more) = self.chain.gather(&mut slices);
        let slices = &slices[..used];
        let result = self.receipt.call(|| match slices {
            [one] => send(socket, one, more),
            many => send_vectored(socket, many, more),
        });
        match result {
            Ok(sent) => {
                self.receipt.count_from_memory(sent);
                self.chain.advance(sent as u64);
                // A short count of a send from memory has one cause: the socket is full.
                (sent < bytes).then(|| self.wait_socket())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(self.wait_socket()),
            Err(error) => Some(self.gone(error)),
        }
    }

    /// The plan for the rest of a range. A range that has begun to go through a pipe goes on that way to its end: what
    /// is in the pipe must come next.
    fn plan(&mut self, range: &FileRange, medium: Medium) -> Plan {
        if range.unchanged_since.is_some() {
            return plan::for_one_version(&self.options);
        }
        let end = range.offset + range.len;
        let refusals = &self.receipt.refusals;
        if let Some((to, plan)) = self.past_cache
            && to == end
            && !refusals.contains(plan.method)
        {
            return plan;
        }
        let begun = self.piped_to == Some(end) && !refusals.contains(Method::Splice);
        let size = Size { range: if begun { u64::MAX } else { range.len }, file: range.file_len() };
        let mut planned = plan(medium, size, &self.options, refusals);
        if planned.method != Method::Splice || self.options.method.is_some() || begun {
            return planned;
        }
        self.close();
        self.mover = Mover::splice_through_lent_pipe(&mut self.receipt);
        if self.mover.is_some() {
            self.piped_to = Some(end);
        } else {
            let small = Size { range: plan::SPLICE_FROM - 1, ..size };
            planned = plan(medium, small, &self.options, &self.receipt.refusals);
        }
        planned
    }

    fn step_file(
        &mut self,
        socket: BorrowedFd<'_>,
        range: &FileRange,
        budget: u64,
        disk: Disk,
    ) -> Option<Step> {
        let medium = self.medium(range);
        let mut plan = self.plan(range, medium);
        let mut window = plan.window.min(budget);
        let known_cold = self.gathering.knows_cold(self.chain.remaining() - range.len, disk);
        // What the caller knew was true before a slow reader took its time.
        let known_resident = range.resident && self.receipt.socket_waits == 0 && !known_cold;
        let mover = self.mover.as_ref().filter(|mover| mover.method() == plan.method);
        let has_read = mover.is_some_and(Mover::has_read);
        if !known_resident && !has_read && plan.method.reads_page_cache() {
            match self.look_ahead(range, (medium, plan.method), window, known_cold, disk) {
                0 => return Some(self.wait_disk()),
                ready => window = window.min(ready),
            }
            if self.past_cache.is_some() {
                plan = self.plan(range, medium);
                window = window.min(plan.window);
            }
        }
        let mover = match self.mover.take() {
            Some(mover) if mover.method() == plan.method => self.mover.insert(mover),
            other => {
                if let Some(replaced) = other {
                    replaced.close(&mut self.receipt);
                }
                self.mover.insert(Mover::for_plan(&plan, &self.options))
            }
        };
        let more = self.chain.continues();
        let sleeps = disk == Disk::MayWait && self.bulk.is_some() && self.looked_at.is_cold();
        let began = sleeps.then(Instant::now);
        let outcome = mover.advance(socket, range, window, more, disk, &mut self.receipt);
        // A full socket says nothing of the disk.
        if let (Some(began), Some(reader), Ok(Moved::Bytes { .. })) = (began, &self.bulk, &outcome)
        {
            reader.has_waited(began.elapsed());
        }
        match outcome {
            Ok(Moved::Bytes { count, taken }) => {
                self.receipt.count_from_file(plan.method, count);
                self.chain.advance(count);
                self.leave_behind(socket, count, disk);
                if count == range.len() {
                    self.looked_at = Look::default(); // the next range may be of another file
                    self.bulk = None;
                    return None;
                }
                match taken {
                    Taken::Whole => None,
                    Taken::SocketFull => Some(self.wait_socket()),
                    Taken::Short => self.ask_why_short(socket),
                }
            }
            Ok(Moved::SocketFull) => Some(self.wait_socket()),
            Ok(Moved::DiskNotReady) => Some(self.wait_disk()),
            Err(Fault::Refused(error)) => self.fall_back(range, &plan, error),
            Err(Fault::File(fault)) => Some(self.fail(fault)),
            Err(Fault::Socket(error)) => Some(self.gone(error)),
        }
    }

    /// A short count means a full socket nearly always, and asking a full socket again costs more
    /// than any look. But a file that ended or failed in mid-window comes up short as well, and
    /// waiting for a socket that is not full would be waiting for ever: poll(2) tells them apart.
    fn ask_why_short(&mut self, socket: BorrowedFd<'_>) -> Option<Step> {
        match self.receipt.call(|| writable_now(socket)) {
            Ok(true) => None,
            Ok(false) => Some(self.wait_socket()),
            Err(error) => Some(self.gone(error)),
        }
    }

    fn fall_back(&mut self, range: &FileRange, plan: &Plan, error: io::Error) -> Option<Step> {
        let errno = error.raw_os_error().unwrap_or_default();
        if plan.method.next_best().is_none() || self.receipt.refusals.contains(plan.method) {
            let (doing, offset) = (plan.method.name(), range.offset());
            return Some(self.fail(FileFault::Read { doing, offset, error }));
        }
        self.receipt.refusals.push(Refusal::of(plan.method, errno));
        if plan.reason == Reason::Little {
            bulk::little_is_refused(range);
        }
        None
    }

    fn fail(&mut self, fault: FileFault) -> Step {
        self.close();
        Step::Failed(fault)
    }

    fn gone(&mut self, error: io::Error) -> Step {
        self.close();
        Step::PeerGone(error)
    }

    /// What the front range lies on; asked of the kernel once per range if the caller did not say.
    fn medium(&mut self, range: &FileRange) -> Medium {
        if let Some(medium) = range.medium {
            return medium;
        }
        let file = range.file.as_fd();
        let medium = self.receipt.call(|| file_system(file)).map_or(Medium::Disk, Medium::from);
        self.chain.set_front_medium(medium);
        medium
    }
}
