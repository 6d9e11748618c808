//! Receipts held against an outside observer.

use crate::{
    common::*,
    interrupts::{finish, read_under_fire, send_once, start, start_with},
};
use sendrail_transfer::Method;
use std::{fs, path::Path, process::Command};

/// `strace` that follows `send_once` and writes a file per thread.
fn strace(folder: &Path) -> Command {
    let mut command = Command::new("strace");
    command.arg("-ff").arg("-o").arg(folder.join("trace")).arg(send_once());
    command
}

fn can_trace(folder: &Path) -> bool {
    let traced = Command::new("strace").arg("-o").arg(folder.join("try")).arg("true").output();
    match traced {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            eprintln!("skipped: strace cannot trace here: {why}");
            false
        }
        Err(error) => {
            eprintln!("skipped: strace: {error}");
            false
        }
    }
}

/// The calls between the two marks of the thread that made them.
fn between_marks(folder: &Path) -> Vec<String> {
    let traces = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let traces = traces.map(|path| fs::read_to_string(path).unwrap());
    let trace = traces.into_iter().find(|trace| trace.contains("getppid()")).unwrap();
    let inside = trace.split("getppid()").nth(1).unwrap();
    let lines: Vec<&str> = inside.lines().skip(1).collect(); // the rest of the first mark
    let made = lines.iter().zip(lines.iter().skip(1).chain(&[""])).filter(|(line, next)| {
        // What no signal has interrupted, but the completion of a read of io_uring's, the kernel
        // makes again as if nothing had happened.
        let goes_on = line.contains("ERESTARTNOHAND") && !next.starts_with("---");
        is_transfers_own(line) && !goes_on
    });
    made.map(|(line, _)| (*line).to_owned()).collect()
}

/// Leaves out what others do in between: the signal handler, the allocator, and two calls that a
/// transfer does not make in a release build of a server. rustix learns the size of a page by
/// prctl(2), once in the life of a process; the standard library checks descriptors by F_GETFD
/// before it closes them, with debug assertions on. And a call that ends in ERESTARTSYS is made
/// again by the kernel itself (signal(7), SA_RESTART): to the process they are one.
fn is_transfers_own(line: &str) -> bool {
    !["---", "rt_sigreturn(", "brk(", "prctl("].iter().any(|other| line.starts_with(other))
        && !["MAP_ANONYMOUS", "F_GETFD", "ERESTARTSYS"].iter().any(|other| line.contains(other))
}

/// The number behind `name=` in the line of `send_once`.
fn figure(receipt: &str, name: &str) -> u64 {
    let value = receipt.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    // Of `waits=0/0` the first.
    value.unwrap().split('/').next().unwrap().parse().unwrap()
}

fn count(calls: &[String], name: &str) -> usize {
    calls.iter().filter(|call| call.starts_with(&format!("{name}("))).count()
}

#[test]
fn receipts_match_strace() {
    let probe = tempfile::tempdir().unwrap();
    if !can_trace(probe.path()) {
        return;
    }
    for method in usable_methods() {
        for mode in ["blocking", "blocking-timeout", "non-blocking"] {
            for len in [1, 10_000, 5 << 20] {
                let folder = tempfile::tempdir().unwrap();
                let mut sending = start(strace(folder.path()), len, method, mode);
                let mut received = Vec::new();
                while read_some(&mut sending.reader, 100_000, &mut received) > 0 {}
                let receipt = finish(sending.child);
                let calls = between_marks(folder.path());
                let context = format!("{mode} {len}: {receipt}{}", calls.join("\n"));
                assert_eq!(received.len() as u64, 8 + len, "{context}");
                assert_eq!(figure(&receipt, "calls"), calls.len() as u64, "{context}");
                assert_eq!(figure(&receipt, "copied"), 8 + len * copies(method), "{context}");
                // The bytes left by the calls of the method that the receipt names, and no other.
                let expected = match method {
                    Method::Copy => ["pread64", "sendto"],
                    Method::Uncached => ["preadv2", "sendto"],
                    Method::Direct if receipt.contains(" direct(pread) ") => ["pread64", "sendto"],
                    Method::Direct => ["io_uring_enter", "sendto"],
                    Method::Mapped => ["mmap", "sendto"],
                    Method::Sendfile => ["sendfile", "sendto"],
                    Method::Splice => ["splice", "pipe2"],
                    _ => panic!("nobody has said by which calls {method} sends"),
                };
                for name in expected {
                    assert!(count(&calls, name) > 0, "{name}, {context}");
                }
                let heads = usize::from(matches!(method, Method::Sendfile | Method::Splice));
                for zero_copy_has_no in ["write", "writev", "sendmsg", "pread64", "read"] {
                    assert!(
                        heads == 0 || count(&calls, zero_copy_has_no) == 0,
                        "{zero_copy_has_no}, {context}"
                    );
                }
                assert!(heads == 0 || count(&calls, "sendto") == heads, "{context}");
            }
        }
    }
}

#[test]
fn receipts_match_strace_for_ranges_that_are_gathered() {
    let probe = tempfile::tempdir().unwrap();
    if !can_trace(probe.path()) {
        return;
    }
    for mode in ["blocking", "non-blocking"] {
        // As many reads as ranges, and a send for each run; as many runs as it takes, and a socket
        // that is full at first may have the rest sent otherwise.
        for (ranges, len, sends) in [("4", 16 << 10, 1), ("4", 36 << 10, 1), ("40", 400 << 10, 6)] {
            let folder = tempfile::tempdir().unwrap();
            let command = strace(folder.path());
            let mut sending = start_with(command, len, &["auto", mode, ranges]);
            let mut received = Vec::new();
            while read_some(&mut sending.reader, 100_000, &mut received) > 0 {}
            let receipt = finish(sending.child);
            let calls = between_marks(folder.path());
            let context = format!("{mode} {ranges} {len}: {receipt}{}", calls.join("\n"));
            let ranges: u64 = ranges.parse().unwrap();
            assert_eq!(received.len() as u64, 8 * ranges + len, "{context}");
            assert_eq!(figure(&receipt, "calls"), calls.len() as u64, "{context}");
            if figure(&receipt, "waits") == 0 {
                assert_eq!(figure(&receipt, "copied"), 8 * ranges + 2 * len, "{context}");
                assert_eq!(count(&calls, "pread64") as u64, ranges, "{context}");
                assert_eq!(count(&calls, "sendto"), sends, "{context}");
                assert_eq!(calls.len() as u64, ranges + sends as u64, "{context}");
            }
        }
    }
}

#[test]
fn receipts_match_strace_for_a_file_that_must_not_change() {
    let probe = tempfile::tempdir().unwrap();
    if !can_trace(probe.path()) {
        return;
    }
    for len in [1, 100_000, 5 << 20] {
        let folder = tempfile::tempdir().unwrap();
        let mut sending = start_with(strace(folder.path()), len, &["one-version", "non-blocking"]);
        let mut received = Vec::new();
        while read_some(&mut sending.reader, 100_000, &mut received) > 0 {}
        let receipt = finish(sending.child);
        let calls = between_marks(folder.path());
        let context = format!("{len}: {receipt}{}", calls.join("\n"));
        assert_eq!(received.len() as u64, 8 + len, "{context}");
        assert!(receipt.contains(" copy calls="), "{context}");
        assert_eq!(figure(&receipt, "calls"), calls.len() as u64, "{context}");
        // Behind each read a look, and no send before it.
        let mut reads = (0..calls.len()).filter(|at| calls[*at].starts_with("pread64("));
        assert!(reads.all(|at| calls[at + 1].starts_with("fstat(")), "{context}");
        assert_eq!(count(&calls, "fstat"), count(&calls, "pread64"), "{context}");
    }
}

#[test]
fn receipts_match_strace_for_interrupted_calls() {
    const LEN: u64 = 12 << 20;
    let probe = tempfile::tempdir().unwrap();
    if !can_trace(probe.path()) {
        return;
    }
    let mut all_interrupted = 0;
    for method in Method::ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut sending = start(strace(folder.path()), LEN, method, "blocking-timeout");
        // strace's only child is the process that it traces.
        let strace = sending.child.id();
        let children = format!("/proc/{strace}/task/{strace}/children");
        let target = fs::read_to_string(children).unwrap().trim().parse().unwrap();
        let received = read_under_fire(&mut sending.reader, target);
        let receipt = finish(sending.child);
        let calls = between_marks(folder.path());
        assert_eq!(received.len() as u64, 8 + LEN, "{receipt}");
        let context = format!("{receipt}{}", calls.join("\n"));
        assert_eq!(figure(&receipt, "calls"), calls.len() as u64, "{context}");
        let was_interrupted = |call: &&String| call.contains("EINTR") || call.contains("ERESTART");
        let interrupted = calls.iter().filter(was_interrupted).count();
        eprintln!("{method}: {interrupted} of {} calls were interrupted", calls.len());
        all_interrupted += interrupted;
    }
    if all_interrupted == 0 {
        eprintln!("skipped: no signal met a call");
    }
}
