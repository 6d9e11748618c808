//! Calls that signals interrupt, in a process of their own: the example `send_once`.

use crate::common::*;
use rustix::process::{Pid, Signal, kill_process};
use sendrail_transfer::Method;
use socket2::Socket;
use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

/// Where cargo has put the example beside this test.
pub(crate) fn send_once() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = target.join("examples/send_once");
    assert!(path.exists(), "cargo build --example send_once first: no {}", path.display());
    path
}

pub(crate) struct Sending {
    pub(crate) child: Child,
    pub(crate) reader: Socket,
    _file: tempfile::NamedTempFile,
}

/// Runs `send_once`, or the command that runs it, over a file of `len` bytes.
pub(crate) fn start(command: Command, len: u64, method: Method, mode: &str) -> Sending {
    start_with(command, len, &[method.name(), mode])
}

/// The same, with these arguments behind the address and the file.
pub(crate) fn start_with(mut command: Command, len: u64, arguments: &[&str]) -> Sending {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(file.path(), bytes_at(0, len)).unwrap();
    command.arg(listener.local_addr().unwrap().to_string());
    command.arg(file.path()).args(arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (reader, _) = listener.accept().unwrap();
    Sending { child, reader: reader.into(), _file: file }
}

pub(crate) fn finish(child: Child) -> String {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// Reads all in small pieces, with a signal before each.
pub(crate) fn read_under_fire(reader: &mut Socket, target: u32) -> Vec<u8> {
    let target = Pid::from_raw(target.cast_signed()).unwrap();
    let mut received = Vec::new();
    loop {
        // Fails when the child has come to its end; the bytes decide.
        let _ = kill_process(target, Signal::USR1);
        std::thread::yield_now();
        if read_some(reader, 50_000, &mut received) == 0 {
            return received;
        }
    }
}

#[test]
fn interrupted_calls_lose_and_repeat_nothing() {
    const LEN: u64 = 6 << 20;
    for method in Method::ALL {
        for mode in ["blocking", "blocking-timeout", "non-blocking"] {
            let mut sending = start(Command::new(send_once()), LEN, method, mode);
            let received = read_under_fire(&mut sending.reader, sending.child.id());
            let receipt = finish(sending.child);
            let expected = [b"a head, ", &bytes_at(0, LEN)[..]].concat();
            assert_same(&received, &expected, &(method, mode, &receipt));
            assert!(receipt.ends_with("signalled=true\n"), "{receipt}");
            assert!(receipt.starts_with(&format!("bytes={} {method} ", LEN + 8)), "{receipt}");
        }
    }
}
