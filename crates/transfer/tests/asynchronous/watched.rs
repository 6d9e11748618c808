//! Transfers in a process of their own, the example `tokio_once`, watched by strace(1): which threads there are.

use crate::{common::*, *};
use sendrail_transfer::Method;
use std::{
    fs,
    io::Write,
    net::{Shutdown, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
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

/// Runs it with strace; `None`, and a line that says why, if that does not work here.
fn watch(direction: &str, path: &Path, method: &str) -> Option<Watched> {
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
    command.args(["-f", "-qq", "-o"]).arg(&trace).arg(tokio_once());
    command.arg(direction).arg(listener.local_addr().unwrap().to_string()).arg(path).arg(method);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let mut got = Vec::new();
    if direction == "send" {
        peer.read_to_end(&mut got).unwrap();
    } else {
        peer.write_all(&bytes_at(0, LEN)).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    let trace = fs::read_to_string(trace).unwrap();
    let between = trace.split("getppid()").nth(1).unwrap();
    Some(Watched { said, calls: between.lines().skip(1).map(str::to_owned).collect(), got })
}

impl Watched {
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
