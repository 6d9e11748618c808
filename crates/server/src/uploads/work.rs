//! One upload at work, turn by turn, in threads that may sleep.

use super::{
    Uploads, answer,
    arriving::{Arriving, What},
    body::{Body, Fault, Step},
    target::{Target, condition, digests, more_of, state_of, terms},
};
use sendrail_files::{
    ArrivalError, Completed, Digesting, ResumableTerms, Resumed, Stored, Upload, UploadId,
};
use sendrail_http::{
    head::{Framing, HeadLimits, Parsed, parse},
    render::CONTINUE,
    status::Status,
    upload,
    upload::{Act, Fields, Interim, Preconditions, Reply, State, act},
};
use sendrail_sys::{poll::wait_readable, send::send, sockopt::set_receive_low_water};
use sendrail_transfer::{disk_pool::Turn, receive::Received};
use std::{
    ops::ControlFlow,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// After so long a turn ends with the window that it is at.
const LONG: Duration = Duration::from_millis(50);

/// So long a thread waits for a socket that has nothing, while nobody else waits for the thread: a sender on the same machine or in
/// the same house has sent more by then, and a trip to the event loop and back is saved.
const SOCKET: Duration = Duration::from_millis(2);

/// So long a connection may go on whose upload another one has come for, if bytes keep coming; and so long a pause is no end.
const LAST: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

/// Up to this length in bytes a body is worth a thread when all of it is there: then one trip to the disk is all that it takes. Fits into
/// what a socket holds before anybody has tuned it (tcp_rmem, tcp(7)).
const SHORT: u64 = 64 << 10;

/// What the event loop has to do next.
#[derive(Debug)]
pub(crate) enum Stand {
    /// Wait until the socket has something.
    Socket,
    /// Wait until another request has let go of the upload.
    Busy,
    /// Answer.
    Answer(Box<Reply>),
    /// Nothing more: nobody is there, or he has come back by another connection.
    PeerGone,
}

/// An upload at work. Dropped, which may sleep, what has come of one that can be gone on with is kept.
#[derive(Debug)]
pub(crate) struct Work {
    uploads: Arc<Uploads>,
    arriving: Box<Arriving>,
    /// What came with the head, until the body has it; in the end what came behind the body.
    ahead: Vec<u8>,
    under_way: Option<(Target, Body)>,
    received: Option<Received>,
    /// What is to come of a body that is not wanted; `None` if nobody knows.
    left: Option<u64>,
    /// Bytes that were sent before the answer.
    pub(crate) interim: u64,
    /// Told when somebody else wants to go on with the upload, or when he has let go of it.
    pub(crate) called: Arc<Notify>,
}

impl Work {
    pub(crate) fn new(uploads: Arc<Uploads>, arriving: Box<Arriving>, ahead: Vec<u8>) -> Self {
        let left = match arriving.framing {
            Framing::None => Some(0),
            // Whoever has not been asked for a body will perhaps not send it.
            _ if arriving.expects && ahead.is_empty() => None,
            Framing::Length(left) => Some(left),
            Framing::Chunked => None,
        };
        let called = Arc::default();
        Self { uploads, arriving, ahead, under_way: None, received: None, left, interim: 0, called }
    }

    /// How much more of a short body there will be before it is worth a thread. None, if the client has to be asked for it first, or
    /// told where it goes: what can be refused is refused before.
    pub(crate) fn awaits(&self) -> Option<u32> {
        let Framing::Length(len @ ..=SHORT) = self.arriving.framing else { return None };
        let missing = len.saturating_sub(self.ahead.len() as u64);
        let may_wait = !self.arriving.expects && matches!(self.arriving.what, What::Store(..));
        (may_wait && missing > 0).then_some(missing as u32)
    }

    /// The answer, if no disk is needed for it.
    pub(crate) fn known_answer(&mut self) -> Option<Box<Reply>> {
        match &self.arriving.what {
            What::Refused(reply) => Some(reply.clone()),
            _ => None,
        }
    }

    /// Goes on with it as far as the socket allows, or until others have waited long enough for the thread.
    pub(crate) fn advance(&mut self, socket: impl AsFd, turn: &Turn<'_>) -> ControlFlow<Stand> {
        let socket = socket.as_fd();
        if self.under_way.is_none()
            && let Err(stand) = self.begin(socket)
        {
            return ControlFlow::Break(stand);
        }
        let begun = Instant::now();
        loop {
            let (target, body) = self.under_way.as_mut().expect("it has begun");
            let is_wanted = target.is_wanted();
            match body.step(target, socket) {
                // Whoever comes back is told of what he has sent before: most of that is on its way still.
                Step::Yield if is_wanted && begun.elapsed() < LAST => {}
                Step::Socket if is_wanted && begun.elapsed() < LAST && follows(socket) => {}
                Step::Yield | Step::Socket if is_wanted => {
                    return ControlFlow::Break(self.fail(Fault::PeerGone));
                }
                Step::End => return ControlFlow::Break(Stand::Answer(Box::new(self.finish()))),
                Step::Failed(fault) => return ControlFlow::Break(self.fail(fault)),
                Step::Yield if turn.others_wait() || begun.elapsed() >= LONG => {
                    return ControlFlow::Continue(());
                }
                Step::Yield => {}
                Step::Socket => {
                    let is_long = turn.others_wait() || begun.elapsed() >= LONG;
                    if is_long || !wait_readable(socket, Some(SOCKET)).unwrap_or(true) {
                        return ControlFlow::Break(Stand::Socket);
                    }
                }
            }
        }
    }

    /// Bytes that have come.
    pub(crate) fn taken(&self) -> u64 {
        self.under_way.as_ref().map_or(0, |(_, body)| body.taken())
    }

    /// The receipt, if something was received.
    pub(crate) fn received(&self) -> Option<Received> {
        let under_way = self.under_way.as_ref().map(|(_, body)| body.received());
        under_way.or_else(|| self.received.clone())
    }

    /// The sender is given up; nobody knows where his next request would begin.
    pub(crate) fn give_up(&mut self) -> Box<Reply> {
        self.left = None;
        Box::new(answer::too_slow(self.arriving.to.interop))
    }

    /// Another request has not let go of the upload.
    pub(crate) fn still_busy(&self) -> Box<Reply> {
        Box::new(self.refused(&ArrivalError::Busy))
    }

    /// What came behind the body, or with it if it was not wanted; and how much of that is not wanted, `None` if nobody knows.
    pub(crate) fn take_rest(&mut self) -> (Vec<u8>, Option<u64>) {
        (std::mem::take(&mut self.ahead), self.left)
    }

    /// Whether there is nothing to be closed that may sleep.
    pub(crate) fn is_light(&self) -> bool {
        self.under_way.is_none()
    }

    fn refused(&self, error: &ArrivalError) -> Reply {
        answer::refused(error, self.arriving.to.interop)
    }

    /// Looks at what can be looked at, and asks the client for its body if it waits for that.
    fn begin(&mut self, socket: BorrowedFd<'_>) -> Result<(), Stand> {
        let (target, sums) = self.open()?;
        let ahead = std::mem::take(&mut self.ahead);
        let asks = self.arriving.expects && ahead.is_empty();
        let location = match &target {
            Target::Resumable { upload, is_new: true, .. } => {
                Some(self.uploads.location(upload.id()))
            }
            _ => None,
        };
        if let Target::Resumable { upload, .. } = &target {
            let called = Arc::clone(&self.called);
            upload.stop().on_asked(move || called.notify_one());
        }
        let most = self.uploads.most().saturating_sub(target.offset());
        let offset = target.offset();
        let digesting = (!sums.is_empty()).then(|| Digesting::new(digests(&sums)));
        match Body::new(target.file(), offset, self.arriving.framing, ahead, digesting, most) {
            Ok(body) => self.under_way = Some((target, body)),
            Err(fault) => return Err(Stand::Answer(Box::new(self.said_of(fault)))),
        }
        let mut first = Vec::new();
        if let (Some(interop), Some(location)) = (self.arriving.to.interop, location)
            && !matches!(self.arriving.framing, Framing::None | Framing::Length(0))
        {
            let limits = Some(self.uploads.limits());
            let location = Some(&*location);
            Interim { interop, location, offset: None, limits }.write(&mut first);
        }
        if asks {
            first.extend_from_slice(CONTINUE);
        }
        self.say(socket, &first)
    }

    /// A few bytes into an empty buffer. If they do not fit, the client has stopped reading, and may not be waiting for them either.
    fn say(&mut self, socket: BorrowedFd<'_>, interim: &[u8]) -> Result<(), Stand> {
        if interim.is_empty() {
            return Ok(());
        }
        match send(socket, interim, false) {
            Ok(sent) if sent == interim.len() => {
                self.interim += sent as u64;
                Ok(())
            }
            Ok(_) | Err(_) => Err(self.fail(Fault::PeerGone)),
        }
    }

    /// The file that the body goes to, and what the bytes of this request must come to.
    fn open(&mut self) -> Result<(Target, Vec<upload::ContentSum>), Stand> {
        let landing = self.uploads.place.landing();
        let opened = match &self.arriving.what {
            What::Refused(reply) => return Err(Stand::Answer(reply.clone())),
            What::Store(path, store) => landing
                .begin(path, terms(&store.preconditions, store.len))
                .map(|arrival| (Target::Plain(arrival), store.digests.clone())),
            What::Create(path, create) => {
                let resumable = ResumableTerms {
                    owner: self.arriving.user.as_deref().map(str::to_owned),
                    digests: digests(&create.digests),
                    note: create.preconditions.to_bytes(),
                };
                let terms = terms(&create.preconditions, create.len);
                landing.create(path, terms, resumable).map(Box::new).map(|upload| {
                    let preconditions = create.preconditions.clone();
                    let complete = create.complete;
                    let target =
                        Target::Resumable { upload, preconditions, complete, is_new: true };
                    (target, create.content_digests.clone())
                })
            }
            What::Resource(id, head) => return self.go_on(*id, &head.clone()),
        };
        opened.map_err(|error| Stand::Answer(Box::new(self.refused(&error))))
    }

    /// A request to an upload that there is.
    fn go_on(
        &mut self,
        id: UploadId,
        head: &[u8],
    ) -> Result<(Target, Vec<upload::ContentSum>), Stand> {
        let answer = |reply: Reply| Err(Stand::Answer(Box::new(reply)));
        let Ok(Parsed::Complete { head, .. }) = parse(head, &HeadLimits::default()) else {
            unreachable!("it has been parsed before");
        };
        let Ok(fields) = Fields::read(head.raw) else {
            unreachable!("they have been read before");
        };
        let landing = self.uploads.place.landing();
        let resumed = match landing.resume(id, self.arriving.user.as_deref()) {
            Ok(resumed) => resumed,
            Err(ArrivalError::Busy) => {
                let called = Arc::clone(&self.called);
                landing.when_free(id, move || called.notify_one());
                return Err(Stand::Busy);
            }
            Err(error) => return answer(self.refused(&error)),
        };
        let limits = self.uploads.limits();
        let state = state_of(&resumed);
        let interop = self.arriving.to.interop;
        let act = match act(&head, &fields, &state, &limits) {
            Ok(act) => act,
            Err(reply) => return answer(reply),
        };
        match (act, resumed) {
            (Act::Tell, _) => answer(upload::offset(&state, &limits, interop)),
            (Act::Cancel, Resumed::Open(upload)) => match upload.cancel() {
                Ok(()) => answer(Reply::new(Status::NO_CONTENT, interop)),
                Err(error) => answer(self.refused(&error)),
            },
            (Act::Cancel, Resumed::Completed(_)) => {
                let why = "the upload is complete: there is nothing to be cancelled";
                answer(Reply::error(Status::CONFLICT, why, interop))
            }
            (Act::Again | Act::Append(_), Resumed::Completed(completed)) => {
                answer(self.again(&completed))
            }
            (Act::Again, Resumed::Open(_)) => unreachable!("only what is complete is told again"),
            (Act::Append(append), Resumed::Open(upload)) => {
                let sums = append.content_digests.clone();
                match more_of(Box::new(upload), &append) {
                    Ok(target) => Ok((target, sums)),
                    Err(error) => answer(self.refused(&error)),
                }
            }
        }
    }

    /// The whole body is in the file.
    fn finish(&mut self) -> Reply {
        let (target, mut body) = self.under_way.take().expect("it has just come to its end");
        let verified = body.take_digesting().map_or(Ok(()), Digesting::finish);
        let end = body.offset();
        self.received = Some(body.received());
        self.ahead = body.take_rest();
        self.left = Some(0);
        drop(body); // its descriptors, before the file gets its name
        let finished = match target {
            Target::Plain(arrival) => {
                let What::Store(path, _) = &self.arriving.what else {
                    unreachable!("a plain one is stored")
                };
                let stored = verified.and_then(|()| arrival.finish());
                stored.map(|stored| self.said_of_stored(path, &stored))
            }
            Target::Resumable { upload, preconditions, complete, is_new } => verified
                .inspect_err(|_| {
                    // As if this request had not been: the client sends it again.
                    let _ = upload.file().set_len(upload.offset());
                })
                .and_then(|()| self.finish_part(upload, end, &preconditions, complete, is_new)),
        };
        finished.unwrap_or_else(|error| self.refused(&error))
    }

    fn finish_part(
        &self,
        mut upload: Box<Upload>,
        end: u64,
        preconditions: &Preconditions,
        complete: bool,
        is_new: bool,
    ) -> Result<Reply, ArrivalError> {
        let (limits, interop) = (self.uploads.limits(), self.arriving.to.interop);
        if !complete {
            let offset = upload.advanced(end - upload.offset())?;
            let state = State { offset, length: upload.len(), complete: false };
            let location = is_new.then(|| self.uploads.location(upload.id()));
            return Ok(upload::creation(location, &state, &limits, interop));
        }
        upload.arrived(end - upload.offset());
        match upload.complete(condition(preconditions)) {
            Ok(stored) => {
                let mut reply = self.said_of_stored(upload.path(), &stored);
                (reply.offset, reply.complete) = (Some(end), Some(true));
                Ok(reply)
            }
            Err(error) => {
                let mut reply = self.refused(&error);
                // Nothing that is sent any more makes these good.
                if let ArrivalError::Digest { .. } | ArrivalError::PreconditionFailed = error {
                    reply.complete = Some(true);
                    let _ = upload.cancel();
                }
                Ok(reply)
            }
        }
    }

    /// The body will not come to its end. What has come of an upload that can be gone on with stays.
    fn fail(&mut self, fault: Fault) -> Stand {
        let (target, mut body) = self.under_way.take().expect("it was under way");
        self.left = match fault {
            Fault::File(_) | Fault::Stored(_) => body.left(),
            _ => None, // nobody knows where the next request would begin
        };
        keep(target, &mut body);
        self.received = Some(body.received());
        self.ahead = body.take_rest();
        match fault {
            Fault::PeerGone => Stand::PeerGone,
            fault => Stand::Answer(Box::new(self.said_of(fault))),
        }
    }

    fn said_of_stored(&self, path: &[u8], stored: &Stored) -> Reply {
        self.uploads.news.tell(&self.uploads.whole_path(path));
        let status = if stored.created { Status::CREATED } else { Status::NO_CONTENT };
        let mut reply = Reply::new(status, self.arriving.to.interop);
        answer::add_validators(&mut reply, &stored.facts);
        reply
    }

    /// To a client that has missed the answer.
    fn again(&self, completed: &Completed) -> Reply {
        let status = if completed.created { Status::CREATED } else { Status::NO_CONTENT };
        let mut reply = Reply::new(status, self.arriving.to.interop);
        (reply.offset, reply.complete) = (Some(completed.len), Some(true));
        if let Some(facts) = &completed.facts {
            answer::add_validators(&mut reply, facts);
        }
        reply
    }

    fn said_of(&self, fault: Fault) -> Reply {
        match fault {
            Fault::Refused(refusal) => {
                Reply::error(refusal.status, refusal.why, self.arriving.to.interop)
            }
            Fault::File(error) => self.refused(&ArrivalError::from_kernel("writing", error)),
            Fault::Stored(error) => self.refused(&error),
            Fault::Ended | Fault::PeerGone => {
                let why = "the body ended before it was whole";
                Reply::error(Status::BAD_REQUEST, why, self.arriving.to.interop)
            }
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some((target, mut body)) = self.under_way.take() {
            keep(target, &mut body);
        }
    }
}

/// Whether more comes, or the end.
fn follows(socket: BorrowedFd<'_>) -> bool {
    let _ = set_receive_low_water(socket, 1);
    wait_readable(socket, Some(PAUSE)).unwrap_or(true)
}

/// What has come is kept if it can be gone on with.
fn keep(target: Target, body: &mut Body) {
    if let Target::Resumable { mut upload, .. } = target {
        body.settle();
        upload.arrived(body.offset() - upload.offset()); // and is on the disk when this has dropped it
    }
}
