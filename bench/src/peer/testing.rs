//! What every peer's test does: start it if it is installed, ask it once, and see it stopped.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Peer;
use crate::interrupt::Interrupt;
use crate::pin::Place;
use crate::root::Ground;

/// Where servers built for the comparison are.
pub(super) fn built() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/bin")
}

/// The same with a file that is sent to it.
pub(super) fn starts_takes_and_stops(peer: &dyn Peer) {
    if let Err(why) = peer.version() {
        eprintln!("skipped: {why:#}");
        return;
    }
    let Ok(ground) = Ground::prepare(None) else {
        eprintln!("skipped: no real file system for temporary files here");
        return;
    };
    let place = ground.root().join("in");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, Permissions::from_mode(0o777)).unwrap();
    let server = peer.start(&ground, Place::on_its_core(), &Interrupt::default()).unwrap();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let bytes: Vec<u8> = (0..3_000_001_u32).map(|number| (number * 7) as u8).collect();
    let head = "PUT /in/a.bin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000001\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&bytes).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(fs::read(place.join("a.bin")).unwrap() == bytes, "other bytes");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 1, "nothing but the file");
}

pub(super) fn starts_answers_and_stops(peer: &dyn Peer) {
    let version = match peer.version() {
        Ok(version) => version,
        Err(why) => {
            eprintln!("skipped: {why:#}");
            return;
        }
    };
    let Ok(ground) = Ground::prepare(None) else {
        eprintln!("skipped: no real file system for temporary files here");
        return;
    };
    assert!(version.contains(|c: char| c.is_ascii_digit()), "{version}");
    let bytes: Vec<u8> = (0..1024u32).map(|number| number as u8).collect();
    let path = ground.root().join("1k.bin");
    fs::write(&path, &bytes).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap(); // whatever the umask
    let server = peer.start(&ground, Place::on_its_core(), &Interrupt::default()).unwrap();

    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = b"GET /1k.bin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(head.contains("\r\ncontent-length: 1024\r\n"), "{head}");
    assert!(answer[end..] == bytes, "{version} sends other bytes");

    let address = server.address;
    drop(server);
    assert!(TcpStream::connect(address).is_err(), "{version} still listens on {address}");
}
