//! Bulk: what a transfer brings into the page cache it gives back, and nothing else.

use crate::common::*;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use sendrail_sys::{cachestat::cachestat, limits::page_size};
use sendrail_transfer::{Disk, DropBehind, FileRange, Method, Options, Receipt, Step, Transfer};
use socket2::Socket;
use std::{
    fs::File,
    io::Read,
    net::UdpSocket,
    ops::Range,
    os::{fd::AsFd, unix::fs::FileExt},
    sync::Arc,
    time::{Duration, Instant},
};

const MIB: u64 = 1 << 20;

/// As if no memory were free.
fn dropping() -> Options {
    Options { drop_behind: DropBehind::On, ..Options::default() }
}

/// Bytes of `range` that are resident; `None` where that cannot be said.
fn resident(file: &File, range: Range<u64>) -> Option<u64> {
    let stat = cachestat(file.as_fd(), range.start, range.end - range.start).ok()?;
    Some(stat.cached * page_size() as u64)
}

/// An evicted file, or a line that says why there is none.
fn cold(len: u64) -> Option<Arc<File>> {
    let file = file_of(len);
    file.sync_all().unwrap();
    match evict(&file) {
        Ok(()) if resident(&file, 0..len) == Some(0) => Some(file),
        Ok(()) => {
            eprintln!("skipped: cachestat(2), Linux 6.5, does not tell what is resident");
            None
        }
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

/// Sends a packet on each processor. The kernel gives packets that were read on another processor
/// back to the one that made them, which frees them with the next packet it receives, and not before
/// (net.core.skb_defer_max): on a quiet machine they hold their pages for as long as it is quiet.
fn let_packets_be_freed() {
    let before = sched_getaffinity(None).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    for cpu in (0..CpuSet::MAX_CPU).filter(|cpu| before.is_set(*cpu)) {
        let mut only = CpuSet::new();
        only.set(cpu);
        sched_setaffinity(None, &only).unwrap();
        socket.send_to(b"", address).unwrap();
        socket.recv(&mut [0]).unwrap();
    }
    sched_setaffinity(None, &before).unwrap();
}

/// Waits until nothing is left of `range`: tails are given back when they have been acknowledged.
#[track_caller]
fn assert_given_back(file: &File, range: Range<u64>) {
    let begun = Instant::now();
    while resident(file, range.clone()) != Some(0) {
        let left = resident(file, range.clone());
        assert!(begun.elapsed() < HANGS, "{left:?} bytes of {range:?} stay");
        let_packets_be_freed();
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Brings `range` in as somebody else would; read-ahead may bring in more.
fn warm(file: &File, range: Range<u64>) {
    let mut buffer = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut buffer, range.start).unwrap();
}

/// What is resident of all of the file. Read-ahead counts from the moment it begins.
fn settled(file: &File) -> u64 {
    resident(file, 0..file.metadata().unwrap().len()).unwrap()
}

fn part(file: &Arc<File>, range: &Range<u64>) -> FileRange {
    FileRange::new(Arc::clone(file), range.start, range.end - range.start)
}

#[track_caller]
fn send(file: &Arc<File>, range: Range<u64>, options: &Options) -> Receipt {
    let (received, receipt) =
        deliver(pair(Kind::Tcp), chain_of(part(file, &range)), options.clone(), 1 << 20);
    assert!(received == bytes_at(range.start, range.end - range.start), "{range:?} {receipt}");
    receipt
}

#[test]
fn what_a_cold_stream_brings_in_is_given_back() {
    for method in [None, Some(Method::Copy), Some(Method::Mapped), Some(Method::Sendfile)] {
        let Some(file) = cold(48 * MIB) else { return };
        let receipt = send(&file, 0..48 * MIB, &Options { method, ..dropping() });
        assert!(receipt.cold > 0, "{receipt}");
        assert_given_back(&file, 0..48 * MIB);
    }
}

#[test]
fn in_the_midst_of_a_stream_only_the_lag_is_resident() {
    let Some(file) = cold(128 * MIB) else { return };
    let (sender, mut reader) = pair(Kind::Tcp);
    let mut transfer = Transfer::new(chain_of(whole(&file)), dropping());
    let (mut received, mut most) = (Vec::new(), 0);
    loop {
        let step = transfer.step(&sender, Disk::MayWait);
        most = most.max(resident(&file, 0..128 * MIB).unwrap());
        match step {
            Step::Done => break,
            Step::Yield => {}
            Step::WaitSocket => drop(read_some(&mut reader, 1 << 20, &mut received)),
            step => panic!("{step:?}"),
        }
    }
    // The lag, what is given back at once, what is read ahead, and what the sockets hold.
    assert!(most < 80 * MIB, "{} MiB of 128", most / MIB);
}

#[test]
fn what_was_resident_before_stays() {
    let Some(file) = cold(48 * MIB) else { return };
    warm(&file, 20 * MIB..22 * MIB);
    warm(&file, 40 * MIB..40 * MIB + 8192);
    let before = settled(&file);
    send(&file, 0..48 * MIB, &dropping());
    assert_given_back(&file, 0..16 * MIB);
    // Whatever was there, read-ahead of the warming included, and not a page more.
    let begun = Instant::now();
    while resident(&file, 0..48 * MIB) != Some(before) {
        let now = resident(&file, 0..48 * MIB);
        assert!(begun.elapsed() < HANGS, "{before} bytes were resident before, {now:?} are now");
        let_packets_be_freed();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(resident(&file, 20 * MIB..22 * MIB), Some(2 * MIB));
    assert_eq!(resident(&file, 40 * MIB..40 * MIB + 8192), Some(8192));
}

#[test]
fn a_range_of_a_large_file_leaves_nothing_of_what_was_read_ahead_either() {
    let Some(file) = cold(64 * MIB) else { return };
    for range in [33 * MIB + 77..33 * MIB + 78, 5 * MIB + 1..9 * MIB, 63 * MIB..64 * MIB] {
        send(&file, range, &dropping());
        assert_given_back(&file, 0..64 * MIB);
    }
}

#[test]
fn a_player_that_seeks_leaves_nothing_behind() {
    let Some(file) = cold(64 * MIB) else { return };
    // Each seek asks for all the rest, and gives up after a while.
    for at in [0, 40, 10, 60, 25, 3] {
        let (sender, mut reader) = pair(Kind::Tcp);
        let mut transfer = Transfer::new(chain_of(part(&file, &(at * MIB..64 * MIB))), dropping());
        let mut received = Vec::new();
        while received.len() < 2 << 20 {
            match transfer.step(&sender, Disk::MayWait) {
                Step::Yield => {}
                Step::WaitSocket => drop(read_some(&mut reader, 1 << 20, &mut received)),
                Step::Done => break,
                step => panic!("{step:?}"),
            }
        }
        assert!(received == bytes_at(at * MIB, received.len() as u64));
    }
    assert_given_back(&file, 0..64 * MIB);
}

/// A transfer that is stepped by hand.
struct Client {
    transfer: Transfer,
    sender: Socket,
    reader: Socket,
    received: Vec<u8>,
}

impl Client {
    fn of(file: &Arc<File>, range: &Range<u64>) -> Self {
        let (sender, reader) = pair(Kind::Tcp);
        let transfer = Transfer::new(chain_of(part(file, range)), dropping());
        Self { transfer, sender, reader, received: Vec::new() }
    }

    /// Goes on until `bytes` have arrived, or all.
    fn read_up_to(&mut self, bytes: usize) -> bool {
        while self.received.len() < bytes {
            match self.transfer.step(&self.sender, Disk::MayWait) {
                Step::Yield => {}
                Step::WaitSocket => {
                    read_some(&mut self.reader, 1 << 20, &mut self.received);
                }
                Step::Done => {
                    read_rest(&self.sender, &mut self.reader, &mut self.received);
                    return true;
                }
                step => panic!("{step:?}"),
            }
        }
        false
    }
}

#[test]
fn ten_clients_on_one_cold_file_at_different_offsets_leave_nothing_of_it() {
    let Some(file) = cold(40 * MIB) else { return };
    let mut clients: Vec<_> =
        (0..10).map(|number| (number, Client::of(&file, &(number * 4 * MIB..40 * MIB)))).collect();
    let mut turn = 0;
    while !clients.is_empty() {
        turn += 1;
        clients.retain_mut(|(number, client)| {
            let done = client.read_up_to(turn << 20);
            if done {
                let expected = bytes_at(*number * 4 * MIB, (40 - 4 * *number) * MIB);
                assert!(client.received == expected, "client {number}");
            }
            !done
        });
    }
    assert_given_back(&file, 0..40 * MIB);
}

#[test]
fn who_follows_close_behind_finds_the_pages() {
    let Some(file) = cold(24 * MIB) else { return };
    let mut ahead = Client::of(&file, &(0..24 * MIB));
    assert!(!ahead.read_up_to(8 << 20));
    let mut behind = Client::of(&file, &(0..24 * MIB));
    assert!(!behind.read_up_to(6 << 20));
    assert_eq!(behind.transfer.receipt().cold, 0, "{}", behind.transfer.receipt());
    drop(ahead);
    assert!(behind.read_up_to(usize::MAX));
    drop(behind);
    assert_given_back(&file, 0..24 * MIB);
}

#[test]
fn the_end_of_a_file_stays_until_the_peer_has_acknowledged_it() {
    let Some(file) = cold(MIB) else { return };
    let (sender, mut reader) = pair(Kind::Tcp);
    sender.set_send_buffer_size(8 << 20).unwrap();
    let mut transfer = Transfer::new(chain_of(whole(&file)), dropping());
    let mut received = Vec::new();
    let end = drive(&mut transfer, &sender, &mut reader, 1, &mut received);
    assert!(matches!(end, End::Done), "{end:?}");
    drop(transfer);
    // The first tries fall into this time; none of them may touch what is in flight.
    std::thread::sleep(Duration::from_millis(50));
    if resident(&file, 0..MIB) == Some(0) {
        eprintln!("skipped: the sockets took all of it at once");
    }
    read_rest(&sender, &mut reader, &mut received);
    assert!(received == bytes_at(0, MIB));
    assert_given_back(&file, 0..MIB);
}

#[test]
fn a_crawler_leaves_nothing_and_who_comes_again_finds_it_kept() {
    const LEN: u64 = 64 << 10;
    let mut files = Vec::new();
    for _ in 0..100 {
        let Some(file) = cold(LEN) else { return };
        files.push(file);
    }
    for file in &files {
        send(file, 0..LEN, &dropping());
    }
    for file in &files {
        assert_given_back(file, 0..LEN);
    }
    let receipt = send(&files[7], 0..LEN, &dropping());
    assert_eq!(receipt.cold, LEN, "{receipt}");
    std::thread::sleep(Duration::from_millis(50)); // a tail would have been given back by now
    assert!(resident(&files[7], 0..LEN) > Some(0), "asked for a second time");
}

#[test]
fn a_large_file_that_is_asked_for_often_may_stay() {
    let Some(file) = cold(4 * MIB) else { return };
    for _ in 0..3 {
        send(&file, 0..4 * MIB, &dropping());
        assert_given_back(&file, 0..4 * MIB);
    }
    send(&file, 0..4 * MIB, &dropping());
    std::thread::sleep(Duration::from_millis(50));
    assert!(resident(&file, 0..4 * MIB) > Some(2 * MIB), "asked for a fourth time");
}

#[test]
fn nothing_is_given_back_if_that_is_off() {
    let Some(file) = cold(24 * MIB) else { return };
    send(&file, 0..24 * MIB, &Options { drop_behind: DropBehind::Off, ..Options::default() });
    std::thread::sleep(Duration::from_millis(50));
    // Not all of it, perhaps: on some machines what nobody uses is thrown out within seconds.
    assert!(resident(&file, 0..24 * MIB) > Some(12 * MIB));
}

#[test]
fn a_client_that_leaves_leaves_nothing_behind() {
    let Some(file) = cold(24 * MIB) else { return };
    let mut client = Client::of(&file, &(0..24 * MIB));
    client.read_up_to(3 << 20);
    let Client { transfer, sender, mut reader, .. } = client;
    drop(sender);
    drop(transfer);
    let mut buffer = vec![0; 65_536];
    while reader.read(&mut buffer).is_ok_and(|count| count > 0) {}
    assert_given_back(&file, 0..24 * MIB);
}
