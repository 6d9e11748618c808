//! Options: what a caller may ask of a transfer.

use super::{LAG, MOST_RING_DEPTH, RING_DEPTH, WINDOW};
use crate::{bulk::DropBehind, method::Method};
use std::time::Duration;

/// What a caller may ask of a transfer.
///
/// Options will be added: name those that you set, and take the others by `..Options::default()`. (That is why it is not
/// `non_exhaustive`: that would forbid just this.)
///
/// ```
/// use sendrail_transfer::{DropBehind, Method, Options};
/// use std::time::Duration;
///
/// let options = Options {
///     method: Some(Method::Sendfile),              // or leave it to the plan
///     send_timeout: Some(Duration::from_secs(30)), // for a peer that takes nothing
///     drop_behind: DropBehind::On,
///     ..Options::default()
/// };
/// assert_eq!(options.window, 2 << 20);
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    /// Use this method, whatever the plan would say. `None` lets the plan choose.
    pub method: Option<Method>,
    /// The most that one step moves, in bytes; 2 MiB by default, and at least 1. Less is fairer to other clients of the same
    /// thread, and dearer: see [`WINDOW`].
    pub window: u64,
    /// How long the blocking and the asynchronous front wait for a socket that takes nothing; each
    /// byte that it takes starts the time anew. `None` waits for ever.
    pub send_timeout: Option<Duration>,
    /// What becomes of the pages that the transfer brings into the page cache.
    pub drop_behind: DropBehind,
    /// The most that stays behind a bulk transfer before it is given back, in bytes, beyond what the peer has not
    /// acknowledged. Where many transfers share little memory it is less, down to [`LEAST_LAG`](super::LEAST_LAG); a smaller value is taken
    /// for that.
    pub drop_behind_lag: u64,
    /// Files of this many bytes or more go by `direct`, resident or not, and ranges of them too, as nginx's `directio` has
    /// it: it is the length of the *file* that decides (see [`FileRange::of_file`](crate::FileRange::of_file)). A method
    /// that is named goes first.
    pub direct_above: Option<u64>,
    /// Reads of [`RING_BUFFER`](super::RING_BUFFER) bytes that each ring of the `direct` method keeps going at the most, from 1 to
    /// [`MOST_RING_DEPTH`]; a value beyond is taken for the nearest. All rings of the process together have
    /// [`SHARED_BUFFERS`](super::SHARED_BUFFERS), so that there are fewer of deep ones.
    pub ring_depth: usize,
}

impl Options {
    /// The depth of a ring for this transfer, in reads.
    pub(crate) fn depth(&self) -> usize {
        self.ring_depth.clamp(1, MOST_RING_DEPTH)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            method: None,
            window: WINDOW,
            send_timeout: None,
            drop_behind: DropBehind::Auto,
            drop_behind_lag: LAG,
            direct_above: None,
            ring_depth: RING_DEPTH,
        }
    }
}
