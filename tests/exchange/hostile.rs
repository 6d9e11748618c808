//! Strangers: a sender and a receiver that say what no sendrail says.

use super::*;
use serde_json::{Value, json};
use std::{
    io::Read,
    net::{Shutdown, TcpStream},
};

/// One side of the protocol, by hand.
pub(super) struct Stranger(pub(super) TcpStream);

impl Stranger {
    /// Connects to a receiver, and greets as a sender does.
    pub(super) fn sender(to: SocketAddr) -> Self {
        Self::greets(TcpStream::connect(to).unwrap(), "send")
    }

    fn greets(stream: TcpStream, role: &str) -> Self {
        stream.set_read_timeout(Some(std::time::Duration::from_mins(1))).unwrap();
        let mut stranger = Self(stream);
        stranger.0.write_all(b"SENDRAIL EXCHANGE 1\n").unwrap();
        stranger.say(&json!({"type": "hello", "role": role, "program": "x", "checksum": false}));
        let mut preamble = [0; 20];
        stranger.0.read_exact(&mut preamble).unwrap();
        assert_eq!(&preamble, b"SENDRAIL EXCHANGE 1\n");
        assert_eq!(stranger.hear()["type"], "hello");
        stranger
    }

    pub(super) fn say(&mut self, message: &Value) {
        let body = message.to_string();
        self.bytes(&(body.len() as u32).to_be_bytes());
        self.bytes(body.as_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes); // it may have heard enough
    }

    pub(super) fn hear(&mut self) -> Value {
        let mut head = [0; 4];
        self.0.read_exact(&mut head).unwrap();
        let mut body = vec![0; u32::from_be_bytes(head) as usize];
        self.0.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    pub(super) fn offer(&mut self, name: impl Into<Value>, kind: &str, size: Option<u64>) -> Value {
        let name = name.into();
        self.say(&json!({"type": "offer", "files": [{"name": name, "kind": kind, "size": size}]}));
        self.hear()
    }

    /// What is sent of a file: a chunk, and the end.
    fn content(&mut self, content: &[u8]) {
        self.bytes(&(content.len() as u32).to_be_bytes());
        self.bytes(content);
        self.bytes(&[0; 4]);
        self.say(&json!({"type": "end", "blake3": null}));
    }
}

#[test]
fn names_that_lead_out_are_refused() {
    let (outer, long) = (Tree::new(), "x".repeat(300));
    let target = outer.path().join("in");
    fs::create_dir(&target).unwrap();
    let outside = outer.path().join("outside");
    let receiver = Waiting::recv([&target]);
    let mut stranger = Stranger::sender(receiver.address);
    let names = [
        json!("../x"),
        json!("a/../../x"),
        json!(outside.to_str().unwrap()),
        json!("/etc/sendrail-was-here"),
        json!(".."),
        json!("."),
        json!(""),
        json!("a//b"),
        json!("a\u{0}b"),
        json!([46, 46, 47, 120]),
        json!(long),
        json!("a/".repeat(1000)),
    ];
    for name in &names {
        for (kind, size) in [("file", Some(1)), ("directory", None), ("stream", None)] {
            let have = stranger.offer(name.clone(), kind, size);
            assert!(have["files"][0]["refused"].is_object(), "{name} {kind}: {have}");
        }
    }
    stranger.say(&json!({"type": "done"}));
    assert_eq!(stranger.hear()["type"], "done");
    let (code, heard) = receiver.end();
    assert_eq!(code, Some(1), "{heard}");
    assert!(!heard.contains('\0'), "{heard}");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
}

#[test]
fn links_in_the_way_are_not_followed() {
    let outer = Tree::new();
    let secret = outer.file("secret", "secret");
    fs::create_dir(outer.path().join("elsewhere")).unwrap();
    let target = outer.path().join("in");
    fs::create_dir(&target).unwrap();
    for (name, to) in [
        ("in/folder", "../elsewhere"),
        ("in/absolute", "/tmp"),
        ("in/file", "../secret"),
        ("in/begun.part", "../secret"),
        ("in/inside", "."),
        ("in/dangling.part", "../new"),
    ] {
        outer.link(name, to);
    }
    outer.file("in/plain", "x");
    fs::create_dir(target.join("directory")).unwrap();
    let receiver = Waiting::recv([&target]);
    let mut stranger = Stranger::sender(receiver.address);
    for name in [
        "folder/x",
        "absolute/x",
        "file",
        "begun",
        "inside/x",
        "inside/directory/x", // which is beneath, but through a link
        "dangling",
        "plain/x",
        "directory",
    ] {
        let have = stranger.offer(name, "file", Some(6));
        assert!(have["files"][0]["refused"].is_object(), "{name}: {have}");
    }
    for name in ["folder", "inside", "inside/directory", "folder/new", "plain"] {
        let have = stranger.offer(name, "directory", None);
        assert!(have["files"][0]["refused"].is_object(), "{name}: {have}");
    }
    // One that comes between the look and the making.
    stranger.offer("late/x", "file", Some(1));
    outer.link("in/late", "../elsewhere");
    stranger.say(&json!({"type": "begin", "from": 0}));
    stranger.content(b"x");
    let told = stranger.hear();
    assert_eq!(told["type"], "failed", "{told}");
    drop(stranger);
    assert_eq!(receiver.end().0, Some(1));
    assert_eq!(fs::read(secret).unwrap(), b"secret");
    assert_eq!(fs::read_dir(outer.path().join("elsewhere")).unwrap().count(), 0);
    assert!(!outer.path().join("new").exists());
}

#[test]
fn a_partial_file_that_somebody_else_made_is_left_alone() {
    let outer = Tree::new();
    let theirs = outer.file("theirs", "two names");
    fs::create_dir(outer.path().join("in")).unwrap();
    fs::hard_link(&theirs, outer.path().join("in/file.part")).unwrap();
    let receiver = Waiting::recv([outer.path().join("in")]);
    let mut stranger = Stranger::sender(receiver.address);
    let have = stranger.offer("file", "file", Some(100));
    assert!(have["files"][0]["refused"].is_object(), "{have}");
    drop(stranger);
    receiver.end();
    assert_eq!(fs::read(theirs).unwrap(), b"two names");
}

/// What is nonsense in the middle: the receiver says so, and ends with the code of a connection that can be made anew.
#[test]
fn nonsense_is_told_and_nothing_has_a_name() {
    type Says = fn(&mut Stranger);
    let cases: [(&str, Says); 9] = [
        ("bytes that are no message", |it| it.bytes(b"\0\0\0\x05hello")),
        ("a message as long as memory", |it| it.bytes(&[0xff; 64])),
        ("a file that was not offered", |it| it.say(&json!({"type": "begin", "from": 0}))),
        ("another greeting", |it| it.say(&json!({"type": "hello", "role": "send", "program": ""}))),
        ("more than was said", |it| {
            it.offer("file", "file", Some(3));
            it.say(&json!({"type": "begin", "from": 0}));
            it.content(b"1234");
        }),
        ("less than was said", |it| {
            it.offer("file", "file", Some(3));
            it.say(&json!({"type": "begin", "from": 0}));
            it.content(b"12");
        }),
        ("going on where nothing is", |it| {
            it.offer("file", "file", Some(3));
            it.say(&json!({"type": "begin", "from": 2}));
            it.content(b"3");
        }),
        ("a chunk of four gigabytes", |it| {
            it.offer("file", "stream", None);
            it.say(&json!({"type": "begin", "from": 0}));
            it.bytes(&[0xff; 4]);
        }),
        ("an end before all is there", |it| {
            it.offer("file", "file", Some(3));
            it.say(&json!({"type": "done"}));
        }),
    ];
    for (what, says) in cases {
        let to = Tree::new();
        let receiver = Waiting::recv([to.path()]);
        let mut stranger = Stranger::sender(receiver.address);
        says(&mut stranger);
        let told = stranger.hear();
        assert_eq!(told["type"], "failed", "{what}: {told}");
        assert_eq!(told["again"], true, "{what}: {told}");
        stranger.0.shutdown(Shutdown::Write).unwrap();
        let (code, heard) = receiver.end();
        assert_eq!(code, Some(2), "{what}: {heard}");
        assert!(heard.contains("nonsense"), "{what}: {heard}");
        assert!(!to.path().join("file").exists(), "{what}");
    }
}

#[test]
fn others_that_speak_are_told_apart() {
    let to = Tree::new();
    for (says, hears) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], "no sendrail"),
        (b"SENDRAIL EXCHANGE 2\n{}", "version 2"),
        (b"SENDRAIL EXCHANGE 1\n\0\0\0\x02{}", "nonsense"),
        (b"", "closed the connection"),
    ] {
        let receiver = Waiting::recv([to.path()]);
        let mut stream = TcpStream::connect(receiver.address).unwrap();
        stream.write_all(says).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let (code, heard) = receiver.end();
        assert_eq!(code, Some(2), "{heard}");
        assert!(heard.contains(hears), "{heard}");
    }
    // Two of a kind.
    let receiver = Waiting::recv([to.path()]);
    let output = exchange("recv", ["--connect", &receiver.address.to_string()]).output().unwrap();
    assert_eq!((output.status.code(), receiver.end().0), (Some(2), Some(2)));
    assert!(said(&output).contains("both sides want to receive"), "{}", said(&output));
}

#[test]
fn what_a_stranger_writes_does_not_move_the_cursor() {
    let tree = Tree::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let theirs = std::thread::spawn(move || {
        let mut stranger = Stranger::greets(listener.accept().unwrap().0, "receive");
        assert_eq!(stranger.hear()["type"], "offer");
        let long = "\u{1b}[2J".repeat(500);
        stranger.say(&json!({"type": "failed", "message": long}));
    });
    let output = send(address, [tree.file("file", "x")]);
    theirs.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(said.contains("the other side says") && !said.contains('\u{1b}'), "{said}");
    assert!(said.len() < 4000, "{} bytes", said.len());
}
