//! Receiving: from a stream socket, or a pipe, into a file, by the cheapest way the kernel offers, with a receipt.
//!
//! [`recv_file`] is what `recv(2)` and `write(2)` in a loop do, or Java's `FileChannel.transferFrom`:
//!
//! | method | calls | since | copies to user memory and back |
//! |---|---|---|---|
//! | `splice` | `splice(2)` into a pipe of 1 MiB, and out of it | 2.6.17 (TCP 2.6.25, Unix sockets 4.2) | 0 |
//! | `buffered` | `recv(2)` or `read(2)` into 256 KiB, and `pwrite(2)` | always | 2 |
//! | `direct` | `recv(2)` into 1 MiB, and `pwrite(2)` with O_DIRECT (`open(2)`) | 2.4.10 | 1 |
//!
//! Milliseconds of the receiver's processor per GiB over loopback, Linux 6.18 (`bench/runs/2026-11-22-epyc-2core-receive`): where the
//! pages of the file are in the page cache `buffered` takes 144–176, `splice` 175–204, `direct` 254–338; where they have to be made 280–323,
//! 275–322 and 185–217. Pieces of 4 KiB, one call for each, cost `direct` ten times as much as the others. Therefore: `buffered`, unless the caller says
//! [`leave_no_trace`](ReceiveOptions::leave_no_trace), which is cheapest for large new files, but makes the stream wait for the disk. From a
//! pipe it is `splice`, which takes one call and no other pipe; so it is in a task, for more than 64 KiB, because it needs no buffer of its own
//! for each that waits. The example `receive_methods` measures it on the machine at hand.
//!
//! What the kernel, the file system or the socket refuses before a byte has moved (EINVAL, ENOSYS, EOPNOTSUPP, and the like) goes by
//! the next method: `direct`, `splice`, `buffered`. The receipt says which was refused and why. What was in a pipe or a buffer by
//! then is written first: nothing is lost.
//!
//! A file opened with O_APPEND is special: `pwrite(2)` appends to it whatever the offset (its section BUGS), and `splice(2)` refuses. So it
//! is written to by `buffered`, and only if it ends at the offset; else nothing is received, and the error is EINVAL.
//! Nobody else may append to it meanwhile.

mod buffered;
mod direct;
mod options;
mod received;
mod reception;
mod source;
mod splice;
mod standing;
mod task;

pub use crate::refused::{Refused, Why};
pub use options::{DIRECT_FROM, LITTLE, RangeInto, ReceiveMethod, ReceiveOptions};
pub use received::{ReceiveError, ReceiveFault, Received};
pub use reception::{ReceiveStep, Reception};

use crate::{ceiling::Ceiling, patience::Patience, refused::call};
use rustix::{
    fs::{OFlags, fcntl_getfl},
    io::Errno,
};
use sendrail_sys::stat::fstat;
use source::Source;
use standing::Standing;
use std::{
    fs::File,
    io,
    ops::ControlFlow,
    os::fd::{AsFd, BorrowedFd},
    time::Instant,
};
use task::{Stop, Task};

/// Is told how many bytes have been moved by now, and says whether to go on. Called in the thread that moves them, which waits for
/// it.
///
/// ```
/// use sendrail_transfer::receive::Progress;
/// use std::ops::ControlFlow;
///
/// let mut seen = 0;
/// let progress: &mut Progress<'_> = &mut |bytes| {
///     seen = bytes;
///     if bytes < 1 << 30 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
/// };
/// assert!(progress(4096).is_continue());
/// assert_eq!(seen, 4096);
/// ```
pub type Progress<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// Receives from `socket` into `file`, where `range` says, and waits until all has come: as many bytes as it says, or all
/// until the end of the stream. Neither the file's position nor its length beyond what is written changes, and what
/// follows in the stream stays there.
///
/// `socket` is a stream socket (TCP, Unix) in blocking or in non-blocking mode, an end of a pipe to read from, or whatever else
/// `read(2)` takes, such as standard input; it is waited for by `poll(2)`. Nobody else may read from it meanwhile.
/// A blocking TCP socket is asked by `poll(2)` before each `splice(2)`, for that has no flag which keeps it from waiting.
///
/// # Errors
///
/// [`ReceiveError`] says which side failed, how many bytes are in the file, and what was taken off the socket and did not get
/// there. Where a limit for the length of files is set (RLIMIT_FSIZE, `getrlimit(2)`), it is asked for and kept to: what is beyond is EFBIG,
/// and SIGXFSZ is not raised.
///
/// ```
/// use std::{io::{Read, Write}, net::{TcpListener, TcpStream}};
/// use sendrail_transfer::receive::{RangeInto, ReceiveOptions, recv_file};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut sender = TcpStream::connect(listener.local_addr()?)?;
/// let (mut socket, _) = listener.accept()?;
/// sender.write_all(b"0123456789, and the next message")?;
///
/// let mut file = tempfile::tempfile()?;
/// let receipt = recv_file(&socket, &file, RangeInto::new(2, 10), &ReceiveOptions::default())?;
/// assert_eq!(receipt.bytes, 10);
/// println!("{receipt}"); // buffered calls=6 copied=20 waits=0
///
/// assert_eq!(std::io::read_to_string(&mut file)?, "\0\x000123456789"); // its position is still 0
/// let mut next = [0; 22];
/// socket.read_exact(&mut next)?;
/// assert_eq!(&next, b", and the next message");
/// # Ok(())
/// # }
/// ```
pub fn recv_file(
    socket: impl AsFd,
    file: &File,
    range: RangeInto,
    options: &ReceiveOptions,
) -> Result<Received, ReceiveError> {
    recv_file_with_progress(socket, file, range, options, &mut |_| ControlFlow::Continue(()))
}

/// The same, and calls `progress` with the bytes that are in the file whenever more have got there (after each write: up to
/// 1 MiB). If that breaks off, the error is [`ReceiveFault::Stopped`], and all that was taken off the socket is in the file: a
/// call for the rest of the range goes on from there.
///
/// ```
/// use std::{io::Write, ops::ControlFlow, os::unix::net::UnixStream};
/// use sendrail_transfer::receive::{
///     RangeInto, ReceiveFault, ReceiveOptions, recv_file, recv_file_with_progress,
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut sender, socket) = UnixStream::pair()?;
/// let file = tempfile::tempfile()?;
/// sender.write_all(b"all of it")?;
/// drop(sender);
///
/// let options = ReceiveOptions::default();
/// let stopped = recv_file_with_progress(&socket, &file, RangeInto::new(0, 4), &options, &mut |_| {
///     ControlFlow::Break(())
/// });
/// let done = match stopped {
///     Err(error) if matches!(error.fault, ReceiveFault::Stopped) => error.receipt.bytes,
///     outcome => outcome?.bytes,
/// };
/// let rest = recv_file(&socket, &file, RangeInto::until_end(done), &options)?;
/// assert_eq!((done, rest.bytes), (4, 5));
/// # Ok(())
/// # }
/// ```
pub fn recv_file_with_progress(
    socket: impl AsFd,
    file: &File,
    range: RangeInto,
    options: &ReceiveOptions,
    progress: &mut Progress<'_>,
) -> Result<Received, ReceiveError> {
    if range.len == Some(0) {
        return Ok(Received::default());
    }
    let mut standing = Standing::new(range);
    let mut method = options::choose(options, range.len, true);
    let is_named = options.method.is_some();
    let begun = begin(socket.as_fd(), file.as_fd(), (&mut method, is_named), &mut standing);
    let source = match begun {
        Ok(source) => source,
        Err(fault) => return Err(failed(fault, standing.received, Vec::new())),
    };
    let progress = &mut |bytes| progress(bytes);
    let patience = Some(Patience::new(options.timeout, 0, Instant::now()));
    let mut task = Task { source, file: file.as_fd(), standing: &mut standing, patience, progress };
    match run(&mut task, &mut method) {
        Ok(()) => Ok(standing.received),
        Err(Stop::Fault(fault, unwritten)) => Err(failed(fault, standing.received, unwritten)),
        Err(stop) => unreachable!("it may wait, and every refusal is met: {stop:?}"),
    }
}

fn failed(fault: ReceiveFault, receipt: Received, unwritten: Vec<u8>) -> ReceiveError {
    ReceiveError { fault, receipt: Box::new(receipt), unwritten }
}

/// Finds out what can be found out before a byte is taken off the source, and corrects the method accordingly.
fn begin<'a>(
    source: BorrowedFd<'a>,
    file: BorrowedFd<'_>,
    (method, is_named): (&mut ReceiveMethod, bool),
    standing: &mut Standing,
) -> Result<Source<'a>, ReceiveFault> {
    let Standing { range, received, ceiling, .. } = standing;
    let file_failed = |error| ReceiveFault::File { error, offset: range.offset };
    let end = range.offset.checked_add(range.len.unwrap_or(0));
    if end.is_none_or(|end| i64::try_from(end).is_err()) {
        return Err(file_failed(Errno::FBIG.into())); // offsets are signed to the kernel
    }
    let calls = &mut received.system_calls;
    let mode = call(calls, || Ok(fcntl_getfl(file)?)).map_err(file_failed)?;
    if mode & OFlags::RWMODE == OFlags::RDONLY {
        return Err(file_failed(Errno::BADF.into()));
    }
    let appends = mode.contains(OFlags::APPEND);
    if appends && call(calls, || fstat(file)).map_err(file_failed)?.len != range.offset {
        return Err(file_failed(Errno::INVAL.into()));
    }
    *ceiling = Ceiling::of(file, &mut received.system_calls);
    let source = Source::look(source, received)?;
    // What is in a pipe goes into the file by one call, without another pipe.
    let is_piped = source.kind == source::Kind::Pipe && !options::is_little(range.len);
    if is_piped && !is_named && *method == ReceiveMethod::Buffered {
        *method = ReceiveMethod::Splice;
    }
    if appends && *method != ReceiveMethod::Buffered {
        received.refusals.push(Refused { method: *method, why: Why::Append });
        *method = ReceiveMethod::Buffered;
    }
    Ok(source)
}

/// From method to method, until it is over or would have to wait.
fn run(task: &mut Task<'_>, method: &mut ReceiveMethod) -> Result<(), Stop> {
    loop {
        let result = match method {
            ReceiveMethod::Splice => splice::run(task),
            ReceiveMethod::Buffered => buffered::run(task),
            ReceiveMethod::Direct => direct::run(task),
        };
        let Err(Stop::Refused(error)) = result else { return result };
        refuse(task.standing, method, error)?;
    }
}

/// Notes a refusal, and passes on to the next method.
fn refuse(
    standing: &mut Standing,
    method: &mut ReceiveMethod,
    error: io::Error,
) -> Result<(), Stop> {
    let Some(next) = method.next_best() else {
        // The file is written to by others' rules only above: it is what is read from that refused.
        return Err(ReceiveFault::Socket(error).into());
    };
    let refused = Refused { method: *method, why: Why::of(&error) };
    standing.received.refusals.push(refused);
    *method = next;
    Ok(())
}

/// For callers that only have an [`io::Error`] to give: the kernel's, where there was one.
impl From<ReceiveError> for io::Error {
    fn from(error: ReceiveError) -> Self {
        let kind = match &error.fault {
            ReceiveFault::Socket(error) | ReceiveFault::File { error, .. } => error.kind(),
            ReceiveFault::TooShort { .. } => io::ErrorKind::UnexpectedEof,
            ReceiveFault::TimedOut => io::ErrorKind::TimedOut,
            ReceiveFault::Stopped => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
