//! Relaying: from one stream to another, whatever they are, by splice(2) where one of them is a pipe, and through a pipe where
//! neither is, with a receipt.
//!
//! What is this for: `cat`, in both directions; the output of a program to a socket; a socket into a program; one socket to another,
//! as a proxy does. For an open file and a socket [`blocking::send`](crate::blocking::send) is better, which looks whether
//! the file is in the page cache and at its other end spares it; into a file [`recv_file`](crate::receive::recv_file) is.
//!
//! | from | to | calls | copies to user memory and back |
//! |---|---|---|---|
//! | a pipe | anything that has splice: sockets, pipes, files | `splice(2)` | 0 |
//! | anything that has splice | a pipe | `splice(2)` | 0 |
//! | a socket or a file | a socket or a file | `splice(2)` into a pipe of 1 MiB and out of it | 0 |
//! | whatever has no splice: terminals, files opened with O_APPEND | | `read(2)` into 256 KiB, and `write(2)` | 2 |
//!
//! Both ends may be in blocking or in non-blocking mode; they are waited for by `poll(2)`. Files are read and written at
//! their position, which moves.

mod relayed;
mod task;

pub use crate::refused::{Refused, Why};
pub use relayed::{RelayError, RelayFault, RelayMethod, Relayed};

use crate::receive::Progress;
use std::{ops::ControlFlow, os::fd::AsFd};
use task::Task;

/// Moves `len` bytes from one stream to the other, or all until the first ends, and waits until that is done.
///
/// Nobody else may read from the one or write to the other meanwhile. Where the far end of `to` is gone a write raises
/// SIGPIPE, which Rust's programs ignore (`signal(7)`), and others may not.
///
/// # Errors
///
/// [`RelayError`] says which side failed, how many bytes have got across, and what was taken from the one and did not get to the
/// other.
///
/// ```
/// use std::{io::{Read, Write}, net::{TcpListener, TcpStream}, process::{Command, Stdio}};
/// use sendrail_transfer::relay::{RelayMethod, relay};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut reader = TcpStream::connect(listener.local_addr()?)?;
/// let (socket, _) = listener.accept()?;
///
/// let mut program = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
/// let output = program.stdout.take().expect("it is a pipe");
/// let receipt = relay(output, &socket, None)?;
/// program.wait()?;
/// drop(socket);
///
/// assert_eq!((receipt.bytes, receipt.copied), (6, 0));
/// assert_eq!(receipt.methods, [RelayMethod::Splice]);
/// println!("{receipt}"); // splice calls=3 copied=0 waits=1
/// assert_eq!(std::io::read_to_string(reader)?, "hello\n");
/// # Ok(())
/// # }
/// ```
pub fn relay(
    from: impl AsFd,
    to: impl AsFd,
    len: impl Into<Option<u64>>,
) -> Result<Relayed, RelayError> {
    relay_with_progress(from, to, len, &mut |_| ControlFlow::Continue(()))
}

/// The same, and calls `progress` with the bytes that have got across whenever there are more. If that breaks off, the error is
/// [`RelayFault::Stopped`], and nothing is between the two.
///
/// # Errors
///
/// As [`relay`].
pub fn relay_with_progress(
    from: impl AsFd,
    to: impl AsFd,
    len: impl Into<Option<u64>>,
    progress: &mut Progress<'_>,
) -> Result<Relayed, RelayError> {
    Task::new(from.as_fd(), to.as_fd(), len.into(), progress).run()
}
