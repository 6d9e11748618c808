//! Files that change under the sender: cut short, replaced, appended to.
//!
//! Cut short, the receiver must have got a beginning of the old bytes and nothing else: no zeroes,
//! no padding, and the engine neither spins nor dies of SIGBUS.

use crate::common::*;
use sendrail_transfer::{
    Disk, FileFault, FileRange, Method, Options, SendError, Step, Transfer, blocking,
};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    sync::Arc,
    thread,
};

const LEN: u64 = 6 << 20;

fn assert_truncated(end: &End, receipt_bytes: u64, context: &dyn std::fmt::Debug) {
    let End::Failed(FileFault::Truncated { offset, promised_end }) = end else {
        panic!("{end:?}, {context:?}")
    };
    assert_eq!(*promised_end, LEN, "{context:?}");
    assert!(*offset <= LEN && receipt_bytes < LEN, "{context:?}");
}

#[test]
fn cut_short_before_the_next_window() {
    for kind in KINDS {
        for method in Method::ALL {
            let (sender, mut reader) = pair(kind);
            let file = file_of(LEN);
            let options = Options { window: SMALL_WINDOW, ..by(method) };
            let mut transfer = Transfer::new(chain_of(whole(&file)), options);
            let mut received = Vec::new();
            for _ in 0..3 {
                let step = transfer.step(&sender, Disk::MayWait);
                assert!(matches!(step, Step::Yield), "{step:?}");
                read_exactly(&mut reader, SMALL_WINDOW, &mut received);
            }
            file.set_len(10_000).unwrap();
            let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
            let receipt = transfer.into_receipt();
            assert_truncated(&end, receipt.bytes, &(kind, method));
            read_rest(&sender, &mut reader, &mut received);
            // Direct reads are far ahead: what they brought was the file's when it was read.
            let ahead = method == Method::Direct && receipt.bytes > 3 * SMALL_WINDOW;
            assert!(ahead || receipt.bytes == 3 * SMALL_WINDOW, "{kind:?} {method}");
            assert_same(&received, &bytes_at(0, receipt.bytes), &(kind, method));
        }
    }
}

#[test]
fn cut_short_inside_the_window() {
    for kind in KINDS {
        for method in Method::ALL {
            // Just behind what has been sent, where copy and splice hold bytes that have left the
            // file already, and further on. Never on a page: the rest of a page becomes zeroes.
            for beyond in [1, 1_001, 100_001, 1_100_001] {
                let (sender, mut reader) = pair(kind);
                sender.set_send_buffer_size(100_000).unwrap();
                let file = file_of(LEN);
                let mut transfer = Transfer::new(chain_of(whole(&file)), by(method));
                let mut received = Vec::new();
                while !matches!(transfer.step(&sender, Disk::MayWait), Step::WaitSocket) {}
                let sent = transfer.receipt().bytes;
                let context = (kind, method, beyond, sent);
                assert!(sent + beyond < LEN, "the socket took too much for this test: {context:?}");
                file.set_len(sent + beyond).unwrap();
                let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
                let receipt = transfer.into_receipt();
                assert_truncated(&end, receipt.bytes, &context);
                read_rest(&sender, &mut reader, &mut received);
                assert_same(&received, &bytes_at(0, receipt.bytes), &context);
                // Copies in our own memory may be finished; otherwise nothing beyond the new end.
                if !matches!(method, Method::Copy | Method::Uncached | Method::Direct) {
                    assert!(receipt.bytes <= sent + beyond, "{context:?}");
                }
                // All that the file still had has been sent, unless it waited in the pipe.
                if method != Method::Splice {
                    assert!(receipt.bytes >= sent + beyond, "{context:?}");
                }
            }
        }
    }
}

/// In mid-call. The cut is where no folio goes across: the kernel zeroes the rest of the folio (up to
/// 2 MiB, not only of the page) that holds the new end, also where it is in flight after sendfile(2)
/// or splice(2) and beyond anyone's reach.
#[test]
fn cut_short_by_another_process_while_a_call_is_at_it() {
    for kind in KINDS {
        for method in Method::ALL {
            for non_blocking in [true, false] {
                let file = file_of(LEN);
                let (sender, mut reader) = pair(kind);
                sender.set_nonblocking(non_blocking).unwrap();
                let cutting = Arc::clone(&file);
                let reader = thread::spawn(move || {
                    let mut received = Vec::new();
                    read_exactly(&mut reader, 300_000, &mut received);
                    cutting.set_len(2 << 20).unwrap();
                    while read_some(&mut reader, 1 << 20, &mut received) > 0 {}
                    received
                });
                let sent = blocking::send(&sender, chain_of(whole(&file)), by(method));
                drop(sender);
                let received = reader.join().unwrap();
                let context = (kind, method, non_blocking, &sent);
                let bytes = match &sent {
                    Err(SendError::File { fault: FileFault::Truncated { .. }, receipt }) => {
                        receipt.bytes
                    }
                    Ok(receipt) => receipt.bytes, // the socket had taken it all by then
                    Err(error) => panic!("{error} {context:?}"),
                };
                assert_eq!(bytes, received.len() as u64, "{context:?}");
                assert_same(&received, &bytes_at(0, bytes), &context);
            }
        }
    }
}

#[test]
fn shorter_than_promised_from_the_start() {
    for method in Method::ALL {
        for (file_len, offset) in [(0, 0), (100_000, 0), (100_000, 100_000), (100_000, 99_999)] {
            let (sender, mut reader) = pair(Kind::Tcp);
            let range = FileRange::new(file_of(file_len), offset, LEN - offset);
            let mut transfer = Transfer::new(chain_of(range), by(method));
            let mut received = Vec::new();
            let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
            let receipt = transfer.into_receipt();
            assert_truncated(&end, receipt.bytes, &method);
            read_rest(&sender, &mut reader, &mut received);
            assert_same(&received, &bytes_at(offset, file_len - offset), &(method, offset));
            assert!(receipt.system_calls < 20, "a spin: {method} {receipt}");
        }
    }
}

#[test]
fn the_blocking_front_says_whose_fault_it_was() {
    for non_blocking in [true, false] {
        for method in Method::ALL {
            let (sender, _reader) = pair(Kind::Unix);
            sender.set_nonblocking(non_blocking).unwrap();
            let range = FileRange::new(file_of(10), 0, 20);
            let error = blocking::send(&sender, chain_of(range), by(method)).unwrap_err();
            let SendError::File { fault, receipt } = &error else { panic!("{error:?}") };
            assert!(matches!(fault, FileFault::Truncated { offset: 10, promised_end: 20 }));
            assert_eq!(receipt.file_bytes, 10);
            assert_eq!(
                error.to_string(),
                "after 10 bytes: the file ends at byte 10, before the promised byte 20: it was truncated while being sent"
            );
        }
    }
}

/// Sends a window of `file`, does `change`, sends the rest, and expects the old bytes.
fn send_across(method: Method, file: &Arc<File>, change: impl FnOnce()) {
    let (sender, mut reader) = pair(Kind::Tcp);
    let range = FileRange::new(Arc::clone(file), 0, LEN);
    let options = Options { window: SMALL_WINDOW, ..by(method) };
    let mut transfer = Transfer::new(chain_of(range), options);
    let step = transfer.step(&sender, Disk::MayWait);
    assert!(matches!(step, Step::Yield), "{step:?}");
    change();
    let mut received = Vec::new();
    let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
    assert!(matches!(end, End::Done), "{method} {end:?}");
    read_rest(&sender, &mut reader, &mut received);
    assert_same(&received, &bytes_at(0, LEN), &method);
}

#[test]
fn replaced_by_rename_or_removed_the_open_file_goes_on() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (path, new) = (folder.path().join("file"), folder.path().join("new"));
    for method in Method::ALL {
        fs::write(&path, bytes_at(0, LEN)).unwrap();
        fs::write(&new, "something else").unwrap();
        let file = Arc::new(File::open(&path).unwrap());
        send_across(method, &file, || fs::rename(&new, &path).unwrap());

        fs::write(&path, bytes_at(0, LEN)).unwrap();
        let file = Arc::new(File::open(&path).unwrap());
        send_across(method, &file, || fs::remove_file(&path).unwrap());
    }
}

#[test]
fn appended_to_the_promised_length_is_kept() {
    for method in Method::ALL {
        let file = file_of(LEN);
        send_across(method, &file, || file.write_all_at(&bytes_at(0, 100_000), LEN).unwrap());
    }
}
