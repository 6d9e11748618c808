//! `kill -9` at any moment: what was acknowledged is there, nothing half-written is seen, and resuming works.

use super::{OPEN, client::Resumable, content};
use crate::harness::{Connection, Server, Tree};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// In all, over both tests, more than a hundred.
const KILLS: usize = 60;

/// A server on a port of its own choosing, which is killed and started again.
fn start(tree: &Tree) -> Server {
    let mut command = Server::command();
    command.arg("serve").arg(tree.path()).args(["--listen", "127.0.0.1:0", "--workers", "1"]);
    command.args(OPEN).args(["--upload-sync", "off"]); // a kill is no power failure
    Server::spawn(command)
}

fn kill(mut server: Server) {
    server.child.kill().unwrap();
    server.child.wait().unwrap();
}

/// Not a multiple of anything, and different each time.
fn moment(round: usize) -> Duration {
    Duration::from_micros((round as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 49) // up to 32 ms
}

#[test]
fn a_plain_one_is_there_whole_or_as_before() {
    let tree = Tree::new();
    let bodies: Vec<Vec<u8>> = (0..2_u8)
        .map(|number| content(9_000_001).iter().map(|byte| byte ^ number).collect())
        .collect();
    tree.file("a.bin", &bodies[0]);
    let mut acknowledged = 0;
    for round in 0..KILLS {
        let server = start(&tree);
        let body = bodies[(round + 1) % 2].clone();
        let mut stream = TcpStream::connect(server.address).unwrap();
        let sender = std::thread::spawn(move || {
            let head =
                format!("PUT /a.bin HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).is_ok_and(|()| &answer == b"HTTP/1.1 204")
        });
        std::thread::sleep(moment(round));
        kill(server);
        let there = fs::read(tree.path().join("a.bin")).unwrap();
        assert!(bodies.contains(&there), "round {round}: half of it is seen");
        if sender.join().unwrap() {
            acknowledged += 1;
            assert!(there == bodies[(round + 1) % 2], "round {round}: it was acknowledged");
        }
    }
    println!("{acknowledged} of {KILLS} had been acknowledged");
    drop(start(&tree));
    assert_eq!(super::names(tree.path()), ["a.bin"], "nothing is left lying about");
}

#[test]
fn a_resumable_one_is_gone_on_with_until_it_is_whole() {
    let tree = Tree::new();
    let body = content(40_000_003);
    let mut server = start(&tree);
    let mut upload = Resumable::create(&server, "/b.bin", "");
    let (mut kills, mut whole, mut known) = (0, 0, 0);
    while kills < KILLS {
        let standing = upload.standing(&server);
        assert!(standing.offset >= known, "{} of {known} acknowledged bytes", standing.offset);
        known = standing.offset;
        if standing.complete {
            assert!(fs::read(tree.path().join("b.bin")).unwrap() == body, "after {kills} kills");
            whole += 1;
            fs::remove_file(tree.path().join("b.bin")).unwrap();
            upload = Resumable::create(&server, "/b.bin", "");
            known = 0;
            continue;
        }
        assert!(!tree.path().join("b.bin").exists(), "it is seen before it is whole");
        let mut connection = Connection::of(TcpStream::connect(server.address).unwrap());
        upload.begin_append(&mut connection, known, body.len() - known as usize, true);
        let rest = body[known as usize..].to_vec();
        let mut stream = connection.stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || drop(stream.write_all(&rest)));
        std::thread::sleep(moment(kills) * 2);
        kill(server);
        sender.join().unwrap();
        kills += 1;
        server = start(&tree);
    }
    println!("{whole} were whole in {kills} kills");
    // It may have become whole by the last kill.
    assert!(matches!(upload.cancel(&server).status, 204 | 409));
}
