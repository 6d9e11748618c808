//! The example programs, as a new user runs them; and the broker under strace(1).

use crate::common::*;
use sendrail_segment_log::{Client, Log, Options};
use sendrail_sys::{Advice, cachestat, fadvise};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::Duration,
};

/// Where cargo has put the example beside this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = target.join("examples").join(name);
    let build = "cargo build -p sendrail-segment-log --all-features --examples";
    assert!(path.exists(), "`{build}` first: no {}", path.display());
    path
}

struct Broker {
    child: Child,
    /// Of the broker itself, if it runs under another program.
    process: String,
    address: SocketAddr,
    said: String,
    /// Kept open: it says something when it stops.
    _out: BufReader<ChildStdout>,
}

impl Broker {
    /// Under these programs, if any.
    fn start(under: &[&str], log: &Path, options: &[&str]) -> Self {
        let broker = example("broker");
        let all = under.iter().map(Path::new).chain([broker.as_path()]).collect::<Vec<_>>();
        let mut child = Command::new(all[0])
            .args(&all[1..])
            .arg(log)
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("listening on ") {
            assert!(out.read_line(&mut said).unwrap() > 0, "{said}");
        }
        let address = said.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
        let outer = child.id().to_string();
        let process = if under.is_empty() {
            outer
        } else {
            let children = format!("/proc/{outer}/task/{outer}/children");
            fs::read_to_string(children).unwrap().trim().to_owned()
        };
        Self { child, process, address, said, _out: out }
    }

    fn stop(mut self) {
        let killed = Command::new("kill").arg(&self.process).status().unwrap();
        assert!(killed.success());
        assert!(self.child.wait().unwrap().success());
    }

    fn read_from_disk(&self) -> Option<u64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.process)).ok()?;
        io.lines().find_map(|line| line.strip_prefix("read_bytes: "))?.parse().ok()
    }
}

impl Drop for Broker {
    /// Also of a test that fails.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = Command::new("kill").arg(&self.process).status();
            let _ = self.child.wait();
        }
    }
}

fn output(name: &str, broker: &Broker, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(example(name))
        .arg(broker.address.to_string())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn run(name: &str, broker: &Broker, arguments: &[&str], input: &str) -> String {
    let output = output(name, broker, arguments, input);
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_broker_a_producer_and_two_consumers() {
    let folder = folder();
    let log = folder.path().join("log");
    let options = ["--segment-bytes", "64KiB", "--sync", "every-append", "--retain-bytes", "1GiB"];
    let broker = Broker::start(&[], &log, &options);
    let mut follower = Command::new(example("consumer"))
        .args([&broker.address.to_string(), "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = run("producer", &broker, &[], "one\ntwo\n\nthree\n");
    assert!(said.starts_with("4 records") && said.contains("from offset 0 on"), "{said}");
    let mut lines = [0; 15];
    follower.stdout.as_mut().unwrap().read_exact(&mut lines).unwrap();
    assert_eq!(&lines, b"one\ntwo\n\nthree\n");
    run("producer", &broker, &["--count", "5000", "--size", "100B", "--batch", "100"], "");
    let all = run("consumer", &broker, &["--from", "start"], "");
    assert_eq!(all.lines().count(), 5004);
    assert!(all.starts_with("one\ntwo\n\nthree\nrecord 0 ..."));
    let said = run("consumer", &broker, &["--from", "4", "--verify"], "");
    assert_eq!(said, "5000 records are as they were written; the next one is 5004\n");
    assert_eq!(run("consumer", &broker, &["--from", "end"], ""), "");

    let refused = output("consumer", &broker, &["--from", "6000"], "");
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && why.contains("from offset 0 to 5004"), "{why}");

    let second = Command::new(example("broker")).arg(&log).output().unwrap();
    let why = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success() && why.contains("another process has the log"), "{why}");
    follower.kill().unwrap();
    follower.wait().unwrap();
    broker.stop();

    let broker = Broker::start(&[], &log, &["--check-all"]);
    assert!(broker.said.contains("5004 records"), "{}", broker.said);
    broker.stop();
}

#[test]
fn one_receive_and_one_or_two_sends_for_a_fetch() {
    let folder = folder();
    let (log, trace) = (folder.path().join("log"), folder.path().join("trace"));
    let tried = Command::new("strace").arg("-o").arg(&trace).arg("true").output();
    if !tried.as_ref().is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: strace does not work here: {tried:?}");
    }
    let name = trace.to_str().unwrap();
    let broker = Broker::start(&["strace", "-f", "-y", "-qq", "-o", name], &log, &[]);
    let mut client = Client::connect(broker.address).unwrap();
    let lengthy = vec![7; 100_000];
    client.append([&lengthy[..]]).unwrap();
    client.append([&b"a short one"[..]]).unwrap();
    let read_before = broker.read_from_disk();
    for _ in 0..20 {
        assert_eq!(client.fetch(0, 1000, Duration::ZERO).unwrap().next, 1);
    }
    for _ in 0..20 {
        assert_eq!(client.fetch(1, 1000, Duration::ZERO).unwrap().next, 2);
    }
    assert_eq!(broker.read_from_disk(), read_before, "nothing was read from the disk");
    broker.stop();

    let trace = fs::read_to_string(&trace).unwrap();
    let lines: Vec<_> = trace.lines().filter(|line| !line.contains("resumed>")).collect();
    let count = |call: &str, with: &str| {
        let call = format!(" {call}(");
        lines.iter().filter(|line| line.contains(&call) && line.contains(with)).count()
    };
    // The long ones: a head that says that more follows, and the range straight from the segment.
    assert_eq!(count("sendfile", "00000000000000000000.log>"), 20);
    assert_eq!(count("sendto", "MSG_MORE"), 20);
    // The short ones by a call each, from memory; and the answers to two appends. No page was read for them.
    // (A signal is a byte that the runtime sends to itself.)
    let all = count("sendto", "MSG_NOSIGNAL") - count("sendto", r#""\1", 1"#);
    let plain = all - count("sendto", "MSG_MORE");
    assert_eq!(plain, 20 + 2, "{trace}");
    assert_eq!(count("preadv2", "") + count("pread64", "log>"), 20, "a look for each long one");
}

/// Whoever is far behind makes the disk read each byte once, though each fetch knows its own range alone; and leaves nothing in the page cache.
#[test]
fn one_that_lags_reads_each_byte_once() {
    let folder = folder();
    let log = folder.path().join("log");
    let filled = Options { segment_bytes: 32 << 20, ..Options::default() };
    let written = Log::open(&log, filled).unwrap();
    let record = vec![7; 1000];
    while written.end() < 66_000 {
        written.append((0..100).map(|_| &record[..])).unwrap();
    }
    drop(written);
    let broker = Broker::start(&[], &log, &["--drop-behind", "on"]);
    let (first, len) = (&segments(&log)[0], segments(&log)[0].metadata().unwrap().len());
    let file = File::open(first).unwrap();
    file.sync_all().unwrap();
    fadvise(file.as_fd(), 0, 0, Advice::DontNeed).unwrap();
    let resident = || cachestat(file.as_fd(), 0, 0).map(|stat| stat.cached * 4096).ok();
    if resident() != Some(0) {
        return eprintln!(
            "skipped: this file system keeps its pages, or does not tell: {:?}",
            resident()
        );
    }
    let before = broker.read_from_disk().unwrap();
    let mut client = Client::connect(broker.address).unwrap();
    let mut next = 0;
    let end = segments(&log)[1].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    while next < end {
        let batch = client.fetch(next, 1 << 20, Duration::ZERO).unwrap();
        next = batch.next;
        // As one that makes something of it: what has been read ahead has the time to be thrown away.
        std::thread::sleep(Duration::from_millis(10));
    }
    let read = broker.read_from_disk().unwrap() - before;
    // Where the bytes lie is read as well. What has been read ahead may be taken by whoever needs the memory before it is sent, so
    // not to the byte; where each fetch surveys for itself it is three times as much.
    assert!((len..2 * len).contains(&read), "{read} bytes of {len}");
    drop(client);
    for _ in 0..200 {
        if resident().unwrap() < 1 << 20 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(resident().unwrap() < 1 << 20, "{} bytes are left of {len}", resident().unwrap());
    broker.stop();
}

#[test]
fn the_options_that_make_no_sense() {
    let folder = folder();
    for options in
        [&["--segment-bytes", "0"][..], &["--segment-bytes", "3GiB"], &["--listen", "nowhere"]]
    {
        let output =
            Command::new(example("broker")).arg(folder.path()).args(options).output().unwrap();
        let why = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && why.starts_with("broker: "), "{why}");
    }
}
