//! The steps of one transfer of the engine's, over a connection that is never waited for without looking whether to stop.

use super::{failure::Failure, wire::Wire};
use rustix::event::PollFlags;
use sendrail_transfer::{Disk, FileFault, Step, Transfer};

/// How a transfer ended, if not by the connection.
pub(super) enum Over {
    /// All is sent.
    Done,
    /// The file could not be read.
    Broken(FileFault),
}

/// Takes all of them. `what` ends a wait for the socket; `stepped` is told after each step how many bytes of files have
/// gone by now.
pub(super) fn all(
    wire: &Wire,
    transfer: &mut Transfer,
    what: PollFlags,
    mut stepped: impl FnMut(u64) -> Result<(), Failure>,
) -> Result<Over, Failure> {
    loop {
        let step = transfer.step(wire.socket(), Disk::MayWait);
        // What the other side said last is worth more than that it is gone.
        stepped(transfer.receipt().file_bytes)?;
        match step {
            Step::Done => return Ok(Over::Done),
            Step::Failed(fault) => return Ok(Over::Broken(fault)),
            Step::PeerGone(error) => return Err(Failure::broke(&error)),
            Step::Yield | Step::WaitDisk => wire.look()?,
            Step::WaitSocket => drop(wire.wait(what, None)?),
        }
    }
}
