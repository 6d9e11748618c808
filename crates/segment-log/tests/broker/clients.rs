//! Producers and consumers: many, slow, at the tail, far behind, and gone.

use crate::{common::*, served::Served};
use sendrail_segment_log::{Client, ClientError, Options, broker::ServeOptions, wire};
use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

const HANGS: Duration = Duration::from_mins(1);

/// Fetches from `next` until `end`, and checks each record.
fn consume(client: &mut Client, mut next: u64, end: u64, max_bytes: u32) {
    client.stream().set_read_timeout(Some(HANGS)).unwrap();
    while next < end {
        let batch = client.fetch(next, max_bytes, HANGS).unwrap();
        assert!(batch.first <= next && batch.next > next && batch.end >= batch.next);
        for record in batch.records() {
            let record = record.unwrap();
            assert_eq!(record.offset, next);
            assert!(record.payload == payload(next), "the payload of {next}");
            next += 1;
        }
        assert_eq!(next, batch.next);
    }
}

#[test]
fn what_was_appended_is_fetched_in_any_size() {
    let served = Served::with(Options { segment_bytes: 1 << 20, ..Options::default() });
    append_until(&served.log, 20_000, 70);
    for max_bytes in [0, 3000, 50_000, 1 << 20, u32::MAX] {
        consume(&mut served.client(), 0, 20_000, max_bytes);
    }
    assert!(served.stats.by_engine() > 0 && served.stats.copied() > 0);
}

#[test]
fn two_hundred_and_fifty_six_consumers_at_the_tail() {
    const CONSUMERS: u64 = 256;
    for options in [Options::default(), on_disk(&Options::default())] {
        let served = Served::with(options);
        append_until(&served.log, 100, 10);
        thread::scope(|scope| {
            for _ in 0..CONSUMERS {
                scope.spawn(|| consume(&mut served.client(), 100, 200, 1 << 20));
            }
            let mut producer = served.client();
            for offset in 100..200 {
                while served.stats.waited() < CONSUMERS * (offset - 99) {
                    thread::yield_now(); // until all of them have had the last one
                }
                let appended = producer.append([&payload(offset)[..]]).unwrap();
                assert_eq!((appended.first, appended.next), (offset, offset + 1));
            }
        });
        // Each got just what was new, and all of it from memory: no page was looked up.
        assert_eq!(served.stats.from_memory(), CONSUMERS * 100, "{}", served.stats);
        assert_eq!(served.stats.fetches(), CONSUMERS * 100);
    }
}

#[test]
fn many_producers_at_once() {
    let served = Served::with(on_disk(&Options::default()));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = served.client();
                for _ in 0..20 {
                    let appended = client.append([&b"one"[..], b"two", b"three"]).unwrap();
                    assert_eq!(appended.next, appended.first + 3);
                }
            });
        }
    });
    assert_eq!((served.log.end(), served.stats.appends()), (16 * 20 * 3, 16 * 20));
}

#[test]
fn long_appends_and_long_records() {
    let options = Options { append_bytes: 5 << 20, segment_bytes: 3 << 20, ..Options::default() };
    let served = Served::with(options);
    let mut client = served.client();
    let long: Vec<u8> = (0..4_000_000_u32).map(|at| (at / 3) as u8).collect();
    let lens = [0, 1, 65_000, 66_000, 1_000_000, long.len()];
    for (offset, len) in lens.iter().enumerate() {
        assert_eq!(client.append([&long[..*len]]).unwrap().first, offset as u64);
    }
    for (offset, len) in lens.iter().enumerate() {
        let batch = client.fetch(offset as u64, 0, Duration::ZERO).unwrap();
        assert!(batch.records().next().unwrap().unwrap().payload == &long[..*len]);
    }
    let too_long = vec![0; 5 << 20];
    let Err(ClientError::Refused(why)) = client.append([&too_long[..]]) else { panic!("taken") };
    assert!(why.contains("longer"), "{why}");
    assert!(client.info().is_err(), "the connection was closed");
    assert_eq!(served.client().info().unwrap(), (0, lens.len() as u64));
}

#[test]
fn who_waits_at_the_end_is_answered_when_something_comes_or_the_time_is_up() {
    let served = Served::with(Options::default());
    let mut client = served.client();
    let batch = client.fetch(0, 1000, Duration::from_millis(30)).unwrap();
    assert_eq!((batch.first, batch.next, batch.end, batch.bytes.len()), (0, 0, 0, 0));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| consume(&mut served.client(), 0, 1, 1000));
        while served.stats.waited() < 2 {
            thread::yield_now();
        }
        append_until(&served.log, 1, 1);
        waiting.join().unwrap();
    });
    // A short wait behind a long one: the timer is set anew.
    let batch = client.fetch(1, 1000, Duration::from_millis(5)).unwrap();
    assert_eq!(batch.bytes.len(), 0);
}

#[test]
fn a_consumer_of_a_dropped_segment_goes_on_to_its_end() {
    let options = keeping(1 << 20, &Options { segment_bytes: 4 << 20, ..Options::default() });
    let served = Served::with(options);
    let long = vec![7; 100_000];
    let whole = || served.log.append([&long[..]]).unwrap();
    while whole().next < 35 {}
    // It takes nothing yet, and of 3.5 MB a socket does not hold all.
    let mut slow = TcpStream::connect(served.address).unwrap();
    slow.set_read_timeout(Some(HANGS)).unwrap();
    let fetch = wire::Fetch { offset: 0, max_bytes: u32::MAX, max_wait_ms: 0 };
    slow.write_all(&wire::encode_fetch(fetch)).unwrap();
    let mut head = [0; wire::FETCHED_HEAD];
    slow.read_exact(&mut head).unwrap();
    let len = u32::from_be_bytes(*head.first_chunk().unwrap()) as usize - 25;

    while served.log.start() == 0 {
        whole();
    }
    let first = served.path().join(format!("{:020}.log", 0));
    assert!(!first.exists(), "it is dropped");
    let mut client = served.client();
    let Err(ClientError::OutOfRange(bounds)) = client.fetch(0, 1000, Duration::ZERO) else {
        panic!("it is there")
    };
    assert_eq!((bounds.start, bounds.end), (served.log.start(), served.log.end()));

    let mut bytes = vec![0; len];
    slow.read_exact(&mut bytes).unwrap();
    let read: Vec<_> = sendrail_segment_log::records(&bytes, 0).map(Result::unwrap).collect();
    assert!(read.len() >= 35 && read.iter().all(|record| record.payload == long));
}

#[test]
fn one_that_takes_nothing_holds_up_nobody_and_is_closed() {
    let mut serve = ServeOptions::default();
    serve.send.send_timeout = Some(Duration::from_millis(300));
    let served = Served::begin(Options::default(), serve);
    let long = vec![7; 10_000_000];
    served.log.append([&long[..]]).unwrap();
    let mut stuck = TcpStream::connect(served.address).unwrap();
    let fetch = wire::Fetch { offset: 0, max_bytes: u32::MAX, max_wait_ms: 0 };
    stuck.write_all(&wire::encode_fetch(fetch)).unwrap();
    for offset in 1..50 {
        let record = payload(offset);
        assert_eq!(served.client().append([&record[..]]).unwrap().first, offset);
    }
    consume(&mut served.client(), 1, 50, 1000);
    // What the sockets hold, and then the end, before all has come.
    stuck.set_read_timeout(Some(HANGS)).unwrap();
    thread::sleep(Duration::from_millis(600));
    let mut got = Vec::new();
    let _ = stuck.read_to_end(&mut got);
    assert!(got.len() < long.len(), "{} bytes", got.len());
}

#[test]
fn who_is_gone_is_forgotten() {
    let served = Served::begin(
        Options::default(),
        ServeOptions {
            connections: 3,
            longest_wait: Duration::from_millis(50),
            ..ServeOptions::default()
        },
    );
    append_until(&served.log, 10, 1);
    for _ in 0..30 {
        let mut gone = TcpStream::connect(served.address).unwrap();
        let fetch = wire::Fetch { offset: 10, max_bytes: 1000, max_wait_ms: u32::MAX };
        gone.write_all(&wire::encode_fetch(fetch)).unwrap();
        drop(gone);
    }
    // There is room again, sooner or later.
    loop {
        let Ok(mut client) = Client::connect(served.address) else { continue };
        if client.info().is_ok_and(|bounds| bounds == (0, 10)) {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
