//! Who must not wait for the disk, and what is resident afterwards.

use crate::*;
use sendrail_sys::pread::pread;
use sendrail_transfer::{Chain, Medium, Options, Receipt, Residency};
use std::{os::fd::AsFd, time::Instant};

fn resident(file: &File) -> u64 {
    Residency::look(file, Medium::Disk, 0, LEN).resident
}

/// An evicted file, or a line that says why there is none.
fn cold_file() -> Option<Arc<File>> {
    let file = file_of(LEN);
    match evict(&file) {
        Ok(()) => Some(file),
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

/// Steps that never wait, but for those that `pool` takes. Gives up when it takes too long.
fn drive_without_waiting(
    transfer: &mut Transfer,
    sender: &Socket,
    reader: &mut Socket,
    mut pool: impl FnMut(&mut Transfer, &Socket) -> Step,
) -> Vec<u8> {
    let mut received = Vec::new();
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < HANGS, "{}", transfer.receipt());
        let mut step = transfer.step(sender, Disk::MustNotWait);
        if let Step::WaitDisk = step {
            step = pool(transfer, sender);
        }
        match step {
            Step::Done => break,
            Step::Yield => {}
            Step::WaitSocket => _ = read_some(reader, 1 << 20, &mut received),
            step => panic!("{step:?}"),
        }
    }
    read_rest(sender, reader, &mut received);
    received
}

/// Who must not wait sends what has been read, and begins nothing: a send is all its calls, or none.
#[test]
fn who_must_not_wait_makes_no_call_but_to_the_socket() {
    let Some(_alone) = rings() else { return };
    let Some(file) = cold_file() else { return };
    let (sender, mut reader) = pair(Kind::Unix);
    let options = Options { window: SMALL_WINDOW, ..by(Method::Direct) };
    let range = whole(&file).on(Medium::Disk);
    let mut transfer = Transfer::new(chain_of(range), options);
    let mut received = Vec::new();
    let step = transfer.step(&sender, Disk::MustNotWait);
    assert!(matches!(step, Step::WaitDisk), "no file is open yet: {step:?}");
    let mut sends = 0;
    loop {
        let before = transfer.receipt().clone();
        let mut step = transfer.step(&sender, Disk::MustNotWait);
        let after = transfer.receipt();
        let (calls, bytes) = (after.system_calls - before.system_calls, after.bytes - before.bytes);
        if !matches!(step, Step::Done) {
            let full = u64::from(after.socket_waits - before.socket_waits);
            // Two sends where the window lies across the end of a buffer.
            assert!(
                calls <= 2 * u64::from(bytes > 0) + full,
                "{step:?}: {calls} calls, {bytes} bytes"
            );
        }
        sends += u64::from(bytes > 0);
        if let Step::WaitDisk = step {
            step = transfer.step(&sender, Disk::MayWait);
        }
        match step {
            Step::Done => break,
            Step::Yield => {}
            Step::WaitSocket => _ = read_some(&mut reader, 1 << 20, &mut received),
            step => panic!("{step:?}"),
        }
    }
    read_rest(&sender, &mut reader, &mut received);
    let receipt = transfer.into_receipt();
    assert_same(&received, &bytes_at(0, LEN), &receipt);
    assert_eq!(receipt.methods.to_string(), name(Way::Ring), "{receipt}");
    assert_eq!((receipt.cold, receipt.copied), (0, LEN), "{receipt}");
    assert!(sends > LEN / SMALL_WINDOW / 2, "{sends} windows went without waiting: {receipt}");
}

#[test]
fn who_must_not_wait_opens_nothing_and_reads_nothing_without_a_ring() {
    let Some(_alone) = rings() else { return };
    let file = file_of(LEN);
    let all = stall_all_rings(&file);
    let (sender, mut reader) = pair(Kind::Tcp);
    let mut transfer = Transfer::new(chain_of(whole(&file)), by(Method::Direct));
    transfer.socket_is_nonblocking();
    for _ in 0..3 {
        let step = transfer.step(&sender, Disk::MustNotWait);
        assert!(matches!(step, Step::WaitDisk), "{step:?}");
    }
    // TCP_CORK and fstatfs: nothing is opened, and nothing read.
    assert_eq!((transfer.receipt().bytes, transfer.receipt().system_calls), (0, 2));
    let received =
        drive_without_waiting(&mut transfer, &sender, &mut reader, |transfer, sender| {
            transfer.step(sender, Disk::MayWait)
        });
    assert_same(&received, &bytes_at(0, LEN), transfer.receipt());
    assert_eq!(transfer.receipt().methods.to_string(), name(Way::Pread), "{}", transfer.receipt());
    drop(all);
}

/// Sends a cold file; how many pages of it are resident then, and the receipt.
fn send_cold(method: Method) -> Option<(u64, Receipt)> {
    let file = cold_file()?;
    let (received, receipt) = deliver(pair(Kind::Tcp), chain_of(whole(&file)), by(method), 1 << 20);
    assert_same(&received, &bytes_at(0, LEN), &receipt);
    if let Some(refusal) = refused_methods(&receipt).first() {
        eprintln!("skipped: {refusal}");
        return None;
    }
    Some((resident(&file), receipt))
}

#[test]
fn a_cold_file_stays_cold() {
    both_ways(|way| {
        let Some((pages, receipt)) = send_cold(Method::Direct) else { return };
        assert_eq!((pages, receipt.methods.to_string().as_str()), (0, name(way)), "{receipt}");
    });
    let Some((pages, receipt)) = send_cold(Method::Uncached) else { return };
    // Some that the kernel has read ahead may be left: none has a reader that could drop it.
    assert!(pages <= 64, "{pages} pages: {receipt}");
}

/// Small ranges of one answer are gathered from the page cache, unless the file is to go past it.
#[test]
fn no_part_of_a_large_file_is_read_through_the_page_cache() {
    let Some(_alone) = rings() else { return };
    let Some(file) = cold_file() else { return };
    let mut chain = Chain::new();
    let mut expected = Vec::new();
    for number in 0..4 {
        let offset = 5 + number * 1_000_000;
        chain.push_bytes("a part: ");
        let range = FileRange::new(Arc::clone(&file), offset, 3_000).on(Medium::Disk);
        chain.push_file(range.of_file(LEN));
        expected.extend_from_slice(b"a part: ");
        expected.extend(bytes_at(offset, 3_000));
    }
    for (direct_above, methods) in [(LEN, "direct"), (LEN + 1, "copy")] {
        let options = Options { direct_above: Some(direct_above), ..Options::default() };
        let (received, receipt) = deliver(pair(Kind::Tcp), chain.clone(), options, 1 << 20);
        assert_same(&received, &expected, &receipt);
        assert_eq!(receipt.methods.to_string(), methods, "{receipt}");
        assert_eq!(resident(&file) == 0, methods == "direct", "{receipt}");
    }
}

#[test]
fn a_hot_file_stays_hot() {
    let Some(_alone) = rings() else { return };
    let file = file_of(LEN);
    file.sync_all().unwrap();
    let pages = Residency::look(&*file, Medium::Disk, 0, LEN);
    if !pages.is_hot() {
        eprintln!("skipped: what was just written is not resident: {pages}");
        return;
    }
    for method in [Method::Direct, Method::Uncached] {
        let (received, receipt) =
            deliver(pair(Kind::Tcp), chain_of(whole(&file)), by(method), 1 << 20);
        assert_same(&received, &bytes_at(0, LEN), &receipt);
        // The kernel may throw out a page or two on its own account.
        let left = resident(&file);
        assert!(left >= pages.pages * 9 / 10, "{left} of {} pages: {receipt}", pages.pages);
    }
}

/// What is resident goes without the disk, and the rest not without it: RWF_NOWAIT beside RWF_DONTCACHE.
#[test]
fn uncached_stops_at_what_is_cold() {
    let Some(_alone) = rings() else { return };
    let Some(file) = cold_file() else { return };
    let hot = 256 << 10;
    assert_eq!(pread(file.as_fd(), &mut vec![0; hot], 0).unwrap(), hot);
    let (sender, mut reader) = pair(Kind::Tcp);
    let options = Options { window: hot as u64, ..by(Method::Uncached) };
    let range = whole(&file).known_resident(true); // which is not true, but for a part
    let mut transfer = Transfer::new(chain_of(range), options);
    let mut received = Vec::new();
    loop {
        match transfer.step(&sender, Disk::MustNotWait) {
            Step::Yield => {}
            Step::WaitDisk => break,
            step => panic!("{step:?}"),
        }
    }
    if !refused_methods(transfer.receipt()).is_empty() {
        eprintln!("skipped: {}", transfer.receipt());
        return;
    }
    assert_eq!(transfer.receipt().bytes, hot as u64, "{}", transfer.receipt());
    let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
    assert!(matches!(end, End::Done), "{end:?}");
    read_rest(&sender, &mut reader, &mut received);
    assert_same(&received, &bytes_at(0, LEN), transfer.receipt());
}
