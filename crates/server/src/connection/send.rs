//! Sending a reply: takes the transfer's steps, and waits in between for what they name.

use super::{
    disk::NoAnswer,
    driver::{Connection, Wait},
    far_end::FarEnd,
    pace::{Pace, Verdict},
};
use crate::{
    log::{End, Record},
    respond::reply::{Cost, Reply, Source},
};
use sendrail_http::status::Status;
use sendrail_sys::{poll::writable_now, sockopt::unsent_bytes};
use sendrail_transfer::{
    Chain, Disk, Prefetched, Receipt, Step, Transfer,
    disk_pool::{Turn, Windows},
};
use std::{fs::File, ops::ControlFlow, os::fd::AsRawFd, sync::Arc, time::Instant};
use tokio::io::Interest;

/// Whether the connection can go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// All of the reply has been handed to the socket, `at_once` if nothing had to be waited for.
    Whole { at_once: bool },
    /// All of it, and its end is that of the connection.
    Last,
    /// Not all of it, and nothing may follow.
    CutShort,
}

/// What the log will say, but for the receipt.
struct Answered {
    status: Status,
    head_len: u64,
    record: Option<Box<Record>>,
    /// System calls and copies that the transfer does not know of.
    cost: Cost,
}

/// A reply on its way.
struct Sending {
    transfer: Transfer,
    /// In place of the transfer's own, if that is still with a disk which does not answer: what it
    /// had cost before.
    left_with_disk: Option<Box<Receipt>>,
    /// What its file lies on.
    device: u64,
    answered: Answered,
    pace: Option<Pace>,
    /// The last step was taken by a thread of the disk pool.
    from_pool: bool,
    /// It has no end: a server that drains does not wait for it.
    endless: bool,
}

impl Connection {
    /// Sends the reply. What can be sent at once is, without any of the state that waiting takes.
    pub(super) async fn send(&mut self) -> Sent {
        let Some(mut reply) = self.reply.take() else { unreachable!("the machine says so") };
        let mut prefetched = None;
        if !reply.source.is_ready() {
            // In memory of its own: it is rare, and would make every other connection larger.
            match Box::pin(self.prepare(reply)).await {
                Some(prepared) => (reply, prefetched) = prepared,
                None => return Sent::CutShort,
            }
            if let Source::Follow(follow) = reply.source {
                let none = Source::Scratch(Chain::new());
                return Box::pin(self.follow(*follow, Reply { source: none, ..reply })).await;
            }
        }
        let Some((mut sending, step)) = self.begin(reply, prefetched) else {
            return Sent::Whole { at_once: true };
        };
        let end = self.go_on(&mut sending, step).await;
        let receipt = match sending.left_with_disk {
            Some(receipt) => *receipt,
            None => sending.transfer.into_receipt(),
        };
        self.note(sending.answered, receipt, end);
        if end == End::Complete { Sent::Whole { at_once: false } } else { Sent::CutShort }
    }

    /// Sends the head from wherever it is, and the first window behind it. Nothing is left to do,
    /// nearly always; else what is.
    fn begin(
        &mut self,
        reply: Reply,
        mut prefetched: Option<Box<Prefetched>>,
    ) -> Option<(Sending, Step)> {
        let Reply { status, head_len, source, cost, device, record } = reply;
        let mut answered = Answered { status, head_len, record, cost };
        let socket = &*self.stream;
        let options = &self.worker.config.transfer;
        if let Some(unwanted) = prefetched.take_if(|_| source.has_no_file()) {
            answered.cost.of_reading_in_vain(&unwanted.into_receipt());
        }
        let mut new = |chain: Chain| {
            let mut transfer = Transfer::new(chain, options.clone());
            transfer.socket_is_nonblocking();
            prefetched = prefetched.take().and_then(|bytes| transfer.take(bytes).err());
            transfer
        };
        let (transfer, step) = match source {
            Source::Hot(entry, part, chain) if chain.is_empty() => {
                let sent = entry
                    .extra
                    .with(part, |message| Transfer::send_whole(socket, message, options));
                match sent {
                    Ok(receipt) => {
                        self.note(answered, receipt, End::Complete);
                        return None;
                    }
                    Err(rest) => *rest,
                }
            }
            // A 304 for instance: all of it has just been rendered.
            Source::Scratch(chain) if chain.is_empty() => {
                let sent = {
                    let site = self.worker.site.borrow();
                    Transfer::send_whole(socket, site.scratch(), options)
                };
                match sent {
                    Ok(receipt) => {
                        self.note(answered, receipt, End::Complete);
                        return None;
                    }
                    Err(rest) => *rest,
                }
            }
            Source::Hot(entry, part, chain) => {
                let now = self.worker.site.borrow().clock.now();
                let looks = !entry.extra.is_resident(now);
                let mut transfer = new(chain);
                let step =
                    entry.extra.with(part, |head| transfer.begin(socket, head, Disk::MustNotWait));
                if looks && matches!(step, Step::Done) && transfer.receipt().cold == 0 {
                    entry.extra.was_resident(now);
                }
                (transfer, step)
            }
            Source::Scratch(chain) => {
                let mut transfer = new(chain);
                let site = self.worker.site.borrow();
                let step = transfer.begin(socket, site.scratch(), Disk::MustNotWait);
                drop(site);
                (transfer, step)
            }
            Source::Owned(head, chain) => {
                let mut transfer = new(chain);
                let step = transfer.begin(socket, &head, Disk::MustNotWait);
                (transfer, step)
            }
            Source::Listing(_)
            | Source::Deferred(_)
            | Source::Upload(_)
            | Source::Waiting(_)
            | Source::Follow(_) => {
                unreachable!("it is prepared before it is sent")
            }
        };
        // Somebody else was as quick, and the answer is made of the file that they have opened.
        if let Some(unwanted) = prefetched {
            answered.cost.of_reading_in_vain(&unwanted.into_receipt());
        }
        if matches!(step, Step::Done) {
            self.note(answered, transfer.into_receipt(), End::Complete);
            return None;
        }
        let sending = Sending {
            transfer,
            left_with_disk: None,
            device,
            answered,
            pace: None,
            from_pool: false,
            endless: false,
        };
        Some((sending, step))
    }

    /// Sends what has come of an answer that has no end yet: what that cost, and how it ended.
    pub(super) async fn send_part(
        &mut self,
        transfer: Transfer,
        step: Step,
        device: u64,
    ) -> (Receipt, End) {
        let cost = Cost::default();
        let answered = Answered { status: Status::OK, head_len: 0, record: None, cost };
        let mut sending = Sending {
            transfer,
            left_with_disk: None,
            device,
            answered,
            pace: None,
            from_pool: false,
            endless: true,
        };
        let end = self.go_on(&mut sending, step).await;
        let mut receipt = match sending.left_with_disk {
            Some(receipt) => *receipt,
            None => sending.transfer.into_receipt(),
        };
        receipt.system_calls += sending.answered.cost.calls;
        (receipt, end)
    }

    /// Takes steps until the end.
    async fn go_on(&self, sending: &mut Sending, mut step: Step) -> End {
        loop {
            step = match step {
                Step::Done => return End::Complete,
                Step::Yield => {
                    tokio::task::yield_now().await;
                    let drains = sending.endless && self.worker.is_draining();
                    if drains || self.worker.is_stopping() {
                        return End::Shutdown;
                    }
                    sending.transfer.step(&*self.stream, Disk::MustNotWait)
                }
                Step::WaitSocket => {
                    if let Err(end) = self.wait_until_writable(sending).await {
                        return end;
                    }
                    sending.transfer.step(&*self.stream, Disk::MustNotWait)
                }
                // In memory of its own: nearly no connection waits for a disk now.
                Step::WaitDisk => match Box::pin(self.step_in_pool(sending)).await {
                    Ok(step) => step,
                    Err(end) => return end,
                },
                Step::PeerGone(_) => return End::PeerGone,
                Step::Failed(fault) => {
                    let file = sending.transfer.current_file().map(|file| self.path_of(file));
                    let file = file.unwrap_or_default();
                    tracing::error!(file, peer = %self.peer, %fault, "a transfer was cut short");
                    return End::FileFault;
                }
            };
        }
    }

    /// Has a thread that may sleep on the disk take the next steps.
    async fn step_in_pool(&self, sending: &mut Sending) -> Result<Step, End> {
        let empty = Transfer::new(Chain::new(), self.worker.config.transfer.clone());
        let mut transfer = std::mem::replace(&mut sending.transfer, empty);
        if !transfer.knows_connection() {
            transfer.acknowledged_by(Arc::new(FarEnd(Arc::downgrade(&self.stream))));
        }
        let before = transfer.receipt().clone();
        let file = transfer.current_file().map(Arc::clone);
        let mut with_disk = Some((Windows::of(transfer), Arc::clone(&self.stream)));
        let work = move |turn: &Turn<'_>| {
            let (windows, stream) = with_disk.as_mut().expect("it has ended when this is gone");
            let step = match windows.advance(&**stream, turn) {
                ControlFlow::Continue(()) => return ControlFlow::Continue(()),
                ControlFlow::Break(step) => step,
            };
            // The stream is let go before anybody is told, so that nobody finds it shared.
            let transfer = with_disk.take().map(|(windows, _)| windows.into_transfer());
            ControlFlow::Break((transfer, step))
        };
        match self.in_pool(sending.device, work).await {
            Ok((transfer, step)) => {
                sending.transfer = transfer.expect("it was there until the last turn");
                sending.from_pool = true;
                sending.pace = None; // the time the disk took is not the client's
                Ok(step)
            }
            Err(why) => {
                self.abandon();
                sending.left_with_disk = Some(before.into());
                Err(match why {
                    NoAnswer::PeerGone => End::PeerGone,
                    NoAnswer::Stopping => End::Shutdown,
                    NoAnswer::TimedOut(_) | NoAnswer::Panicked(_) => {
                        let file = file.map(|file| self.path_of(&file)).unwrap_or_default();
                        tracing::error!(file, peer = %self.peer, %why, "a transfer was cut short");
                        End::FileFault
                    }
                })
            }
        }
    }

    /// Waits until the socket takes more, or until the client has taken too little for too long.
    async fn wait_until_writable(&self, sending: &mut Sending) -> Result<(), End> {
        self.clear(Interest::WRITABLE);
        // The disk pool's thread saw the socket full. This loop may have been told since then that
        // it is not, and would wait for ever after clearing that.
        if std::mem::take(&mut sending.from_pool) {
            sending.answered.cost.of_a_look();
            if writable_now(self.fd()).unwrap_or(true) {
                return Ok(());
            }
        }
        let limits = &self.worker.config.limits;
        loop {
            let now = Instant::now();
            if sending.pace.is_none_or(|pace| now >= pace.deadline(limits)) {
                sending.answered.cost.of_a_look();
                let acknowledged = self.acknowledged(sending.transfer.receipt().bytes);
                let pace = sending.pace.get_or_insert_with(|| Pace::new(now, acknowledged));
                if pace.judge(now, acknowledged, limits) == Verdict::TooSlow {
                    return Err(End::TooSlow);
                }
            }
            let pace = sending.pace.expect("it has just been made if it was not there");
            self.place.slot().set_deadline(pace.deadline(limits));
            match self.wait(Interest::WRITABLE, sending.endless).await {
                Wait::Ready => return Ok(()),
                Wait::Over | Wait::Quiet => {}
                Wait::Stopping => return Err(End::Shutdown),
            }
        }
    }

    /// Bytes of this connection that the peer has acknowledged (SIOCOUTQ, `tcp(7)`).
    fn acknowledged(&self, sent_now: u64) -> u64 {
        let unsent = unsent_bytes(self.fd()).unwrap_or(0);
        (self.sent + sent_now).saturating_sub(unsent)
    }

    /// The path of an open file as the kernel knows it, or of what it is a snapshot of, for the log:
    /// nothing on the way of a byte has to carry a name for the sake of the day it goes wrong.
    pub(super) fn path_of(&self, file: &Arc<File>) -> String {
        if let Some(path) = self.worker.config.ground.root().path_of_original(file) {
            return path.display().to_string();
        }
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        std::fs::read_link(link).map_or_else(|_| String::new(), |path| path.display().to_string())
    }

    fn note(&mut self, answered: Answered, mut receipt: Receipt, end: End) {
        self.sent += receipt.bytes;
        if let Answered { status, head_len, record: Some(record), cost } = answered {
            receipt.system_calls += cost.calls;
            receipt.copied += cost.copied;
            self.worker.log(&record, status, head_len, &receipt, end);
        }
    }
}
