//! A connection: requests come in, answers go out in the same order.
//!
//! A small answer costs one recv(2) and one send(2), and allocates nothing: the buffers belong to the thread. That is done inside one poll;
//! whatever has to be waited for is named by a [`Todo`], and waited for outside.

use super::{Broker, appender::Order};
use crate::{
    error::AppendError,
    view::Span,
    wire::{self, Fetch, Parsed, Request},
    writer::Appended,
};
use sendrail_sys::{
    pread::{ReadFlags, preadv2},
    send::send,
};
use sendrail_transfer::{Chain, Disk, FileRange, SendError, Step, Transfer, asynchronous::finish};
use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    io,
    os::fd::AsFd,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, oneshot, watch},
    time::{Instant, Sleep, sleep_until, timeout},
};

/// Bytes that are received at once; a longer request gets memory of its own.
const RECEIVED: usize = 64 << 10;

/// Up to so many bytes of records are copied behind the head, and leave with it by one call; beyond, copying costs more than the
/// second call (docs/decisions/0016).
const COPIED: u64 = 8 << 10;

/// With so many bytes of answers nothing more is put behind them: they leave first.
const ENOUGH: usize = 64 << 10;

/// How long it is waited for the peer to read why it was refused, and how much of what it still sends is thrown away.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 << 20;

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        received: vec![0; RECEIVED].into(),
        answers: Vec::with_capacity(ENOUGH + COPIED as usize + wire::FETCHED_HEAD),
    });
}

/// One pair for all connections of a thread, so that they stay in the cache.
struct Buffers {
    received: Box<[u8]>,
    answers: Vec<u8>,
}

pub(super) struct Connection {
    socket: TcpStream,
    broker: Arc<Broker>,
    /// What has been received and not answered, from `done` on.
    input: Vec<u8>,
    done: usize,
    /// Answers that the socket did not take.
    unsent: Vec<u8>,
    /// A fetch that has waited at the end of the log.
    woken: Option<Fetch>,
    appends: VecDeque<oneshot::Receiver<Result<Appended, AppendError>>>,
    end: watch::Receiver<u64>,
    /// Made when first needed, and set anew only when it has gone off: a wait that is cut short costs no timer.
    timer: Option<Pin<Box<Sleep>>>,
}

/// What has to be waited for before the next request is looked at.
enum Todo {
    /// More has to be received.
    Receive,
    /// Nothing: others have their turn.
    Again,
    /// The log has to grow.
    Wait(Fetch),
    /// The rest of a long answer has to go.
    Finish(Box<(Transfer, Step)>),
    /// The appender has to answer.
    Appends,
    /// The rest of a request of so many bytes has to be received, behind what is there.
    Long(usize),
    /// It was told why; nothing more is looked at.
    Close,
    /// The socket or the file has failed.
    Failed(SendError),
    /// The peer has closed its side.
    Ended,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, broker: Arc<Broker>) -> Self {
        let end = broker.log.shared.end.subscribe();
        Self {
            socket,
            broker,
            input: Vec::new(),
            done: 0,
            unsent: Vec::new(),
            woken: None,
            appends: VecDeque::new(),
            end,
            timer: None,
        }
    }

    pub(super) async fn run(mut self) -> io::Result<()> {
        let mut todo = Todo::Receive;
        loop {
            if !self.unsent.is_empty() {
                self.send_rest().await?;
            }
            todo = match todo {
                Todo::Receive if self.input.is_empty() => {
                    poll_fn(|context| self.poll_receive(context)).await?
                }
                // It has begun to come.
                Todo::Receive => {
                    let limit = self.broker.options.request_timeout;
                    let receive = poll_fn(|context| self.poll_receive(context));
                    timeout(limit, receive).await.map_err(|_| io::ErrorKind::TimedOut)??
                }
                Todo::Again => {
                    tokio::task::coop::consume_budget().await;
                    self.go_on()
                }
                Todo::Wait(fetch) => {
                    self.broker.stats.has_waited();
                    self.wait(&fetch).await;
                    self.woken = Some(fetch);
                    self.go_on()
                }
                Todo::Finish(begun) => {
                    let (transfer, step) = *begun;
                    let receipt = Box::pin(finish(&self.socket, transfer, step)).await?;
                    self.broker.stats.sent(&receipt);
                    self.go_on()
                }
                Todo::Appends => {
                    self.acknowledge().await;
                    Todo::Again // they go first
                }
                Todo::Long(len) => {
                    Box::pin(self.receive_long(len)).await?;
                    Todo::Appends
                }
                Todo::Close => return Box::pin(self.linger()).await,
                Todo::Failed(error) => return Err(error.into()),
                Todo::Ended => return Ok(()),
            };
        }
    }

    /// Receives once, and answers what is whole.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Todo>> {
        BUFFERS.with_borrow_mut(|Buffers { received, answers }| {
            let mut buffer = ReadBuf::new(received);
            // This, and not recv(2) by hand: after a read that came up short tokio knows that there is nothing more, without asking.
            match Pin::new(&mut self.socket).poll_read(context, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            let received = buffer.filled();
            if received.is_empty() {
                return Poll::Ready(Ok(Todo::Ended));
            }
            if self.input.is_empty() {
                let (done, todo) = self.answer(received, answers);
                self.input.extend_from_slice(&received[done..]);
                return Poll::Ready(Ok(todo));
            }
            self.input.extend_from_slice(received);
            Poll::Ready(Ok(self.answer_input(answers)))
        })
    }

    /// Answers what is whole of what has been received before.
    fn go_on(&mut self) -> Todo {
        if self.input.is_empty() && self.woken.is_none() {
            return Todo::Receive;
        }
        BUFFERS.with_borrow_mut(|buffers| self.answer_input(&mut buffers.answers))
    }

    fn answer_input(&mut self, answers: &mut Vec<u8>) -> Todo {
        let input = std::mem::take(&mut self.input);
        let (done, todo) = self.answer(&input[self.done..], answers);
        self.done += done;
        if self.done < input.len() {
            self.input = input;
            if matches!(todo, Todo::Receive | Todo::Long(_)) {
                self.input.drain(..self.done);
                self.done = 0;
            }
        } else {
            self.done = 0; // and the memory is given back: what is idle has none
        }
        todo
    }

    /// Answers requests until something has to be waited for. Says how many bytes of `input` they were.
    fn answer(&mut self, input: &[u8], answers: &mut Vec<u8>) -> (usize, Todo) {
        answers.clear();
        let mut done = 0;
        let todo = loop {
            if let Some(fetch) = self.woken.take() {
                if let Some(todo) = self.answer_fetch(&fetch, false, answers) {
                    break todo;
                }
                continue;
            }
            if answers.len() >= ENOUGH {
                break Todo::Again;
            }
            let most = self.broker.log.shared.options.append_bytes as usize;
            let (request, len) = match wire::parse(&input[done..], most) {
                Parsed::Request(request, len) => (request, len),
                Parsed::Begun(_) | Parsed::Malformed(_) if !self.appends.is_empty() => {
                    break Todo::Appends;
                }
                Parsed::Begun(len) if len > RECEIVED => break Todo::Long(len),
                Parsed::Begun(_) => break Todo::Receive,
                Parsed::Malformed(why) => {
                    wire::answer_refused(why, answers);
                    break Todo::Close;
                }
            };
            if let Request::Append(payloads) = &request {
                done += len;
                self.append(payloads.as_bytes().to_vec(), 0, None);
                continue;
            }
            if !self.appends.is_empty() {
                break Todo::Appends; // their answers come first
            }
            done += len;
            match request {
                Request::Fetch(fetch) => {
                    if let Some(todo) = self.answer_fetch(&fetch, true, answers) {
                        break todo;
                    }
                }
                Request::Info => {
                    let view = self.broker.log.shared.view();
                    let (start, end) = (view.start(), view.end());
                    drop(view);
                    wire::answer_info(start, end, answers);
                }
                Request::Append(_) => unreachable!("it has been looked for"),
            }
        };
        match self.send_answers(answers) {
            Ok(()) => (done, todo),
            Err(error) => (done, Todo::Failed(SendError::Wait { error })),
        }
    }

    /// Puts the answer behind the others, or sends it with them. Something has to be done next, perhaps.
    fn answer_fetch(&mut self, fetch: &Fetch, wait: bool, answers: &mut Vec<u8>) -> Option<Todo> {
        let max_bytes = fetch.max_bytes.min(self.broker.options.fetch_bytes);
        let view = self.broker.log.shared.view();
        let span = match view.find(fetch.offset, u64::from(max_bytes)) {
            Ok(span) => span,
            Err(bounds) => {
                drop(view);
                wire::answer_out_of_range(bounds, answers);
                return None;
            }
        };
        if span.len == 0 {
            drop(view);
            if wait && fetch.max_wait_ms > 0 {
                return Some(Todo::Wait(*fetch));
            }
            wire::answer_fetched(&span, answers);
            return None;
        }
        if span.len <= COPIED
            && let Some(bytes) = view.in_memory(&span)
        {
            wire::answer_fetched(&span, answers);
            answers.extend_from_slice(bytes);
            drop(view);
            let stats = &self.broker.stats;
            stats.fetched(span.len, stats.of_memory());
            return None;
        }
        let range = view.file_range(&span);
        drop(view);
        if span.len <= COPIED && copy(&range, &span, answers) {
            let stats = &self.broker.stats;
            stats.fetched(span.len, stats.of_page_cache());
            return None;
        }
        wire::answer_fetched(&span, answers);
        Some(self.send_range(range, answers))
    }

    /// Sends the answers, of which the last is the head of this range, and the range, as far as that goes without waiting.
    fn send_range(&mut self, range: FileRange, answers: &mut Vec<u8>) -> Todo {
        let mut chain = Chain::new();
        chain.push_file(range);
        let mut transfer = Transfer::new(chain, self.broker.options.send.clone());
        transfer.socket_is_nonblocking(); // tokio made it so
        let step = transfer.begin(&self.socket, answers, Disk::MustNotWait);
        answers.clear();
        if let Step::Done = step {
            self.broker.stats.sent(&transfer.into_receipt());
            return Todo::Again;
        }
        Todo::Finish(Box::new((transfer, step)))
    }

    /// Sends what it takes of the answers, and keeps the rest.
    fn send_answers(&mut self, answers: &[u8]) -> io::Result<()> {
        if answers.is_empty() {
            return Ok(());
        }
        let sent = match send(self.socket.as_fd(), answers, false) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.unsent.extend_from_slice(&answers[sent..]);
        Ok(())
    }

    /// Sends what the socket did not take.
    async fn send_rest(&mut self) -> io::Result<()> {
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
    async fn wait(&mut self, fetch: &Fetch) {
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

    fn append(&mut self, bytes: Vec<u8>, begins: usize, room: Option<OwnedSemaphorePermit>) {
        let (answer, answered) = oneshot::channel();
        self.appends.push_back(answered);
        self.broker.appender.order(Order { bytes, begins, answer, room });
    }

    /// Answers the appends that are on their way.
    async fn acknowledge(&mut self) {
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
    async fn receive_long(&mut self, len: usize) -> io::Result<()> {
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
    async fn linger(mut self) -> io::Result<()> {
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

/// Puts the head and the records behind the answers, if all of them are in the page cache.
fn copy(range: &FileRange, span: &Span, answers: &mut Vec<u8>) -> bool {
    let before = answers.len();
    wire::answer_fetched(span, answers);
    let begins = answers.len();
    answers.resize(begins + span.len as usize, 0);
    let nowait = ReadFlags { nowait: true, ..ReadFlags::default() };
    let read = preadv2(range.file().as_fd(), &mut answers[begins..], range.offset(), nowait);
    let whole = read.is_ok_and(|count| count as u64 == span.len);
    if !whole {
        answers.truncate(before);
    }
    whole
}
