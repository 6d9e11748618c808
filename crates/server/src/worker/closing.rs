//! Closing the snapshots that nobody uses any more, where waiting for the disk is allowed: their space is given back then.

use sendrail_files::Root;
use sendrail_transfer::disk_pool::{DiskPool, Job, Ticket, Whose};
use std::{cell::RefCell, sync::Arc};

/// No address is like it: clients are known by theirs.
const NOBODY: u64 = u64::MAX;

/// The last order to close some. It is taken back when there is another, if it still waits.
#[derive(Debug, Default)]
pub(super) struct Closing(RefCell<Option<Ticket>>);

impl Closing {
    /// Has those closed that nobody uses.
    pub(super) fn order(&self, root: &Arc<Root>, disks: &DiskPool) {
        if !root.has_unused_snapshots() {
            return;
        }
        let whose = Whose { device: root.device(), client: NOBODY };
        let root = Arc::clone(root);
        let job = Job::once(whose, move || root.close_unused_snapshots(), |_| ());
        // Refused, they are closed when they are looked through the next time.
        self.0.replace(disks.submit(job).ok());
    }
}
