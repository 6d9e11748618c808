//! What a request brings, as its head says.

use super::answer::To;
use sendrail_files::UploadId;
use sendrail_http::{
    head::Framing,
    upload::{Create, Reply, Store},
};
use std::sync::Arc;

/// What a request brings, from what its head says.
#[derive(Debug)]
pub(crate) struct Arriving {
    pub(crate) what: What,
    pub(crate) framing: Framing,
    /// Whether the client waits to be asked for its body.
    pub(crate) expects: bool,
    /// Whose token it brings.
    pub(crate) user: Option<Arc<str>>,
    pub(crate) to: To,
}

/// What the request asks for.
#[derive(Debug)]
pub(crate) enum What {
    /// Nothing that is done: the answer is known already.
    Refused(Box<Reply>),
    /// A file in one request, under this path below the directory of uploads.
    Store(Vec<u8>, Store),
    /// One that may be gone on with.
    Create(Vec<u8>, Create),
    /// Something about that. With the head of the request, as it came.
    Resource(UploadId, Box<[u8]>),
}
