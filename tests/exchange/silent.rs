//! Peers that are slow, and peers that say nothing: the one is waited for, the other not for ever.

use super::{hostile::Stranger, *};
use serde_json::json;
use std::{net::TcpStream, thread::sleep, time::Duration};

/// One after the other is silent at another place; in between, somebody is served.
#[test]
fn who_says_nothing_holds_up_the_next_sender_for_a_while_only() {
    type Stops = fn(SocketAddr) -> TcpStream;
    let stops: [(&str, Stops); 5] = [
        ("before the greeting", |to| TcpStream::connect(to).unwrap()),
        ("within the greeting", |to| {
            let mut stream = TcpStream::connect(to).unwrap();
            stream.write_all(b"SENDRAIL EXCH").unwrap();
            stream
        }),
        ("after the greeting", |to| Stranger::sender(to).0),
        ("before a chunk", |to| {
            let mut stranger = Stranger::sender(to);
            stranger.offer("never", "file", Some(1000));
            stranger.say(&json!({"type": "begin", "from": 0}));
            stranger.0
        }),
        ("within a chunk", |to| {
            let mut stranger = Stranger::sender(to);
            stranger.offer("never", "file", Some(10_000_000));
            stranger.say(&json!({"type": "begin", "from": 0}));
            stranger.bytes(&10_000_000_u32.to_be_bytes());
            stranger.bytes(&vec![7; 1_000_000]);
            stranger.0
        }),
    ];
    let (from, to) = (Tree::new(), Tree::new());
    let receiver = Waiting::recv(
        ["--keep", "--timeout", "1"].iter().map(OsStr::new).chain([to.path().as_os_str()]),
    );
    for (at, (what, stop)) in stops.into_iter().enumerate() {
        let silent = stop(receiver.address);
        let name = at.to_string();
        let output = send(receiver.address, [from.file(&name, &name)]);
        assert!(output.status.success(), "{what}: {}", said(&output));
        assert_eq!(fs::read(to.path().join(&name)).unwrap(), name.as_bytes(), "{what}");
        drop(silent);
    }
    assert!(!to.path().join("never").exists());
}

#[test]
fn who_is_given_up_can_go_on_where_it_was() {
    let (from, to) = (Tree::new(), Tree::new());
    let path = from.file("file", bytes(3_000_000));
    let receiver =
        Waiting::recv(["--timeout", "1"].iter().map(OsStr::new).chain([to.path().as_os_str()]));
    let between = Between::new(receiver.address, Meddle::Hold(1_000_000));
    let mut command = exchange("send", [between.address.to_string()]);
    let mut sender = command.arg(&path).stderr(Stdio::null()).spawn().unwrap();
    let (code, heard) = receiver.end();
    assert_eq!(code, Some(2), "{heard}");
    assert!(
        heard.contains("has said nothing for 1 s") && heard.contains(".part is kept"),
        "{heard}"
    );
    between.go_on();
    assert_eq!(sender.wait().unwrap().code(), Some(2));
    let (sent, _) = arrives(&[&path], to.path());
    assert!(sent.contains("bytes had been there before"), "{sent}");
    assert_same(from.path(), to.path());
}

/// Whoever only says that it is busy is not silent.
#[test]
fn who_is_busy_is_waited_for() {
    let to = Tree::new();
    let receiver =
        Waiting::recv(["--timeout", "2"].iter().map(OsStr::new).chain([to.path().as_os_str()]));
    let mut stranger = Stranger::sender(receiver.address);
    let wait = || sleep(Duration::from_millis(900));
    for _ in 0..3 {
        wait();
        stranger.say(&json!({"type": "busy"}));
    }
    stranger.offer("file", "stream", None);
    stranger.say(&json!({"type": "begin", "from": 0}));
    for _ in 0..3 {
        wait();
        stranger.bytes(&[0x80, 0, 0, 0]);
    }
    stranger.bytes(b"\0\0\0\x03abc\0\0\0\0");
    stranger.say(&json!({"type": "end", "blake3": null}));
    assert_eq!(stranger.hear()["outcome"], "arrived");
    stranger.say(&json!({"type": "done"}));
    assert_eq!(stranger.hear()["type"], "done");
    assert_eq!(receiver.end().0, Some(0));
    assert_eq!(fs::read(to.path().join("file")).unwrap(), b"abc");
}

/// A sender that sends packet by packet is not answered packet by packet.
#[test]
fn many_packets_are_taken_at_once() {
    const PACKET: usize = 16 << 10;
    const PACKETS: usize = 512;
    let to = Tree::new();
    let receiver = Waiting::recv([to.path()]);
    let mut stranger = Stranger::sender(receiver.address);
    let size = (PACKET * PACKETS) as u64;
    stranger.offer("file", "file", Some(size));
    stranger.say(&json!({"type": "begin", "from": 0}));
    stranger.bytes(&(size as u32).to_be_bytes());
    let content = bytes(PACKET * PACKETS);
    for packet in content.chunks(PACKET) {
        stranger.bytes(packet);
        sleep(Duration::from_micros(200));
    }
    stranger.bytes(&[0; 4]);
    stranger.say(&json!({"type": "end", "blake3": null}));
    assert_eq!(stranger.hear()["outcome"], "arrived");
    stranger.say(&json!({"type": "done"}));
    stranger.hear();
    let (code, heard) = receiver.end();
    assert_eq!(code, Some(0), "{heard}");
    assert!(fs::read(to.path().join("file")).unwrap() == content);
    let calls = heard.split("calls=").nth(1).and_then(|rest| rest.split(' ').next());
    let calls: usize = calls.and_then(|count| count.parse().ok()).unwrap();
    assert!(calls < PACKETS, "{calls} calls for {PACKETS} packets: {heard}");
}
