//! `--raw`: plain bytes, with ourselves and with nc(1) at the other end.

use super::*;
use std::{
    io::Read,
    net::TcpStream,
    process::{Child, Command},
};

/// A free port, for programs that cannot say which they took.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn send_raw<A: AsRef<OsStr>>(to: SocketAddr, paths: impl IntoIterator<Item = A>) -> Command {
    let mut command = exchange("send", ["--raw", &to.to_string()]);
    command.args(paths);
    command
}

fn recv_raw(target: &Path) -> Waiting {
    Waiting::recv([OsStr::new("--raw"), target.as_os_str()])
}

#[test]
fn bytes_arrive_as_they_are_and_nothing_else() {
    let (from, to) = (Tree::new(), Tree::new());
    let content = bytes(70_000_001);
    let (path, end) = (from.file("file", &content), from.file("end", "the end"));
    let receiver = recv_raw(&to.path().join("named"));
    let output = send_raw(receiver.address, [&path, &end]).output().unwrap();
    let (code, heard) = receiver.end();
    assert!(output.status.success() && code == Some(0), "{}{heard}", said(&output));
    let arrived = fs::read(to.path().join("named")).unwrap();
    assert!(arrived[..content.len()] == content && &arrived[content.len()..] == b"the end");
    assert!(said(&output).contains("sent 2 files, 70000008 bytes"), "{}", said(&output));
    assert!(said(&output).contains("splice") && heard.contains("splice"), "{heard}");
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1, "no partial file stays");
}

#[test]
fn standard_input_and_output_take_part() {
    let content = bytes(3_000_001);
    let from = Tree::new();
    let input = from.file("input", &content);
    let mut command = exchange("recv", ["--raw", "--listen", "127.0.0.1:0", "-"]);
    command.stdout(Stdio::piped());
    let receiver = Waiting::of(command);
    let mut sender = send_raw(receiver.address, ["-"]);
    let mut cat = Command::new("cat").arg(&input).stdout(Stdio::piped()).spawn().unwrap();
    sender.stdin(cat.stdout.take().unwrap()).stderr(Stdio::piped());
    let sender = sender.spawn().unwrap();
    let (code, out, heard) = receiver.end_with_output();
    let sent = sender.wait_with_output().unwrap();
    cat.wait().unwrap();
    assert!(sent.status.success() && code == Some(0), "{}{heard}", said(&sent));
    assert!(out == content);
}

/// nc of whichever kind, listening.
fn nc(arguments: &[&str], out: &Path) -> Child {
    let out = File::create(out).unwrap();
    Command::new(arguments[0])
        .args(&arguments[1..])
        .stdin(Stdio::null())
        .stdout(out)
        .spawn()
        .unwrap()
}

#[test]
fn nc_can_be_at_the_other_end() {
    let (from, to) = (Tree::new(), Tree::new());
    let content = bytes(5_000_001);
    let path = from.file("file", &content);
    for (program, listen, connect) in [
        ("nc.openbsd", &["-l", "127.0.0.1"][..], &["-N"][..]),
        ("nc.traditional", &["-l", "-s", "127.0.0.1", "-p"], &["-q", "0"]),
    ] {
        if !has(program) {
            continue;
        }
        let port = free_port().to_string();
        let arrived = to.path().join("arrived");
        let mut waiting = nc(&[&[program], listen, &[&port]].concat(), &arrived);
        let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
        let output = loop {
            let output = send_raw(address, [&path]).output().unwrap();
            // It takes a moment until nc listens.
            if output.status.success() || !said(&output).contains("cannot connect") {
                break output;
            }
            assert!(waiting.try_wait().unwrap().is_none(), "{program} has ended");
        };
        assert!(output.status.success(), "{program}: {}", said(&output));
        assert!(waiting.wait().unwrap().success(), "{program}");
        assert!(fs::read(&arrived).unwrap() == content, "{program}");

        let receiver = recv_raw(&to.path().join("back"));
        let port = receiver.address.port().to_string();
        let status = Command::new(program)
            .args(connect)
            .args(["127.0.0.1", &port])
            .stdin(File::open(&path).unwrap())
            .status()
            .unwrap();
        assert!(status.success(), "{program}");
        assert_eq!(receiver.end().0, Some(0), "{program}");
        assert!(fs::read(to.path().join("back")).unwrap() == content, "{program}");
    }
}

#[test]
fn what_is_cut_does_not_look_whole() {
    let (from, to) = (Tree::new(), Tree::new());
    let path = from.file("file", bytes(20_000_000));
    let target = to.path().join("target");
    // A file that became shorter, and nobody can say so: the connection is reset.
    let receiver = recv_raw(&target);
    let between = Between::new(receiver.address, Meddle::Hold(1_000_000));
    let sender = send_raw(between.address, [&path]).stderr(Stdio::piped()).spawn().unwrap();
    between.wait_until_held();
    File::options().write(true).open(&path).unwrap().set_len(15_000_000).unwrap();
    between.go_on();
    let sent = sender.wait_with_output().unwrap();
    assert_eq!(sent.status.code(), Some(1), "{}", said(&sent));
    drop(receiver);
    assert!(!target.exists());

    // The same seen by the receiver, without anybody between.
    let receiver = recv_raw(&target);
    let stream = TcpStream::connect(receiver.address).unwrap();
    (&stream).write_all(&vec![7; 100_000]).unwrap();
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
    let (code, heard) = receiver.end();
    assert_eq!(code, Some(2), "{heard}");
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0, "neither it nor a part");
}

#[test]
fn a_sender_that_is_interrupted_resets_the_connection() {
    let from = Tree::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut command = send_raw(address, [from.file("file", bytes(50_000_000))]);
    let mut sender = command.stderr(Stdio::null()).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
    let pid = rustix::process::Pid::from_child(&sender);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(sender.wait().unwrap().code(), Some(130));
    let end = std::io::copy(&mut stream, &mut std::io::sink());
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn what_plain_bytes_cannot_say_is_refused() {
    let tree = Tree::new();
    let refused = |command: &mut Command, why: &str| {
        let output = command.output().unwrap();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{}", said(&output));
        assert!(said(&output).contains(why), "{}", said(&output));
    };
    let nowhere: SocketAddr = "127.0.0.1:9".parse().unwrap();
    refused(&mut send_raw(nowhere, [tree.path()]), "is a directory");
    refused(exchange("recv", ["--raw"]).arg(tree.path()), "have no name");
    refused(exchange("recv", ["--raw", "--keep"]).arg("x"), "cannot be used with");
}

/// That the kernel has taken the bytes says nothing of whom they are for.
#[test]
fn the_sender_waits_until_the_other_side_has_closed() {
    let from = Tree::new();
    let path = from.file("file", "short");
    for (is_reset, code) in [(false, 0), (true, 2)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = send_raw(listener.local_addr().unwrap(), [&path]);
        let mut sender = command.stderr(Stdio::null()).spawn().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"short");
        if is_reset {
            socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        }
        drop(stream);
        assert_eq!(sender.wait().unwrap().code(), Some(code), "reset: {is_reset}");
    }
}
