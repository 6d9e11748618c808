//! Direct reads, by a ring and without one: in a process of their own, for the rings are the process's.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

#[path = "../engine/common.rs"]
#[allow(dead_code, reason = "shared with the tests of the engine, which use all of it")]
mod common;

mod depth;
mod edges;
mod faults;
mod gone;
mod refused;
mod shared;
mod waiting;

use common::*;
use sendrail_transfer::{
    Disk, FileRange, Method, Options, Step, Transfer, plan::SHARED_RINGS, receipt::Way,
};
use socket2::Socket;
use std::{
    fs::File,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Enough that reads are still to be begun when the first bytes have been sent.
const LEN: u64 = (6 << 20) + 12_345;

/// One test at a time, for each counts the rings; `None`, and a line that says why, where there are none.
fn rings() -> Option<MutexGuard<'static, ()>> {
    static RINGS: Mutex<()> = Mutex::new(());
    let alone = RINGS.lock().unwrap_or_else(PoisonError::into_inner);
    let chain = chain_of(whole(&file_of(10_000)));
    let (_, receipt) = deliver(pair(Kind::Tcp), chain, by(Method::Direct), 1 << 20);
    if receipt.methods.went(Way::Ring) {
        return Some(alone);
    }
    eprintln!("skipped: no direct reads by io_uring here: {receipt}");
    None
}

/// A transfer to a reader that takes nothing: it holds what it has read by.
struct Stalled {
    transfer: Transfer,
    sender: Socket,
    reader: Socket,
}

fn stall(file: &Arc<File>) -> Stalled {
    stall_by(file, by(Method::Direct))
}

fn stall_by(file: &Arc<File>, options: Options) -> Stalled {
    let (sender, reader) = pair(Kind::Unix);
    sender.set_send_buffer_size(50_000).unwrap();
    let range = FileRange::new(Arc::clone(file), 0, file.metadata().unwrap().len());
    let mut transfer = Transfer::new(chain_of(range), options);
    let step = transfer.step(&sender, Disk::MayWait);
    assert!(matches!(step, Step::WaitSocket), "{step:?}");
    Stalled { transfer, sender, reader }
}

/// So many transfers that no ring is left for others.
fn stall_all_rings(file: &Arc<File>) -> Vec<Stalled> {
    let all: Vec<_> = (0..SHARED_RINGS).map(|_| stall(file)).collect();
    for Stalled { transfer, .. } in &all {
        assert!(transfer.receipt().methods.went(Way::Ring), "{}", transfer.receipt());
    }
    all
}

/// Runs a test by a ring, and once more while all rings are lent.
fn both_ways(mut test: impl FnMut(Way)) {
    let Some(_alone) = rings() else { return };
    test(Way::Ring);
    let _all = stall_all_rings(&file_of(LEN));
    test(Way::Pread);
}

/// Rings of this process.
fn open_rings() -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_str() == Some("anon_inode:[io_uring]")).count()
}

/// Descriptors of this process.
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// How `direct` is called in receipts, by the way it went.
fn name(way: Way) -> &'static str {
    match way {
        Way::Ring => "direct",
        Way::Pread => "direct(pread)",
        _ => panic!("an unknown way: {way:?}"),
    }
}
