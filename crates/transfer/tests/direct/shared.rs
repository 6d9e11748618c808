//! What all direct transfers together may have: so many rings and no more, and who finds none goes without.

use crate::*;
use sendrail_transfer::plan::RING_DEPTH;

#[test]
fn sixty_four_transfers_have_no_more_memory_than_the_rings() {
    let Some(_alone) = rings() else { return };
    let len = 1_500_000;
    let file = file_of(len);
    let stalled: Vec<_> = (0..64).map(|_| stall(&file)).collect();
    let by_ring = |stalled: &&Stalled| stalled.transfer.receipt().methods.went(Way::Ring);
    assert_eq!(stalled.iter().filter(by_ring).count(), SHARED_RINGS);
    assert_eq!(open_rings(), SHARED_RINGS);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    // VmPin (proc_pid_status(5)): what io_uring holds for devices.
    let pinned = status.lines().find_map(|line| line.strip_prefix("VmPin:"));
    let kib: u64 = pinned.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    assert_eq!(kib, (SHARED_RINGS * RING_DEPTH * 512) as u64);
    for Stalled { mut transfer, sender, mut reader } in stalled {
        let mut received = Vec::new();
        let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
        assert!(matches!(end, End::Done), "{end:?}");
        drop(sender);
        while read_some(&mut reader, 1 << 20, &mut received) > 0 {}
        assert_same(&received, &bytes_at(0, len), transfer.receipt());
    }
    // Nobody uses them: most of them are closed.
    assert!(open_rings() <= 3, "{} rings are kept", open_rings());
}

#[test]
fn a_ring_that_comes_free_is_taken_in_mid_file() {
    let Some(_alone) = rings() else { return };
    let file = file_of(LEN);
    let mut all = stall_all_rings(&file);
    let Stalled { mut transfer, sender, mut reader } = stall(&file);
    assert_eq!(transfer.receipt().methods.to_string(), name(Way::Pread));
    assert_eq!(transfer.receipt().refusals.iter().count(), 0, "that none is free is no refusal");
    drop(all.pop());
    let mut received = Vec::new();
    let end = drive(&mut transfer, &sender, &mut reader, 99_999, &mut received);
    assert!(matches!(end, End::Done), "{end:?}");
    drop(sender);
    while read_some(&mut reader, 1 << 20, &mut received) > 0 {}
    assert_same(&received, &bytes_at(0, LEN), transfer.receipt());
    let both = "direct+direct(pread)";
    assert_eq!(transfer.receipt().methods.to_string(), both, "{}", transfer.receipt());
    assert_eq!(transfer.receipt().copied, LEN, "{}", transfer.receipt());
}

#[test]
fn transfers_move_between_threads_with_reads_in_flight() {
    let Some(_alone) = rings() else { return };
    let file = file_of(LEN);
    let (sender, mut reader) = pair(Kind::Tcp);
    let reading = std::thread::spawn(move || {
        let mut received = Vec::new();
        while read_some(&mut reader, 100_000, &mut received) > 0 {}
        received
    });
    let mut transfer = Transfer::new(chain_of(whole(&file)), by(Method::Direct));
    loop {
        // Each step in a thread that ends with it: what it began is picked up by the next.
        let step;
        (transfer, step) = std::thread::scope(|scope| {
            let step = || {
                let mut transfer = transfer;
                let step = transfer.step(&sender, Disk::MayWait);
                (transfer, step)
            };
            scope.spawn(step).join().unwrap()
        });
        match step {
            Step::Done => break,
            Step::Yield => {}
            Step::WaitSocket => {
                sendrail_sys::poll::wait_writable(std::os::fd::AsFd::as_fd(&sender), Some(HANGS))
                    .unwrap();
            }
            step => panic!("{step:?}"),
        }
    }
    drop(sender);
    assert_same(&reading.join().unwrap(), &bytes_at(0, LEN), transfer.receipt());
    assert!(transfer.receipt().methods.went(Way::Ring), "{}", transfer.receipt());
}
