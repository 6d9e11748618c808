//! Preparing a reply that cannot be sent yet: what it needs of the disk is done in the disk pool.

use super::{disk::NoAnswer, driver::Connection, patience::Patience};
use crate::{
    log::End,
    respond::{
        deferred::{Deferred, Waiting},
        listing::{ListingJob, NoPage, Page},
        reply::{Reply, Source},
    },
};
use sendrail_http::status::Status;
use sendrail_transfer::{Prefetched, Receipt, disk_pool::Turn};
use std::{ops::ControlFlow, sync::Arc};

/// A reply, perhaps one that needs something else, and what was read along with it.
pub(super) type Prepared = (Reply, Option<Box<Prefetched>>);

impl Connection {
    /// Makes of a reply one that can be sent, with what was read along with it; nothing if the
    /// connection is at its end.
    pub(super) async fn prepare(&mut self, mut reply: Reply) -> Option<Prepared> {
        let mut patience: Option<Patience> = None;
        let mut prefetched: Option<Box<Prefetched>> = None;
        loop {
            let Reply { status, mut record, .. } = reply;
            let prepared = match reply.source {
                Source::Listing(job) => self.list(job.into()).await.map(|page| (page, None)),
                Source::Deferred(deferred) => self.look_up(*deferred).await,
                Source::Upload(arriving) => {
                    let received = Box::pin(self.receive_upload(arriving, &mut record)).await;
                    received.map(|reply| (reply, None))
                }
                Source::Waiting(waiting) => self.have_patience(*waiting, &mut patience).await,
                source => {
                    let mut reply = Reply { source, record, ..reply };
                    if patience.is_some() {
                        reply.say_waited();
                    }
                    return Some((reply, prefetched));
                }
            };
            match prepared {
                Ok((prepared, with_it)) => {
                    reply = Reply { record, ..prepared };
                    if let Some(unwanted) = std::mem::replace(&mut prefetched, with_it) {
                        reply.cost.of_reading_in_vain(&unwanted.into_receipt());
                    }
                }
                Err(end) => {
                    self.abandon();
                    if let Some(record) = record {
                        self.worker.log(&record, status, 0, &Receipt::default(), end);
                    }
                    return None;
                }
            }
        }
    }

    /// Has a name looked up, and answers anew. The thread that finds a small file reads it as well, if
    /// it is not in the page cache: the answer nearly always needs that.
    async fn look_up(&mut self, deferred: Deferred) -> Result<Prepared, End> {
        let Deferred { lookup, waiting } = deferred;
        let device = lookup.device();
        let path = String::from_utf8_lossy(lookup.path()).into_owned();
        let guess = self.worker.site.borrow().guess(&waiting);
        let mut guess = guess.map(|guess| (guess, self.worker.config.transfer.clone()));
        let mut lookup = Some(lookup);
        let make = move |_: &Turn<'_>| {
            let lookup = lookup.take().expect("it is made in one turn");
            let looked = lookup.make();
            // Gone before anybody is told, so that nobody finds the file held by it.
            let prefetched = guess.take().and_then(|(guess, options)| {
                guess.range(&looked).and_then(|range| Prefetched::of(&range, &options))
            });
            ControlFlow::Break((looked, prefetched))
        };
        let looked = self.in_pool(device, make).await;
        let draining = self.worker.is_draining();
        let mut site = self.worker.site.borrow_mut();
        match looked {
            Ok((looked, prefetched)) => Ok((site.resume(waiting, looked, draining), prefetched)),
            Err(why) => {
                let (status, said) = refusal(&why, &path)?;
                let Waiting { version, head_only, persist, .. } = waiting;
                let persist = persist && !draining;
                Ok((site.unprepared(status, said, version, head_only, persist), None))
            }
        }
    }

    async fn list(&mut self, job: Arc<ListingJob>) -> Result<Reply, End> {
        let made = self.make(Arc::clone(&job)).await;
        let mut site = self.worker.site.borrow_mut();
        match made {
            Ok(made) => Ok(site.listed(&job, made)),
            Err(why) => {
                let (status, said) = refusal(&why, &job.shown_path)?;
                Ok(site.unprepared(status, said, job.version, job.head_only, job.persist))
            }
        }
    }

    /// Makes a listing, when it is its turn among the listings of this worker.
    async fn make(&self, job: Arc<ListingJob>) -> Result<Result<Page, NoPage>, NoAnswer> {
        let limit = self.worker.config.disk_timeout;
        let _turn = self.wait_at_most(limit, self.worker.listing_turns.acquire()).await?;
        let budget = self.worker.page_budget();
        let device = job.directory.facts().device;
        self.in_pool(device, move |_: &Turn<'_>| ControlFlow::Break(job.make(&budget))).await
    }
}

/// What is answered when the disk has not. The end instead, if nobody is to be answered any more.
fn refusal(why: &NoAnswer, path: &str) -> Result<(Status, &'static str), End> {
    match why {
        NoAnswer::PeerGone => Err(End::PeerGone),
        NoAnswer::Stopping => Err(End::Shutdown),
        NoAnswer::TimedOut(_) => {
            tracing::error!(path, %why, "a request is not answered as it was meant to be");
            Ok((Status::SERVICE_UNAVAILABLE, "the disk does not answer"))
        }
        NoAnswer::Panicked(_) => {
            tracing::error!(path, %why, "a request is not answered as it was meant to be");
            Ok((Status::INTERNAL_SERVER_ERROR, "the server has failed"))
        }
    }
}
