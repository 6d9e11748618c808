//! The beginning of a transfer: a head, or all of a message, straight from the caller's memory; and whether the socket will do.

use super::{Disk, Step, Transfer, gather::Gathered};
use crate::{chain::Chain, plan::Options, receipt::Receipt};
use bytes::Bytes;
use rustix::fs::{OFlags, fcntl_getfl};
use sendrail_sys::send::send;
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

impl Transfer {
    /// Sends a message that is all in the caller's memory. Nearly always one call does it, and that
    /// is all there is to it; else the transfer of the rest comes back, with its first step taken.
    ///
    /// # Errors
    ///
    /// The rest, boxed because it is rare and large.
    ///
    /// ```
    /// use sendrail_transfer::{Options, Transfer};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (socket, _peer) = UnixStream::pair()?;
    /// socket.set_nonblocking(true)?;
    /// match Transfer::send_whole(&socket, b"a small answer", &Options::default()) {
    ///     Ok(receipt) => assert_eq!((receipt.bytes, receipt.system_calls), (14, 1)),
    ///     Err(rest) => {
    ///         let (transfer, step) = *rest; // wait for what `step` names, and go on
    /// #       panic!("{step:?} {transfer:?}");
    ///     }
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_whole(
        socket: impl AsFd,
        message: &[u8],
        options: &Options,
    ) -> Result<Receipt, Box<(Self, Step)>> {
        let socket = socket.as_fd();
        let mut receipt = Receipt::default();
        let result = receipt.call(|| send(socket, message, false));
        if matches!(result, Ok(sent) if sent == message.len()) {
            receipt.count_from_memory(message.len());
            return Ok(receipt);
        }
        let mut rest = Self { receipt, ..Self::new(Chain::new(), options.clone()) };
        let step = rest.begun(socket, message, result, Disk::MustNotWait);
        Err(Box::new((rest, step)))
    }

    /// Sends `head` ahead of the chain, straight from the caller's memory, and then as much as one
    /// [`step`](Self::step) may. Only what the socket does not take of the head is copied, or all of
    /// it if it leaves in one call with the small ranges behind it.
    ///
    /// ```
    /// use sendrail_transfer::{Chain, Disk, FileRange, Options, Step, Transfer};
    /// use std::{fs::File, os::unix::net::UnixStream, sync::Arc};
    ///
    /// let (socket, _peer) = UnixStream::pair()?;
    /// socket.set_nonblocking(true)?;
    /// let mut chain = Chain::new();
    /// chain.push_file(FileRange::new(Arc::new(File::open("Cargo.toml")?), 0, 100));
    /// let mut transfer = Transfer::new(chain, Options::default());
    /// let head = format!("{} bytes follow\n", transfer.remaining()); // rendered into a buffer that is used again
    /// let step = transfer.begin(&socket, head.as_bytes(), Disk::MayWait);
    /// assert!(matches!(step, Step::Done));
    /// assert_eq!(transfer.receipt().bytes, 117);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn begin(&mut self, socket: impl AsFd, head: &[u8], disk: Disk) -> Step {
        let socket = socket.as_fd();
        if let Err(error) = self.check_mode(socket, disk) {
            return self.gone(error);
        }
        if self.may_gather() {
            match self.gather(socket, head, self.options.window.max(1), disk) {
                Some(Gathered::Sent) => return self.step(socket, disk),
                Some(Gathered::Ended(step)) => return step,
                None => {}
            }
        }
        self.choose_glue(socket, head.len() as u64);
        let more = !self.chain.is_empty();
        let result = self.receipt.call(|| send(socket, head, more));
        self.begun(socket, head, result, disk)
    }

    /// Says that the socket is in non-blocking mode, which saves a `fcntl(2)`: for who has made it so himself, thousands of times a
    /// second. Should it not be, steps wait inside their calls.
    pub fn socket_is_nonblocking(&mut self) {
        self.nonblocking = true;
    }

    /// Whether the step may be taken on this socket: sendfile(2) and splice(2) have no flag against waiting for it.
    #[inline]
    pub(crate) fn check_mode(&mut self, socket: BorrowedFd<'_>, disk: Disk) -> io::Result<()> {
        if self.nonblocking || disk == Disk::MayWait {
            return Ok(());
        }
        let mode = self.receipt.call(|| Ok(fcntl_getfl(socket)?))?;
        if !mode.contains(OFlags::NONBLOCK) {
            let blocking = "the socket is in blocking mode, where this thread must not wait (O_NONBLOCK, fcntl(2))";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, blocking));
        }
        self.nonblocking = true;
        Ok(())
    }

    fn begun(
        &mut self,
        socket: BorrowedFd<'_>,
        head: &[u8],
        result: io::Result<usize>,
        disk: Disk,
    ) -> Step {
        let sent = match result {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return self.gone(error),
        };
        self.receipt.count_from_memory(sent);
        if sent == head.len() {
            return self.step(socket, disk);
        }
        self.chain.push_front_bytes(Bytes::copy_from_slice(&head[sent..]));
        self.wait_socket()
    }
}
