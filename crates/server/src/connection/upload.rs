//! Receiving an upload: hands it to the disk pool as often as the socket has something, and waits in between.
//!
//! All that may sleep (looking at names, writing, fsync(2), rename(2)) is done by `uploads::work`, in a thread of the pool. Where the
//! body is there already, that is one trip.

use super::{
    disk::NoAnswer,
    driver::{Connection, Wait},
    pace::{Pace, Verdict},
};
use crate::{
    log::{End, Record, Upload},
    respond::reply::Reply,
    uploads::{
        Uploads,
        arriving::Arriving,
        work::{Stand, Work},
    },
};
use rustix::io::ioctl_fionread;
use sendrail_http::upload::Reply as Answer;
use sendrail_sys::{poll::wait_readable, send::recv_discard, sockopt::set_receive_low_water};
use sendrail_transfer::disk_pool::{Job, Turn, Whose};
use std::{
    io,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{io::Interest, sync::oneshot};

/// A sender that is slower than what is waited for at once is looked after so often.
const GLANCE: Duration = Duration::from_secs(1);

/// How long a request waits for the one before it to let go of an upload.
const FREED: Duration = Duration::from_secs(10);

/// How long a server that stops waits until what has come is in its file.
const LAST: Duration = Duration::from_millis(800);

impl Connection {
    /// Receives what a request brings, and makes the reply to it. The end instead, if nobody is to be answered any more.
    pub(super) async fn receive_upload(
        &mut self,
        arriving: Box<Arriving>,
        record: &mut Option<Box<Record>>,
    ) -> Result<Reply, End> {
        let Some(uploads) = self.worker.config.uploads.clone() else {
            unreachable!("without uploads none is asked for")
        };
        let to = arriving.to;
        let user = arriving.user.clone();
        let work = Box::new(Work::new(Arc::clone(&uploads), arriving, self.machine.take_pending()));
        let (end, work) = self.work_until_answer(&uploads, work).await;
        let Some(mut work) = work else {
            return Err(end.expect_err("who answers brings it back"));
        };
        self.sent += work.interim;
        if let Some(record) = record {
            record.set_upload(Upload { user, received: work.received() });
        }
        let (mut rest, left) = work.take_rest();
        self.let_go(uploads.device(), work);
        let reply = end?;
        let whole = match left {
            Some(left) => self.discard(left, &mut rest).await,
            None => false,
        };
        self.machine.on_received(rest, whole);
        let persist = to.persist && whole && !self.worker.is_draining();
        Ok(self.worker.site.borrow_mut().uploaded(&reply, to, persist))
    }

    /// From trip to trip. The work comes back unless a disk keeps it.
    async fn work_until_answer(
        &self,
        uploads: &Uploads,
        mut work: Box<Work>,
    ) -> (Result<Box<Answer>, End>, Option<Box<Work>>) {
        if let Some(answer) = work.known_answer() {
            return (Ok(answer), Some(work));
        }
        // Only the time that is the sender's counts.
        let (origin, mut waited) = (Instant::now(), Duration::ZERO);
        let mut pace = Pace::new(origin, 0);
        if let Some(missing) = work.awaits() {
            self.wait_for_all(&work, missing).await;
        }
        loop {
            let stand;
            (work, stand) = match self.take_turns(uploads, work).await {
                Ok(back) => back,
                Err(end) => return (Err(end), None),
            };
            let begun = Instant::now();
            let ended = match stand {
                Stand::Answer(answer) => return (Ok(answer), Some(work)),
                Stand::PeerGone => return (Err(End::PeerGone), Some(work)),
                Stand::Busy => {
                    let called = Arc::clone(&work.called);
                    match self.wait_at_most(FREED, called.notified()).await {
                        Ok(()) => continue,
                        Err(NoAnswer::TimedOut(_)) => return (Ok(work.still_busy()), Some(work)),
                        Err(why) => return (Err(self.lost(&why)), Some(work)),
                    }
                }
                Stand::Socket => {
                    let left = pace.deadline(&uploads.patience) - (origin + waited);
                    self.wait_until_readable(&work, begun + left.min(GLANCE)).await
                }
            };
            waited += begun.elapsed();
            match ended {
                Wait::Ready => {}
                Wait::Over | Wait::Quiet => {
                    if pace.judge(origin + waited, work.taken(), &uploads.patience)
                        == Verdict::TooSlow
                    {
                        return (Ok(work.give_up()), Some(work));
                    }
                }
                Wait::Stopping => {
                    self.write_last(uploads, work).await;
                    return (Err(End::Shutdown), None);
                }
            }
        }
    }

    /// Has threads of the disk pool go on with it, until they have to wait for something else than the disk.
    async fn take_turns(
        &self,
        uploads: &Uploads,
        work: Box<Work>,
    ) -> Result<(Box<Work>, Stand), End> {
        let mut with_disk = Some((work, Arc::clone(&self.stream)));
        let turns = move |turn: &Turn<'_>| {
            let (work, stream) = with_disk.as_mut().expect("it has ended when this is gone");
            let stand = match work.advance(&**stream, turn) {
                ControlFlow::Continue(()) => return ControlFlow::Continue(()),
                ControlFlow::Break(stand) => stand,
            };
            // The stream is let go before anybody is told, so that nobody finds it shared.
            let work = with_disk.take().map(|(work, _)| work);
            ControlFlow::Break((work, stand))
        };
        match self.in_pool(uploads.device(), turns).await {
            Ok((work, stand)) => Ok((work.expect("it was there until the last turn"), stand)),
            Err(why) => {
                self.abandon();
                Err(self.lost(&why))
            }
        }
    }

    /// Waits until the rest of a short body is there, for a moment: whoever takes longer is looked after as everybody is.
    async fn wait_for_all(&self, work: &Work, missing: u32) {
        let is_there = || ioctl_fionread(self.fd()).is_ok_and(|there| there >= missing.into());
        if is_there() || set_receive_low_water(self.fd(), missing).is_err() {
            return;
        }
        self.wait_until_readable(work, Instant::now() + GLANCE).await;
        let _ = set_receive_low_water(self.fd(), 1); // it was possible before
    }

    /// Waits until there is as much as was asked for, or something at `deadline`.
    async fn wait_until_readable(&self, work: &Work, deadline: Instant) -> Wait {
        self.clear(Interest::READABLE);
        // The disk pool's thread saw the socket empty. This loop may have been told since then that it is not, and would wait for
        // ever after clearing that.
        if wait_readable(self.fd(), Some(Duration::ZERO)).unwrap_or(true) {
            return Wait::Ready;
        }
        self.place.slot().set_deadline(deadline);
        tokio::select! {
            biased;
            wait = self.wait(Interest::READABLE, false) => match wait {
                Wait::Over if ioctl_fionread(self.fd()).is_ok_and(|some| some > 0) => Wait::Ready,
                wait => wait,
            },
            () = work.called.notified() => Wait::Ready, // the work looks why
        }
    }

    /// What was said to the log of an upload whose disk does not answer.
    fn lost(&self, why: &NoAnswer) -> End {
        match why {
            NoAnswer::PeerGone => End::PeerGone,
            NoAnswer::Stopping => End::Shutdown,
            NoAnswer::TimedOut(_) | NoAnswer::Panicked(_) => {
                tracing::error!(peer = %self.peer, %why, "an upload was cut short");
                End::FileFault
            }
        }
    }

    /// Takes what is still to come of a body that nobody wants, if that is little: then the connection may live. `left`: so much of it
    /// has not been looked at, of which the beginning is in `rest`.
    async fn discard(&self, left: u64, rest: &mut Vec<u8>) -> bool {
        let here = left.min(rest.len() as u64);
        rest.drain(..here as usize);
        let mut left = left - here;
        if left > self.worker.config.limits.max_body {
            return false;
        }
        let deadline = Instant::now() + self.worker.config.limits.body;
        while left > 0 {
            match recv_discard(self.fd(), left.min(1 << 20) as usize) {
                Ok(0) => return false,
                Ok(count) => left -= count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.clear(Interest::READABLE);
                    self.place.slot().set_deadline(deadline);
                    if self.wait(Interest::READABLE, false).await != Wait::Ready {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Has the work closed where closing may sleep.
    fn let_go(&self, device: u64, work: Box<Work>) {
        if work.is_light() {
            return;
        }
        let whose = Whose { device, client: 0 };
        if let Ok(ticket) = self.worker.disks().submit(Job::once(whose, move || drop(work), |_| ()))
        {
            ticket.leave();
        }
    }

    /// The server is stopping: what has come is to be in its file.
    async fn write_last(&self, uploads: &Uploads, work: Box<Work>) {
        let (tell, told) = oneshot::channel();
        let whose = Whose { device: uploads.device(), client: 0 };
        let job = Job::once(
            whose,
            move || drop(work),
            move |_| {
                let _ = tell.send(()); // who asked may have left
            },
        );
        if let Ok(ticket) = self.worker.disks().submit(job) {
            let _ = tokio::time::timeout(LAST, told).await;
            ticket.leave();
        }
    }
}
