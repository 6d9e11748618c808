//! "One function, one system call", seen from outside: strace(1) watches this test call each of them.
#![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

use std::fs::{self, File};
use std::io::IoSlice;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use sendrail_sys::{
    Advice, Mapping, OpenFlags, Pipe, ReadFlags, ReadRing, Resolve, ZeroCopySender, limits,
    ring::Read, sockopt,
};

/// Nothing in this crate calls it, so it marks where one function ends and the next begins.
fn mark() {
    let _ = rustix::process::getppid();
}

/// Calls everything once, a mark before each; returns what strace must see between the marks.
#[expect(clippy::too_many_lines, reason = "a list")]
fn call_everything() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut expected = Vec::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, _) = listener.accept().unwrap();
    peer.set_nonblocking(true).unwrap();
    let exe = File::open(std::env::current_exe().unwrap()).unwrap();
    let scratch = tempfile::tempfile().unwrap();
    let (socket, peer, file, scratch) =
        (socket.as_fd(), peer.as_fd(), exe.as_fd(), scratch.as_fd());
    let pipe = Pipe::with_capacity(64 * 1024).unwrap();
    let root = File::open("/").unwrap();
    let root = root.as_fd();
    let mut buf = [0; 16];

    macro_rules! watch {
        ($name:literal, [$($call:literal),*], $body:expr) => {{
            expected.push(($name, vec![$($call),*]));
            mark();
            let outcome = $body;
            mark();
            outcome
        }};
    }
    // Outcomes are for the other tests; here it counts what was called, also where it fails.
    let _ = watch!("sendfile", ["sendfile"], sendrail_sys::sendfile(socket, file, 0, 4));
    let _ = watch!("send", ["sendto"], sendrail_sys::send(socket, b"x", true));
    let slices = [IoSlice::new(b"a"), IoSlice::new(b"b")];
    let gathered = || sendrail_sys::send_vectored(socket, &slices, false);
    let _ = watch!("send_vectored", ["sendmsg"], gathered());
    let _ = watch!("recv", ["recvfrom"], sendrail_sys::recv(peer, &mut buf));
    let _ = watch!("recv_discard", ["recvfrom"], sendrail_sys::recv_discard(peer, 9));
    let _ = watch!("recv_now", ["recvfrom"], sendrail_sys::recv_now(peer, &mut buf));
    let _ = watch!("write", ["write"], sendrail_sys::write(scratch, b"x"));
    let _ = watch!("read", ["read"], sendrail_sys::read(scratch, &mut buf));
    let _ =
        watch!("copy_range", ["copy_file_range"], sendrail_sys::copy_range(file, 0, scratch, 0, 4));
    let _ = watch!(
        "is_open_for_writing",
        ["fcntl", "fcntl", "fcntl"],
        sendrail_sys::is_open_for_writing(file)
    );
    let _ = watch!("clone_range", ["ioctl"], sendrail_sys::clone_range(scratch, 0, file, 0, 4096));
    let _ = watch!("next_data", ["lseek"], sendrail_sys::next_data(scratch, 0));
    let _ = watch!("next_hole", ["lseek"], sendrail_sys::next_hole(scratch, 0));
    let _ = watch!("punch_hole", ["fallocate"], sendrail_sys::punch_hole(scratch, 0, 4096));
    let _ =
        watch!("splice_from_file", ["splice"], sendrail_sys::splice_from_file(file, 0, &pipe, 4));
    let _ = watch!(
        "splice_pipe_to_file",
        ["splice"],
        sendrail_sys::splice_pipe_to_file(pipe.read_end(), scratch, 0, 1)
    );
    let _ = watch!(
        "splice_to_socket",
        ["splice"],
        sendrail_sys::splice_to_socket(&pipe, socket, 4, false)
    );
    let _ = watch!("splice_from_socket", ["splice"], {
        sendrail_sys::splice_from_socket(peer, &pipe, 4)
    });
    let _ =
        watch!("splice_to_file", ["splice"], sendrail_sys::splice_to_file(&pipe, scratch, 0, 4));
    let mapping = watch!("Mapping::new", ["mmap"], Mapping::new(file, 5, 5000)).unwrap();
    let _ = watch!("Mapping::send", ["sendto"], mapping.send(socket, 0, 9, false));
    let _ = watch!("advise_sequential", ["madvise"], mapping.advise_sequential());
    watch!("Mapping::drop", ["munmap"], drop(mapping));
    let _ = watch!("pread", ["pread64"], sendrail_sys::pread(file, &mut buf, 0));
    let _ = watch!("preadv2", ["preadv2"], {
        sendrail_sys::preadv2(file, &mut buf, 0, ReadFlags { nowait: true, dontcache: false })
    });
    let _ = watch!("pwrite", ["pwrite64"], sendrail_sys::pwrite(scratch, b"x", 0));
    let _ = watch!("cachestat", ["cachestat"], sendrail_sys::cachestat(file, 0, 1));
    let _ = watch!("resident_pages", ["mmap", "mincore", "munmap"], {
        sendrail_sys::resident_pages(file, 0, 1)
    });
    let _ = watch!("fadvise", ["fadvise64"], sendrail_sys::fadvise(file, 0, 0, Advice::Normal));
    let _ = watch!("readahead", ["readahead"], sendrail_sys::readahead(file, 0, 1));
    let opened = || sendrail_sys::openat2(root, c".", OpenFlags::PATH, Resolve::default());
    let _opened = watch!("openat2", ["openat2"], opened());
    let _also = watch!("openat", ["openat"], sendrail_sys::openat(root, c".", OpenFlags::READ));
    let _again = watch!("reopen", ["openat"], sendrail_sys::reopen(file, OpenFlags::READ));
    let _made = watch!("unnamed_file", ["openat"], sendrail_sys::unnamed_file(root));
    let _ = watch!("clone_file", ["ioctl"], sendrail_sys::clone_file(scratch, file));
    let _ = watch!("fstat", ["fstat"], sendrail_sys::fstat(file));
    let _ = watch!("stat_at", ["newfstatat"], sendrail_sys::stat_at(root, c"dev", true));
    let _ = watch!("direct_alignment", ["statx"], sendrail_sys::direct_alignment(file));
    let _ = watch!("file_system", ["fstatfs"], sendrail_sys::file_system(file));
    let _ = watch!("writable_now", ["ppoll"], sendrail_sys::writable_now(socket));
    let _ = watch!("wait_writable", ["ppoll"], {
        sendrail_sys::wait_writable(socket, Some(Duration::ZERO))
    });
    let _ = watch!("set_tcp_cork", ["setsockopt"], sockopt::set_tcp_cork(socket, false));
    let _ = watch!("max_pacing_rate", ["getsockopt"], sockopt::max_pacing_rate(socket));
    let _ = watch!("unsent_bytes", ["ioctl"], sockopt::unsent_bytes(socket));
    watch!("page_size", [], limits::page_size());
    let sender = watch!("ZeroCopySender::new", ["setsockopt"], ZeroCopySender::new(socket));
    if let Ok(mut sender) = sender {
        let bytes = bytes::Bytes::from(vec![7; 20_000]);
        let _ = watch!("ZeroCopySender::send", ["sendto"], sender.send(socket, bytes, false));
    }
    if ReadRing::new(2, 1 << 16).is_ok() {
        let made =
            ["io_uring_setup", "mmap", "mmap", "mmap", "madvise", "madvise", "io_uring_register"];
        mark();
        let mut ring = ReadRing::new(2, 1 << 16).unwrap();
        mark();
        expected.push(("ReadRing::new", made.to_vec()));
        assert_eq!(ring.system_calls() as usize, made.len() - 1, "all but the allocation");
        let read = Read { buffer: 1, offset: 0, len: 4096 };
        let _ = watch!("ReadRing::submit", ["io_uring_enter"], ring.submit(file, &[read]));
        let limit = Duration::from_mins(1);
        let _ = watch!("ReadRing::wait", ["io_uring_enter"], ring.wait(limit));
        watch!("ReadRing::completed", [], ring.completed());
        let dropped = ring.calls_to_drop() as usize;
        watch!("ReadRing::drop", ["munmap", "munmap", "close", "munmap"], drop(ring));
        assert_eq!(dropped, 4);
    }
    expected
}

/// Runs only as the child of the test below.
#[test]
fn watched() {
    if std::env::var_os("WATCHED_BY_STRACE").is_some() {
        let lines: Vec<String> = call_everything()
            .into_iter()
            .map(|(name, calls)| format!("{name}: {}", calls.join(" ")))
            .collect();
        fs::write(std::env::var_os("WATCHED_BY_STRACE").unwrap(), lines.join("\n")).unwrap();
    }
}

#[test]
fn each_function_makes_the_calls_it_says() {
    let temp = tempfile::tempdir().unwrap();
    let (log, wanted) = (temp.path().join("log"), temp.path().join("wanted"));
    let run = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "watched", "--test-threads=1"])
        .env("WATCHED_BY_STRACE", &wanted)
        .output();
    match run {
        Ok(run) if run.status.success() && wanted.exists() => {}
        Ok(run) => {
            let said = String::from_utf8_lossy(&run.stderr).into_owned();
            assert!(said.contains("ptrace"), "strace ran, the test did not: {run:?}");
            eprintln!("skipped: strace may not trace here: {said}");
            return;
        }
        Err(error) => {
            eprintln!("skipped: strace: {error}");
            return;
        }
    }
    // Lines are "PID name(arguments) = result". The thread that sets the marks is the one to follow; between an odd and an
    // even mark is one function's work. An strace older than Linux 6.5 knows cachestat by number only.
    let log = fs::read_to_string(log).unwrap().replace("syscall_0x1c3(", "cachestat(");
    let calls: Vec<(&str, &str)> = log
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(thread, call)| (thread, call.trim_start().split('(').next().unwrap()))
        .collect();
    let (thread, _) = calls.iter().find(|(_, name)| *name == "getppid").unwrap();
    let names: Vec<&str> =
        calls.iter().filter(|(of, _)| of == thread).map(|(_, name)| *name).collect();
    let seen: Vec<String> = names
        .split(|name| *name == "getppid")
        .skip(1)
        .step_by(2)
        .map(|between| between.join(" "))
        .collect();
    let wanted = fs::read_to_string(wanted).unwrap();
    for (place, line) in wanted.lines().enumerate() {
        let (name, calls) = line.split_once(": ").unwrap();
        assert_eq!(seen[place], calls, "{name}");
    }
}
