//! What a connection waits for: the socket, the end of the log, the appender, the rest of a long request, and its peer to read why it was refused.

use super::{
    appender::Order,
    connection::{BUFFERS, Connection},
};
use crate::wire::{self, Fetch, Parsed, Request};
use sendrail_sys::send::send;
use std::{
    future::poll_fn,
    io,
    os::fd::AsFd,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    sync::{OwnedSemaphorePermit, oneshot},
    time::{Instant, sleep_until, timeout},
};

/// How long it is waited for the peer to read why it was refused, and how much of what it still sends is thrown away.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 << 20;

impl Connection {
    /// Sends what the socket did not take.
    pub(super) async fn send_rest(&mut self) -> io::Result<()> {
        let mut sent = 0;
        let limit = self.broker.options.send.send_timeout.unwrap_or(Duration::MAX);
        while sent < self.unsent.len() {
            timeout(limit, self.socket.writable()).await.map_err(|_| io::ErrorKind::TimedOut)??;
            let rest = &self.unsent[sent..];
            let outcome =
                self.socket.try_io(Interest::WRITABLE, || send(self.socket.as_fd(), rest, false));
            match outcome {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent = Vec::new();
        Ok(())
    }

    /// Waits until the log goes beyond the offset of this fetch, or its time is up.
    pub(super) async fn wait(&mut self, fetch: &Fetch) {
        let longest = Duration::from_millis(u64::from(fetch.max_wait_ms));
        let deadline = Instant::now() + longest.min(self.broker.options.longest_wait);
        let Self { end, timer, .. } = self;
        let mut grown = pin!(end.wait_for(|end| *end > fetch.offset));
        poll_fn(|context| {
            if grown.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            loop {
                if timer.is_elapsed() || timer.deadline() > deadline {
                    timer.as_mut().reset(deadline);
                }
                if timer.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                if Instant::now() >= deadline {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }

    pub(super) fn append(
        &mut self,
        bytes: Vec<u8>,
        begins: usize,
        room: Option<OwnedSemaphorePermit>,
    ) {
        let (answer, answered) = oneshot::channel();
        self.appends.push_back(answered);
        self.broker.appender.order(Order { bytes, begins, answer, room });
    }

    /// Answers the appends that are on their way.
    pub(super) async fn acknowledge(&mut self) {
        while let Some(answered) = self.appends.pop_front() {
            match answered.await {
                Ok(Ok(appended)) => {
                    wire::answer_appended(appended, &mut self.unsent);
                    self.broker.stats.appended();
                }
                Ok(Err(error)) => wire::answer_refused(&error.to_string(), &mut self.unsent),
                Err(_) => {
                    wire::answer_refused("the broker cannot append any more", &mut self.unsent);
                }
            }
        }
    }

    /// Receives a request that is longer than the buffer, and nothing behind it. That can only be an append.
    pub(super) async fn receive_long(&mut self, len: usize) -> io::Result<()> {
        let room = Arc::clone(&self.broker.room).acquire_many_owned(len as u32).await;
        let mut request = std::mem::take(&mut self.input);
        let mut filled = request.len();
        request.resize(len, 0);
        let socket = &mut self.socket;
        let receive = poll_fn(|context| {
            while filled < len {
                let mut buffer = ReadBuf::new(&mut request[filled..]);
                match Pin::new(&mut *socket).poll_read(context, &mut buffer) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                    Poll::Ready(Ok(())) => filled += buffer.filled().len(),
                }
            }
            Poll::Ready(Ok(()))
        });
        let limit = self.broker.options.request_timeout;
        timeout(limit, receive).await.map_err(|_| io::ErrorKind::TimedOut)??;
        match wire::parse(&request, len) {
            Parsed::Request(Request::Append(_), _) => {
                self.append(request, 5, room.ok());
                Ok(())
            }
            Parsed::Malformed(_) | Parsed::Begun(_) | Parsed::Request(..) => {
                self.input = request;
                Ok(())
            }
        }
    }

    /// A socket that is closed with bytes unread is reset, and the peer may never read why it was refused.
    pub(super) async fn linger(mut self) -> io::Result<()> {
        poll_fn(|context| Pin::new(&mut self.socket).poll_shutdown(context)).await?;
        let mut left = LINGER_BYTES;
        let discard = poll_fn(|context| {
            BUFFERS.with_borrow_mut(|buffers| {
                loop {
                    let mut buffer = ReadBuf::new(&mut buffers.received);
                    match Pin::new(&mut self.socket).poll_read(context, &mut buffer) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                        Poll::Ready(Ok(())) => {}
                    }
                    let count = buffer.filled().len();
                    left = left.saturating_sub(count);
                    if count == 0 || left == 0 {
                        return Poll::Ready(());
                    }
                }
            })
        });
        let _ = timeout(LINGER, discard).await;
        Ok(())
    }
}
