//! Sending a reply: takes the transfer's steps, and waits in between for what they name.

use super::{
    driver::{Connection, Wait},
    pace::{Pace, Verdict},
};
use crate::{
    log::{End, Record},
    respond::reply::{Cost, Reply, Source},
};
use sendrail_http::status::Status;
use sendrail_sys::{poll::writable_now, sockopt::unsent_bytes};
use sendrail_transfer::{Chain, Disk, Step, Transfer};
use std::{fs::File, os::fd::AsRawFd, sync::Arc, time::Instant};
use tokio::io::Interest;

/// Whether the connection can go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// All of the reply has been handed to the socket, `at_once` if nothing had to be waited for.
    Whole { at_once: bool },
    /// Not all of it, and nothing may follow.
    CutShort,
}

/// A reply on its way.
struct Sending {
    transfer: Transfer,
    status: Status,
    head_len: u64,
    record: Option<Box<Record>>,
    /// System calls and copies that the transfer does not know of.
    cost: Cost,
    pace: Option<Pace>,
    /// The last step was taken by a thread of the disk pool.
    from_pool: bool,
}

impl Connection {
    /// Sends the reply. What can be sent at once is, without any of the state that waiting takes.
    pub(super) async fn send(&mut self) -> Sent {
        let Some(mut reply) = self.reply.take() else { unreachable!("the machine says so") };
        if let Source::Listing(_) = reply.source {
            let Some(listed) = self.list(reply).await else { return Sent::CutShort };
            reply = listed;
        }
        let (mut sending, step) = self.begin(reply);
        if matches!(step, Step::Done) {
            self.finish(sending, End::Complete);
            return Sent::Whole { at_once: true };
        }
        match self.go_on(&mut sending, step).await {
            Some(end) => {
                self.finish(sending, end);
                if end == End::Complete { Sent::Whole { at_once: false } } else { Sent::CutShort }
            }
            None => Sent::CutShort,
        }
    }

    /// Makes a listing where waiting for the disk is allowed.
    async fn list(&mut self, reply: Reply) -> Option<Reply> {
        let Reply { source: Source::Listing(job), record, .. } = reply else { return Some(reply) };
        let listed = tokio::task::spawn_blocking(move || {
            let made = job.make();
            (job, made)
        });
        let (job, made) = listed.await.ok()?;
        let mut reply = self.worker.site.borrow_mut().listed(&job, made);
        reply.record = record;
        Some(reply)
    }

    /// Sends the head from wherever it is, and the first window behind it.
    fn begin(&self, reply: Reply) -> (Sending, Step) {
        let Reply { status, head_len, source, cost, record } = reply;
        let sending = |chain: Chain| Sending {
            transfer: Transfer::new(chain, self.worker.config.transfer.clone()),
            status,
            head_len,
            record,
            cost,
            pace: None,
            from_pool: false,
        };
        let socket = &*self.stream;
        match source {
            Source::Scratch(chain) => {
                let mut sending = sending(chain);
                let site = self.worker.site.borrow();
                let step = sending.transfer.begin(socket, site.scratch(), Disk::MustNotWait);
                (sending, step)
            }
            Source::Hot(entry, part, chain) => {
                let now = self.worker.site.borrow().clock.now();
                let looks = !chain.is_empty() && !entry.extra.is_resident(now);
                let mut sending = sending(chain);
                let step = entry
                    .extra
                    .with(part, |head| sending.transfer.begin(socket, head, Disk::MustNotWait));
                if looks && matches!(step, Step::Done) && sending.transfer.receipt().cold == 0 {
                    entry.extra.was_resident(now);
                }
                (sending, step)
            }
            Source::Owned(head, chain) => {
                let mut sending = sending(chain);
                let step = sending.transfer.begin(socket, &head, Disk::MustNotWait);
                (sending, step)
            }
            Source::Listing(_) => unreachable!("a listing is made before it is sent"),
        }
    }

    /// Takes steps until the end; `None` if the transfer is lost with its receipt.
    async fn go_on(&self, sending: &mut Sending, mut step: Step) -> Option<End> {
        loop {
            step = match step {
                Step::Done => return Some(End::Complete),
                Step::Yield => {
                    tokio::task::yield_now().await;
                    if self.worker.is_stopping() {
                        return Some(End::Shutdown);
                    }
                    sending.transfer.step(&*self.stream, Disk::MustNotWait)
                }
                Step::WaitSocket => {
                    if let Err(end) = self.wait_until_writable(sending).await {
                        return Some(end);
                    }
                    sending.transfer.step(&*self.stream, Disk::MustNotWait)
                }
                Step::WaitDisk => self.step_in_pool(sending).await?,
                Step::PeerGone(_) => return Some(End::PeerGone),
                Step::Failed(fault) => {
                    let file = sending.transfer.current_file().map(path_of).unwrap_or_default();
                    tracing::error!(file, peer = %self.peer, %fault, "a transfer was cut short");
                    return Some(End::FileFault);
                }
            };
        }
    }

    /// Has a thread that may sleep on the disk take the next step.
    async fn step_in_pool(&self, sending: &mut Sending) -> Option<Step> {
        let empty = Transfer::new(Chain::new(), self.worker.config.transfer.clone());
        let mut transfer = std::mem::replace(&mut sending.transfer, empty);
        let stream = Arc::clone(&self.stream);
        let pooled = tokio::task::spawn_blocking(move || {
            let step = transfer.step(&*stream, Disk::MayWait);
            (transfer, step)
        });
        match pooled.await {
            Ok((transfer, step)) => {
                sending.transfer = transfer;
                sending.from_pool = true;
                sending.pace = None; // the time the disk took is not the client's
                Some(step)
            }
            // The runtime is shutting down, or the step panicked: either way this connection is at
            // its end, and its receipt is lost with it.
            Err(error) => {
                tracing::error!(%error, "a transfer was lost in the disk pool");
                None
            }
        }
    }

    /// Waits until the socket takes more, or until the client has taken too little for too long.
    async fn wait_until_writable(&self, sending: &mut Sending) -> Result<(), End> {
        self.clear(Interest::WRITABLE);
        // The disk pool's thread saw the socket full. This loop may have been told since then that
        // it is not, and would wait for ever after clearing that.
        if std::mem::take(&mut sending.from_pool) {
            sending.cost.of_a_look();
            if writable_now(self.fd()).unwrap_or(true) {
                return Ok(());
            }
        }
        let limits = &self.worker.config.limits;
        loop {
            let now = Instant::now();
            if sending.pace.is_none_or(|pace| now >= pace.deadline(limits)) {
                sending.cost.of_a_look();
                let acknowledged = self.acknowledged(sending.transfer.receipt().bytes);
                let pace = sending.pace.get_or_insert_with(|| Pace::new(now, acknowledged));
                if pace.judge(now, acknowledged, limits) == Verdict::TooSlow {
                    return Err(End::TooSlow);
                }
            }
            let pace = sending.pace.expect("it has just been made if it was not there");
            self.slot.set_deadline(pace.deadline(limits));
            match self.wait(Interest::WRITABLE, false).await {
                Wait::Ready => return Ok(()),
                Wait::Over => {}
                Wait::Stopping => return Err(End::Shutdown),
            }
        }
    }

    /// Bytes of this connection that the peer has acknowledged (SIOCOUTQ, `tcp(7)`).
    fn acknowledged(&self, sent_now: u64) -> u64 {
        let unsent = unsent_bytes(self.fd()).unwrap_or(0);
        (self.sent + sent_now).saturating_sub(unsent)
    }

    fn finish(&mut self, sending: Sending, end: End) {
        let Sending { transfer, status, head_len, record, cost, .. } = sending;
        let mut receipt = transfer.into_receipt();
        self.sent += receipt.bytes;
        if let Some(record) = record {
            receipt.system_calls += cost.calls;
            receipt.copied += cost.copied;
            self.worker.log(&record, status, head_len, &receipt, end);
        }
    }
}

/// The path of an open file as the kernel knows it, for the log: nothing on the way of a byte has
/// to carry a name for the sake of the day it goes wrong.
fn path_of(file: &Arc<File>) -> String {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    std::fs::read_link(link).map_or_else(|_| String::new(), |path| path.display().to_string())
}
