//! Threads in the background: they give way to event loops that want the same processor.

/// Added to the nice value of the thread: 36 parts of the processor's time where an event loop has 1024
/// (`sched_prio_to_weight`, kernel/sched/core.c).
const NICE: i32 = 15;

/// Has the calling thread give way (`nice(2)`; on Linux the value belongs to the thread, `sched(7)`).
///
/// The client of a disk thread waits for a disk anyway. An event loop that has to wait until eight of
/// those threads have had their turns on the processor keeps everybody waiting.
/// Whoever is last still gets a share, so nobody starves while the loops are busy.
pub(crate) fn give_way() {
    // Refused to nobody: only the other direction needs CAP_SYS_NICE. And if it is, they compete.
    let _ = rustix::process::nice(NICE);
}
