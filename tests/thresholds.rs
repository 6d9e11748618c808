//! Thresholds that are set: how far behind a transfer its pages stay, and how many direct reads are under way.

use crate::harness::{Server, Tree, bytes, eventually_or, evict, process};
use sendrail_sys::cachestat::cachestat;
use std::{fs::File, os::fd::AsFd, path::Path};

const MIB: u64 = 1 << 20;

/// Bytes of the first `len` of a file that are in the page cache; `None` before Linux 6.5.
fn resident(path: &Path, len: u64) -> Option<u64> {
    let file = File::open(path).unwrap();
    Some(cachestat(file.as_fd(), 0, len).ok()?.cached * 4096)
}

/// Memory of the machine in bytes.
fn memory() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn as_much_stays_behind_a_transfer_as_was_asked_for() {
    // What is left is more than sockets hold: the transfer has not ended, and given everything back.
    const LEN: u64 = 64 * MIB;
    const READ: u64 = 26 * MIB;
    if memory() < 2 << 30 {
        eprintln!("skipped: in less than 2 GiB of memory the lag is smaller");
        return;
    }
    for (lag, stays) in [("2m", false), ("64m", true)] {
        let tree = Tree::new();
        let path = tree.file("a.bin", bytes(LEN as usize));
        evict(&path);
        if resident(&path, LEN) != Some(0) {
            eprintln!("skipped: nobody can say here that a file is not resident");
            return;
        }
        let options = ["--drop-behind", "on", "--drop-behind-lag", lag];
        let server = Server::start(&tree, &options);
        let mut client = server.connect_narrow();
        client.begin("/a.bin");
        assert_eq!(client.discard(READ), READ);
        let behind = || resident(&path, 4 * MIB).unwrap();
        if stays {
            assert_eq!(behind(), 4 * MIB, "given back within {lag}");
        } else {
            let what = || format!("{} bytes stay behind with {lag}", behind());
            // Packets that have been read may hold some pages a while longer, until more are sent (skb_defer_max).
            eventually_or(|| behind() < MIB, what);
        }
        client.discard(LEN - READ);
    }
}

#[test]
fn a_ring_keeps_as_many_reads_going_as_were_asked_for() {
    let tree = Tree::new();
    let content = bytes(12 << 20);
    tree.file("a.bin", &content);
    for depth in ["1", "8", "16", "64"] {
        let server = Server::start(&tree, &["--method", "direct", "--ring-depth", depth]);
        let mut client = server.connect_narrow();
        client.begin("/a.bin");
        let mut body = client.take(100_000);
        let pid = server.child.id();
        if !process::descriptors(pid).iter().any(|name| name == "anon_inode:[io_uring]") {
            eprintln!("skipped: no direct reads by io_uring here");
            return;
        }
        // One buffer for each read, which the kernel holds as long as there is the ring.
        let buffers = process::pinned_memory(pid) / (512 << 10);
        assert_eq!(buffers.to_string(), depth);
        body.append(&mut client.take(content.len() - body.len()));
        assert!(body == content, "the bytes differ");
    }
}
