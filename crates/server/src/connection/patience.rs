//! Patience: waiting with a client for something that may take long, and noticing when the client has gone.

use super::{disk::is_reset, driver::Connection, prepare::Prepared};
use crate::{
    live::{Places, Sight},
    log::End,
    respond::live::Waiting,
    worker::Worker,
};
use socket2::{SockRef, TcpKeepalive};
use std::{
    future::poll_fn,
    ops::ControlFlow,
    os::fd::AsFd,
    pin::pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::io::Interest;

/// Why waiting has ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InVain {
    /// The time is over.
    Over,
    /// The client has gone.
    Gone,
    /// The server takes no more requests.
    Draining,
}

/// What changes all the time is not looked at all the time.
const AT_MOST_EVERY: Duration = Duration::from_millis(10);

/// How far the client is watched. What it sends meanwhile is left where it is, and nothing more is to be learnt by
/// that then: from there on, it is watched by the other direction.
#[derive(Debug, Default)]
pub(super) struct Watched {
    has_sent: bool,
}

/// A request that waits, while it does.
#[derive(Debug)]
pub(super) struct Patience {
    until: Instant,
    watched: Watched,
    sight: Option<Sight>,
    answered_at: Option<Instant>,
}

impl Patience {
    fn new(worker: &Worker, seconds: u32) -> Self {
        let wait = Duration::from_secs(seconds.into()).min(worker.live().max_wait());
        Self {
            until: Instant::now() + wait,
            watched: Watched::default(),
            sight: None,
            answered_at: None,
        }
    }
}

impl Connection {
    /// Waits for another answer, or makes it: each time that it is made, what it depends on is watched first.
    pub(super) async fn have_patience(
        &mut self,
        waiting: Waiting,
        patience: &mut Option<Patience>,
    ) -> Result<Prepared, End> {
        let mut has =
            patience.take().unwrap_or_else(|| Patience::new(&self.worker, waiting.seconds));
        let mut impatient = false;
        if let Some(sight) = has.sight.take() {
            let mut waited =
                self.wait_with(&mut has.watched, Some(has.until), sight.changed()).await;
            let since = has.answered_at.map(|at| at.elapsed());
            if let Some(pause) = since.and_then(|since| AT_MOST_EVERY.checked_sub(since))
                && waited.is_ok()
            {
                let pause = tokio::time::sleep(pause);
                waited = self.wait_with(&mut has.watched, Some(has.until), pause).await;
            }
            match waited {
                Ok(()) => {}
                Err(InVain::Gone) => return Err(End::PeerGone),
                Err(InVain::Over | InVain::Draining) => impatient = true,
            }
        }
        if !impatient {
            has.sight = self.look_where(&waiting).await;
            impatient = has.sight.is_none() || self.worker.is_draining();
        }
        has.answered_at = Some(Instant::now());
        *patience = Some(has);
        let draining = self.worker.is_draining();
        let reply = self.worker.site.borrow_mut().answer_anew(&waiting, impatient, draining);
        Ok((reply, None))
    }

    /// What is to be watched. Nothing, if that cannot be told.
    async fn look_where(&self, waiting: &Waiting) -> Option<Sight> {
        let root = self.worker.config.ground.root();
        let index = self.worker.config.files.index.clone();
        let (device, path) = (root.device(), waiting.path.clone());
        let find = move |_: &sendrail_transfer::disk_pool::Turn<'_>| {
            ControlFlow::Break(Places::find(&root, &path, &index))
        };
        let places = self.in_pool(device, find).await.ok()??;
        Some(self.worker.live().sight(&places))
    }

    /// Waits for something else than the socket, for as long as the client is there and the server takes requests.
    pub(super) async fn wait_with<F: Future>(
        &self,
        watched: &mut Watched,
        until: Option<Instant>,
        future: F,
    ) -> Result<F::Output, InVain> {
        /// Longer than any connection lives.
        const AGES: Duration = Duration::from_hours(24 * 365);
        self.place.slot().set_deadline(until.unwrap_or_else(|| Instant::now() + AGES));
        let mut future = pin!(future);
        poll_fn(|context| {
            if self.worker.is_draining() {
                return Poll::Ready(Err(InVain::Draining));
            }
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            if self.poll_gone(context, watched).is_ready() {
                return Poll::Ready(Err(InVain::Gone));
            }
            let slot = self.place.slot();
            if slot.is_over(self.worker.swept_at()) {
                return Poll::Ready(Err(InVain::Over));
            }
            slot.waits(context);
            Poll::Pending
        })
        .await
    }

    /// A client that has only ended its own sending still listens.
    fn poll_gone(&self, context: &mut Context<'_>, watched: &mut Watched) -> Poll<()> {
        if !watched.has_sent {
            if self.stream.poll_read_ready(context).is_pending() {
                return Poll::Pending;
            }
            watched.has_sent = true;
        }
        while self.stream.poll_write_ready(context).is_ready() {
            if is_reset(self.fd()) {
                return Poll::Ready(());
            }
            // It will be told again when there is something new (`epoll(7)`, EPOLLET).
            self.clear(Interest::WRITABLE);
        }
        Poll::Pending
    }

    /// Has the kernel ask now and then whether the client is still there, for as long as nothing is sent: a machine that
    /// has lost its power says nothing (SO_KEEPALIVE, `tcp(7)`).
    ///
    /// Says how many system calls that took.
    pub(super) fn keep_alive(&self) -> u64 {
        const AFTER: Duration = Duration::from_secs(30);
        const EVERY: Duration = Duration::from_secs(10);
        const TRIES: u32 = 3;
        let asked = TcpKeepalive::new().with_time(AFTER).with_interval(EVERY).with_retries(TRIES);
        // Without it, the client is missed when there is something to be sent.
        let _ = SockRef::from(&self.stream.as_fd()).set_tcp_keepalive(&asked);
        4 // SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT
    }
}
