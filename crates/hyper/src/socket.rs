//! A socket that recognises the pages of files, and sends them by the engine.

use crate::body::SMALL;
use sendrail_sys::window::{fill_gaps, locate};
use sendrail_transfer::{
    Chain, FileRange, Options, Receipt, SendError,
    asynchronous::{Sending, Socket},
};
use std::{
    fmt,
    fs::File,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// HTTP/2 has slices of 16 KiB: to look and to send each by itself costs a third more than the copy
/// (docs/decisions/0014-hyper.md).
const LEAST: usize = SMALL as usize;

/// errno(3): the same number on every architecture.
const EFAULT: i32 = 14;

/// A tokio socket ([`TcpStream`](tokio::net::TcpStream), [`UnixStream`](tokio::net::UnixStream)) that sends slices of
/// [`FileBody`](crate::FileBody) by the engine, and everything else as it is.
///
/// It says that it takes several slices at once ([`is_write_vectored`](AsyncWrite::is_write_vectored)), whereupon hyper hands bodies on
/// unflattened. hyper takes it in `hyper_util::rt::TokioIo`.
///
/// A write that has begun with a part of a file must be gone on with: once it has said [`Poll::Pending`], or taken less than it was given,
/// the next write begins with what is left, as hyper, h2 and `AsyncWriteExt::write_all` do. With other bytes it is an error, for a
/// thread may be sending what had been begun.
#[derive(Debug)]
pub struct ZeroCopy<S> {
    socket: S,
    options: Options,
    /// Slices of a file that are no longer are sent as bytes.
    least: usize,
    watch: Option<Watch>,
    under_way: Option<UnderWay>,
}

/// Who is told what each part of a file cost that was sent. Cheap to clone.
///
/// It is called on the task that sends, so it should be quick.
///
/// ```
/// use sendrail_hyper::Watch;
///
/// let watch = Watch::new(|sent| println!("{} bytes from {}: {:?}", sent.len, sent.offset, sent.receipt));
/// ```
#[derive(Clone)]
pub struct Watch(Arc<dyn Fn(&Sent<'_>) + Send + Sync>);

impl Watch {
    /// Calls this for each part.
    pub fn new(tell: impl Fn(&Sent<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch(…)")
    }
}

/// A part of a file that was sent by the engine: 64 KiB to 32 MiB, as hyper handed it on. What is shorter is in no receipt,
/// for it was copied like any other bytes; neither are heads.
#[derive(Debug)]
#[non_exhaustive]
pub struct Sent<'a> {
    /// The open file.
    pub file: &'a Arc<File>,
    /// Its first byte in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
    /// Whether all of it was sent: else the peer has gone, or the file was truncated.
    pub whole: bool,
    /// What that cost, and what the page cache had of it.
    pub receipt: &'a Receipt,
}

/// The slice that is being sent.
#[derive(Debug)]
struct UnderWay {
    sending: Sending,
    file: Arc<File>,
    /// Where in the file it begins.
    begin: u64,
    len: u64,
    /// Where in the file is what goes next.
    offset: u64,
}

impl UnderWay {
    fn tell(&self, watch: Option<&Watch>, whole: bool, receipt: &Receipt) {
        if let Some(Watch(tell)) = watch {
            let Self { file, begin, len, .. } = self;
            tell(&Sent { file, offset: *begin, len: *len, whole, receipt });
        }
    }
}

impl<S> ZeroCopy<S> {
    /// Around a socket, with the engine's usual options.
    pub fn new(socket: S) -> Self {
        Self::with_options(socket, Options::default())
    }

    /// The same with others. [`Options::send_timeout`] is not heeded: hyper has timeouts of its own.
    pub fn with_options(socket: S, options: Options) -> Self {
        Self { socket, options, least: LEAST, watch: None, under_way: None }
    }

    /// Sends slices of a file by the engine if they are longer than this (in bytes; 64 KiB unless said), and as bytes if not.
    ///
    /// Less is for measuring: a [`FileBody`](crate::FileBody) reads what is short, and HTTP/2 cuts into frames of 16 KiB.
    #[must_use]
    pub fn by_engine_above(self, bytes: usize) -> Self {
        Self { least: bytes, ..self }
    }

    /// Has each receipt shown to somebody.
    #[must_use]
    pub fn watched_by(self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// The socket.
    pub fn get_ref(&self) -> &S {
        &self.socket
    }
}

impl<S: Socket + Unpin> ZeroCopy<S> {
    /// Sends on what has been begun, as much as goes now.
    fn poll_under_way(
        &mut self,
        context: &mut Context<'_>,
        next: Option<(Arc<File>, u64)>,
    ) -> Poll<io::Result<usize>> {
        let Some(under_way) = &mut self.under_way else { return Poll::Ready(Ok(0)) };
        let (file, offset) = (&under_way.file, under_way.offset);
        if !next.is_some_and(|(of, at)| Arc::ptr_eq(&of, file) && at == offset) {
            let other = "what was to be written was replaced by something else before it was";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, other)));
        }
        let sent = ready!(under_way.sending.poll_send(context, &self.socket));
        match sent {
            Ok(count) => {
                under_way.offset += count;
                if let Some(receipt) = under_way.sending.receipt() {
                    under_way.tell(self.watch.as_ref(), true, receipt);
                    self.under_way = None;
                }
                Poll::Ready(Ok(count as usize))
            }
            Err(error) => {
                if let Some(receipt) = error.receipt() {
                    under_way.tell(self.watch.as_ref(), false, receipt);
                }
                self.under_way = None;
                Poll::Ready(Err(broken(error)))
            }
        }
    }

    /// Bytes behind which a part of a file follows.
    fn poll_before(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.socket.try_send_more(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_writable(context))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

/// As hyper wants it: that the peer has gone is the peer's error, all else is ours.
fn broken(error: SendError) -> io::Error {
    match error {
        SendError::PeerGone { error, .. } => error,
        error => io::Error::other(error),
    }
}

/// Whether it is worth while to send it by itself.
fn of_a_file(slice: &[u8], least: usize) -> Option<(Arc<File>, u64)> {
    if slice.len() <= least { None } else { locate(slice) }
}

/// Whether the kernel came to pages of a file that are gone, and there is something else in their place by now. The body knows, and
/// ends its stream of HTTP/2 with an error; an error here would end all the others of the connection with it.
fn could_not_copy(error: &io::Error, slices: &[IoSlice<'_>]) -> bool {
    if error.raw_os_error() != Some(EFAULT) {
        return false;
    }
    let mut is_filled = false;
    for slice in slices {
        is_filled |= fill_gaps(slice);
    }
    is_filled
}

impl<S: Socket + AsyncWrite + Unpin> AsyncWrite for ZeroCopy<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // An empty slice is nothing to begin with.
        let empty = slices.iter().take_while(|slice| slice.is_empty()).count();
        let slices = &slices[empty..];
        if this.under_way.is_some() {
            let next = slices.first().and_then(|slice| locate(slice));
            return this.poll_under_way(context, next);
        }
        let found = slices
            .iter()
            .enumerate()
            .find_map(|(number, slice)| of_a_file(slice, this.least).map(|place| (number, place)));
        match found {
            None => match Pin::new(&mut this.socket).poll_write_vectored(context, slices) {
                Poll::Ready(Err(error)) if could_not_copy(&error, slices) => {
                    Pin::new(&mut this.socket).poll_write_vectored(context, slices)
                }
                outcome => outcome,
            },
            Some((0, (file, offset))) => {
                let len = slices[0].len() as u64;
                let mut chain = Chain::new();
                chain.push_file(FileRange::new(Arc::clone(&file), offset, len));
                let sending = Sending::new(chain, this.options.clone());
                let of = Arc::clone(&file);
                this.under_way = Some(UnderWay { sending, file: of, begin: offset, len, offset });
                this.poll_under_way(context, Some((file, offset)))
            }
            Some((number, _)) => this.poll_before(context, &slices[..number]),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ZeroCopy<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(context, buffer)
    }
}
