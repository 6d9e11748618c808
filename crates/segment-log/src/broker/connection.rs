//! A connection: requests come in, answers go out in the same order.
//!
//! A small answer costs one recv(2) and one send(2), and allocates nothing: the buffers belong to the thread. That is done inside one poll;
//! whatever has to be waited for is named by a [`Todo`], and waited for outside.

use super::Broker;
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
use sendrail_transfer::{
    Chain, Disk, FileRange, Place, Receipt, SendError, Step, Transfer, asynchronous::finish,
};
use std::{
    cell::RefCell,
    collections::VecDeque,
    fs::File,
    future::poll_fn,
    io,
    os::fd::AsFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
    sync::{oneshot, watch},
    time::{Sleep, timeout},
};

/// Bytes that are received at once; a longer request gets memory of its own.
const RECEIVED: usize = 64 << 10;

/// Up to so many bytes of records are copied behind the head, and leave with it by one call; beyond, copying costs more than the
/// second call (docs/decisions/0016).
const COPIED: u64 = 8 << 10;

/// With so many bytes of answers nothing more is put behind them: they leave first.
const ENOUGH: usize = 64 << 10;

thread_local! {
    pub(super) static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        received: vec![0; RECEIVED].into(),
        answers: Vec::with_capacity(ENOUGH + COPIED as usize + wire::FETCHED_HEAD),
    });
}

/// One pair for all connections of a thread, so that they stay in the cache.
pub(super) struct Buffers {
    pub(super) received: Box<[u8]>,
    answers: Vec<u8>,
}

pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) broker: Arc<Broker>,
    /// What has been received and not answered, from `done` on.
    pub(super) input: Vec<u8>,
    done: usize,
    /// Answers that the socket did not take.
    pub(super) unsent: Vec<u8>,
    /// A fetch that has waited at the end of the log.
    woken: Option<Fetch>,
    pub(super) appends: VecDeque<oneshot::Receiver<Result<Appended, AppendError>>>,
    pub(super) end: watch::Receiver<u64>,
    /// Made when first needed, and set anew only when it has gone off: a wait that is cut short costs no timer.
    pub(super) timer: Option<Pin<Box<Sleep>>>,
    /// Of a consumer that lags behind: where it goes on, and in which segment.
    place: Option<(Arc<File>, Place)>,
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
    Finish(Box<(Transfer, Step, FileRange)>),
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
            place: None,
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
                    let (transfer, step, range) = *begun;
                    let receipt = Box::pin(finish(&self.socket, transfer, step)).await?;
                    self.has_sent(&range, &receipt);
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
            self.place = None;
            return None;
        }
        let range = view.file_range(&span);
        drop(view);
        if span.len <= COPIED && copy(&range, &span, answers) {
            let stats = &self.broker.stats;
            stats.fetched(span.len, stats.of_page_cache());
            self.goes_on(&range, false);
            return None;
        }
        wire::answer_fetched(&span, answers);
        Some(self.send_range(range, answers))
    }

    /// Sends the answers, of which the last is the head of this range, and the range, as far as that goes without waiting.
    fn send_range(&mut self, range: FileRange, answers: &mut Vec<u8>) -> Todo {
        let mut chain = Chain::new();
        chain.push_file(range.clone());
        let mut transfer = Transfer::new(chain, self.broker.options.send.clone());
        transfer.socket_is_nonblocking(); // tokio made it so
        let step = transfer.begin(&self.socket, answers, Disk::MustNotWait);
        answers.clear();
        if let Step::Done = step {
            self.has_sent(&range, &transfer.into_receipt());
            return Todo::Again;
        }
        Todo::Finish(Box::new((transfer, step, range)))
    }

    fn has_sent(&mut self, range: &FileRange, receipt: &Receipt) {
        self.broker.stats.sent(receipt);
        self.goes_on(range, receipt.cold > 0);
    }

    /// Who reads what was not in the page cache will go on behind it: what has been read ahead there is not to be given back before he comes.
    fn goes_on(&mut self, range: &FileRange, cold: bool) {
        if !cold && self.place.is_none() {
            return;
        }
        let (begins, ends) = (range.offset(), range.offset() + range.len());
        match &mut self.place {
            Some((file, place))
                if Arc::ptr_eq(file, range.file()) && place.position() == begins =>
            {
                place.move_to(ends);
            }
            other if cold => {
                let place = Place::behind(range, &self.broker.options.send);
                *other = place.map(|place| (Arc::clone(range.file()), place));
            }
            other => *other = None,
        }
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
