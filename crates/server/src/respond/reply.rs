//! A reply: what the driver sends, and what the log will say of it.

use crate::{
    log::Record,
    respond::{
        deferred::Deferred,
        hot::{Hot, Part},
        listing::ListingJob,
        live::{Follow, Waiting},
    },
    uploads::arriving::Arriving,
};
use bytes::Bytes;
use sendrail_files::{Entry, OpenFile};
use sendrail_http::status::Status;
use sendrail_transfer::{Chain, Receipt};
use std::rc::Rc;

/// What is to be sent in answer to one request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: Status,
    /// Bytes of the head, which the log does not count as the body.
    pub(crate) head_len: u64,
    pub(crate) source: Source,
    /// What it cost before the transfer began.
    pub(crate) cost: Cost,
    /// What the file lies on (`st_dev`, `stat(2)`), if there is one.
    pub(crate) device: u64,
    /// What the access log says of the request; none when there is no log.
    pub(crate) record: Option<Box<Record>>,
}

/// Where the bytes of a reply come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The head is in the worker's scratch buffer, until the next request is answered.
    Scratch(Chain),
    /// Head, and perhaps body, are rendered and kept with the open file.
    Hot(Rc<Entry<Hot>>, Part, Chain),
    /// The head is in memory of its own.
    Owned(Bytes, Chain),
    /// The answer has to be made by a thread that may wait for the disk.
    Listing(Box<ListingJob>),
    /// A name has to be looked up by a thread that may wait for the disk.
    Deferred(Box<Deferred>),
    /// The body of the request has to be received first.
    Upload(Box<Arriving>),
    /// The answer may be another one soon, and the client would rather have that.
    Waiting(Box<Waiting>),
    /// A file that is sent while it grows.
    Follow(Box<Follow>),
}

impl Source {
    /// Whether it can be sent as it is: nearly all can.
    pub(crate) fn is_ready(&self) -> bool {
        !matches!(
            self,
            Self::Listing(_)
                | Self::Deferred(_)
                | Self::Upload(_)
                | Self::Waiting(_)
                | Self::Follow(_)
        )
    }

    /// Whether all of it is in memory.
    pub(crate) fn has_no_file(&self) -> bool {
        match self {
            Self::Scratch(chain) | Self::Hot(_, _, chain) | Self::Owned(_, chain) => {
                chain.is_empty()
            }

            Self::Listing(_)
            | Self::Deferred(_)
            | Self::Upload(_)
            | Self::Waiting(_)
            | Self::Follow(_) => true,
        }
    }
}

/// What a reply cost before its transfer began, for the receipt: looking whether a kept file is
/// still what it was, and reading a small one into memory. Finding a file that is not kept open is
/// not in here, for it is not done per reply.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// System calls.
    pub(crate) calls: u64,
    /// Bytes copied by them.
    pub(crate) copied: u64,
}

impl Cost {
    /// One look.
    pub(crate) fn of_a_look(&mut self) {
        self.calls += 1;
    }

    /// A file that was read, and then something else was answered.
    pub(crate) fn of_reading_in_vain(&mut self, receipt: &Receipt) {
        self.calls += receipt.system_calls;
        self.copied += receipt.copied;
    }

    /// A read of a file, and a look if it can change. Its bytes were copied if they are `there` now;
    /// passes that on.
    pub(crate) fn of_filling(&mut self, file: &OpenFile, there: bool) -> bool {
        self.calls += 1 + u64::from(file.can_change());
        self.copied += if there { file.facts().len } else { 0 };
        there
    }
}
