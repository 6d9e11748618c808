//! A reply: what the driver sends, and what the log will say of it.

use crate::{
    log::Record,
    respond::{
        hot::Hot,
        hot::{Filled, Part},
        listing::ListingJob,
    },
};
use bytes::Bytes;
use sendrail_files::Entry;
use sendrail_http::status::Status;
use sendrail_transfer::Chain;
use std::rc::Rc;

/// What is to be sent in answer to one request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: Status,
    /// Bytes of the head, which the log does not count as the body.
    pub(crate) head_len: u64,
    pub(crate) source: Source,
    /// What was read for it beside the transfer.
    pub(crate) filled: Filled,
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
}
