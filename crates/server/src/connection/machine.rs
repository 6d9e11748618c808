//! The connection as a state machine: bytes and time in, events out. No socket, no clock in here.
//!
//! It knows where one request ends and the next begins, what may be read and for how long, and
//! when the connection must close. It does not know how a request is answered (that is a
//! [`Responder`]) nor how an answer is sent (that is the driver).

use crate::config::Limits;
use sendrail_http::{
    body::Drain,
    head::{self, Framing, Head, HeadLimits, Method, Parsed, Refusal},
    render::CONTINUE,
    status::Status,
};
use std::time::{Duration, Instant};

/// Turns requests into replies, and holds the one that is to be sent next: the machine never looks
/// at it. `persist` says whether the connection may live after the reply.
pub(crate) trait Responder {
    /// Answers a request on its merits. `bytes` are what the head was parsed from.
    fn answer(&mut self, head: &Head<'_>, bytes: &[u8], persist: bool);
    /// Answers one that is refused. The connection closes afterwards. `head` is known when it was
    /// not the head that was wrong.
    fn refuse(&mut self, refusal: &Refusal, head: Option<&Head<'_>>);
    /// Whether the body of a request is wanted: then the reply is made when it has been received, which is the driver's to do,
    /// from [`Machine::take_pending`] and the socket.
    fn receives(&mut self, head: &Head<'_>, bytes: &[u8], persist: bool) -> bool;
    /// Makes the reply last until the body of its request has been read.
    fn keep(&mut self);
}

/// What the driver is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Read, and call [`Machine::on_data`].
    Read,
    /// Send this at once, then go on with [`Machine::on_interim_sent`].
    Interim(&'static [u8]),
    /// Send the reply that the responder holds, then call [`Machine::on_sent`].
    Send,
    /// Close: gently if the client may still be reading what was sent.
    Close(Closing),
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// Nothing is under way in either direction.
    Idle,
    /// A reply has just been sent, and the client may still be sending: closing at once would reset
    /// the connection and destroy the reply on its way (RFC 9112 §9.6).
    AfterReply,
}

#[derive(Debug)]
enum State {
    /// Between requests: not a byte of the next one has come.
    Idle,
    /// Part of a head has come.
    Head,
    /// The body of a request is being read and thrown away; its reply waits.
    Body { drain: Drain, persist: bool },
    /// A reply is being sent.
    Sending { persist: bool },
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Machine {
    state: State,
    /// Bytes that came and have not been used: part of a head, or pipelined requests.
    pending: Vec<u8>,
    deadline: Instant,
    /// Told to stop: no further request is begun.
    draining: bool,
}

impl Machine {
    /// A connection that was accepted at `now`. Its first head must come within the header time.
    pub(crate) fn new(now: Instant, limits: &Limits) -> Self {
        Self::idle_until(now + limits.header)
    }

    /// A connection that is between requests, for no longer than `deadline`: all that it is then.
    pub(crate) fn idle_until(deadline: Instant) -> Self {
        Self { state: State::Idle, pending: Vec::new(), deadline, draining: false }
    }

    /// When [`on_timeout`](Self::on_timeout) is to be called. Not while sending: how long a client
    /// may take to take bytes is the driver's to judge.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the connection waits for a request of which nothing has come.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// From now on every reply is the last one.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    /// Bytes have come. They are used or kept: the caller may forget them.
    pub(crate) fn on_data<P: Responder>(
        &mut self,
        data: &[u8],
        now: Instant,
        limits: &Limits,
        responder: &mut P,
    ) -> Event {
        if self.pending.is_empty() {
            let (consumed, event) = self.advance(data, true, now, limits, responder);
            self.pending.extend_from_slice(&data[consumed..]);
            return event;
        }
        let seen = self.pending.len();
        self.pending.extend_from_slice(data);
        let worth = head::worth_parsing(&self.pending, seen, &HeadLimits::default());
        self.use_pending(worth, now, limits, responder)
    }

    /// The interim response is out.
    pub(crate) fn on_interim_sent<P: Responder>(
        &mut self,
        now: Instant,
        limits: &Limits,
        responder: &mut P,
    ) -> Event {
        self.use_pending(true, now, limits, responder)
    }

    /// What came behind the head of a request whose body is received by the driver.
    pub(crate) fn take_pending(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    /// The driver has received that body, or will not. `rest` came behind it; unless it is `whole`, nobody knows where the next
    /// request begins, and the reply is the last one.
    pub(crate) fn on_received(&mut self, rest: Vec<u8>, whole: bool) {
        self.pending = rest;
        if let State::Sending { persist } = &mut self.state {
            *persist &= whole;
        }
    }

    /// The reply is out, whole.
    pub(crate) fn on_sent<P: Responder>(
        &mut self,
        now: Instant,
        limits: &Limits,
        responder: &mut P,
    ) -> Event {
        let persist = matches!(self.state, State::Sending { persist: true });
        if !persist || self.draining {
            return Event::Close(Closing::AfterReply);
        }
        self.state = State::Idle;
        self.deadline = now + limits.idle;
        if self.pending.is_empty() {
            return Event::Read;
        }
        self.use_pending(true, now, limits, responder)
    }

    /// The deadline has passed.
    pub(crate) fn on_timeout<P: Responder>(&mut self, responder: &mut P) -> Event {
        let why = match self.state {
            State::Idle | State::Sending { .. } => return Event::Close(Closing::Idle),
            State::Head => "the request head took too long",
            State::Body { .. } => "the request body took too long",
        };
        self.state = State::Sending { persist: false };
        let refusal = Refusal { status: Status::REQUEST_TIMEOUT, why };
        responder.refuse(&refusal, None);
        Event::Send
    }

    fn use_pending<P: Responder>(
        &mut self,
        worth_parsing: bool,
        now: Instant,
        limits: &Limits,
        responder: &mut P,
    ) -> Event {
        let data = std::mem::take(&mut self.pending);
        let (consumed, event) = self.advance(&data, worth_parsing, now, limits, responder);
        if consumed < data.len() {
            self.pending = data;
            self.pending.drain(..consumed);
        }
        event
    }

    /// Takes what it can from `data` until there is something to do. Says how much it took.
    fn advance<P: Responder>(
        &mut self,
        data: &[u8],
        worth_parsing: bool,
        now: Instant,
        limits: &Limits,
        responder: &mut P,
    ) -> (usize, Event) {
        match &mut self.state {
            State::Idle | State::Head => {
                self.advance_head(data, worth_parsing, now, limits, responder)
            }
            State::Body { drain, persist } => match drain.feed(data) {
                Ok(fed) if fed.done => {
                    self.state = State::Sending { persist: *persist };
                    (fed.consumed, Event::Send)
                }
                Ok(fed) => (fed.consumed, Event::Read),
                Err(refusal) => self.refuse(data.len(), &refusal, None, responder),
            },
            // Nothing is read while a reply is on its way; what comes with its request waits.
            State::Sending { .. } => (0, Event::Read),
        }
    }

    fn advance_head<P: Responder>(
        &mut self,
        data: &[u8],
        worth_parsing: bool,
        now: Instant,
        limits: &Limits,
        responder: &mut P,
    ) -> (usize, Event) {
        let parsed = if worth_parsing {
            head::parse(data, &HeadLimits::default())
        } else {
            Ok(Parsed::Partial)
        };
        match parsed {
            Ok(Parsed::Partial) => {
                if self.is_idle() && !data.is_empty() {
                    self.state = State::Head;
                    self.deadline = self.deadline.min(now + limits.header);
                }
                (0, Event::Read)
            }
            Ok(Parsed::Complete { head, consumed }) => {
                let (bytes, rest) = data.split_at(consumed);
                let body_deadline = now + limits.body;
                let (used, event) =
                    self.begin(&head, bytes, rest, body_deadline, limits, responder);
                (consumed + used, event)
            }
            Err(refusal) => self.refuse(data.len(), &refusal, None, responder),
        }
    }

    /// A head is complete. `rest` is what came with it: its body, or the next request.
    fn begin<P: Responder>(
        &mut self,
        head: &Head<'_>,
        bytes: &[u8],
        rest: &[u8],
        body_deadline: Instant,
        limits: &Limits,
        responder: &mut P,
    ) -> (usize, Event) {
        let persist = head.keep_alive && !self.draining;
        if responder.receives(head, bytes, persist) {
            self.state = State::Sending { persist };
            return (0, Event::Send);
        }
        if head.framing == Framing::None {
            self.state = State::Sending { persist };
            responder.answer(head, bytes, persist);
            return (0, Event::Send);
        }
        // A client that waits to be asked for its body is not asked for one that nobody wants.
        let unwanted = !matches!(head.method, Method::Get | Method::Head | Method::Options);
        if head.expect_continue && unwanted {
            self.state = State::Sending { persist: false };
            responder.answer(head, bytes, false);
            return (0, Event::Send);
        }
        let mut drain = match Drain::new(head.framing, limits.max_body) {
            Ok(drain) => drain,
            Err(refusal) => return self.refuse(rest.len(), &refusal, Some(head), responder),
        };
        let fed = match drain.feed(rest) {
            Ok(fed) => fed,
            Err(refusal) => return self.refuse(rest.len(), &refusal, Some(head), responder),
        };
        responder.answer(head, bytes, persist);
        if fed.done {
            self.state = State::Sending { persist };
            return (fed.consumed, Event::Send);
        }
        responder.keep();
        self.state = State::Body { drain, persist };
        self.deadline = body_deadline;
        let event = if head.expect_continue && rest.is_empty() {
            Event::Interim(CONTINUE)
        } else {
            Event::Read
        };
        (fed.consumed, event)
    }

    fn refuse<P: Responder>(
        &mut self,
        used: usize,
        refusal: &Refusal,
        head: Option<&Head<'_>>,
        responder: &mut P,
    ) -> (usize, Event) {
        self.state = State::Sending { persist: false };
        responder.refuse(refusal, head);
        (used, Event::Send)
    }
}

/// How long a client that has been told goodbye may go on sending, and how much.
pub(crate) const LINGER: Duration = Duration::from_secs(5);
/// See [`LINGER`], in bytes: an upload that nobody wants is thrown away without being copied, so that
/// a client that reads only when it has sent everything still reads why.
pub(crate) const LINGER_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests;
