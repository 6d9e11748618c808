//! Bulk: keeps what is read once from throwing out what is read often.
//!
//! A transfer that meets a window which is not in the page cache becomes a [`Reader`] of that file.
//! What it brings in is judged (`admission`): it may stay if there is room or if it is asked for
//! often; else it is *owed*, and given back behind the position of the transfer
//! (POSIX_FADV_DONTNEED, `posix_fadvise(2)`), with a lag beyond what the peer has not acknowledged,
//! for pages in packets cannot be dropped.
//!
//! Only what a transfer of this process has brought in is ever given back: a `survey` ahead of the
//! kernel's own read-ahead tells it from what was resident before, and a `ledger` for each file says
//! which of it another reader still needs. What is left at the end of a transfer is its `tails`'.
//!
//! | room | what is decided or done there |
//! |---|---|
//! | `sketch` | how often a stretch of a file was asked for lately: pure |
//! | `room` | how much memory is free |
//! | `admission` | what may stay |
//! | `brake` | how much may be held at once that cannot be given back yet |
//! | `ledger` | what is owed, and by whom it is needed: pure |
//! | `survey` | which pages are absent before anybody reads them |
//! | `device` | what is known of a disk |
//! | `ramp` | how the kernel is brought to read a file in large folios |
//! | `record` | one file's ledger, and the giving back |
//! | `reader` | one transfer's way through a file |
//! | `place` | where somebody goes on with the next transfer |
//! | `tails` | what finished transfers owe |

mod admission;
mod brake;
mod device;
mod ledger;
mod place;
mod ramp;
mod reader;
mod record;
mod room;
mod sketch;
mod survey;
mod tails;

pub use place::Place;
pub(crate) use reader::{Reader, little_is_refused};
pub use tails::Acknowledged;

/// What becomes of the page-cache pages that transfers bring in.
///
/// Only what transfers of this process brought in is ever given back; what was there before stays.
///
/// ```
/// use sendrail_transfer::{DropBehind, Options};
/// let backup = Options { drop_behind: DropBehind::On, ..Options::default() };
/// assert_eq!(Options::default().drop_behind, DropBehind::Auto);
/// # let _ = backup;
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropBehind {
    /// They are given back behind the transfer, unless memory is free, or they are asked for often.
    #[default]
    Auto,
    /// They are given back, free memory or not, unless they are asked for often.
    On,
    /// They stay until the kernel throws them out, as with plain `sendfile(2)`.
    Off,
}
