//! Disks that take no more, by receiving and by copying: full, over quota, gone read-only, immutable. The error says why; what the
//! receipt counts is there, and what was taken off the socket is there, or in the error.

use crate::{common::*, disks::*, *};
use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};
use sendrail_transfer::{
    FileRange,
    copy::{CopyFault, CopyMethod, CopyOptions, copy_file, copy_file_with_progress},
    receive::{
        RangeInto, ReceiveError, ReceiveFault, ReceiveOptions, recv_file, recv_file_with_progress,
    },
};
use std::{ops::ControlFlow, path::Path, sync::Arc};

const DISKS: [&str; 3] = ["ext4", "xfs", "btrfs"];
const LEN: u64 = 6 << 20;

#[track_caller]
fn assert_says(error: &std::io::Error, expected: &[Errno], context: &dyn std::fmt::Debug) {
    let errno = error.raw_os_error();
    assert!(expected.iter().any(|one| errno == Some(one.raw_os_error())), "{error} {context:?}");
}

/// Receives what does not go into `file`, until `broken`, when told that some has; what is in the file, what was handed over and
/// what is still to come are all of it.
fn recv_fails(
    (method, kind): (ReceiveMethod, Stream),
    file: &File,
    offset: u64,
    expected: &[Errno],
    broken: &mut dyn FnMut(),
) -> ReceiveError {
    let context = (method, kind, offset);
    let (sender, reader) = stream(kind);
    let sending = send_all(sender, bytes_at(0, LEN), 1 << 20);
    let range = RangeInto::until_end(offset);
    let mut told = false;
    let error = recv_file_with_progress(&reader, file, range, &by_method(method), &mut |_| {
        if !told {
            broken();
        }
        told = true;
        ControlFlow::Continue(())
    });
    let error = error.unwrap_err();
    let ReceiveFault::File { error: said, offset: at } = &error.fault else {
        panic!("{context:?}: {error}")
    };
    assert_says(said, expected, &context);
    assert_eq!(error.receipt.bytes, at - offset, "{context:?}");
    let mut all = vec![0; error.receipt.bytes as usize];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut all, offset).unwrap();
    all.extend_from_slice(&error.unwritten);
    File::from(reader).read_to_end(&mut all).unwrap();
    sending.join().unwrap();
    assert_same(&all, &bytes_at(0, LEN), &context);
    error
}

/// Copies what does not go into `target`.
fn copy_fails(method: CopyMethod, source: &Arc<File>, target: &File, expected: &[Errno]) {
    let options = CopyOptions { method: Some(method) };
    let error = copy_file(&whole(source), target, 0, &options).unwrap_err();
    let CopyFault::Target { error: said, offset } = &error.fault else {
        panic!("{method}: {error}")
    };
    assert_says(said, expected, &method);
    assert_eq!(error.receipt.bytes, *offset, "{method}: {error}");
    assert_same(&contents(target)[..*offset as usize], &bytes_at(0, *offset), &method);
}

/// Takes all of a disk but some 3 MiB.
fn fill(folder: &Path) {
    let room = file_in(folder);
    fallocate(&room, FallocateFlags::empty(), 0, 3 << 20).unwrap();
    let filler = File::create(folder.join("filler")).unwrap();
    let (mut at, mut step) = (0, 64 << 20);
    while step >= 64 << 10 {
        match fallocate(&filler, FallocateFlags::empty(), at, step) {
            Ok(()) => at += step,
            Err(_) => step /= 2,
        }
    }
    filler.sync_all().unwrap();
}

#[test]
fn a_full_disk() {
    let source = file_of(LEN);
    for disk in DISKS {
        println!("{disk}"); // shown when it fails
        on_a_new(disk, |folder| {
            let preallocated = file_in(folder);
            fallocate(&preallocated, FallocateFlags::empty(), 0, LEN).unwrap();
            fill(folder);
            for method in ReceiveMethod::ALL {
                for kind in [Stream::Tcp, Stream::Pipe] {
                    let error = recv_fails(
                        (method, kind),
                        &file_in(folder),
                        0,
                        &[Errno::NOSPC],
                        &mut || (),
                    );
                    assert!(error.receipt.bytes < LEN, "{disk} {method}");
                }
            }
            for method in CopyMethod::ALL {
                copy_fails(method, &source, &file_in(folder), &[Errno::NOSPC]);
            }
            // Whose room was made beforehand goes on, full or not.
            let (sender, reader) = stream(Stream::Tcp);
            let sending = send_all(sender, bytes_at(0, LEN), 1 << 20);
            let options = ReceiveOptions { timeout: Some(HANGS), ..ReceiveOptions::default() };
            recv_file(&reader, &preallocated, RangeInto::new(0, LEN), &options).unwrap();
            sending.join().unwrap();
            assert_same(&contents(&preallocated), &bytes_at(0, LEN), &disk);
        });
    }
}

#[test]
fn a_quota() {
    on_a_new("btrfs", |folder| {
        let limited = folder.join("limited");
        run("btrfs", &["-q", "quota", "enable"], folder).unwrap();
        run("btrfs", &["-q", "subvolume", "create"], &limited).unwrap();
        run("btrfs", &["-q", "qgroup", "limit", "3M"], &limited).unwrap();
        for method in ReceiveMethod::ALL {
            let file = file_in(&limited);
            let error = recv_fails((method, Stream::Tcp), &file, 0, &[Errno::DQUOT], &mut || ());
            assert!(error.receipt.bytes <= 3 << 20, "{method}: {error}");
        }
        let source = file_of(LEN);
        for method in CopyMethod::ALL {
            copy_fails(method, &source, &file_in(&limited), &[Errno::DQUOT]);
        }
    });
}

/// A file system that has found its disk broken becomes read-only, with files open for writing.
#[test]
fn a_file_system_that_becomes_read_only_in_the_middle() {
    let expected = [Errno::ROFS, Errno::IO];
    for method in ReceiveMethod::ALL {
        on_a_new("ext4", |folder| {
            let file = file_in(folder);
            let mut abort = || run("mount", &["-o", "remount,abort"], folder).unwrap();
            recv_fails((method, Stream::Tcp), &file, 0, &expected, &mut abort);
        });
    }
    let source = file_of(LEN);
    for method in [CopyMethod::Splice, CopyMethod::Buffered] {
        on_a_new("ext4", |folder| {
            let options = CopyOptions { method: Some(method) };
            let target = file_in(folder);
            let mut told = false;
            let error = copy_file_with_progress(&whole(&source), &target, 0, &options, &mut |_| {
                if !told {
                    run("mount", &["-o", "remount,abort"], folder).unwrap();
                }
                told = true;
                ControlFlow::Continue(())
            });
            let error = error.unwrap_err();
            let CopyFault::Target { error: said, offset } = &error.fault else { panic!("{error}") };
            assert_says(said, &expected, &method);
            assert_eq!(error.receipt.bytes, *offset, "{error}");
            assert_same(&contents(&target)[..*offset as usize], &bytes_at(0, *offset), &method);
        });
    }
}

#[test]
fn a_file_that_becomes_immutable_in_the_middle() {
    let source = file_of(LEN);
    on_a_new("ext4", |folder| {
        let path = folder.join("file");
        for method in ReceiveMethod::ALL {
            let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
            let mut forbid = || run("chattr", &["+i"], &path).unwrap();
            let error = recv_fails((method, Stream::Tcp), &file, 0, &[Errno::PERM], &mut forbid);
            assert!(error.receipt.bytes > 0, "{method}: some was there before");
            for method in CopyMethod::ALL {
                let options = CopyOptions { method: Some(method) };
                let error = copy_file(&whole(&source), &file, 0, &options).unwrap_err();
                let CopyFault::Target { error: said, offset: 0 } = &error.fault else {
                    panic!("{method}: {error}")
                };
                assert_says(said, &[Errno::PERM], &method);
            }
            run("chattr", &["-i"], &path).unwrap();
            std::fs::remove_file(&path).unwrap();
        }
    });
}

/// 16 TiB, where blocks are of 4 KiB.
#[test]
fn the_longest_file_of_a_file_system() {
    const MOST: u64 = (1 << 44) - 4096;
    let source = file_of(LEN);
    on_a_new("ext4", |folder| {
        for method in ReceiveMethod::ALL {
            for (offset, goes) in [(MOST, 0), (1 << 50, 0), (MOST - (1 << 20), 1 << 20)] {
                let file = file_in(folder);
                let error =
                    recv_fails((method, Stream::Tcp), &file, offset, &[Errno::FBIG], &mut || ());
                assert_eq!(error.receipt.bytes, goes, "{method}: {error}");
            }
        }
        for method in CopyMethod::ALL {
            let options = CopyOptions { method: Some(method) };
            let range = FileRange::new(Arc::clone(&source), 0, LEN);
            let error = copy_file(&range, &file_in(folder), MOST, &options).unwrap_err();
            let CopyFault::Target { error: said, offset: MOST } = &error.fault else {
                panic!("{method}: {error}")
            };
            assert_says(said, &[Errno::FBIG], &method);
        }
    });
}
