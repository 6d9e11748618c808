//! The blocking front: sends a whole chain from a thread that has nothing else to do.

use crate::{
    chain::Chain,
    error::SendError,
    patience::{Exhausted, Patience},
    plan::Options,
    receipt::Receipt,
    receive::Progress,
    transfer::{Disk, Step, Transfer},
};
use rustix::{
    fs::{OFlags, fcntl_getfl},
    net::sockopt::{Timeout, set_socket_timeout, socket_timeout},
};
use sendrail_sys::poll::wait_writable;
use std::{
    io,
    ops::ControlFlow,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

/// Sends `chain` to `socket` and waits until the socket has taken all of it.
///
/// The socket may be in blocking or in non-blocking mode. The receipt counts the waits in either
/// case where the engine itself waited; a blocking socket waits inside its calls. With
/// [`Options::send_timeout`] a blocking socket's SO_SNDTIMEO is set for the duration, and the limit
/// may come to twice what was asked: once inside a call that had still sent something, and once
/// after it.
///
/// # Errors
///
/// [`SendError::PeerGone`], [`SendError::File`] and [`SendError::TimedOut`] carry the receipt up to
/// there. After any of them the message is cut short, and the connection good for nothing else.
///
/// ```
/// # use std::{io::{Read, Write}, os::unix::net::UnixStream, sync::Arc};
/// use sendrail_transfer::{Chain, FileRange, Method, Options, blocking};
/// # let mut file = tempfile::tempfile()?;
/// # file.write_all(b"0123456789")?;
/// # let (socket, mut reader) = UnixStream::pair()?;
/// let mut chain = Chain::new();
/// chain.push_file(FileRange::new(Arc::new(file), 2, 5));
/// let options = Options { method: Some(Method::Copy), ..Options::default() };
/// let receipt = blocking::send(&socket, chain, options)?;
/// assert_eq!((receipt.file_bytes, receipt.copied), (5, 10));
/// # drop(socket);
/// # assert_eq!(std::io::read_to_string(&mut reader)?, "23456");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn send(socket: impl AsFd, chain: Chain, options: Options) -> Result<Receipt, SendError> {
    send_with_progress(socket, chain, options, &mut |_| ControlFlow::Continue(()))
}

/// The same, and calls `progress` with the bytes that the socket has taken whenever they are more (after each step: up to
/// [`Options::window`]). If that breaks off before the end, the error is [`SendError::Stopped`], and the message is cut
/// short.
///
/// ```
/// # use std::{io::Read, ops::ControlFlow, os::unix::net::UnixStream};
/// use sendrail_transfer::{Chain, Options, blocking};
/// # let (socket, mut reader) = UnixStream::pair()?;
/// let mut chain = Chain::new();
/// chain.push_bytes("0123456789");
/// let all = chain.remaining();
/// let receipt = blocking::send_with_progress(&socket, chain, Options::default(), &mut |bytes| {
///     println!("{} %", bytes * 100 / all);
///     ControlFlow::Continue(())
/// })?;
/// # assert_eq!(receipt.bytes, all);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn send_with_progress(
    socket: impl AsFd,
    chain: Chain,
    options: Options,
    progress: &mut Progress<'_>,
) -> Result<Receipt, SendError> {
    let socket = socket.as_fd();
    let limit = options.send_timeout;
    let mut transfer = Transfer::new(chain, options);
    let Some(limit) = limit else { return run(socket, transfer, None, progress) };
    let wait = |error| SendError::Wait { error };
    let restore = limit_calls(socket, limit, transfer.receipt_mut()).map_err(wait)?;
    let result = run(socket, transfer, Some(limit), progress);
    if let Some(Before(timeout)) = restore {
        set_socket_timeout(socket, Timeout::Send, timeout).map_err(|error| wait(error.into()))?;
    }
    result
}

/// The SO_SNDTIMEO that the socket had.
struct Before(Option<Duration>);

/// sendfile(2) and splice(2) know no MSG_DONTWAIT: on a blocking socket they wait inside, for ever.
/// SO_SNDTIMEO (socket(7)) ends such a call, as O_NONBLOCK would; but that one would also change how
/// other threads read from the socket. Gives back what to restore, if anything was changed.
fn limit_calls(
    socket: BorrowedFd<'_>,
    limit: Duration,
    receipt: &mut Receipt,
) -> io::Result<Option<Before>> {
    if receipt.call(|| Ok(fcntl_getfl(socket)?))?.contains(OFlags::NONBLOCK) {
        return Ok(None);
    }
    let before = receipt.call(|| Ok(socket_timeout(socket, Timeout::Send)?))?;
    // To the kernel, zero means for ever.
    let limit = limit.max(Duration::from_micros(1));
    receipt.call(|| Ok(set_socket_timeout(socket, Timeout::Send, Some(limit))?))?;
    receipt.system_calls += 1; // the one that will put it back
    Ok(Some(Before(before)))
}

fn run(
    socket: BorrowedFd<'_>,
    mut transfer: Transfer,
    limit: Option<Duration>,
    progress: &mut Progress<'_>,
) -> Result<Receipt, SendError> {
    let mut patience = Patience::new(limit, transfer.remaining(), Instant::now());
    let mut told = 0;
    loop {
        let step = transfer.step(socket, Disk::MayWait);
        let bytes = transfer.receipt().bytes;
        // How it ended says more than that the caller has had enough.
        let ended = matches!(step, Step::Done | Step::PeerGone(_) | Step::Failed(_));
        if bytes > told && progress(bytes).is_break() && !ended {
            return Err(SendError::stopped(transfer));
        }
        told = bytes;
        match step {
            Step::Done => return Ok(transfer.into_receipt()),
            Step::Yield | Step::WaitDisk => {}
            Step::WaitSocket => {
                let left = match patience.left(transfer.remaining(), Instant::now()) {
                    Ok(left) => left,
                    Err(Exhausted) => return Err(SendError::timed_out(transfer)),
                };
                transfer.receipt_mut().system_calls += 1;
                match wait_writable(socket, left) {
                    Ok(_) => {} // The next step finds out; see Patience::left.
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(SendError::Wait { error }),
                }
            }
            Step::PeerGone(error) => return Err(SendError::peer_gone(error, transfer)),
            Step::Failed(fault) => return Err(SendError::file(fault, transfer)),
        }
    }
}
