//! Rings that are deeper or less deep than usual: the same bytes, and no more memory.

use crate::*;
use sendrail_transfer::{
    Options,
    plan::{MOST_RING_DEPTH, RING_BUFFER, RING_DEPTH, SHARED_BUFFERS},
};
use std::time::{Duration, Instant};

const DEPTHS: [usize; 5] = [1, 2, 3, 16, MOST_RING_DEPTH];

fn deep(ring_depth: usize) -> Options {
    Options { ring_depth, ..by(Method::Direct) }
}

fn stall_at(file: &Arc<File>, depth: usize) -> Stalled {
    stall_by(file, deep(depth))
}

fn went_by_ring(stalled: &Stalled) -> bool {
    stalled.transfer.receipt().methods.went(Way::Ring)
}

#[test]
fn every_depth_sends_the_right_bytes() {
    let Some(_alone) = rings() else { return };
    // More than the deepest ring reads ahead.
    let len = (MOST_RING_DEPTH as u64 + 4) * RING_BUFFER as u64 + 12_345;
    let file = file_of(len);
    for depth in DEPTHS {
        let (received, receipt) =
            deliver(pair(Kind::Tcp), chain_of(whole(&file)), deep(depth), 1 << 20);
        assert_same(&received, &bytes_at(0, len), &receipt);
        assert_eq!(receipt.methods.to_string(), name(Way::Ring), "{depth}: {receipt}");
        assert_eq!(receipt.refusals.iter().count(), 0, "{depth}: {receipt}");
    }
}

#[test]
fn ranges_at_odd_places_by_one_buffer_and_by_many() {
    let Some(_alone) = rings() else { return };
    let file = file_of(LEN);
    for depth in DEPTHS {
        for (offset, len) in [(0, 1), (511, 2), (524_287, 524_290), (1, LEN - 2), (LEN - 1, 1)] {
            let range = FileRange::new(Arc::clone(&file), offset, len);
            let (received, receipt) =
                deliver(pair(Kind::Unix), chain_of(range), deep(depth), 99_999);
            assert_same(&received, &bytes_at(offset, len), &receipt);
        }
    }
}

/// Bytes that io_uring holds for devices: VmPin (proc_pid_status(5)).
fn pinned() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let pinned = status.lines().find_map(|line| line.strip_prefix("VmPin:"));
    pinned.unwrap().trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Waits until the pinned bytes are as they should be: a ring that is closed lets go of its pages when a thread of the
/// kernel comes to it (io_ring_exit_work, io_uring/io_uring.c).
#[track_caller]
fn assert_pinned(right: impl Fn(usize) -> bool) {
    let begun = Instant::now();
    while !right(pinned()) {
        assert!(begun.elapsed() < HANGS, "{} bytes are pinned", pinned());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_ring_has_as_many_buffers_as_were_asked_for_and_all_have_no_more_than_usual() {
    let Some(_alone) = rings() else { return };
    let file = file_of(1_500_000);
    for depth in DEPTHS {
        let stalled: Vec<_> = (0..SHARED_RINGS + 4).map(|_| stall_at(&file, depth)).collect();
        let by_ring = stalled.iter().filter(|stalled| went_by_ring(stalled)).count();
        assert_eq!(by_ring, SHARED_RINGS.min(SHARED_BUFFERS / depth), "{depth}");
        // Free ones of the depth before may stay as long as there is room.
        assert!(open_rings() <= SHARED_RINGS, "{depth}: {} rings", open_rings());
        let lent = by_ring * depth * RING_BUFFER;
        assert_pinned(|bytes| (lent..=SHARED_BUFFERS * RING_BUFFER).contains(&bytes));
    }
}

#[test]
fn rings_of_one_depth_make_place_for_those_of_another() {
    let Some(_alone) = rings() else { return };
    let file = file_of(1_500_000);
    for (one, other) in [(1, MOST_RING_DEPTH), (MOST_RING_DEPTH, 1), (RING_DEPTH, 16), (16, 2)] {
        let some: Vec<_> = (0..SHARED_RINGS).map(|_| stall_at(&file, one)).collect();
        drop(some);
        // All that there may be of the other depth are to be had: what is free is in nobody's way.
        let most = SHARED_RINGS.min(SHARED_BUFFERS / other);
        let all: Vec<_> = (0..most).map(|_| stall_at(&file, other)).collect();
        assert!(all.iter().all(went_by_ring), "{one} {other}");
        assert_pinned(|bytes| bytes <= SHARED_BUFFERS * RING_BUFFER);
    }
}
