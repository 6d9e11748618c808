//! From any stream to any other: byte for byte, no more than was asked for, and nothing lost in between.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

use sendrail_transfer::relay::{RelayFault, RelayMethod, relay, relay_with_progress};
use std::{
    fs::File,
    io::{PipeReader, PipeWriter, Read, Seek, Write, pipe},
    net::{TcpListener, TcpStream},
    ops::ControlFlow,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    thread,
};

const KINDS: [Kind; 4] = [Kind::Pipe, Kind::Tcp, Kind::Unix, Kind::File];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Pipe,
    Tcp,
    Unix,
    File,
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

/// Something to read these bytes from, and a thread that puts them there.
fn source(kind: Kind, given: &[u8]) -> (OwnedFd, thread::JoinHandle<()>) {
    let bytes = given.to_vec();
    let put =
        |mut into: Box<dyn Write + Send>| thread::spawn(move || into.write_all(&bytes).unwrap());
    match kind {
        Kind::Pipe => {
            let (from, into) = pipe().unwrap();
            (from.into(), put(Box::new(into)))
        }
        Kind::Tcp => {
            let (from, into) = tcp();
            (from.into(), put(Box::new(into)))
        }
        Kind::Unix => {
            let (from, into) = UnixStream::pair().unwrap();
            (from.into(), put(Box::new(into)))
        }
        Kind::File => {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(given).unwrap();
            file.rewind().unwrap();
            (file.into(), thread::spawn(|| ()))
        }
    }
}

/// Something to write to, and what has got there in the end.
fn target(kind: Kind) -> (OwnedFd, Box<dyn FnOnce() -> Vec<u8>>) {
    let all = |mut from: Box<dyn Read + Send>| {
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            from.read_to_end(&mut all).unwrap();
            all
        });
        Box::new(move || reading.join().unwrap())
    };
    match kind {
        Kind::Pipe => {
            let (from, into) = pipe().unwrap();
            (into.into(), all(Box::new(from)))
        }
        Kind::Tcp => {
            let (from, into) = tcp();
            (into.into(), all(Box::new(from)))
        }
        Kind::Unix => {
            let (from, into) = UnixStream::pair().unwrap();
            (into.into(), all(Box::new(from)))
        }
        Kind::File => {
            let file = tempfile::tempfile().unwrap();
            let mut same = file.try_clone().unwrap();
            let read = move || {
                let mut all = Vec::new();
                same.rewind().unwrap();
                same.read_to_end(&mut all).unwrap();
                all
            };
            (file.into(), Box::new(read))
        }
    }
}

fn set_nonblocking(end: &OwnedFd) {
    rustix::io::ioctl_fionbio(end, true).unwrap();
}

#[test]
fn from_anything_to_anything() {
    for len in [0, 1, 70_000, 3_000_001] {
        let expected = bytes(len);
        for from in KINDS {
            for to in KINDS {
                for nonblocking in [false, true] {
                    let (input, putting) = source(from, &expected);
                    let (output, got) = target(to);
                    if nonblocking {
                        set_nonblocking(&input);
                        set_nonblocking(&output);
                    }
                    let context = format!("{from:?} to {to:?}, {len} bytes, {nonblocking}");
                    let receipt = relay(input, &output, None).expect(&context);
                    drop(output);
                    putting.join().unwrap();
                    assert!(got() == expected, "{context}");
                    assert_eq!(receipt.bytes, len as u64, "{context}");
                    assert_eq!((receipt.copied, &receipt.refusals[..]), (0, &[][..]), "{context}");
                }
            }
        }
    }
}

#[test]
fn no_more_than_was_asked_for() {
    let all = bytes(500_000);
    for from in KINDS {
        for to in KINDS {
            let (input, putting) = source(from, &all);
            let (output, got) = target(to);
            assert_eq!(relay(&input, &output, 123_456).unwrap().bytes, 123_456);
            drop(output);
            assert!(got() == all[..123_456], "{from:?} to {to:?}");
            let mut rest = Vec::new();
            File::from(input).read_to_end(&mut rest).unwrap();
            assert!(rest == all[123_456..], "{from:?} to {to:?}");
            putting.join().unwrap();
        }
    }
}

#[test]
fn a_stream_that_is_too_short_says_so() {
    for from in KINDS {
        let (input, putting) = source(from, b"abc");
        let (output, got) = target(Kind::Pipe);
        let error = relay(input, output, 10).unwrap_err();
        let fault = &error.fault;
        assert!(matches!(fault, RelayFault::TooShort { expected: 10, relayed: 3 }), "{fault:?}");
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::UnexpectedEof);
        assert_eq!(got(), b"abc");
        putting.join().unwrap();
    }
}

/// What has no splice, such as a file opened with O_APPEND, takes what a pipe held already, and the rest.
#[test]
fn what_has_no_splice_is_copied() {
    let expected = bytes(700_000);
    for from in KINDS {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        std::fs::write(&path, "before, ").unwrap();
        let output = File::options().append(true).open(&path).unwrap();
        let (input, putting) = source(from, &expected);
        let receipt = relay(input, output, None).unwrap();
        putting.join().unwrap();
        assert!(std::fs::read(&path).unwrap() == [b"before, ", &expected[..]].concat());
        assert_eq!(receipt.methods, [RelayMethod::Buffered]);
        assert_eq!(receipt.refusals[0].to_string(), "refused=splice:EINVAL");
        assert!(receipt.copied >= 2 * 700_000, "{receipt}");
    }
}

#[test]
fn a_reader_that_has_gone_is_the_targets_fault_and_nothing_is_lost() {
    let all = bytes(2_000_000);
    for from in [Kind::Tcp, Kind::Unix, Kind::File] {
        let (input, putting) = source(from, &all);
        let (there, gone) = UnixStream::pair().unwrap();
        drop(gone);
        let error = relay(&input, &there, None).unwrap_err();
        assert!(
            matches!(&error.fault, RelayFault::Target(error) if error.raw_os_error() == Some(32))
        );
        assert!(!error.unwritten.is_empty(), "{error}");
        let mut rest = error.unwritten;
        File::from(input).read_to_end(&mut rest).unwrap();
        assert!(rest == all, "{from:?}");
        putting.join().unwrap();
    }
    // What is in a pipe that is an end itself stays there.
    let (mut from, mut into): (PipeReader, PipeWriter) = pipe().unwrap();
    into.write_all(b"abc").unwrap();
    drop(into);
    let (there, gone) = UnixStream::pair().unwrap();
    drop(gone);
    let error = relay(&from, &there, None).unwrap_err();
    assert!(matches!(error.fault, RelayFault::Target(_)) && error.unwritten.is_empty());
    assert_eq!(std::io::read_to_string(&mut from).unwrap(), "abc");
}

/// In a process of its own, since the limit (RLIMIT_FSIZE) is the process's: this very test, started again by a shell that has set it.
#[test]
fn a_limit_for_the_length_of_files_is_kept_to_and_ends_no_process() {
    const LIMIT: usize = 1 << 20;
    if std::env::var_os("SENDRAIL_TEST_LIMITED").is_none() {
        let name = "a_limit_for_the_length_of_files_is_kept_to_and_ends_no_process";
        // In blocks of 512 bytes (sh(1)).
        let script = format!("ulimit -f {} && exec \"$@\"", LIMIT / 512);
        let output = std::process::Command::new("sh")
            .args(["-c", &script, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env("SENDRAIL_TEST_LIMITED", "yes")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{}: {said}", output.status);
        return;
    }
    for from in [Kind::Pipe, Kind::Tcp, Kind::Unix] {
        for (len, fits) in [(LIMIT, true), (LIMIT + 1, false), (2 * LIMIT, false)] {
            let all = bytes(len);
            let (input, putting) = source(from, &all);
            let (output, got) = target(Kind::File);
            let rest = match relay(&input, &output, None) {
                Ok(receipt) => {
                    assert!(fits, "{receipt}");
                    Vec::new()
                }
                Err(error) => {
                    assert!(!fits, "{error}");
                    let RelayFault::Target(said) = &error.fault else { panic!("{error}") };
                    assert_eq!(said.raw_os_error(), Some(27), "EFBIG");
                    error.unwritten
                }
            };
            let mut there = got();
            assert_eq!(there.len(), LIMIT, "{from:?}");
            there.extend_from_slice(&rest);
            File::from(input).read_to_end(&mut there).unwrap();
            assert!(there == all, "{from:?}, {len}");
            putting.join().unwrap();
        }
    }
}

#[test]
fn the_wrong_ends_are_told_apart() {
    let (from, into) = pipe().unwrap();
    let (other_from, other_into) = pipe().unwrap();
    let fault = |from: &dyn Ends, to: &dyn Ends| relay(from.end(), to.end(), 1).unwrap_err().fault;
    assert!(matches!(fault(&into, &other_into), RelayFault::Source(_)));
    drop((into, other_from));
    let (unread, into) = pipe().unwrap();
    let mut into = into;
    into.write_all(b"a").unwrap();
    assert!(matches!(fault(&unread, &from), RelayFault::Target(_)));
}

trait Ends {
    fn end(&self) -> std::os::fd::BorrowedFd<'_>;
}

impl<T: AsFd> Ends for T {
    fn end(&self) -> std::os::fd::BorrowedFd<'_> {
        self.as_fd()
    }
}

#[test]
fn who_is_told_of_progress_may_stop_and_go_on() {
    let all = bytes(3_000_000);
    for to in KINDS {
        let (input, putting) = source(Kind::Tcp, &all);
        let (output, got) = target(to);
        let mut seen = Vec::new();
        let error = relay_with_progress(&input, &output, None, &mut |bytes| {
            seen.push(bytes);
            if bytes < 100_000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap_err();
        assert!(matches!(error.fault, RelayFault::Stopped) && error.unwritten.is_empty());
        assert!(seen.is_sorted() && seen.last() == Some(&error.receipt.bytes));
        let receipt = relay(&input, &output, None).unwrap();
        assert_eq!(error.receipt.bytes + receipt.bytes, 3_000_000);
        drop(output);
        assert!(got() == all);
        putting.join().unwrap();
    }
}
