//! Transfers in a process of their own, the example `tokio_once`, watched by strace(1): which threads there are.

use crate::{common::*, *};
use sendrail_transfer::Method;
use std::{
    fs,
    io::Write,
    net::{Shutdown, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Where cargo has put the example beside this test.
fn tokio_once() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = target.join("examples/tokio_once");
    let build = "cargo build -p sendrail-transfer --all-features --examples";
    assert!(path.exists(), "`{build}` first: no {}", path.display());
    path
}

struct Watched {
    said: String,
    /// The calls between the two marks, of all threads.
    calls: Vec<String>,
    got: Vec<u8>,
}

fn watch(direction: &str, path: &Path, method: &str) -> Option<Watched> {
    watch_with(&[], direction, path, method)
}

/// Runs it with strace, which answers in the kernel's place as it is told; `None`, and a line that says why, if that does not work
/// here.
fn watch_with(injections: &[&str], direction: &str, path: &Path, method: &str) -> Option<Watched> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let trace = folder.path().join("trace");
    let tried = Command::new("strace").arg("-o").arg(&trace).arg("true").output();
    match tried {
        Ok(output) if output.status.success() => {}
        outcome => {
            eprintln!("skipped: strace does not work here: {outcome:?}");
            return None;
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&trace);
    for injection in injections {
        command.arg("-e").arg(format!("inject={injection}"));
    }
    command.arg(tokio_once());
    command.arg(direction).arg(listener.local_addr().unwrap().to_string()).arg(path).arg(method);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let mut got = Vec::new();
    if direction == "send" {
        peer.read_to_end(&mut got).unwrap();
    } else {
        for piece in bytes_at(0, LEN).chunks(1 << 20) {
            let _ = peer.write_all(piece); // who fails resets
            std::thread::sleep(Duration::from_millis(15)); // so that it has to wait for the next
        }
        let _ = peer.shutdown(Shutdown::Write);
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() || !injections.is_empty(), "{said}");
    let trace = fs::read_to_string(trace).unwrap();
    let between = trace.split("getppid()").nth(1).unwrap();
    let mut calls: Vec<String> = between.lines().skip(1).map(str::to_owned).collect();
    calls.pop(); // the thread that made the second mark
    Some(Watched { said, calls, got })
}

impl Watched {
    /// The calls that are the transfer's: not those by which the runtime waits, nor the allocator's, nor two of a debug build (rustix's
    /// page size, the standard library's look before it closes).
    fn of_the_transfer(&self) -> Vec<&String> {
        let others =
            ["epoll_wait(", "brk(", "prctl(", "MAP_ANONYMOUS", "munmap", "mremap", "F_GETFD"];
        let own = |call: &&String| !others.iter().any(|other| call.contains(other));
        self.calls.iter().filter(own).collect()
    }

    /// The number behind `name=` in what it said.
    fn figure(&self, name: &str) -> u64 {
        let mut words = self.said.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap().parse().unwrap()
    }

    /// Threads and processes that were made meanwhile.
    fn made(&self) -> usize {
        let makes =
            |call: &&String| ["clone(", "clone3(", "fork("].iter().any(|name| call.contains(name));
        self.calls.iter().filter(makes).count()
    }
}

#[test]
fn no_thread_is_made_to_send_what_is_in_the_page_cache() {
    for method in CACHED {
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(file.path(), bytes_at(0, LEN)).unwrap();
        // Somebody else on this machine may have dropped its page cache just then, but not each time.
        let hot = (0..5).find_map(|_| {
            let watched = watch("send", file.path(), method.name());
            watched.map_or(Some(None), |watched| {
                let hot = watched.said.contains(" cold=0 ");
                hot.then_some(Some(watched))
            })
        });
        let Some(watched) = hot.expect("it is written, and in the page cache") else { return };
        assert_same(&watched.got, &bytes_at(0, LEN), &watched.said);
        assert_eq!(watched.made(), 0, "{}{}", watched.said, watched.calls.join("\n"));
    }
}

/// So that the test above would see one.
#[test]
fn a_thread_is_made_to_send_what_is_not_there() {
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(file.path(), bytes_at(0, LEN)).unwrap();
    if let Err(why) = evict(file.as_file()) {
        return eprintln!("skipped: {why}");
    }
    let Some(watched) = watch("send", file.path(), Method::Sendfile.name()) else { return };
    assert_same(&watched.got, &bytes_at(0, LEN), &watched.said);
    assert!(watched.made() > 0, "{}{}", watched.said, watched.calls.join("\n"));
}

/// Only what goes past the page cache has a thread, and that one never touches the socket.
#[test]
fn no_thread_is_made_to_receive_into_the_page_cache() {
    for method in usable() {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path().join("file");
        let Some(watched) = watch("recv", &path, method.name()) else { return };
        let context = format!("{}{}", watched.said, watched.calls.join("\n"));
        assert_same(&fs::read(&path).unwrap(), &bytes_at(0, LEN), &watched.said);
        assert_eq!(watched.made() > 0, method == ReceiveMethod::Direct, "{context}");
        // With -f each line begins with the thread: who took from the socket?
        let takers: std::collections::HashSet<&str> = watched
            .calls
            .iter()
            .filter(|call| call.contains("recvfrom(") || call.contains("splice("))
            .filter_map(|call| call.split_whitespace().next())
            .collect();
        assert_eq!(takers.len(), 1, "{context}");
    }
}

#[test]
fn receipts_match_strace() {
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(file.path(), bytes_at(0, LEN)).unwrap();
    for method in [Method::Copy, Method::Sendfile, Method::Splice] {
        let Some(watched) = watch("send", file.path(), method.name()) else { return };
        let calls = watched.of_the_transfer();
        let context = format!("{}{calls:#?}", watched.said);
        if watched.said.contains(" cold=0 ") {
            assert_eq!(watched.figure("calls"), calls.len() as u64, "{context}");
        } else {
            eprintln!("skipped: somebody has dropped the page cache: {}", watched.said);
        }
    }
    for method in [ReceiveMethod::Splice, ReceiveMethod::Buffered] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let Some(watched) = watch("recv", &folder.path().join("file"), method.name()) else {
            return;
        };
        let calls = watched.of_the_transfer();
        let context = format!("{}{calls:#?}", watched.said);
        assert_eq!(watched.figure("calls"), calls.len() as u64, "{context}");
        assert_eq!(watched.figure("bytes"), LEN, "{context}");
        assert!(
            watched.figure("waits") > 0,
            "else a part of the calls is not among them: {context}"
        );
    }
}

#[test]
fn what_is_refused_goes_by_the_next_method_and_nothing_is_lost() {
    let direct = usable().contains(&ReceiveMethod::Direct);
    for (method, injections, went, refusals) in [
        ("splice", &["pipe2:error=EMFILE:when=1+"][..], "buffered", &["splice:EMFILE"][..]),
        // The socket refuses; the file refuses with bytes in the pipe, at once and later.
        ("splice", &["splice:error=EINVAL:when=1"], "buffered", &["splice:EINVAL"]),
        ("splice", &["splice:error=EINVAL:when=2"], "splice+buffered", &["splice:EINVAL"]),
        ("splice", &["splice:error=EINVAL:when=6"], "splice+buffered", &["splice:EINVAL"]),
        // The disk refuses, in a thread of the pool.
        ("direct", &["pwrite64:error=EINVAL:when=1"], "direct+splice", &["direct:EINVAL"]),
        ("direct", &["pwrite64:error=EINVAL:when=2"], "direct+splice", &["direct:EINVAL"]),
    ] {
        if method == "direct" && !direct {
            continue;
        }
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path().join("file");
        let Some(watched) = watch_with(injections, "recv", &path, method) else { return };
        let context = (injections, &watched.said);
        assert_same(&fs::read(&path).unwrap(), &bytes_at(0, LEN), &context);
        let words: Vec<&str> = watched.said.split_whitespace().collect();
        // The socket may have had nothing in between, so that it was another call which was refused.
        assert!(words[1].ends_with(went), "{context:?}");
        let refused: Vec<&str> =
            words.iter().filter_map(|word| word.strip_prefix("refused=")).collect();
        assert_eq!(refused, refusals, "{context:?}");
    }
}

#[test]
fn each_side_is_blamed_for_its_own_errors() {
    let direct = usable().contains(&ReceiveMethod::Direct);
    for (method, injection, blamed) in [
        ("splice", "splice:error=EIO:when=2", "writing the file failed at byte "),
        ("splice", "splice:error=ECONNRESET:when=1", "the stream failed"),
        ("buffered", "pwrite64:error=EIO:when=2", "writing the file failed at byte "),
        ("direct", "pwrite64:error=EDQUOT:when=2", "writing the file failed at byte "),
        ("direct", "recvfrom:error=EIO:when=3", "the stream failed"),
    ] {
        if method == "direct" && !direct {
            continue;
        }
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path().join("file");
        let Some(watched) = watch_with(&[injection], "recv", &path, method) else { return };
        assert!(watched.said.contains(blamed), "{injection}: {}", watched.said);
        let got = fs::read(&path).unwrap();
        assert_same(&got, &bytes_at(0, got.len() as u64), &(injection, &watched.said));
    }
}
