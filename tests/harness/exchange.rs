//! `sendrail send` and `recv` of a test: one that waits, one that connects, and what stands between them.

use super::Server;
use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStderr, Command, Output, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
};

/// The command with these arguments.
pub(crate) fn exchange<A: AsRef<OsStr>>(
    which: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = Server::command();
    command.arg(which).args(arguments);
    command
}

/// Sends to an address, to its end.
pub(crate) fn send<A: AsRef<OsStr>>(
    to: SocketAddr,
    arguments: impl IntoIterator<Item = A>,
) -> Output {
    exchange("send", [to.to_string()]).args(arguments).output().unwrap()
}

/// What a command has said on standard error.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// One that waits for another. Killed when the test ends.
pub(crate) struct Waiting {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    rest: BufReader<ChildStderr>,
}

impl Waiting {
    /// `sendrail recv` on a free port of 127.0.0.1.
    pub(crate) fn recv<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = exchange("recv", ["--listen", "127.0.0.1:0"]);
        command.args(arguments);
        Self::of(command)
    }

    /// Starts a command that waits.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut rest = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        rest.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ");
        let address = address.and_then(|rest| rest.split(',').next());
        let address = address.unwrap_or_else(|| panic!("it does not listen: {line}"));
        let address = address.parse().unwrap();
        Self { child, address, rest }
    }

    /// Waits for its end: the exit code, and what it said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.rest.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }

    /// The same with what it wrote on standard output, which must have been piped.
    pub(crate) fn end_with_output(mut self) -> (Option<i32>, Vec<u8>, String) {
        let mut out = Vec::new();
        self.child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
        let (code, said) = self.end();
        (code, out, said)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is done to the bytes of one who connects.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Meddle {
    /// After so many the connection is closed, to both sides.
    Cut(u64),
    /// The one after so many is changed.
    Flip(u64),
    /// After so many they have to wait until [`Between::go_on`].
    Hold(u64),
}

/// One who stands between two.
pub(crate) struct Between {
    pub(crate) address: SocketAddr,
    held: Receiver<()>,
    go_on: Sender<()>,
    thread: JoinHandle<()>,
}

impl Between {
    pub(crate) fn new(to: SocketAddr, meddle: Meddle) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (is_held, held) = channel();
        let (go_on, goes_on) = channel();
        let thread = thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let server = TcpStream::connect(to).unwrap();
            let (from, back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let answers = thread::spawn(move || pass(&from, &back, None, &|| ()));
            pass(&client, &server, Some(meddle), &|| {
                is_held.send(()).unwrap();
                let _ = goes_on.recv();
            });
            answers.join().unwrap();
        });
        Self { address, held, go_on, thread }
    }

    /// Waits until the bytes have to wait.
    pub(crate) fn wait_until_held(&self) {
        self.held.recv().unwrap();
    }

    /// They need not wait any more.
    pub(crate) fn go_on(&self) {
        self.go_on.send(()).unwrap();
    }

    /// Waits until both sides have closed.
    pub(crate) fn end(self) {
        drop(self.go_on);
        self.thread.join().unwrap();
    }
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, meddle: Option<Meddle>, hold: &dyn Fn()) {
    let mut buffer = vec![0; 64 << 10];
    let mut passed = 0_u64;
    let mut has_held = false;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut bytes = &mut buffer[..count];
        match meddle {
            Some(Meddle::Cut(after)) if passed + count as u64 > after => {
                bytes = &mut bytes[..(after - passed) as usize];
                let _ = to.write_all(bytes);
                break;
            }
            Some(Meddle::Flip(at)) if (passed..passed + count as u64).contains(&at) => {
                bytes[(at - passed) as usize] ^= 1;
            }
            Some(Meddle::Hold(after)) if !has_held && passed >= after => {
                has_held = true;
                hold();
            }
            _ => {}
        }
        if to.write_all(bytes).is_err() {
            break;
        }
        passed += count as u64;
    }
    if matches!(meddle, Some(Meddle::Cut(_))) {
        let _ = from.shutdown(Shutdown::Both);
    }
    let _ = to.shutdown(Shutdown::Write);
}
