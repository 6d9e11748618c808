//! A disk that cannot read, or does not answer at all: that befalls the transfers concerned, is said of
//! the file, and ends nothing else.

use crate::harness::{
    Connection, Journal, Server,
    disk::{Files, MANY, impatient, methods},
    eventually, process,
};
use socket2::SockRef;
use std::time::Duration;

const LEN: usize = 8 << 20;

/// The block of 4 KiB that cannot be read. The kernel reads and refuses whole folios, which are of
/// 2 MiB at the most.
const FAULT: usize = 5 << 20;
const FOLIO: usize = 2 << 20;

fn block(content: &[u8], at: usize) -> &[u8] {
    &content[at..at + 4096]
}

fn assert_blames_the_file(server: &Server, journal: &Journal, target: &str, method: &str) {
    let entry = journal.of(target);
    assert_eq!(entry["end"], "file-fault", "{entry}");
    let of_this = |line: &&str| line.contains("cut short") && line.contains(target);
    eventually("it is said", || server.stderr().lines().any(|line| of_this(&line)));
    let said = server.stderr();
    let line = said.lines().find(of_this).unwrap();
    // To send(2) an unreadable mapping is a bad address (EFAULT).
    let error = if method == "mapped" { "Bad address" } else { "Input/output error" };
    assert!(line.contains("ERROR") && line.contains(error), "{line}");
}

#[test]
fn a_file_that_cannot_be_read_in_the_middle_is_cut_there() {
    let methods = methods();
    let mut files = Files::hot();
    let bad: Vec<_> =
        methods.iter().map(|method| files.put(&format!("bad/{method}.bin"), LEN)).collect();
    let good: Vec<_> =
        methods.iter().map(|method| files.put(&format!("good/{method}.bin"), LEN)).collect();
    files.on_a_slow_disk(|disk| {
        for ((method, bad), good) in methods.iter().zip(&bad).zip(&good) {
            println!("{method}"); // shown when it fails
            disk.spoil(block(bad, FAULT));
            let journal = Journal::new();
            let server = disk.serve(&journal, &["--method", method]);
            let (bad_path, good_path) =
                (format!("/slow/bad/{method}.bin"), format!("/slow/good/{method}.bin"));
            let mut beside = impatient(&server);
            beside.send(format!("GET {good_path} HTTP/1.1\r\nHost: test\r\n\r\n"));

            let mut connection = impatient(&server);
            let head = connection.begin(&bad_path);
            assert_eq!(head.field("Content-Length"), Some(LEN.to_string().as_str()));
            let body = connection.rest();
            assert!(body.len() <= FAULT, "{method}: {} bytes", body.len());
            assert!(body.len() >= FAULT - FOLIO, "{method}: gave up at {}", body.len());
            assert!(body == bad[..body.len()], "{method}: not what is before the fault");
            assert_blames_the_file(&server, &journal, &bad_path, method);

            assert!(beside.response(false).body == *good, "{method}: the bytes differ");
            let behind = beside.get(&bad_path, &format!("Range: bytes={}-\r\n", FAULT + FOLIO));
            assert!(behind.body == bad[FAULT + FOLIO..], "{method}: what is behind the fault");
            assert_eq!(journal.of(&good_path)["end"], "complete");
            files.assert_hot(&mut beside);
        }
    });
}

#[test]
fn a_file_that_could_not_be_read_holds_nobody_up_when_it_is_asked_for_again() {
    let mut files = Files::hot();
    let bad = files.put("bad.bin", LEN);
    files.on_a_slow_disk(|disk| {
        disk.spoil(block(&bad, FAULT));
        let journal = Journal::new();
        let server = disk.serve(&journal, &[]);
        let mut client = impatient(&server);
        files.warm(disk, &mut client);
        let ask = || {
            let mut connection = impatient(&server);
            connection.send(format!(
                "GET /slow/bad.bin HTTP/1.1\r\nHost: test\r\nRange: bytes={}-\r\n\r\n",
                FAULT - 10_000
            ));
            connection
        };
        for _ in 0..2 {
            assert!(ask().rest().len() < LEN - FAULT);
        }
        // The pages that could not be read are in the page cache, without their bytes.
        let stopped = disk.stop();
        let mut again = [ask(), ask()];
        eventually("the disk is asked", || disk.waiting() > 0);
        files.assert_stay_hot(&server, &mut client);
        drop(stopped);
        assert!(again.iter_mut().all(|connection| connection.rest().len() < LEN - FAULT));
        files.assert_hot(&mut client);
    });
}

#[test]
fn clients_that_leave_while_the_disk_has_stopped_leave_nothing_behind() {
    let files = Files::with_cold(MANY);
    files.on_a_slow_disk(|disk| {
        let journal = Journal::new();
        let server = disk.serve(&journal, &["--idle-timeout", "1h"]);
        let mut client = impatient(&server);
        files.warm(disk, &mut client);
        files.name_cold(&mut client);
        let logged = journal.entries().len();
        let pid = server.child.id();
        let sockets = process::sockets(pid);
        let stopped = disk.stop();
        let asked = files.ask_cold(&server);
        eventually("the disk is asked", || disk.waiting() > 0);
        eventually("all are connected", || process::sockets(pid) == sockets + asked.len());
        for (number, connection) in asked.into_iter().enumerate() {
            if number % 2 == 0 {
                SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO)).unwrap(); // resets
            }
            drop(connection);
        }
        files.assert_hot(&mut client);
        files.assert_hot(&mut impatient(&server));
        drop(stopped);
        eventually("they are gone", || process::sockets(pid) == sockets);
        // Each has its line, whatever could still be sent.
        let hot = 2 * 3;
        journal.wait_for(logged + hot + MANY as usize);
        files.assert_cold(files.ask_cold(&server));
    });
}

#[test]
fn a_server_that_is_told_to_stop_does_so_although_the_disk_has_stopped() {
    let mut files = Files::with_cold(MANY);
    let large = files.put("large.bin", 16 << 20);
    files.on_a_slow_disk(|disk| {
        let journal = Journal::new();
        let mut server = disk.serve(&journal, &["--drain-timeout", "1h"]);
        let mut client = impatient(&server);
        files.name_cold(&mut client);
        disk.keep_in(&["large.bin"]);
        let mut hot = server.connect_narrow();
        hot.begin("/slow/large.bin");
        let stopped = disk.stop();
        let mut asked = files.ask_cold(&server);
        eventually("the disk is asked", || disk.waiting() > 0);
        server.signal("TERM");
        eventually("it says that it stops", || server.stderr().contains("stopping:"));
        assert!(hot.take(large.len()) == large, "what was hot is finished");
        assert!(server.child.try_wait().unwrap().is_none(), "it waits for what is cold");
        // A second signal is what the end of the drain timeout is.
        server.signal("TERM");
        eventually("it has ended", || server.child.try_wait().unwrap().is_some());
        assert!(disk.waiting() > 0, "the disk has not answered");
        assert_eq!(server.wait().code(), Some(0), "{}", server.stderr());
        assert!(asked.iter_mut().all(|connection| connection.rest().len() < 1000));
        drop(stopped);
    });
}

#[test]
fn the_drain_timeout_does_not_wait_for_the_disk() {
    let files = Files::with_cold(MANY);
    files.on_a_slow_disk(|disk| {
        let journal = Journal::new();
        let mut server = disk.serve(&journal, &["--drain-timeout", "100ms"]);
        files.name_cold(&mut impatient(&server));
        let stopped = disk.stop();
        let _asked: Vec<Connection> = files.ask_cold(&server);
        eventually("the disk is asked", || disk.waiting() > 0);
        server.signal("TERM");
        eventually("it has ended", || server.child.try_wait().unwrap().is_some());
        assert!(disk.waiting() > 0, "the disk has not answered");
        assert_eq!(server.wait().code(), Some(0), "{}", server.stderr());
        drop(stopped);
    });
}
