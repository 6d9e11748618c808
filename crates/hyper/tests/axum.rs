//! Under axum, as a user would: the listener, a directory, and strace(1) that sees how bodies leave.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

fn get(address: SocketAddr, path: &str) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut all = Vec::new();
    socket.read_to_end(&mut all).unwrap();
    let head = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    assert!(all.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&all[..head]));
    all.split_off(head)
}

/// Kills what it started.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        // strace(1) ends with whom it watches; that one would not end with strace.
        let number = self.0.id();
        let children = std::fs::read_to_string(format!("/proc/{number}/task/{number}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            // Not by a signal that strace would have to pass on, for that is killed as well.
            let _ = Command::new("kill").args(["-KILL", child]).status();
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn bodies_leave_without_a_copy() {
    let Some(example) = example("serve_dir") else {
        return eprintln!(
            "skipped: the example is not built: cargo build --examples --all-features"
        );
    };
    if Command::new("strace").arg("-V").output().is_err() {
        return eprintln!("skipped: no strace");
    }
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(folder.path().join("file"), &bytes).unwrap();
    let log = folder.path().join("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=sendfile,splice,sendto,sendmsg,writev,write", "-o"]);
    command.arg(&log).arg(example).arg(folder.path()).arg("127.0.0.1:0");
    let mut child = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.0.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let Ok(address) = line.trim().parse() else {
        return eprintln!("skipped: strace may not watch here: {line:?}");
    };
    assert!(get(address, "/static/file") == bytes);
    let mut receipts = child.0.stderr.take().unwrap();
    drop(child);
    let mut said = String::new();
    receipts.read_to_string(&mut said).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    let receipt = "3000000 bytes from byte 0: ";
    assert!(said.starts_with(receipt) && said.contains(", 0 copied, 0 not in the"), "{said}");
    let log = std::fs::read_to_string(&log).unwrap();
    let moved = |call: &str| -> u64 {
        let calls = log.lines().filter(|line| line.contains(&format!(" {call}(")));
        calls.filter_map(|line| line.rsplit_once("= ")?.1.trim().parse::<u64>().ok()).sum()
    };
    // Through a pipe each byte goes twice.
    assert_eq!(moved("sendfile") + moved("splice") / 2, bytes.len() as u64, "{log}");
    assert!(moved("writev") + moved("sendto") + moved("sendmsg") < 2000, "{log}");
}

/// The addresses for windows are as many as the process may have; without any, bodies are read.
#[test]
fn where_addresses_are_few_bodies_arrive_all_the_same() {
    let Some(example) = example("serve_dir") else {
        return eprintln!(
            "skipped: the example is not built: cargo build --examples --all-features"
        );
    };
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
    for number in 0..100 {
        std::fs::write(folder.path().join(number.to_string()), &bytes).unwrap();
    }
    std::thread::sleep(Duration::from_secs(4)); // until they are kept, with their windows
    // In KiB: none, 64 windows, 1024 windows.
    for (limit, is_mapped) in [(1 << 20, false), (6 << 20, true), (80 << 20, true)] {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -v {limit}; exec \"$0\" \"$@\"")]);
        command.arg(&example).arg(folder.path()).arg("127.0.0.1:0");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Running(command.spawn().unwrap());
        let mut line = String::new();
        let mut stdout = std::io::BufReader::new(child.0.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        let address = line.trim().parse().unwrap();
        for number in 0..200 {
            let path = format!("/static/{}", number % 100);
            assert!(get(address, &path) == bytes, "{path}, {limit} KiB");
        }
        child.0.kill().unwrap();
        let mut said = String::new();
        child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let sent = said.lines().count();
        assert!(if is_mapped { sent == 200 } else { sent == 0 }, "{sent} with {limit} KiB");
    }
}

/// Descriptors that are kept are given up before anybody is told that there are none.
#[test]
fn what_is_kept_makes_way_when_descriptors_run_out() {
    let Some(example) = example("serve_dir") else {
        return eprintln!(
            "skipped: the example is not built: cargo build --examples --all-features"
        );
    };
    let folder = tempfile::tempdir().unwrap();
    for number in 0..200 {
        std::fs::write(folder.path().join(number.to_string()), vec![1; 100_000]).unwrap();
    }
    std::thread::sleep(Duration::from_secs(4)); // until they are kept
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]);
    command.arg(&example).arg(folder.path()).arg("127.0.0.1:0");
    let mut child = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.0.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let address: SocketAddr = line.trim().parse().unwrap();
    let kept = || {
        let links = std::fs::read_dir(format!("/proc/{}/fd", child.0.id())).unwrap();
        let paths = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
        paths.filter(|path| path.starts_with(folder.path()) && path != folder.path()).count()
    };
    let (mut connections, mut most) = (Vec::new(), 0);
    for number in 0..64 {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        write!(socket, "GET /static/{number} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut head = [0; 12];
        let Ok(()) = socket.read_exact(&mut head) else {
            break; // there is no descriptor for the connection itself
        };
        most = most.max(kept());
        if &head != b"HTTP/1.1 200" {
            assert_eq!((&head, kept()), (b"HTTP/1.1 503", 0));
            break;
        }
        connections.push(socket);
    }
    assert!(most > 4 && kept() < most, "{most} were kept, then {}", kept());
    // One that goes makes room for the next.
    connections.clear();
    assert_eq!(get(address, "/static/0").len(), 100_000);
}

/// Both kinds of sockets, and who is at the other end.
#[tokio::test(flavor = "multi_thread")]
async fn unix_sockets_and_the_address_of_the_peer() {
    use axum::{Router, extract::ConnectInfo, routing};
    use sendrail_hyper::{Listener, PeerAddr, ServeDir, Watch};
    use std::sync::atomic::{AtomicU64, Ordering};

    static SENT: AtomicU64 = AtomicU64::new(0);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), vec![7; 1_000_000]).unwrap();
    let files = ServeDir::new(folder.path()).unwrap();

    let path = folder.path().join("socket");
    let unix = Listener::from(tokio::net::UnixListener::bind(&path).unwrap())
        .watched_by(Watch::new(|sent| _ = SENT.fetch_add(sent.len, Ordering::Relaxed)));
    let app = Router::new().fallback_service(files.clone());
    tokio::spawn(async { axum::serve(unix, app).await });
    let got = tokio::task::spawn_blocking(move || {
        let mut socket = std::os::unix::net::UnixStream::connect(path).unwrap();
        write!(socket, "GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut all = Vec::new();
        socket.read_to_end(&mut all).unwrap();
        all
    });
    assert!(got.await.unwrap().ends_with(&vec![7; 1_000_000]));
    assert_eq!(SENT.load(Ordering::Relaxed), 1_000_000, "by the engine");

    let who = async |ConnectInfo(PeerAddr(address)): ConnectInfo<PeerAddr>| address.to_string();
    let app = Router::new().route("/who", routing::get(who)).fallback_service(files);
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    tokio::spawn(async {
        let app = app.into_make_service_with_connect_info::<PeerAddr>();
        axum::serve(Listener::from(tcp), app).await
    });
    let got = tokio::task::spawn_blocking(move || (get(address, "/who"), get(address, "/file")));
    let (who, file) = got.await.unwrap();
    assert!(String::from_utf8(who).unwrap().starts_with("127.0.0.1:"));
    assert_eq!(file.len(), 1_000_000);
}

/// An example of this crate, where cargo puts it.
fn example(name: &str) -> Option<std::path::PathBuf> {
    let test = std::env::current_exe().ok()?;
    let path = test.parent()?.parent()?.join("examples").join(name);
    path.exists().then_some(path)
}
