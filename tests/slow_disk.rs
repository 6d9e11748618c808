//! A disk that answers late: who asks for what is on it waits, and nobody else.

use crate::harness::{
    Connection, Journal,
    disk::{Files, MANY, ask, impatient, methods},
    eventually, evict,
};
use socket2::{Domain, Socket, Type};
use std::{
    io::Read,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

#[test]
fn hot_files_are_served_while_more_cold_ones_are_waited_for_than_there_are_threads() {
    let files = Files::with_cold(MANY);
    files.on_a_slow_disk(|disk| {
        let journal = Journal::new();
        let server = disk.serve(&journal, &[]);
        let mut client = impatient(&server);
        files.warm(disk, &mut client);
        files.name_cold(&mut client);
        let stopped = disk.stop();
        let asked = files.ask_cold(&server);
        eventually("the disk is asked", || disk.waiting() > 0);
        for _ in 0..4 {
            files.assert_stay_hot(&server, &mut client);
        }
        assert!(journal.entries().iter().all(|entry| entry["method"] != "GET" || is_hot(entry)));
        drop(stopped);
        files.assert_cold(asked);
        files.assert_hot(&mut client);
    });
}

fn is_hot(entry: &serde_json::Value) -> bool {
    entry["target"].as_str().unwrap().starts_with("/slow/hot/")
}

#[test]
fn hot_files_are_served_while_names_are_waited_for() {
    let mut files = Files::hot();
    // A folder for each, which has to be read before the name can be found.
    let contents: Vec<_> =
        (0..MANY).map(|number| files.put(&format!("names/{number}/a.bin"), 5000)).collect();
    files.on_a_slow_disk(|disk| {
        let journal = Journal::new();
        let server = disk.serve(&journal, &[]);
        let mut client = impatient(&server);
        files.warm(disk, &mut client);
        let stopped = disk.stop();
        let asked: Vec<Connection> =
            (0..MANY).map(|number| ask(&server, &format!("/slow/names/{number}/a.bin"))).collect();
        eventually("the disk is asked", || disk.waiting() > 0);
        files.assert_stay_hot(&server, &mut client);
        drop(stopped);
        for (mut connection, content) in asked.into_iter().zip(&contents) {
            assert!(connection.response(false).body == *content, "the bytes differ");
        }
        assert_eq!(client.get("/slow/names/none/a.bin", "").status, 404);
    });
}

/// Those to which a file is hot if it is in the page cache. To direct I/O nothing is.
fn methods_of_the_page_cache() -> Vec<String> {
    methods().into_iter().filter(|method| method != "direct").collect()
}

#[test]
fn hot_files_are_served_while_two_clients_wait_for_the_same_cold_file() {
    let methods = methods_of_the_page_cache();
    let mut files = Files::hot();
    let shared: Vec<_> =
        methods.iter().map(|method| files.put(&format!("{method}.bin"), 1_900_000)).collect();
    files.on_a_slow_disk(|disk| {
        for (method, content) in methods.iter().zip(&shared) {
            println!("{method}"); // shown when it fails
            let journal = Journal::new();
            let server = disk.serve(&journal, &["--method", method]);
            let mut client = impatient(&server);
            files.warm(disk, &mut client);
            let path = format!("/slow/{method}.bin");
            client.ask("HEAD", &path, "");
            let stopped = disk.stop();
            // The pages that the first one waits for are in the page cache, without their bytes, and
            // cachestat(2) counts them: who believes it sleeps on the first one's disk.
            let first = ask(&server, &path);
            eventually("the disk is asked", || disk.waiting() > 0);
            let mut asked = vec![first, ask(&server, &path), ask(&server, &path)];
            files.assert_stay_hot(&server, &mut client);
            drop(stopped);
            for connection in &mut asked {
                assert!(connection.response(false).body == *content, "{method}: the bytes differ");
            }
        }
    });
}

#[test]
fn hot_files_are_served_while_the_rest_of_a_window_is_waited_for() {
    let methods = methods_of_the_page_cache();
    let mut files = Files::hot();
    let partly: Vec<_> =
        methods.iter().map(|method| files.put(&format!("{method}.bin"), 3_000_000)).collect();
    files.on_a_slow_disk(|disk| {
        for (method, content) in methods.iter().zip(&partly) {
            println!("{method}"); // shown when it fails
            let journal = Journal::new();
            let server = disk.serve(&journal, &["--method", method]);
            let mut client = impatient(&server);
            files.warm(disk, &mut client);
            let path = format!("/slow/{method}.bin");
            disk.read_in(&format!("{method}.bin"), 600_000);
            client.ask("HEAD", &path, "");
            let stopped = disk.stop();
            let mut asked = ask(&server, &path);
            thread::scope(|scope| {
                // It has to take what is there, for the rest to be looked for.
                let reader = scope.spawn(move || asked.response(false).body);
                eventually("the disk is asked", || disk.waiting() > 0);
                files.assert_stay_hot(&server, &mut client);
                drop(stopped);
                assert!(reader.join().unwrap() == *content, "{method}: the bytes differ");
            });
        }
    });
}

#[test]
fn a_disk_that_stops_holds_up_no_other_disk() {
    let files = Files::with_cold(MANY);
    files.on_a_slow_disk(|disk| {
        let journal = Journal::new();
        let server = disk.serve(&journal, &[]);
        let mut client = impatient(&server);
        files.name_cold(&mut client);
        let elsewhere: Vec<_> = (0..6)
            .map(|number| disk.root().file(&format!("{number}.bin"), &files.cold[number]))
            .collect();
        for path in &elsewhere {
            evict(path);
        }
        let stopped = disk.stop();
        let asked = files.ask_cold(&server);
        eventually("the disk is asked", || disk.waiting() > 0);
        for number in 0..elsewhere.len() {
            let response = client.get(&format!("/{number}.bin"), "");
            assert!(response.body == files.cold[number], "the bytes differ");
            let entry = journal.of(&format!("/{number}.bin"));
            if entry["receipt"]["cold"] == 0 {
                eprintln!("the build's disk keeps nothing cold: this has tested little");
            }
        }
        drop(stopped);
        files.assert_cold(asked);
    });
}

#[test]
fn a_client_with_many_connections_leaves_the_disk_to_others_as_well() {
    const EACH: usize = 2 << 20;
    const GREEDY: u32 = 40;
    let mut files = Files::hot();
    for number in 0..=GREEDY {
        files.put(&format!("{number}.bin"), EACH);
    }
    files.on_a_slow_disk(|disk| {
        let journal = Journal::new();
        // Sixteen windows a file.
        let server = disk.serve(&journal, &["--window", "128k"]);
        let mut client = impatient(&server);
        for number in 0..=GREEDY {
            client.ask("HEAD", &format!("/slow/{number}.bin"), "");
        }
        disk.delay_by(Duration::from_millis(2));
        let received = Arc::new(AtomicU64::new(0));
        let readers: Vec<_> = (0..GREEDY)
            .map(|number| {
                let mut stream = ask(&server, &format!("/slow/{number}.bin")).stream;
                let received = Arc::clone(&received);
                thread::spawn(move || {
                    let mut buffer = vec![0; 64 << 10];
                    let mut of_this = 0;
                    while of_this < EACH {
                        let count = stream.read(&mut buffer).unwrap();
                        assert_ne!(count, 0, "closed early");
                        of_this += count;
                        received.fetch_add(count as u64, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        eventually("the disk is busy for them", || received.load(Ordering::Relaxed) > 0);
        let before = received.load(Ordering::Relaxed);
        let mut modest = connect_from([127, 0, 0, 2], server.address);
        assert_eq!(modest.get(&format!("/slow/{GREEDY}.bin"), "").body.len(), EACH);
        let meanwhile = received.load(Ordering::Relaxed) - before;
        for reader in readers {
            reader.join().unwrap();
        }
        // In turns by clients it gets as much, and while this one comes back for its next window,
        // as much again for each thread that the disk keeps busy; in turns by connections, forty
        // times as much.
        let times = meanwhile / EACH as u64;
        assert!(times < 30, "{times} times as much");
    });
}

/// A connection from an address of this machine's own: all of 127.0.0.0/8 is.
fn connect_from(from: [u8; 4], to: SocketAddr) -> Connection {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(IpAddr::V4(Ipv4Addr::from(from)), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    Connection::of(socket.into())
}
