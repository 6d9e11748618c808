//! What is seen from outside: by people, by strace(1), and in the page cache.

use super::*;
use crate::harness::{build_folder, eventually, evict, terminal::on_terminal};
use sendrail_sys::{FileSystem, file_system, resident_pages};
use std::{os::fd::AsFd, process::Command};

#[test]
fn progress_is_for_terminals_and_for_those_who_want_it() {
    let (from, to) = (Tree::new(), Tree::new());
    let path = from.file("a-large-file", bytes(100_000_000));
    let run = |quiet: &[&str]| {
        let to = Tree::new();
        let receiver = Waiting::recv([to.path()]);
        let mut command = exchange("send", quiet);
        command.arg(receiver.address.to_string()).arg(&path).env("TERM", "xterm");
        let (status, seen) = on_terminal(command, 100, 24);
        assert!(status.success(), "{seen}");
        assert_eq!(receiver.end().0, Some(0));
        seen
    };
    let seen = run(&[]);
    assert!(seen.contains("95.37 MiB") && seen.contains("a-large-file"), "{seen}");
    assert!(seen.lines().any(|line| line.contains("sent 1 file, 100000000 bytes in")), "{seen}");
    assert_eq!(run(&["--quiet"]), "");
    let (sent, heard) = arrives(&[&path], to.path());
    assert_eq!((sent.lines().count(), heard.lines().count()), (1, 1), "{sent}{heard}");
}

#[test]
fn the_bytes_of_files_leave_and_arrive_without_a_copy() {
    if !has("strace") {
        return;
    }
    let (from, to) = (Tree::new(), Tree::new());
    let path = from.file("large", bytes(8 << 20));
    let small = from.file("small", bytes(50_000));
    let receiver = Waiting::recv([to.path()]);
    let trace = build_folder().join(format!("send-{}.trace", std::process::id()));
    let command = exchange("send", [&receiver.address.to_string()]);
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&trace)
        .args(["-e", "trace=sendto,sendmsg,write,writev,sendfile,splice,pwrite64"])
        .arg(command.get_program())
        .args(command.get_args())
        .args([&path, &small])
        .status()
        .unwrap();
    let (code, heard) = receiver.end();
    assert!(status.success() && code == Some(0), "{heard}");
    let text = fs::read_to_string(&trace).unwrap();
    fs::remove_file(trace).unwrap();
    let (mut whole, mut copied) = (0, 0);
    for line in text.lines() {
        let Some((call, returned)) = line.rsplit_once(" = ") else { continue };
        let Ok(count) = returned.split(' ').next().unwrap().parse::<u64>() else { continue };
        let call = call.split_whitespace().nth(1).unwrap().split('(').next().unwrap();
        match call {
            // What is spliced goes into a pipe, and out of it.
            "sendfile" | "splice" => whole += count,
            _ => copied += count,
        }
    }
    assert_eq!(whole, 2 * (8 << 20) + 50_000, "{text}");
    assert!(copied < 2000, "{copied} bytes of messages:\n{text}");
    // What is so small is received by a buffer: into it and out of it.
    assert!(
        heard.contains("buffered+splice calls=") && heard.contains("copied=100000;"),
        "{heard}"
    );
}

#[test]
fn sending_and_checking_leave_nothing_in_the_page_cache() {
    let (from, to) = (Tree::new(), Tree::new());
    let size = 64 << 20;
    let path = from.file("cold", bytes(size));
    let file = File::open(&path).unwrap();
    if file_system(file.as_fd()).unwrap() == FileSystem::Tmpfs {
        eprintln!("skipped: the build's folder is in memory");
        return;
    }
    let resident = || resident_pages(file.as_fd(), 0, size).unwrap();
    eventually("it is evicted", || {
        evict(&path);
        resident() == 0
    });
    let receiver = Waiting::recv([to.path()]);
    let output = exchange("send", ["--drop-behind", "on"])
        .args([receiver.address.to_string().as_ref(), path.as_os_str()])
        .output()
        .unwrap();
    assert!(output.status.success() && receiver.end().0 == Some(0), "{}", said(&output));
    let pages = (size / sendrail_sys::limits::page_size()) as u64;
    let left = resident();
    assert!(left < pages / 2, "{left} of {pages} pages stayed: {}", said(&output));
    assert_same(from.path(), to.path());
}

/// What of the pages of a file that has just been received is in the page cache; nothing where that cannot be known.
fn stays(size: usize, arguments: &[&str]) -> Option<(u64, u64, String)> {
    let (from, to) = (Tree::new(), Tree::new());
    let path = from.file("file", bytes(size));
    let receiver = Waiting::recv(arguments.iter().map(OsStr::new).chain([to.path().as_os_str()]));
    let output = send(receiver.address, [&path]);
    let (code, heard) = receiver.end();
    assert!(output.status.success() && code == Some(0), "{}{heard}", said(&output));
    let file = File::open(to.path().join("file")).unwrap();
    if file_system(file.as_fd()).unwrap() == FileSystem::Tmpfs {
        eprintln!("skipped: the build's folder is in memory");
        return None;
    }
    let resident = resident_pages(file.as_fd(), 0, size).unwrap();
    assert_same(from.path(), to.path());
    Some((resident, size.div_ceil(sendrail_sys::limits::page_size()) as u64, heard))
}

#[test]
fn a_large_file_that_arrives_leaves_nothing_in_the_page_cache_and_a_small_one_stays() {
    let large = (64 << 20) + 12_345;
    for (size, arguments, is_to_stay) in [
        (large, &[][..], false),
        (1 << 20, &[], true),
        (large, &["--cached", "all"], true),
        (1 << 20, &["--cached", "none"], false),
    ] {
        let Some((resident, pages, heard)) = stays(size, arguments) else { return };
        // The virtual machine below may take pages by itself, but hardly half of them so soon.
        let stays = resident > pages / 2;
        assert_eq!(stays, is_to_stay, "{resident} of {pages}, {arguments:?}: {heard}");
        assert!(stays || resident <= pages / 50, "{resident} of {pages} stay: {heard}");
    }
}
