//! Files that change while they are being sent: each download is of one version, as far as was asked for.

mod copied;
mod snapshots;
mod versions;

use crate::harness::{Connection, Response};
use std::time::Duration;
use versions::Versions;

const METHODS: [&str; 7] = ["auto", "copy", "uncached", "mapped", "direct", "sendfile", "splice"];

/// More than sockets and pipes can hold, so that a client that does not read stops the sender.
const LEN: usize = 16 << 20;

/// The one version that all of these bytes are of.
#[track_caller]
fn version_of(bytes: &[u8], context: &str) -> u8 {
    let one = bytes == vec![bytes[0]; bytes.len()]; // a loop over so many takes long in a debug build
    assert!(one, "{context}: bytes of more than one version, of {}", bytes.len());
    bytes[0]
}

/// Takes the beginning of a body, waits until there are two more versions of the file, and takes the rest.
fn download_across_versions(connection: &mut Connection, versions: &Versions) -> Vec<u8> {
    let head: Response = connection.begin("/a.bin");
    assert_eq!(head.field("Content-Length"), Some(LEN.to_string().as_str()));
    let mut body = connection.take(100_000);
    versions.wait_for_more(2);
    body.append(&mut connection.take(LEN - body.len()));
    body
}

/// Longer than a tick of any kernel's clock: what comes after it bears another time.
const TICK: Duration = Duration::from_millis(30);
