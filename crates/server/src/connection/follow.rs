//! Following a file: sends what is there, waits for more, and sends that, until there will be no more.

use super::{
    driver::Connection,
    patience::{InVain, Watched},
    send::Sent,
};
use crate::{
    live::{LiveFile, Next, next},
    log::End,
    respond::{
        live::{Follow, part},
        reply::Reply,
    },
};
use bytes::Bytes;
use sendrail_http::live::{CHUNK_END, Delimited, Ending, last_chunk, write_chunk_head};
use sendrail_transfer::{Chain, Disk, Receipt, Step, Transfer};
use socket2::SockRef;
use std::{os::fd::AsFd, time::Duration};

/// An answer on its way that has no end yet.
struct Following {
    delimited: Delimited,
    /// What the file lies on.
    device: u64,
    /// The offset behind the last byte that was sent.
    at: u64,
    /// A head that goes out with what comes first.
    head: Option<Bytes>,
    receipt: Receipt,
    watched: Watched,
}

impl Connection {
    /// Sends a file while it grows.
    pub(super) async fn follow(&mut self, follow: Follow, reply: Reply) -> Sent {
        let Follow { head, file, path, first, until, delimited } = follow;
        let shared = self.worker.live().follow(&file, &path);
        drop((file, path)); // one descriptor for all
        let mut following = Following {
            delimited,
            device: reply.device,
            at: first,
            head: Some(head),
            receipt: Receipt::default(),
            watched: Watched::default(),
        };
        following.receipt.system_calls += self.keep_alive() + reply.cost.calls;
        let ended = self.go_along(&shared, &mut following, until).await;
        let end = match ended {
            Ok(ending) => match self.send_last(&mut following, ending).await {
                Ok(()) => End::Complete,
                Err(end) => end,
            },
            Err(end) => end,
        };
        if end == End::FileFault {
            let file = self.path_of(shared.open().file());
            let (at, peer) = (following.at, self.peer);
            tracing::warn!(file, %peer, at, "a follower was cut off: bytes that it had yet to get are gone");
        }
        drop(shared);
        if let Some(record) = reply.record {
            self.worker.log(&record, reply.status, reply.head_len, &following.receipt, end);
        }
        match (end, delimited) {
            (End::Complete, Delimited::ByChunks) => Sent::Whole { at_once: false },
            (End::Complete, Delimited::ByClose) => Sent::Last,
            (_, Delimited::ByChunks) => Sent::CutShort,
            // An end that is none must not look like one: it is a reset.
            (_, Delimited::ByClose) => {
                let _ = SockRef::from(&self.stream.as_fd()).set_linger(Some(Duration::ZERO));
                Sent::CutShort
            }
        }
    }

    async fn go_along(
        &mut self,
        shared: &LiveFile,
        following: &mut Following,
        until: Option<u64>,
    ) -> Result<Ending, End> {
        loop {
            if self.worker.is_draining() {
                return Err(End::Shutdown);
            }
            match next(following.at, until, shared.state()) {
                Next::Send(to) => self.send_up_to(shared, following, to).await?,
                Next::End(ending) => return Ok(ending),
                Next::Lost => return Err(End::FileFault),
                Next::Wait => {
                    if let Some(head) = following.head.take() {
                        let mut chain = Chain::new();
                        chain.push_bytes(head);
                        self.send_chain(following, chain).await?;
                        continue; // it may have changed
                    }
                    let waited =
                        self.wait_with(&mut following.watched, None, shared.changed()).await;
                    match waited {
                        Ok(()) | Err(InVain::Over) => {}
                        Err(InVain::Gone) => return Err(End::PeerGone),
                        Err(InVain::Draining) => return Err(End::Shutdown),
                    }
                }
            }
        }
    }

    /// Sends all that there is up to an offset: in one call, if it is little.
    async fn send_up_to(
        &mut self,
        shared: &LiveFile,
        following: &mut Following,
        to: u64,
    ) -> Result<(), End> {
        let from = following.at;
        following.at = to;
        let by_chunks = following.delimited == Delimited::ByChunks;
        let Some((frame, read)) = shared.frame(from, to) else {
            let mut chain = Chain::new();
            chain.push_bytes(following.head.take().unwrap_or_default());
            if by_chunks {
                let mut chunk_head = Vec::with_capacity(18);
                write_chunk_head(&mut chunk_head, to - from);
                chain.push_bytes(chunk_head);
            }
            chain.push_file(part(shared.open(), from, to - from, to));
            if by_chunks {
                chain.push_bytes(CHUNK_END);
            }
            return self.send_chain(following, chain).await;
        };
        if let Some(read) = read {
            following.receipt.system_calls += 1;
            following.receipt.copied += read;
        }
        let bytes = if by_chunks { frame.chunk() } else { frame.content() };
        if let Some(head) = following.head.take() {
            let mut chain = Chain::new();
            chain.push_bytes(head);
            chain.push_bytes(bytes);
            return self.send_chain(following, chain).await;
        }
        match Transfer::send_whole(&*self.stream, &bytes, &self.worker.config.transfer) {
            Ok(receipt) => {
                self.count(following, &receipt);
                Ok(())
            }
            Err(rest) => {
                let (transfer, step) = *rest;
                self.send_rest(following, transfer, step).await
            }
        }
    }

    /// Says that this was all, and why.
    async fn send_last(&mut self, following: &mut Following, ending: Ending) -> Result<(), End> {
        let mut chain = Chain::new();
        chain.push_bytes(following.head.take().unwrap_or_default());
        if following.delimited == Delimited::ByChunks {
            chain.push_bytes(last_chunk(ending));
        }
        self.send_chain(following, chain).await
    }

    async fn send_chain(&mut self, following: &mut Following, chain: Chain) -> Result<(), End> {
        let mut transfer = Transfer::new(chain, self.worker.config.transfer.clone());
        transfer.socket_is_nonblocking();
        let step = transfer.step(&*self.stream, Disk::MustNotWait);
        self.send_rest(following, transfer, step).await
    }

    async fn send_rest(
        &mut self,
        following: &mut Following,
        transfer: Transfer,
        step: Step,
    ) -> Result<(), End> {
        let (receipt, end) = self.send_part(transfer, step, following.device).await;
        self.count(following, &receipt);
        if end == End::Complete { Ok(()) } else { Err(end) }
    }

    fn count(&mut self, following: &mut Following, receipt: &Receipt) {
        self.sent += receipt.bytes;
        following.receipt.add(receipt);
    }
}
