//! Receptions in a process of their own, the example `recv_once`: signals that interrupt, limits, and strace(1), which counts calls,
//! and answers in the kernel's place.

use crate::{common::*, *};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const LEN: u64 = (3 << 20) + 12_345;

/// Where cargo has put the example beside this test.
fn recv_once() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = target.join("examples/recv_once");
    assert!(path.exists(), "cargo build --example recv_once first: no {}", path.display());
    path
}

/// A reception under way, and the sender's end of its socket.
struct Receiving {
    child: Child,
    sender: TcpStream,
    folder: tempfile::TempDir,
}

impl Receiving {
    /// Starts `recv_once`, by `before` it if that is not empty; `None`, and a line that says why, if that does not work here.
    fn start(before: &[&str], arguments: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let program = recv_once();
        let mut words = before.iter().map(PathBuf::from).chain([program]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg(listener.local_addr().unwrap().to_string());
        command.arg(folder.path().join("file")).args(arguments);
        command.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                eprintln!("skipped: {before:?}: {error}");
                return None;
            }
        };
        listener.set_nonblocking(true).unwrap();
        loop {
            match listener.accept() {
                Ok((sender, _)) => {
                    sender.set_nonblocking(false).unwrap();
                    return Some(Self { child, sender, folder });
                }
                Err(_) if child.try_wait().unwrap().is_some() => {
                    let said = child.wait_with_output().unwrap().stderr;
                    let said = String::from_utf8_lossy(&said).into_owned();
                    assert!(!before.is_empty(), "it ended: {said}");
                    eprintln!("skipped: {before:?} does not work here: {said}");
                    return None;
                }
                Err(_) => thread::yield_now(),
            }
        }
    }

    /// What it said in the end, and the folder with the file.
    fn finish(self) -> (String, tempfile::TempDir) {
        drop(self.sender);
        let output = self.child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (String::from_utf8(said).unwrap(), self.folder)
    }
}

fn file_in(folder: &tempfile::TempDir) -> Vec<u8> {
    fs::read(folder.path().join("file")).unwrap()
}

#[test]
fn interrupted_calls_lose_and_repeat_nothing() {
    let sent = bytes_at(0, LEN);
    for method in ReceiveMethod::ALL {
        for mode in ["blocking", "non-blocking"] {
            let mut receiving = Receiving::start(&[], &[method.name(), mode]).unwrap();
            let target = Pid::from_child(&receiving.child);
            for piece in sent.chunks(20_000) {
                kill_process(target, Signal::USR1).unwrap();
                receiving.sender.write_all(piece).unwrap();
                thread::yield_now();
            }
            let (said, folder) = receiving.finish();
            assert_same(&file_in(&folder), &sent, &(method, mode, &said));
            assert!(said.starts_with(&format!("bytes={LEN} ")), "{said}");
            assert!(said.ends_with("signalled=true\n"), "{said}");
        }
    }
}

#[test]
fn a_limit_for_the_length_of_files_is_the_files_fault() {
    let sent = bytes_at(0, LEN);
    for method in ReceiveMethod::ALL {
        // Within a block, so that a direct write comes up short there.
        let limit = (1 << 20) + 300_123;
        let arguments = [method.name(), "blocking", "0", &LEN.to_string(), &limit.to_string()];
        let mut receiving = Receiving::start(&[], &arguments).unwrap();
        let _ = receiving.sender.write_all(&sent); // it may be reset: not all is read
        let (said, folder) = receiving.finish();
        assert!(said.contains("File too large"), "{method}: {said}");
        let got = file_in(&folder);
        assert_eq!(figure(&said, "bytes"), got.len() as u64, "{method}: {said}");
        assert_eq!(got.len(), limit, "{method}: {said}");
        assert_same(&got, &sent[..got.len()], &(method, &said));
    }
}

fn figure(said: &str, name: &str) -> u64 {
    let mut words = said.split_whitespace();
    words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap().parse().unwrap()
}

/// The calls between the two marks.
fn between_marks(folder: &Path) -> Vec<String> {
    let trace = fs::read_to_string(folder.join("trace")).unwrap();
    let inside = trace.split("getppid()").nth(1).unwrap();
    let lines = inside.lines().skip(1).filter(|line| {
        // The allocator's, and two of a debug build: rustix's page size, the standard library's look before it closes.
        !["brk(", "prctl("].iter().any(|other| line.starts_with(other))
            && !["MAP_ANONYMOUS", "munmap", "mremap", "F_GETFD"]
                .iter()
                .any(|other| line.contains(other))
    });
    lines.map(str::to_owned).collect()
}

#[test]
fn receipts_match_strace() {
    for method in usable() {
        for mode in ["blocking", "non-blocking"] {
            for len in [1, 10_000, LEN] {
                let strace = ["strace", "-qq", "-o", "trace"];
                let Some(mut receiving) = Receiving::start(&strace, &[method.name(), mode]) else {
                    return;
                };
                for piece in bytes_at(0, len).chunks(300_000) {
                    receiving.sender.write_all(piece).unwrap();
                }
                let (said, folder) = receiving.finish();
                let calls = between_marks(folder.path());
                let context = format!("{mode} {len}: {said}{}", calls.join("\n"));
                assert_same(&file_in(&folder), &bytes_at(0, len), &context);
                assert_eq!(figure(&said, "calls"), calls.len() as u64, "{context}");
                let waited = calls
                    .iter()
                    .filter(|call| call.starts_with("poll(") || call.starts_with("ppoll("));
                assert!(figure(&said, "waits") <= waited.count() as u64, "{context}");
            }
        }
    }
}

/// Where the user's share of pipes is used up, the pipe is one of its own.
#[test]
fn receipts_match_strace_with_a_pipe_of_ones_own() {
    let trace = |injection: &[&str]| {
        let before = [&["strace", "-qq", "-o", "trace"][..], injection].concat();
        let mut receiving = Receiving::start(&before, &["splice", "blocking"])?;
        receiving.sender.write_all(&bytes_at(0, LEN)).unwrap();
        let (said, folder) = receiving.finish();
        let all = fs::read_to_string(folder.path().join("trace")).unwrap();
        Some((said, between_marks(folder.path()), all))
    };
    let Some((_, _, all)) = trace(&[]) else { return };
    let mut calls = all.lines().filter(|line| line.starts_with("fcntl("));
    let Some(first) = calls.position(|line| line.contains("F_SETPIPE_SZ")) else {
        panic!("no pipe is made: {all}")
    };
    // 1 MiB, and its halves down to 64 KiB; the next pipe is granted.
    let refused = format!("inject=fcntl:error=EPERM:when={}..{}", first + 1, first + 5);
    let Some((said, calls, _)) = trace(&["-e", &refused]) else { return };
    let context = format!("{refused}: {said}{}", calls.join("\n"));
    assert!(said.starts_with(&format!("bytes={LEN} splice ")), "{context}");
    assert_eq!(calls.iter().filter(|call| call.starts_with("pipe2(")).count(), 2, "{context}");
    assert_eq!(calls.iter().filter(|call| call.starts_with("close(")).count(), 4, "{context}");
    assert_eq!(figure(&said, "calls"), calls.len() as u64, "{context}");
}

/// What came and what was said, while strace answers as `injections` say; `None` where it cannot.
fn injected(arguments: &[&str], injections: &[&str]) -> Option<(Vec<u8>, String)> {
    let mut before = vec!["strace", "-qq", "-o", "trace"];
    let injections: Vec<String> = injections.iter().map(|text| format!("inject={text}")).collect();
    for injection in &injections {
        before.extend(["-e", injection]);
    }
    let mut receiving = Receiving::start(&before, arguments)?;
    let _ = receiving.sender.write_all(&bytes_at(0, LEN)); // whoever fails resets
    let (said, folder) = receiving.finish();
    Some((file_in(&folder), said))
}

#[test]
fn what_is_refused_goes_by_the_next_method_and_nothing_is_lost() {
    for (method, injections, went, refusals) in [
        // The pipe cannot be had.
        ("splice", &["pipe2:error=EMFILE"][..], "buffered", &["splice:EMFILE"][..]),
        // The socket refuses, the file refuses with bytes in the pipe, at once and later.
        ("splice", &["splice:error=EINVAL:when=1"], "buffered", &["splice:EINVAL"]),
        ("splice", &["splice:error=EINVAL:when=2"], "splice+buffered", &["splice:EINVAL"]),
        ("splice", &["splice:error=EOPNOTSUPP:when=5"], "splice+buffered", &["splice:EOPNOTSUPP"]),
        ("splice", &["splice:error=EINVAL:when=6"], "splice+buffered", &["splice:EINVAL"]),
        // The disk refuses, and then the file splice as well.
        ("direct", &["pwrite64:error=EINVAL:when=1"], "direct+splice", &["direct:EINVAL"]),
        (
            "direct",
            &["pwrite64:error=EINVAL:when=2", "splice:error=ENOSYS:when=2"],
            "direct+splice+buffered",
            &["direct:EINVAL", "splice:ENOSYS"],
        ),
    ] {
        if method == "direct" && !has_direct_io() {
            continue;
        }
        let Some((got, said)) = injected(&[method, "blocking"], injections) else { return };
        let context = (injections, &said);
        assert_same(&got, &bytes_at(0, LEN), &context);
        let words: Vec<&str> = said.split_whitespace().collect();
        assert_eq!(words[1], went, "{context:?}");
        let refused: Vec<&str> =
            words.iter().filter_map(|word| word.strip_prefix("refused=")).collect();
        assert_eq!(refused, refusals, "{context:?}");
    }
}

#[test]
fn each_side_is_blamed_for_its_own_errors() {
    for (method, injection, blamed) in [
        ("splice", "splice:error=EIO:when=2", "writing the file failed at byte "),
        ("splice", "splice:error=ECONNRESET:when=1", "the stream failed"),
        ("buffered", "pwrite64:error=EIO:when=2", "writing the file failed at byte "),
        ("buffered", "recvfrom:error=EIO:when=1", "the stream failed"),
        ("direct", "pwrite64:error=EDQUOT:when=2", "writing the file failed at byte "),
        ("direct", "recvfrom,splice:error=EINVAL:when=1+", "the stream failed"),
    ] {
        if method == "direct" && !has_direct_io() {
            continue;
        }
        let Some((got, said)) = injected(&[method, "blocking"], &[injection]) else { return };
        assert!(said.contains(blamed), "{injection}: {said}");
        assert_eq!(figure(&said, "bytes"), got.len() as u64, "{injection}: {said}");
        assert_same(&got, &bytes_at(0, got.len() as u64), &(injection, &said));
    }
}

#[test]
fn interruptions_that_the_kernel_does_not_hide_are_retried() {
    for (method, injection) in [
        ("splice", "splice:error=EINTR:when=1+2"),
        ("buffered", "recvfrom,pwrite64:error=EINTR:when=1+2"),
        ("buffered", "ppoll,poll:error=EINTR:when=1+2"),
        ("direct", "recvfrom,pwrite64:error=EINTR:when=1+2"),
    ] {
        let Some((got, said)) = injected(&[method, "blocking"], &[injection]) else { return };
        assert_same(&got, &bytes_at(0, LEN), &(injection, &said));
        assert!(!said.contains("fault="), "{said}");
    }
}
