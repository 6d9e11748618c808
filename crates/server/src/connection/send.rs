//! Sending a reply: takes the transfer's steps, and waits in between for what they name.

use super::{
    driver::{Connection, Wait},
    pace::{Pace, Verdict},
};
use crate::{
    log::End,
    respond::reply::{Reply, Source},
};
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

impl Connection {
    pub(super) async fn send(&mut self, reply: Reply) -> Sent {
        let Reply { status, head_len, source, filled, record } = reply;
        let (source, status, head_len) = match source {
            Source::Listing(job) => {
                let worker = std::rc::Rc::clone(&self.worker);
                let listed = tokio::task::spawn_blocking(move || {
                    let made = job.make();
                    (job, made)
                });
                let Ok((job, made)) = listed.await else { return Sent::CutShort };
                let reply = worker.site.borrow_mut().listed(&job, made);
                (reply.source, reply.status, reply.head_len)
            }
            other => (other, status, head_len),
        };
        let (mut transfer, mut step) = self.begin(source);
        let at_once = matches!(step, Step::Done);
        let mut pace: Option<Pace> = None;
        let mut looks = 0;
        let mut from_pool = false;
        let end = loop {
            step = match step {
                Step::Done => break End::Complete,
                Step::Yield => {
                    tokio::task::yield_now().await;
                    if self.worker.is_stopping() {
                        break End::Shutdown;
                    }
                    transfer.step(&*self.stream, Disk::MustNotWait)
                }
                Step::WaitSocket => {
                    self.clear(Interest::WRITABLE);
                    let sent = transfer.receipt().bytes;
                    // The disk pool's thread saw the socket full. This loop may have been told
                    // since then that it is not, and would wait for ever after clearing that.
                    let mut freed = false;
                    if std::mem::take(&mut from_pool) {
                        looks += 1;
                        freed = writable_now(self.fd()).unwrap_or(true);
                    }
                    if !freed && let Err(end) = self.wait_to_send(&mut pace, sent, &mut looks).await
                    {
                        break end;
                    }
                    transfer.step(&*self.stream, Disk::MustNotWait)
                }
                Step::WaitDisk => {
                    let stream = Arc::clone(&self.stream);
                    let pooled = tokio::task::spawn_blocking(move || {
                        let step = transfer.step(&*stream, Disk::MayWait);
                        (transfer, step)
                    });
                    match pooled.await {
                        Ok((back, step)) => {
                            transfer = back;
                            // The time the disk took is not the client's.
                            pace = None;
                            from_pool = true;
                            step
                        }
                        // The runtime is shutting down, or the step panicked: either way this
                        // connection is at its end, and its receipt is lost with it.
                        Err(error) => {
                            tracing::error!(%error, "a transfer was lost in the disk pool");
                            return Sent::CutShort;
                        }
                    }
                }
                Step::PeerGone(_) => break End::PeerGone,
                Step::Failed(fault) => {
                    let file = transfer.current_file().map(path_of).unwrap_or_default();
                    tracing::error!(file, peer = %self.peer, %fault, "a transfer was cut short");
                    break End::FileFault;
                }
            };
        };
        let mut receipt = transfer.into_receipt();
        let (calls, copied) = filled.cost();
        receipt.system_calls += looks + calls;
        receipt.copied += copied;
        self.sent += receipt.bytes;
        if let Some(record) = record {
            self.worker.log(&record, status, head_len, &receipt, end);
        }
        if end == End::Complete { Sent::Whole { at_once } } else { Sent::CutShort }
    }

    /// Sends the head from wherever it is, and the first window behind it.
    fn begin(&self, source: Source) -> (Transfer, Step) {
        let start = |chain: Chain, head: &[u8]| {
            let mut transfer = Transfer::new(chain, self.worker.config.transfer.clone());
            let step = transfer.begin(&*self.stream, head, Disk::MustNotWait);
            (transfer, step)
        };
        match source {
            Source::Scratch(chain) => start(chain, self.worker.site.borrow().scratch()),
            Source::Hot(entry, part, chain) => {
                let now = self.worker.site.borrow().clock.now();
                let looks = !chain.is_empty() && !entry.extra.is_resident(now);
                let begun = entry.extra.with(part, |head| start(chain, head));
                if looks && matches!(begun.1, Step::Done) && begun.0.receipt().cold == 0 {
                    entry.extra.was_resident(now);
                }
                begun
            }
            Source::Owned(head, chain) => start(chain, &head),
            Source::Listing(_) => unreachable!("a listing is made before it is sent"),
        }
    }

    /// Waits until the socket takes more, or until the client has taken too little for too long.
    /// Counts its looks at the socket, each a system call, in `looks`.
    async fn wait_to_send(
        &self,
        pace: &mut Option<Pace>,
        sent_now: u64,
        looks: &mut u64,
    ) -> Result<(), End> {
        let limits = &self.worker.config.limits;
        loop {
            let now = Instant::now();
            if pace.is_none_or(|pace| now >= pace.deadline(limits)) {
                *looks += 1;
                let acknowledged = self.acknowledged(sent_now);
                let watched = pace.get_or_insert_with(|| Pace::new(now, acknowledged));
                if watched.judge(now, acknowledged, limits) == Verdict::TooSlow {
                    return Err(End::TooSlow);
                }
            }
            let pace = pace.expect("it is there from the first look on");
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
}

/// The path of an open file as the kernel knows it, for the log: nothing on the way of a byte has
/// to carry a name for the sake of the day it goes wrong.
fn path_of(file: &Arc<File>) -> String {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    std::fs::read_link(link).map_or_else(|_| String::new(), |path| path.display().to_string())
}
