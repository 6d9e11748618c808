//! Connections that break: nothing half has a name, and what has arrived is not sent again.

use super::*;
use rustix::process::{Pid, Signal, kill_process};

const SIZE: usize = 60_000_000;
const AFTER: u64 = 20_000_000;

/// A large file, and the first try, which breaks in the middle. What the receiver said.
fn first_try(from: &Tree, to: &Tree) -> (PathBuf, String) {
    let path = from.aged("large", bytes(SIZE));
    let receiver = Waiting::recv([to.path()]);
    let between = Between::new(receiver.address, Meddle::Cut(AFTER));
    let output = send(between.address, [&path]);
    between.end();
    let (code, heard) = receiver.end();
    assert_eq!((output.status.code(), code), (Some(2), Some(2)), "{}{heard}", said(&output));
    assert!(!to.path().join("large").exists(), "it is not whole");
    (path, heard)
}

/// How many bytes the sender says it sent.
fn bytes_sent(said: &str) -> u64 {
    let (_, rest) = said.split_once("sent 1 file, ").unwrap_or_else(|| panic!("{said}"));
    rest.split_once(" bytes").unwrap().0.parse().unwrap()
}

#[test]
fn only_the_rest_is_sent_again() {
    let (from, to) = (Tree::new(), Tree::new());
    let (path, heard) = first_try(&from, &to);
    assert!(heard.contains("large.part is kept: start both sides again"), "{heard}");
    let there = fs::metadata(to.path().join("large.part")).unwrap().len();
    assert!(there > 0 && there <= AFTER, "{there}");
    let (sent, _) = arrives(&[&path], to.path());
    assert_eq!(bytes_sent(&sent), SIZE as u64 - there);
    assert!(sent.contains(&format!("{there} bytes had been there before")), "{sent}");
    assert_same(from.path(), to.path());
}

#[test]
fn without_checksums_what_is_there_is_compared_all_the_same() {
    let (from, to) = (Tree::new(), Tree::new());
    let (path, _) = first_try(&from, &to);
    let part = to.path().join("large.part");
    let there = fs::metadata(&part).unwrap().len();
    let mut content = fs::read(&part).unwrap();
    content[1000] ^= 1;
    fs::write(&part, content).unwrap();
    let receiver = Waiting::recv([to.path()]);
    let output = send(receiver.address, [path.as_os_str(), OsStr::new("--no-checksum")]);
    assert_eq!(receiver.end().0, Some(0));
    assert_eq!(bytes_sent(&said(&output)), SIZE as u64, "{there} bytes were of another file");
    assert_same(from.path(), to.path());
}

#[test]
fn a_file_that_has_changed_meanwhile_is_sent_anew() {
    let (from, to) = (Tree::new(), Tree::new());
    let (path, _) = first_try(&from, &to);
    let mut other = bytes(SIZE);
    other[0] ^= 1;
    fs::write(&path, &other).unwrap();
    let (sent, _) = arrives(&[&path], to.path());
    assert_eq!(bytes_sent(&sent), SIZE as u64);
    assert_same(from.path(), to.path());

    // And one that is shorter than what is there.
    let to = Tree::new();
    let (path, _) = first_try(&from, &to);
    fs::write(&path, b"short").unwrap();
    arrives(&[&path], to.path());
    assert_same(from.path(), to.path());
}

#[test]
fn a_sender_that_is_killed_leaves_the_beginning() {
    let (from, to) = (Tree::new(), Tree::new());
    let path = from.aged("large", bytes(SIZE));
    let receiver = Waiting::recv([to.path()]);
    let between = Between::new(receiver.address, Meddle::Hold(AFTER));
    let mut sender = exchange("send", [&between.address.to_string()])
        .arg(&path)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    between.wait_until_held();
    sender.kill().unwrap();
    sender.wait().unwrap();
    between.go_on();
    between.end();
    let (code, heard) = receiver.end();
    assert_eq!(code, Some(2), "{heard}");
    assert!(!to.path().join("large").exists() && to.path().join("large.part").exists());
    let (sent, _) = arrives(&[&path], to.path());
    assert!(bytes_sent(&sent) <= SIZE as u64 - AFTER, "{sent}");
    assert_same(from.path(), to.path());
}

#[test]
fn who_interrupts_the_receiver_is_told_how_to_go_on() {
    let (from, to) = (Tree::new(), Tree::new());
    let path = from.aged("large", bytes(SIZE));
    let receiver = Waiting::recv([to.path()]);
    let between = Between::new(receiver.address, Meddle::Hold(AFTER));
    let sender = exchange("send", [&between.address.to_string()])
        .arg(&path)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    between.wait_until_held();
    let pid = Pid::from_raw(receiver.child.id().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let (code, heard) = receiver.end();
    assert_eq!(code, Some(130), "{heard}");
    assert!(heard.contains("large.part is kept"), "{heard}");
    between.go_on();
    between.end();
    let output = sender.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    arrives(&[&path], to.path());
    assert_same(from.path(), to.path());
}

#[test]
fn what_arrived_before_the_break_is_not_sent_again() {
    let (from, to) = (Tree::new(), Tree::new());
    for at in 0..10 {
        from.aged(&format!("tree/{at}"), bytes(1_000_000 + at));
    }
    let receiver = Waiting::recv([to.path()]);
    let between = Between::new(receiver.address, Meddle::Cut(5_500_000));
    send(between.address, [from.path().join("tree")]);
    between.end();
    receiver.end();
    let there = fs::read_dir(to.path().join("tree")).unwrap().count();
    assert!((2..10).contains(&there), "{there} are there");
    let (sent, _) = arrives(&[&from.path().join("tree")], to.path());
    assert!(sent.contains("sent 10 files") && sent.contains("had been there before"), "{sent}");
    assert_same(from.path(), to.path());
}

#[test]
fn a_byte_that_was_changed_on_the_way_is_seen() {
    let (from, to) = (Tree::new(), Tree::new());
    let path = from.aged("file", bytes(3_000_000));
    let small = from.aged("small", bytes(10));
    let old = to.file("file", "what was there before");
    let receiver = Waiting::recv([to.path()]);
    let between = Between::new(receiver.address, Meddle::Flip(1_000_000));
    let output = send(between.address, [&path, &small]);
    between.end();
    let (code, heard) = receiver.end();
    assert_eq!((output.status.code(), code), (Some(3), Some(3)), "{}{heard}", said(&output));
    assert!(said(&output).contains("another checksum"), "{}", said(&output));
    assert!(heard.contains("the checksum differs"), "{heard}");
    assert_eq!(fs::read(old).unwrap(), b"what was there before");
    assert!(!to.path().join("file.part").exists(), "there is nothing to go on with");
    assert_eq!(fs::read(to.path().join("small")).unwrap(), bytes(10), "the others arrive");
}

#[test]
fn nobody_there_can_be_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    drop(listener);
    let tree = Tree::new();
    let output = send(address, [tree.file("file", "x")]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("cannot connect"), "{}", said(&output));
}
