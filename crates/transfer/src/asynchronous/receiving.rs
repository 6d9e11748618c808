//! The asynchronous front of receiving: from a tokio socket into a file, so that it can be cancelled and gone on with.

use super::{RecvSocket, next_client, now, within};
use crate::{
    disk_pool::{DiskPool, Job, Panicked, Ticket, Whose},
    patience::Patience,
    plan::WINDOW,
    receive::{
        RangeInto, ReceiveError, ReceiveFault, ReceiveOptions, ReceiveStep, Received, Reception,
    },
    refused::call,
};
use sendrail_sys::stat::fstat;
use std::{
    fs::File,
    io,
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

/// Receives from `socket` into `file`, where `range` says, as [`receive::recv_file`](crate::receive::recv_file) does, and yields
/// to other tasks after each 2 MiB.
///
/// Whoever may cancel it and wants to know what has come by then takes a [`Receiving`], which this is one call of; what happens
/// where is said there.
///
/// With [`ReceiveOptions::timeout`] the runtime needs its timers (`enable_time`), else this panics.
///
/// # Errors
///
/// As [`receive::recv_file`](crate::receive::recv_file); and [`ReceiveFault::Socket`] with `InvalidInput`, and nothing received, if
/// the socket is in blocking mode, which would hold up the thread and all its tasks.
///
/// ```
/// use sendrail_transfer::{asynchronous, receive::{RangeInto, ReceiveOptions}};
/// use std::sync::Arc;
/// use tokio::{io::AsyncWriteExt, net::{TcpListener, TcpStream}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let mut sender = TcpStream::connect(listener.local_addr()?).await?;
/// let (socket, _) = listener.accept().await?;
/// sender.write_all(b"0123456789, and the next message").await?;
///
/// let (file, options) = (Arc::new(tempfile::tempfile()?), ReceiveOptions::default());
/// let receipt = asynchronous::recv_file(&socket, &file, RangeInto::new(2, 10), &options).await?;
/// assert_eq!(receipt.bytes, 10);
/// assert_eq!(std::io::read_to_string(&*file)?, "\0\x000123456789");
/// # Ok(())
/// # }
/// ```
pub async fn recv_file<S: RecvSocket>(
    socket: &S,
    file: &Arc<File>,
    range: RangeInto,
    options: &ReceiveOptions,
) -> Result<Received, ReceiveError> {
    Receiving::new(Arc::clone(file), range, options).recv(socket).await
}

/// A file on its way from a tokio socket, which can be left and gone on with.
///
/// # What happens where
///
/// The socket is only ever read by the task's own thread, when [`recv`](Self::recv) is polled; no thread is behind that, and while it
/// waits for a sender it holds no pipe and, but for `direct`, no buffer.
///
/// `splice` and `buffered` write into the page cache, on the same thread. That is a matter of memory as long as there is
/// memory; but the kernel makes whoever writes faster than the disk wait, above `vm.dirty_ratio`, and a block of which only a part
/// is written may have to be read first. tokio has nothing for that but another thread for each write, which costs more
/// than most of them take. Who cannot have it asks for [`leave_no_trace`](ReceiveOptions::leave_no_trace), or receives in a thread
/// of its own.
///
/// `direct` gathers 1 MiB in memory, and has it written past the page cache by a thread of the process's [disk
/// pool](crate::disk_pool), while the socket waits. (If 100,000 wait for that pool, it is written on the task's thread.)
///
/// # Cancelling
///
/// [`recv`](Self::recv) is cancel safe: its future can be dropped at any time, in `tokio::select!` for one, and another call goes on
/// without a byte lost or there twice. Whenever it is not being polled,
///
/// - by `splice` and `buffered`, all that was taken off the socket is in the file, and [`received`](Self::received) says how much;
/// - by `direct`, up to 1 MiB may be in memory or on its way to the disk. [`stop`](Self::stop) brings that into the file, and says
///   what is there then. Dropped without it, what is in memory is written through the page cache before the drop is over, and what a
///   thread is busy with soon after; if that fails nobody is told.
///
/// What had not been taken is still in the socket, for whoever reads on.
///
/// ```
/// use sendrail_transfer::{asynchronous::Receiving, receive::{RangeInto, ReceiveOptions}};
/// use std::{sync::Arc, time::Duration};
/// use tokio::{io::AsyncWriteExt, net::UnixStream, time::timeout};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut sender, socket) = UnixStream::pair()?;
/// let file = Arc::new(tempfile::tempfile()?);
/// let mut receiving = Receiving::new(Arc::clone(&file), RangeInto::until_end(0), &ReceiveOptions::default());
///
/// sender.write_all(b"half, ").await?;
/// let cancelled = timeout(Duration::from_millis(10), receiving.recv(&socket)).await;
/// assert!(cancelled.is_err() && receiving.received().bytes == 6);
///
/// sender.write_all(b"and half").await?;
/// drop(sender);
/// assert_eq!(receiving.recv(&socket).await?.bytes, 14);
/// assert_eq!(std::io::read_to_string(&*file)?, "half, and half");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Receiving {
    at: At,
    timeout: Option<Duration>,
    whose: Option<Whose>,
}

/// Who has it.
#[derive(Debug)]
enum At {
    Here(Box<Reception>),
    Pool(InPool),
    Over(Received),
}

impl Receiving {
    /// A reception into `file`, where `range` says. Makes no system call: nothing is received, nor looked at, before
    /// [`recv`](Self::recv) is polled.
    pub fn new(file: Arc<File>, range: RangeInto, options: &ReceiveOptions) -> Self {
        let reception = Box::new(Reception::new(file, range, options));
        Self { at: At::Here(reception), timeout: options.timeout, whose: None }
    }

    /// Receives until all is in the file, and says what it cost, earlier calls included. The socket must be the same each time. Once it
    /// has ended, one way or the other, a call receives nothing more and says the same as [`received`](Self::received).
    ///
    /// # Errors
    ///
    /// As [`receive::recv_file`](crate::receive::recv_file). After [`ReceiveFault::TimedOut`] it can be gone on with.
    pub async fn recv<S: RecvSocket>(&mut self, socket: &S) -> Result<Received, ReceiveError> {
        let mut patience = None;
        let mut yielded_at = self.received().bytes;
        loop {
            let next = match &mut self.at {
                At::Over(received) => return Ok(received.clone()),
                At::Here(reception) => reception.step(socket.descriptor()),
                At::Pool(_) => self.back().await,
            };
            match next {
                ReceiveStep::Done => return Ok(self.end()),
                ReceiveStep::Yield => tokio::task::yield_now().await,
                ReceiveStep::WaitDisk => self.hand_over(),
                ReceiveStep::WaitSocket => {
                    let At::Here(reception) = &mut self.at else { continue };
                    let (taken, now) = (reception.taken(), now());
                    let patience =
                        patience.get_or_insert_with(|| Patience::new(self.timeout, taken, now));
                    let Ok(left) = patience.left(taken, now) else {
                        return Err(self.timed_out().await);
                    };
                    reception.received_mut().system_calls += socket.clear_readable();
                    // When the time is up the next step finds out; see Patience::left.
                    if let Some(Err(error)) = within(left, socket.readable()).await {
                        return Err(self.failed(ReceiveFault::Socket(error), Vec::new()));
                    }
                    // A sender that keeps pace makes every wait a short one, and none of them lets others go first.
                    if self.received().bytes - yielded_at >= WINDOW {
                        yielded_at = self.received().bytes;
                        tokio::task::yield_now().await;
                    }
                }
                ReceiveStep::Failed(fault, unwritten) => return Err(self.failed(fault, unwritten)),
            }
        }
    }

    /// What has been received, and what that has cost, by all calls: [`bytes`](Received::bytes) are in the file. While
    /// a thread of the disk pool writes, as of when it was asked to.
    pub fn received(&self) -> &Received {
        match &self.at {
            At::Here(reception) => reception.received(),
            At::Pool(in_pool) => &in_pool.before,
            At::Over(received) => received,
        }
    }

    /// Ends it where it stands: what has been taken off the socket is brought into the file. It waits for the disk if it must, and never
    /// for the socket. If it is dropped itself, that is as if the [`Receiving`] had been.
    ///
    /// # Errors
    ///
    /// [`ReceiveFault::File`], with what did not get into the file.
    ///
    /// ```
    /// # use sendrail_transfer::{asynchronous::Receiving, receive::{RangeInto, ReceiveMethod, ReceiveOptions}};
    /// # use std::{sync::Arc, time::Duration};
    /// # use tokio::{io::AsyncWriteExt, net::UnixStream, time::timeout};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (mut sender, socket) = UnixStream::pair()?;
    /// # let file = Arc::new(tempfile::tempfile()?);
    /// let options = ReceiveOptions { method: Some(ReceiveMethod::Direct), ..ReceiveOptions::default() };
    /// let mut receiving = Receiving::new(Arc::clone(&file), RangeInto::until_end(0), &options);
    /// sender.write_all(b"a little").await?;
    /// let _ = timeout(Duration::from_millis(10), receiving.recv(&socket)).await;
    /// assert_eq!(receiving.stop().await?.bytes, 8);
    /// assert_eq!(std::io::read_to_string(&*file)?, "a little");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stop(mut self) -> Result<Received, ReceiveError> {
        self.settle().await?;
        Ok(self.end())
    }

    /// Waits until nothing is held that is not in the file.
    async fn settle(&mut self) -> Result<(), ReceiveError> {
        loop {
            match &self.at {
                At::Over(_) => return Ok(()),
                At::Here(reception) if !reception.holds_something() => return Ok(()),
                At::Here(_) => self.hand_over(),
                At::Pool(_) => {
                    if let ReceiveStep::Failed(fault, unwritten) = self.back().await {
                        return Err(self.failed(fault, unwritten));
                    }
                }
            }
        }
    }

    async fn timed_out(&mut self) -> ReceiveError {
        match self.settle().await {
            Err(error) => error,
            Ok(()) => ReceiveError {
                fault: ReceiveFault::TimedOut,
                receipt: Box::new(self.received().clone()),
                unwritten: Vec::new(),
            },
        }
    }

    fn failed(&mut self, fault: ReceiveFault, unwritten: Vec<u8>) -> ReceiveError {
        ReceiveError { fault, receipt: Box::new(self.end()), unwritten }
    }

    fn end(&mut self) -> Received {
        let received = self.received().clone();
        self.at = At::Over(received.clone());
        received
    }

    /// Has a thread that may sleep on the disk write what it holds.
    fn hand_over(&mut self) {
        let before = self.received().clone();
        let At::Here(mut reception) = std::mem::replace(&mut self.at, At::Over(before.clone()))
        else {
            return;
        };
        let whose = *self.whose.get_or_insert_with(|| {
            let file = Arc::clone(reception.file());
            let stat = call(&mut reception.received_mut().system_calls, || fstat(file.as_fd()));
            Whose { device: stat.map_or(0, |stat| stat.device), client: next_client() }
        });
        self.at = At::Pool(InPool::submit(reception, whose, before));
    }

    /// Waits for the pool. Dropped meanwhile, it can be waited for again.
    async fn back(&mut self) -> ReceiveStep {
        let At::Pool(in_pool) = &mut self.at else { return ReceiveStep::Yield };
        let why = match (&mut in_pool.told).await {
            Ok(Ok((reception, next))) => {
                self.at = At::Here(reception);
                return next;
            }
            Ok(Err(panicked)) => io::Error::other(panicked),
            Err(forgotten) => io::Error::other(forgotten),
        };
        ReceiveStep::Failed(ReceiveFault::File { error: why, offset: in_pool.offset }, Vec::new())
    }
}

/// A write past the page cache that a thread of the disk pool is to make.
#[derive(Debug)]
struct InPool {
    told: oneshot::Receiver<Result<(Box<Reception>, ReceiveStep), Panicked>>,
    before: Received,
    /// Where in the file it is to be.
    offset: u64,
    /// Dropped with this: then what has not begun is done by whoever drops it.
    _ticket: Option<Ticket>,
}

impl InPool {
    fn submit(reception: Box<Reception>, whose: Whose, before: Received) -> Self {
        let offset = reception.offset();
        let (tell, told) = oneshot::channel();
        // Where it is found again if the job is refused.
        let place = Arc::new(Mutex::new(Some(reception)));
        let there = Arc::clone(&place);
        let work = move || {
            let mut reception = take(&there).expect("it is taken back from no job that has begun");
            let next = reception.write_held();
            (reception, next)
        };
        let job = Job::once(whose, work, move |outcome| drop(tell.send(outcome)));
        if let Ok(ticket) = DiskPool::of_the_process().submit(job) {
            return Self { told, before, offset, _ticket: Some(ticket) };
        }
        let (tell, told) = oneshot::channel();
        if let Some(mut reception) = take(&place) {
            let next = reception.write_held();
            drop(tell.send(Ok((reception, next))));
        }
        Self { told, before, offset, _ticket: None }
    }
}

fn take(place: &Mutex<Option<Box<Reception>>>) -> Option<Box<Reception>> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}
