//! Receipts against an outside observer: what strace(1) saw is what the receipt says, call by call.

use crate::harness::{Journal, Server, Tree, bytes, eventually, evict, has, process};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

const METHODS: [&str; 6] = ["copy", "uncached", "mapped", "direct", "sendfile", "splice"];

/// How often each file is asked for; the last answer is held against the trace.
const ASKED: usize = 4;

/// A system call as strace shows it, with what it returned.
#[derive(Debug, Clone)]
struct Call {
    name: String,
    arguments: String,
    returned: String,
}

impl Call {
    /// The descriptor in the argument of this index, with `-y`: `9<socket:[4711]>` is 9.
    fn descriptor(&self, index: usize) -> Option<u32> {
        let argument = self.arguments.split(", ").nth(index)?.trim();
        match argument.strip_prefix("0x") {
            Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
            None => argument.split('<').next()?.parse().ok(),
        }
    }

    /// The descriptor that it returned.
    fn returned_descriptor(&self) -> Option<u32> {
        self.returned.split('<').next()?.parse().ok()
    }

    /// What it returned, if it was a count.
    fn count(&self) -> u64 {
        self.returned.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
    }
}

/// Reads what strace wrote, and joins the calls that another thread's call cut in two.
fn calls(path: &Path) -> Vec<Call> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut unfinished: HashMap<String, String> = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(start) = rest.strip_suffix("<unfinished ...>") {
            unfinished.insert(thread.to_owned(), start.trim_end().to_owned());
            continue;
        }
        let whole = match rest.strip_prefix("<... ").and_then(|rest| rest.split_once("resumed>")) {
            Some((_, end)) => unfinished.remove(thread).unwrap_or_default() + end,
            None => rest.to_owned(),
        };
        // Signals and exits have no result.
        let Some((call, returned)) = whole.rsplit_once(" = ") else { continue };
        let Some((name, arguments)) = call.split_once('(') else { continue };
        // Interrupted by a completion of io_uring's, and made again by the kernel: to the process it is one call.
        if returned.starts_with("? ERESTART") {
            continue;
        }
        let arguments = arguments.trim_end().trim_end_matches(')').to_owned();
        calls.push(Call { name: name.into(), arguments, returned: returned.into() });
    }
    calls
}

/// The calls made for one answer: those that name the connection's socket, the file, or what was
/// made of them (a pipe, a mapping), between the request's recvfrom and the next one.
fn of_the_last_answer(calls: &[Call], file: &Path) -> Vec<Call> {
    let accepted = calls.iter().filter(|call| call.name == "accept4");
    let socket = accepted.rev().find_map(Call::returned_descriptor).expect("a connection");
    let is_request = |call: &Call| {
        call.name == "recvfrom" && call.descriptor(0) == Some(socket) && call.count() > 0
    };
    let request = calls.iter().rposition(is_request).expect("a request was read");
    let shown = format!("<{}>", file.display());
    let names_the_file = |call: &&Call| call.arguments.contains(&shown);
    let call = calls.iter().rev().find(names_the_file).expect("a call on the file");
    let before = call.arguments.split(&shown).next().unwrap();
    let file: Option<u32> = before.rsplit([' ', ',']).next().unwrap().parse().ok();
    assert!(file.is_some(), "{call:?}");
    let ours = |descriptor: Option<u32>| descriptor == Some(socket) || descriptor == file;
    let mut mapped = String::new();
    let mut found = Vec::new();
    for call in &calls[request + 1..] {
        let named = call.descriptor(0);
        let counts = match call.name.as_str() {
            "recvfrom" | "shutdown" if named == Some(socket) => break,
            // tokio's waiting for all of its sockets is not a cost of one transfer.
            "epoll_ctl" | "epoll_wait" => false,
            "pipe2" | "io_uring_enter" => true,
            // What std's checks in a build without optimisation ask before a close.
            "fcntl" if call.arguments.ends_with("F_GETFD") => false,
            "mmap" if call.descriptor(4) == file => {
                mapped.clone_from(&call.returned);
                true
            }
            "munmap" => !mapped.is_empty() && call.arguments.starts_with(&mapped),
            "poll" | "ppoll" => call.arguments.contains(&format!("fd={socket}<")),
            "splice" => ours(named) || ours(call.descriptor(2)),
            "sendfile" => ours(named) && call.descriptor(1) == file,
            // Opened once more, for O_DIRECT: by the descriptor that is open, under the path that it has.
            "openat" => call.returned.contains(&shown),
            "statx" | "pread64" | "close" if call.arguments.contains(&shown) => true,
            // The server's own pipes are those of its standard streams.
            _ => ours(named) || is_from_pipe(call) && named > Some(2),
        };
        if counts {
            found.push(call.clone());
        }
    }
    found
}

fn sum(calls: &[Call], of: impl Fn(&Call) -> bool) -> u64 {
    calls.iter().filter(|call| of(call)).map(Call::count).sum()
}

/// A server that strace watches, and where it writes.
struct Watched {
    server: Server,
    trace: PathBuf,
    _folder: TempDir,
}

impl Watched {
    /// Kept files are believed for an hour: what opens them is the cost of the first request alone.
    fn start(tree: &Tree, journal: &Journal, method: &str) -> Self {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let trace = folder.path().join("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-s", "2", "-o"]).arg(&trace);
        command.arg(env!("CARGO_BIN_EXE_sendrail")).arg("serve").arg(tree.path());
        command.args(["--listen", "127.0.0.1:0", "--workers", "1", "--method", method]);
        command.args(["--open-files-valid", "1h", "--small-files", "4k"]).args(journal.arguments());
        Self { server: Server::spawn(command), trace, _folder: folder }
    }

    /// Ends the server by the signal that strace would not pass on, so that its trace is whole.
    fn finish(mut self) -> Vec<Call> {
        let server = process::child(self.server.child.id());
        let sent = Command::new("kill").args(["-s", "TERM", &server.to_string()]).status().unwrap();
        assert!(sent.success());
        assert!(self.server.wait().success());
        calls(&self.trace)
    }
}

/// Asks several times, and gives the last answer's receipt with what strace saw of it.
fn observe(method: &str, len: usize, fields: &str, cold: bool) -> (Value, Vec<Call>) {
    let tree = Tree::new();
    let content = bytes(len);
    let path = tree.file("a.bin", &content).canonicalize().unwrap();
    let journal = Journal::new();
    let watched = Watched::start(&tree, &journal, method);
    // Narrow, so that the socket fills and the engine has to ask and wait.
    let mut connection = watched.server.connect_narrow();
    // What is made once is made by then: the file is open, a small one perhaps in memory.
    for _ in 1..ASKED {
        connection.get("/a.bin", fields);
    }
    if cold {
        evict(&path);
    }
    connection.send(format!("GET /a.bin HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
    std::thread::sleep(Duration::from_millis(200)); // lets the socket fill, whatever its size
    let again = connection.response(false);
    assert!(again.status == 206 || again.body == content, "{method}: the bytes differ");
    drop(connection);
    eventually("all are logged", || journal.entries().len() == ASKED);
    let calls = of_the_last_answer(&watched.finish(), &path);
    (journal.entries().pop().unwrap(), calls)
}

/// Holds a receipt against what was seen: calls, bytes, copies, and the call that moved the body.
fn assert_true(method: &str, entry: &Value, calls: &[Call]) {
    let receipt = &entry["receipt"];
    let number = |name: &str| receipt[name].as_u64().unwrap();
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    for call in calls {
        *names.entry(&call.name).or_default() += 1;
    }
    assert_eq!(number("system_calls"), calls.len() as u64, "{entry}\n{names:?}");
    let sent = sum(calls, |call| matches!(call.name.as_str(), "sendto" | "sendmsg"));
    let read = match method {
        "direct" => 0, // by the disk itself
        // Without RWF_DONTCACHE, whose name an old strace does not know, it is a look at the page cache.
        "uncached" => sum(calls, |call| {
            let flags = call.arguments.rsplit(", ").next().unwrap_or_default();
            call.name == "preadv2" && (flags.contains("0x80") || flags.contains("DONTCACHE"))
        }),
        _ => sum(calls, |call| call.name == "pread64"),
    };
    let zero_copy = match method {
        "sendfile" => sum(calls, |call| call.name == "sendfile"),
        // To the socket: the pipe is the first argument and no offset follows it.
        "splice" => sum(calls, |call| call.name == "splice" && is_from_pipe(call)),
        _ => 0,
    };
    assert_eq!(number("bytes"), sent + zero_copy, "{entry}\n{names:?}");
    assert_eq!(number("copied"), sent + read, "{entry}\n{names:?}");
    let without_ring = receipt["method"] == "direct(pread)" && method == "direct";
    assert!(receipt["method"] == method || without_ring, "{entry}");
    let body = number("file_bytes");
    match method {
        "sendfile" | "splice" => assert_eq!(zero_copy, body, "{names:?}"),
        "copy" => assert_eq!(read, body, "{names:?}"),
        // What a full socket did not take may have been read again.
        "uncached" => assert!((body..=body + body / 8).contains(&read), "{entry} {names:?}"),
        "direct" if without_ring => assert!(names.contains_key("pread64"), "{names:?}"),
        "direct" => assert!(names.contains_key("io_uring_enter"), "{names:?}"),
        "mapped" => {
            assert!(calls.iter().any(|call| call.name == "mmap"), "{names:?}");
            assert_eq!(read, 0);
        }
        _ => assert_eq!(body, 0),
    }
}

fn is_from_pipe(call: &Call) -> bool {
    call.arguments.split(", ").next().is_some_and(|first| first.contains("<pipe:"))
}

#[test]
fn the_receipt_is_what_strace_saw() {
    if !has("strace") {
        return;
    }
    // MSG_MORE on the head; then TCP_CORK and several windows.
    for len in [100_000, 12_000_001] {
        for method in METHODS {
            let (entry, calls) = observe(method, len, "", false);
            assert_true(method, &entry, &calls);
            let waits = entry["receipt"]["socket_waits"].as_u64().unwrap();
            assert!(waits > 0 || len < 1 << 20, "the socket never was full: {entry}");
        }
    }
}

#[test]
fn the_receipt_of_an_answer_from_memory() {
    if !has("strace") {
        return;
    }
    let (entry, calls) = observe("auto", 3000, "", false);
    assert_true("memory", &entry, &calls);
    assert_eq!(calls.len(), 1, "head and body leave in one call: {calls:?}");
}

#[test]
fn the_receipt_of_several_ranges() {
    if !has("strace") {
        return;
    }
    let fields = "Range: bytes=0-9,70000-1200000,2999999-\r\n";
    for method in METHODS {
        let (entry, calls) = observe(method, 3_000_000, fields, false);
        assert_true(method, &entry, &calls);
    }
}

#[test]
fn the_receipt_of_a_cold_file() {
    if !has("strace") {
        return;
    }
    for method in METHODS {
        let (entry, calls) = observe(method, 12_000_001, "", true);
        if entry["receipt"]["cold"] == 0 && method != "direct" {
            eprintln!("skipped: the page cache cannot be emptied here (a file system in memory?)");
            return;
        }
        // Threads of the disk pool have moved some of it.
        assert!(entry["receipt"]["disk_waits"].as_u64().unwrap() > 0, "{entry}");
        assert_true(method, &entry, &calls);
    }
}
