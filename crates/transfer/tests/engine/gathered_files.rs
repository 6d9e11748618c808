//! Chains of several small ranges, of files that are cold, that change, or that cannot be read like that.

use crate::{
    common::*,
    gathered::{FILE, HEAD, PART, STARTS, parts},
};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    io::Errno,
};
use sendrail_sys::pread::pread;
use sendrail_transfer::{
    Chain, Disk, FileFault, FileRange, Medium, Method, Options, Receipt, Residency, Step, Transfer,
    receipt::Tried,
};
use std::{fs::File, io::Write, os::fd::AsFd, sync::Arc};

/// The file, evicted but for the parts that stand in `hot`.
fn cold_but(hot: &[usize]) -> Option<Arc<File>> {
    let file = file_of(FILE);
    if let Err(why) = evict(&file) {
        eprintln!("skipped: {why}");
        return None;
    }
    for part in hot {
        let count = pread(file.as_fd(), &mut vec![0; PART as usize], STARTS[*part]).unwrap();
        assert_eq!(count as u64, PART);
    }
    let resident = |part: usize| Residency::look(&*file, Medium::Disk, STARTS[part], PART);
    if (0..STARTS.len()).any(|part| resident(part).is_hot() != hot.contains(&part)) {
        eprintln!("skipped: the file system reads ahead in spite of POSIX_FADV_RANDOM");
        return None;
    }
    Some(file)
}

#[test]
fn who_must_not_wait_sends_what_is_hot_and_stops_at_what_is_not() {
    for cold in 0..STARTS.len() {
        let hot: Vec<usize> = (0..STARTS.len()).filter(|part| *part != cold).collect();
        let Some(file) = cold_but(&hot) else { return };
        let (sender, mut reader) = pair(Kind::Tcp);
        let (chain, expected) = parts(&file, Medium::Disk, PART);
        let mut transfer = Transfer::new(chain, Options::default());
        transfer.socket_is_nonblocking(); // else it would be asked
        // However often it is asked: the read that was refused has begun to fetch the pages, and
        // cachestat(2) calls them cached while who sends them would still sleep.
        let mut step = transfer.begin(&sender, HEAD, Disk::MustNotWait);
        for asked in 1..=3 {
            assert!(matches!(step, Step::WaitDisk), "{cold}: {step:?}");
            assert_eq!(transfer.receipt().disk_waits, asked, "{cold}");
            step = transfer.step(&sender, Disk::MustNotWait);
        }
        let receipt = transfer.receipt();
        // The reads up to the cold part, the run before it, and the cork around the rest.
        assert_eq!(receipt.system_calls, cold as u64 + 1 + 1 + 1, "{cold}: {receipt}");
        assert_eq!(receipt.file_bytes, cold as u64 * PART, "{cold}");
        assert_eq!(receipt.cold, PART, "{cold}: once");

        let step = transfer.step(&sender, Disk::MayWait);
        assert!(matches!(step, Step::Done), "{cold}: {step:?}");
        let receipt = transfer.into_receipt();
        assert_eq!(receipt.file_bytes, 4 * PART);
        assert!(receipt.methods.contains(Method::Sendfile), "{cold}: {receipt}");
        let mut received = Vec::new();
        read_rest(&sender, &mut reader, &mut received);
        assert_same(&received, &[HEAD, &expected].concat(), &cold);
    }
}

#[test]
fn what_rwf_nowait_says_is_newer_than_what_the_caller_knew() {
    let Some(file) = cold_but(&[]) else { return };
    let mut chain = Chain::new();
    for start in STARTS {
        let range = FileRange::new(Arc::clone(&file), start, PART).on(Medium::Disk);
        chain.push_file(range.known_resident(true));
    }
    let (sender, _reader) = pair(Kind::Tcp);
    let mut transfer = Transfer::new(chain, Options::default());
    let step = transfer.step(&sender, Disk::MustNotWait);
    assert!(matches!(step, Step::WaitDisk), "{step:?}");
    assert_eq!(transfer.receipt().file_bytes, 0);
}

#[test]
fn behind_a_cold_range_gathering_goes_on() {
    let Some(file) = cold_but(&[1, 2, 3]) else { return };
    let (sender, mut reader) = pair(Kind::Tcp);
    let (chain, expected) = parts(&file, Medium::Disk, PART);
    let mut transfer = Transfer::new(chain, Options::default());
    assert!(matches!(transfer.step(&sender, Disk::MustNotWait), Step::WaitDisk));
    assert!(matches!(transfer.step(&sender, Disk::MayWait), Step::Done));
    let receipt = transfer.into_receipt();
    let in_memory = expected.len() as u64 - 4 * PART;
    assert_eq!(receipt.copied, in_memory + 2 * 3 * PART, "{receipt}");
    let mut received = Vec::new();
    read_rest(&sender, &mut reader, &mut received);
    assert_same(&received, &expected, &());
}

/// The end of a long range could be taken for a small piece, and the next range for the window in which
/// that end was seen to be hot.
#[test]
fn the_end_of_a_long_range_is_left_to_its_method() {
    let Some(cold) = cold_but(&[]) else { return };
    let hot = file_of(FILE);
    let mut chain = Chain::new();
    let long = FileRange::new(Arc::clone(&hot), 2_000_000, 2 * SMALL_WINDOW + 5_000);
    chain.push_file(long.on(Medium::Disk));
    chain.push_file(FileRange::new(Arc::clone(&hot), 0, PART).on(Medium::Disk));
    chain.push_file(FileRange::new(cold, 5, 100_000).on(Medium::Disk));
    let (sender, mut reader) = pair(Kind::Tcp);
    let options = Options { window: SMALL_WINDOW, ..Options::default() };
    let mut transfer = Transfer::new(chain, options);
    for _ in 0..2 {
        let step = transfer.step(&sender, Disk::MustNotWait);
        assert!(matches!(step, Step::Yield), "{step:?}");
        read_exactly(&mut reader, SMALL_WINDOW, &mut Vec::new());
    }
    let step = transfer.step(&sender, Disk::MustNotWait);
    assert!(matches!(step, Step::WaitDisk), "{step:?}");
    assert_eq!(transfer.receipt().file_bytes, 2 * SMALL_WINDOW + 5_000 + PART);
    assert_eq!(transfer.receipt().methods.to_string(), "sendfile");
}

#[test]
fn a_file_in_memory_is_read_as_if_one_might_wait() {
    // tmpfs may know no RWF_NOWAIT.
    let file = Arc::new(File::from(memfd_create("parts", MemfdFlags::CLOEXEC).unwrap()));
    (&*file).write_all(&bytes_at(0, FILE)).unwrap();
    let (sender, mut reader) = pair(Kind::Tcp);
    let (chain, expected) = parts(&file, Medium::Memory, PART);
    let mut transfer = Transfer::new(chain, Options::default());
    transfer.socket_is_nonblocking(); // else it would be asked
    assert!(matches!(transfer.step(&sender, Disk::MustNotWait), Step::Done));
    assert_eq!(transfer.receipt().system_calls, 4 + 1);
    let mut received = Vec::new();
    read_rest(&sender, &mut reader, &mut received);
    assert_same(&received, &expected, &());
}

/// Sends three ranges of a file that knows no RWF_NOWAIT, with `between` before each.
fn send_where_nowait_is_unknown(between: &[u8]) -> Receipt {
    // fs/proc/base.c: auxv has a read function and nothing else: no FMODE_NOWAIT.
    let contents = std::fs::read("/proc/self/auxv").unwrap();
    let file = Arc::new(File::open("/proc/self/auxv").unwrap());
    let (mut chain, mut expected) = (Chain::new(), Vec::new());
    for start in [0, 8, 16] {
        chain.push_bytes(between.to_vec());
        chain.push_file(FileRange::new(Arc::clone(&file), start, 24).on(Medium::Disk));
        expected.extend_from_slice(between);
        expected.extend_from_slice(&contents[start as usize..][..24]);
    }
    let (sender, mut reader) = pair(Kind::Tcp);
    let mut transfer = Transfer::new(chain, Options::default());
    let mut received = Vec::new();
    let end = run_to_the_end(&mut transfer, &sender, &mut reader, &mut received);
    assert!(matches!(end, End::Done), "{end:?}");
    read_rest(&sender, &mut reader, &mut received);
    assert_same(&received, &expected, &transfer.receipt());
    transfer.into_receipt()
}

#[test]
fn where_rwf_nowait_is_unknown_the_methods_do_it_all() {
    let tried = send_where_nowait_is_unknown(b"a part: ");
    let refusals: Vec<Tried> = tried.refusals.iter().map(|refusal| refusal.tried).collect();
    let expected = [Method::Sendfile, Method::Splice].map(Tried::Method);
    assert_eq!(refusals, expected, "{tried}");
    // Between pieces of more than is gathered it is not even tried.
    let untried = send_where_nowait_is_unknown(&vec![b'-'; 20_000]);
    assert_eq!((untried.socket_waits, untried.disk_waits), (0, tried.disk_waits), "{untried}");
    assert_eq!(tried.system_calls, untried.system_calls + 1, "once: {tried}, {untried}");
}

/// Steps to the end as an event loop with a disk pool would.
fn run_to_the_end(
    transfer: &mut Transfer,
    sender: &socket2::Socket,
    reader: &mut socket2::Socket,
    received: &mut Vec<u8>,
) -> End {
    let mut disk = Disk::MustNotWait;
    loop {
        let step = transfer.step(sender, disk);
        disk = Disk::MustNotWait;
        match step {
            Step::Done => return End::Done,
            Step::Yield => {}
            Step::WaitSocket => _ = read_some(reader, 1_000, received),
            Step::WaitDisk => disk = Disk::MayWait,
            Step::PeerGone(_) => return End::PeerGone,
            Step::Failed(fault) => return End::Failed(fault),
        }
    }
}

/// Bytes of `parts` that come before the file's byte `end` is needed.
fn before(end: u64, head: usize) -> usize {
    let cut = STARTS.iter().filter(|start| **start + PART <= end).count();
    let whole = cut * (head + PART as usize) + head;
    whole + end.saturating_sub(STARTS[cut]) as usize
}

#[test]
fn a_file_that_was_cut_short_is_reported_where_it_ends() {
    let one = "\r\n--boundary\r\nPart: 0\r\n\r\n".len();
    for kind in KINDS {
        // Before the first part, within one, at its start and within the last.
        for end in [0, 101, 1_000_003, 1_000_004, 1_004_098, 2_000_000, 3_504_095] {
            for medium in [Medium::Disk, Medium::Memory] {
                for disk in [Disk::MayWait, Disk::MustNotWait] {
                    let file = file_of(FILE);
                    let (chain, expected) = parts(&file, medium, PART);
                    file.set_len(end).unwrap();
                    let (sender, mut reader) = pair(kind);
                    let mut transfer = Transfer::new(chain, Options::default());
                    let mut received = Vec::new();
                    let outcome = match disk {
                        Disk::MayWait => {
                            drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received)
                        }
                        Disk::MustNotWait => {
                            run_to_the_end(&mut transfer, &sender, &mut reader, &mut received)
                        }
                    };
                    let context = (kind, end, medium, disk);
                    let End::Failed(FileFault::Truncated { offset, promised_end }) = outcome else {
                        panic!("{outcome:?} {context:?}")
                    };
                    let cut = STARTS.iter().position(|start| start + PART > end).unwrap();
                    assert_eq!(offset, end.max(STARTS[cut]), "{context:?}");
                    assert_eq!(promised_end, STARTS[cut] + PART, "{context:?}");
                    assert!(Arc::ptr_eq(transfer.current_file().unwrap(), &file));
                    let receipt = transfer.into_receipt();
                    assert!(receipt.system_calls < 25, "a spin: {receipt}");
                    read_rest(&sender, &mut reader, &mut received);
                    assert_eq!(receipt.bytes, received.len() as u64, "{context:?}");
                    assert_same(&received, &expected[..before(end, one)], &context);
                }
            }
        }
    }
}

/// What a run has read and the socket did not take is read again when its turn comes: not a byte of
/// what is gone by then, nor of what stands there instead.
#[test]
fn cut_short_while_a_run_waits_for_the_socket() {
    for kind in KINDS {
        let file = file_of(FILE);
        let (sender, mut reader) = pair(kind);
        tiny_buffer(&sender);
        let (chain, expected) = parts(&file, Medium::Disk, 3 * PART);
        let mut transfer = Transfer::new(chain, Options::default());
        let step = transfer.step(&sender, Disk::MustNotWait);
        assert!(matches!(step, Step::WaitSocket), "{kind:?} {step:?}");
        let sent = transfer.receipt().bytes;
        assert!(sent < 3 * (3 * PART), "the socket took too much for this test: {sent}");
        let end = STARTS[3] + 1_001;
        file.set_len(end).unwrap();
        let mut received = Vec::new();
        let outcome = run_to_the_end(&mut transfer, &sender, &mut reader, &mut received);
        let End::Failed(FileFault::Truncated { offset, promised_end }) = outcome else {
            panic!("{kind:?} {outcome:?}")
        };
        assert_eq!((offset, promised_end), (end, STARTS[3] + 3 * PART), "{kind:?}");
        read_rest(&sender, &mut reader, &mut received);
        assert_eq!(received.len() as u64, transfer.receipt().bytes);
        assert_same(&received, &expected[..received.len()], &kind);
    }
}

#[test]
fn a_range_that_cannot_be_read_is_the_files_fault() {
    // A directory opens for reading and cannot be read.
    let directory = Arc::new(File::open("/").unwrap());
    for disk in [Disk::MayWait, Disk::MustNotWait] {
        let mut chain = Chain::new();
        for start in [3, 100] {
            let range = FileRange::new(Arc::clone(&directory), start, 10).on(Medium::Memory);
            chain.push_file(range);
        }
        let (sender, _reader) = pair(Kind::Tcp);
        let mut transfer = Transfer::new(chain, Options::default());
        let step = transfer.step(&sender, disk);
        let Step::Failed(FileFault::Read { offset: 3, error, .. }) = step else {
            panic!("{disk:?} {step:?}")
        };
        assert_eq!(Errno::from_io_error(&error), Some(Errno::ISDIR), "{disk:?}");
        assert_eq!(transfer.receipt().bytes, 0);
    }
}
