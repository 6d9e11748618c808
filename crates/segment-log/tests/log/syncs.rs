//! fdatasync(2): who waits for it, that one serves many, and what happens when it fails. strace(1) counts, and answers in the kernel's place;
//! in a process of its own, which is this very test, started again.

use crate::common::*;
use sendrail_segment_log::{AppendError, Log, Options};
use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
    sync::Barrier,
    thread,
};

const DIRECTORY: &str = "SENDRAIL_TEST_SYNCS";

/// Runs this test again under strace, with what `inject` says; `None`, and a line that says why, if that does not work here. Gives the trace.
fn traced(name: &str, folder: &Path, inject: &[&str]) -> Option<(Output, String)> {
    let trace = folder.join("trace");
    let tried = Command::new("strace").arg("-o").arg(&trace).arg("true").output();
    if !tried.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: strace does not work here: {tried:?}");
        return None;
    }
    let calls = "trace=fdatasync,fsync,pwrite64,ftruncate,openat";
    let output = Command::new("strace")
        .args(["-f", "-qq", "-y", "-e", calls, "-o"])
        .arg(&trace)
        .args(inject)
        .arg(env::current_exe().unwrap())
        .args(["--exact", &format!("syncs::{name}"), "--nocapture"])
        .env(DIRECTORY, folder.join("log"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Some((output, fs::read_to_string(&trace).unwrap()))
}

fn count(trace: &str, what: &str) -> usize {
    trace.lines().filter(|line| line.contains(what) && !line.contains("resumed")).count()
}

#[test]
fn one_serves_all_who_wait() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 40;
    if let Some(directory) = env::var_os(DIRECTORY) {
        let log = Log::open(directory, on_disk(&Options::default())).unwrap();
        let begin = Barrier::new(WRITERS as usize);
        thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    begin.wait();
                    for _ in 0..EACH {
                        let appended = log.append([&b"record"[..]]).unwrap();
                        assert!(log.end() >= appended.next, "acknowledged is shown");
                    }
                });
            }
        });
        return;
    }
    let folder = folder();
    // Late answers, so that others come meanwhile.
    let late = ["-e", "inject=fdatasync:delay_exit=2000"];
    let Some((_, trace)) = traced("one_serves_all_who_wait", folder.path(), &late) else { return };
    let (writes, syncs) = (count(&trace, "pwrite64("), count(&trace, "fdatasync("));
    assert_eq!(writes as u64, WRITERS * EACH, "one for each append");
    assert!(syncs > 2 && syncs * 2 < writes, "{syncs} for {writes} appends");
    assert!(count(&trace, "fsync(") >= 2, "the directory's names are on the disk as well");
}

#[test]
fn what_is_not_asked_for_is_not_done() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        let log = Log::open(directory, tiny()).unwrap();
        append_until(&log, 100, 10);
        return;
    }
    let folder = folder();
    let name = "what_is_not_asked_for_is_not_done";
    let Some((_, trace)) = traced(name, folder.path(), &[]) else { return };
    assert_eq!((count(&trace, "pwrite64("), count(&trace, "fdatasync(")), (10, 0));
}

#[test]
fn one_that_fails_ends_appending() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        let options = on_disk(&Options::default());
        let log = Log::open(&directory, options.clone()).unwrap();
        append_until(&log, 10, 5); // the first one is that of opening
        let error = log.append([&payload(10)[..]]).unwrap_err();
        assert!(matches!(error, AppendError::SyncFailed { .. }), "{error}");
        assert_eq!(look_through(&log, 1000), 0..10, "nobody was shown it");
        // The next call of the kernel's would succeed, with the bytes nowhere.
        let error = log.append([&payload(10)[..]]).unwrap_err();
        assert!(matches!(error, AppendError::SyncFailed { .. }), "{error}");
        drop(log);
        let log = Log::open(&directory, options).unwrap();
        assert_eq!(look_through(&log, 1000), 0..10, "and it is not found there");
        append_until(&log, 20, 5);
        return;
    }
    let folder = folder();
    let fails = ["-e", "inject=fdatasync:error=EIO:when=4"];
    let name = "one_that_fails_ends_appending";
    let Some((_, trace)) = traced(name, folder.path(), &fails) else { return };
    assert_eq!(count(&trace, "EIO"), 1);
}

#[test]
fn a_write_that_fails_leaves_nothing() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        let log = Log::open(&directory, Options::default()).unwrap();
        append_until(&log, 10, 5);
        let error = log.append([&payload(10)[..]]).unwrap_err();
        assert!(matches!(error, AppendError::Io { .. }), "{error}");
        // The tail could not be cut off either: nothing is written before that has been done.
        let error = log.append([&payload(10)[..]]).unwrap_err();
        assert!(
            matches!(error, AppendError::Io { doing: "cut a failed append off", .. }),
            "{error}"
        );
        append_until(&log, 20, 5);
        assert_eq!(look_through(&log, 1000), 0..20);
        return;
    }
    let folder = folder();
    let fails =
        ["-e", "inject=pwrite64:error=EIO:when=3", "-e", "inject=ftruncate:error=EIO:when=1..2"];
    let name = "a_write_that_fails_leaves_nothing";
    let Some((_, trace)) = traced(name, folder.path(), &fails) else { return };
    assert_eq!((count(&trace, "EIO"), count(&trace, "ftruncate(")), (3, 3));
}
