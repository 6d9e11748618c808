//! A server process of a test: started on a free port, killed when the test ends.

use super::{Connection, Journal, Tree};
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// The real binary, serving.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `tree` with one worker and these further arguments.
    pub(crate) fn start(tree: &Tree, arguments: &[&str]) -> Self {
        let mut command = Self::command();
        command.arg("serve").arg(tree.path()).args(["--listen", "127.0.0.1:0", "--workers", "1"]);
        command.args(arguments);
        Self::spawn(command)
    }

    /// The same with an access log in JSON.
    pub(crate) fn logged(tree: &Tree, journal: &Journal, arguments: &[&str]) -> Self {
        let log = journal.arguments();
        let all: Vec<&str> = arguments.iter().copied().chain(log.iter().map(|a| &**a)).collect();
        Self::start(tree, &all)
    }

    /// The binary under test, with nothing of our environment that would change what it says.
    pub(crate) fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sendrail"));
        command.env_remove("RUST_LOG").env("NO_COLOR", "1");
        command.stdin(Stdio::null());
        command
    }

    /// Starts a command that ends in a server, and waits until it listens.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let start = said.len();
            assert_ne!(lines.read_line(&mut said).unwrap(), 0, "the server ended: {said}");
            if let Some(url) = said[start..].trim().strip_prefix("listening on http://") {
                break url.trim_end_matches('/').parse().unwrap();
            }
        };
        let stderr = Arc::new(Mutex::new(said));
        let reader = Some(collect(lines, Arc::clone(&stderr)));
        Self { child, address, stderr, reader }
    }

    /// A new connection to it.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// A new connection with a small receive buffer.
    pub(crate) fn connect_narrow(&self) -> Connection {
        Connection::narrow(self.address)
    }

    /// The address of a path, for clients that want a URL.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it has said on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Sends it a signal, by name as kill(1) knows it.
    pub(crate) fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }

    /// Asks it to stop, and waits.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let status = self.wait();
        (status, self.stderr())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut lines: BufReader<ChildStderr>, into: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
            into.lock().unwrap().push_str(&line);
            line.clear();
        }
    })
}

/// Tries until `condition` holds. Fails only when it has not for very much longer than it could
/// take: this bounds a hang, it measures nothing.
pub(crate) fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_or(condition, || what.to_owned());
}

/// As [`eventually`], with what there was instead in the message.
pub(crate) fn eventually_or(mut condition: impl FnMut() -> bool, why: impl Fn() -> String) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_mins(1), "never happened: {}", why());
        std::thread::sleep(Duration::from_millis(10));
    }
}
