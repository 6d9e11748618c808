//! Ranges that must be of one version of their file: what another version has is never sent.

use crate::common::*;
use sendrail_sys::{Timestamp, fstat};
use sendrail_transfer::{
    Chain, Disk, FileFault, FileRange, Method, Options, Receipt, Step, Transfer,
};
use socket2::Socket;
use std::{
    fs::{self, File, Permissions},
    os::{
        fd::AsFd,
        unix::fs::{FileExt, PermissionsExt},
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, UNIX_EPOCH},
};

const LEN: u64 = 3 << 20;

/// Some time of long ago: any change from now on is another tick of the clock.
fn age(file: &File) {
    file.set_modified(UNIX_EPOCH + Duration::new(1_600_000_000, 7)).unwrap();
}

/// A range of the version that the file is now.
fn now(file: &Arc<File>, offset: u64, len: u64) -> FileRange {
    let seen = fstat(file.as_fd()).unwrap();
    FileRange::new(Arc::clone(file), offset, len).unchanged_since(seen.modified, seen.len)
}

fn all_of(file: &Arc<File>) -> FileRange {
    now(file, 0, file.metadata().unwrap().len())
}

fn aged_file() -> Arc<File> {
    let file = file_of(LEN);
    age(&file);
    file
}

/// The looks that a transfer of such ranges takes beside the calls that it would make without.
fn looks(with: &Receipt, without: &Receipt) -> u64 {
    with.system_calls - without.system_calls
}

#[test]
fn unchanged_it_arrives_by_copy_whatever_was_asked_for() {
    let asked = Method::ALL.map(Some).into_iter().chain([None]);
    for method in asked {
        for direct_above in [None, Some(1)] {
            for kind in KINDS {
                let file = aged_file();
                let options = Options { method, direct_above, ..Options::default() };
                let chain = chain_of(now(&file, 1000, LEN - 2000));
                let (received, receipt) = deliver(pair(kind), chain, options, 300_000);
                let context = (kind, method, direct_above);
                assert_same(&received, &bytes_at(1000, LEN - 2000), &context);
                assert_eq!(receipt.methods.to_string(), "copy", "{context:?}");
            }
        }
    }
}

#[test]
fn each_read_is_followed_by_one_look_that_the_receipt_counts() {
    // Into a Unix socket with room for it all: nothing but reads, sends and looks.
    const FEW: u64 = 100_000;
    let file = file_of(FEW);
    let send = |range: FileRange| {
        let (sender, reader) = pair(Kind::Unix);
        sender.set_send_buffer_size(1 << 20).unwrap();
        let (received, receipt) =
            deliver((sender, reader), chain_of(range), by(Method::Copy), 1 << 20);
        assert_same(&received, &bytes_at(0, FEW), &"");
        assert_eq!(receipt.socket_waits, 0, "{receipt}");
        receipt
    };
    assert_eq!(looks(&send(all_of(&file)), &send(whole(&file))), 2, "two reads of 64 KiB");
}

/// What is done to a file, in words and in deed.
type Change = (&'static str, fn(&File));

/// Sends some windows, does `change`, and goes on.
fn change_between_windows(change: impl FnOnce(&File)) -> (End, Vec<u8>, Receipt) {
    let (sender, mut reader) = pair(Kind::Tcp);
    let file = aged_file();
    let options = Options { window: SMALL_WINDOW, ..Options::default() };
    let mut transfer = Transfer::new(chain_of(all_of(&file)), options);
    let mut received = Vec::new();
    for _ in 0..3 {
        let step = transfer.step(&sender, Disk::MayWait);
        assert!(matches!(step, Step::Yield), "{step:?}");
        read_exactly(&mut reader, SMALL_WINDOW, &mut received);
    }
    change(&file);
    let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
    let receipt = transfer.into_receipt();
    read_rest(&sender, &mut reader, &mut received);
    (end, received, receipt)
}

#[test]
fn changed_in_any_way_nothing_more_is_sent() {
    let changes: [Change; 6] = [
        ("overwritten", |file| file.write_all_at(&vec![0xee; LEN as usize], 0).unwrap()),
        ("one byte far behind", |file| file.write_all_at(&[0xee], LEN - 1).unwrap()),
        ("one byte that has been sent", |file| file.write_all_at(&[0xee], 0).unwrap()),
        ("appended to, time and all", |file| {
            file.write_all_at(&[0xee], LEN).unwrap();
            age(file);
        }),
        ("cut, time and all", |file| {
            file.set_len(LEN - 1).unwrap();
            age(file);
        }),
        ("said to be older", |file| file.set_modified(UNIX_EPOCH).unwrap()),
    ];
    for (what, change) in changes {
        let (end, received, receipt) = change_between_windows(change);
        let End::Failed(fault) = end else { panic!("{what}: {end:?}") };
        assert!(
            matches!(fault, FileFault::Changed { offset } if offset == receipt.bytes),
            "{what}"
        );
        assert_eq!(receipt.bytes, 3 * SMALL_WINDOW, "{what}");
        assert_same(&received, &bytes_at(0, 3 * SMALL_WINDOW), &what);
        let said = fault.to_string();
        assert!(said.contains("changed while being sent") && said.contains("196608"), "{said}");
    }
}

#[test]
fn what_leaves_the_bytes_alone_is_no_change() {
    let (end, received, _) = change_between_windows(|file| {
        file.set_permissions(Permissions::from_mode(0o644)).unwrap();
        file.sync_all().unwrap();
        file.read_exact_at(&mut [0; 100], 0).unwrap();
    });
    assert!(matches!(end, End::Done), "{end:?}");
    assert_same(&received, &bytes_at(0, LEN), &"");
}

#[test]
fn what_was_read_in_time_still_arrives() {
    for kind in KINDS {
        let (sender, mut reader) = pair(kind);
        tiny_buffer(&sender);
        let file = aged_file();
        let mut transfer = Transfer::new(chain_of(all_of(&file)), Options::default());
        while !matches!(transfer.step(&sender, Disk::MayWait), Step::WaitSocket) {}
        let sent = transfer.receipt().bytes;
        file.write_all_at(&vec![0xee; LEN as usize], 0).unwrap();
        let mut received = Vec::new();
        let end = drive(&mut transfer, &sender, &mut reader, 1000, &mut received);
        assert!(matches!(end, End::Failed(FileFault::Changed { .. })), "{end:?}");
        let receipt = transfer.into_receipt();
        read_rest(&sender, &mut reader, &mut received);
        assert_same(&received, &bytes_at(0, receipt.bytes), &kind);
        assert!(receipt.bytes.is_multiple_of(64 << 10), "{kind:?}: a read is sent or it is not");
        assert!(receipt.bytes >= sent, "{kind:?}");
    }
}

#[test]
fn truncated_it_is_called_what_it_is() {
    let (end, received, _) = change_between_windows(|file| file.set_len(SMALL_WINDOW).unwrap());
    assert!(matches!(end, End::Failed(FileFault::Truncated { .. })), "{end:?}");
    assert_same(&received, &bytes_at(0, 3 * SMALL_WINDOW), &"");
}

fn ranges_of(file: &Arc<File>) -> (Chain, Vec<u8>) {
    let (mut chain, mut expected) = (Chain::new(), Vec::new());
    for offset in [0, 5000, 90_000] {
        chain.push_bytes("--boundary");
        chain.push_file(now(file, offset, 4096));
        expected.extend_from_slice(b"--boundary");
        expected.extend(bytes_at(offset, 4096));
    }
    (chain, expected)
}

#[test]
fn small_ranges_are_not_gathered_unseen() {
    let file = file_of(100_000);
    age(&file);
    let (chain, expected) = ranges_of(&file);
    let (received, receipt) = deliver(pair(Kind::Tcp), chain, Options::default(), 1 << 20);
    assert_same(&received, &expected, &receipt);

    let (chain, _) = ranges_of(&file);
    file.write_all_at(&[0xee], 50_000).unwrap();
    let (sender, mut reader) = pair(Kind::Tcp);
    let mut transfer = Transfer::new(chain, Options::default());
    let mut received = Vec::new();
    let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
    assert!(matches!(end, End::Failed(FileFault::Changed { offset: 0 })), "{end:?}");
    read_rest(&sender, &mut reader, &mut received);
    assert_same(&received, b"--boundary", &"nothing of any file");
}

/// A range that is free to change may be gathered with its like, but not with one that is not.
#[test]
fn a_run_ends_before_a_range_that_must_not_change() {
    let (old, new) = (file_of(10_000), file_of(10_000));
    age(&new);
    let fixed = all_of(&new);
    new.write_all_at(&[0xee], 0).unwrap();
    let mut chain = Chain::new();
    for _ in 0..2 {
        chain.push_file(whole(&old));
    }
    chain.push_file(fixed);
    let (sender, mut reader) = pair(Kind::Unix);
    let mut transfer = Transfer::new(chain, Options::default());
    let mut received = Vec::new();
    let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
    assert!(matches!(end, End::Failed(FileFault::Changed { offset: 0 })), "{end:?}");
    read_rest(&sender, &mut reader, &mut received);
    assert_same(&received, &bytes_at(0, 10_000).repeat(2), &"");
}

/// Lets the writer end when an assertion fails, too.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes whole versions, each of one byte over and over, until it is told to stop.
fn write_versions(file: &File, stop: &AtomicBool) {
    for version in (1_u8..=255).cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        file.write_all_at(&vec![version; LEN as usize], 0).unwrap();
        thread::sleep(Duration::from_millis(30)); // longer than a tick of any kernel's clock
    }
}

/// Sends what is in the file, unless it is being written at this moment: the time of a file changes when a write begins, and
/// not when it ends.
fn send_beside_a_writer(file: &Arc<File>, (sender, reader): &mut (Socket, Socket)) -> Option<u8> {
    let seen: Timestamp = fstat(file.as_fd()).unwrap().modified;
    let mut content = vec![0; LEN as usize];
    file.read_exact_at(&mut content, 0).unwrap();
    if content.iter().any(|byte| *byte != content[0]) {
        return None;
    }
    let range = FileRange::new(Arc::clone(file), 0, LEN).unchanged_since(seen, LEN);
    let mut transfer = Transfer::new(chain_of(range), Options::default());
    let mut received = Vec::new();
    let end = drive(&mut transfer, sender, reader, 50_000, &mut received);
    let sent = transfer.into_receipt().bytes;
    let missing = sent - received.len() as u64;
    read_exactly(reader, missing, &mut received);
    let whole = match end {
        End::Done => true,
        End::Failed(FileFault::Changed { .. }) => false,
        other => panic!("{other:?}"),
    };
    assert_eq!(whole, sent == LEN);
    let other = received.iter().position(|byte| *byte != received[0]);
    assert_eq!(other, None, "a byte of another version");
    whole.then(|| received[0])
}

#[test]
fn beside_a_writer_every_message_is_a_beginning_of_one_version() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("file");
    fs::write(&path, vec![0; LEN as usize]).unwrap();
    let file = Arc::new(File::open(&path).unwrap());
    let written = File::options().write(true).open(&path).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| write_versions(&written, &stop));
        let _stop = StopOnDrop(&stop);
        let mut pair = pair(Kind::Tcp);
        let mut cut = 0;
        for _ in 0..50 {
            cut += usize::from(send_beside_a_writer(&file, &mut pair).is_none());
        }
        eprintln!("{cut} of 50 were cut");
    });
}
