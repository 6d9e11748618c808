//! The generator against servers that do right, and that do wrong in each way it must notice.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;

use tempfile::TempDir;

use super::beside::Until;
use super::trial::{OtherWork, Trial};
use super::workload::Exchange;
use super::*;
use crate::root::Document;

/// A file of `len` bytes that goes with its directory.
fn document(len: usize) -> (TempDir, Rc<Document>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("d");
    let bytes: Vec<u8> = (0..len).map(|at| (at * 31 % 251) as u8).collect();
    std::fs::write(&path, bytes).unwrap();
    (directory, Rc::new(Document { target: "/d".into(), path, len: len as u64 }))
}

fn answer(document: &Document) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", document.len).into_bytes();
    answer.extend(std::fs::read(&document.path).unwrap());
    answer
}

fn whole(document: &Rc<Document>) -> Workload {
    Workload::one(Exchange::whole(document, ""))
}

/// A server, one thread per connection, that gives the answers in turn (the last one again and again), each written
/// in pieces of `piece` bytes.
fn serve(answers: Vec<Vec<u8>>, piece: usize) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answers = answers.clone();
            thread::spawn(move || respond(stream.unwrap(), &answers, piece));
        }
    });
    address
}

fn respond(mut stream: TcpStream, answers: &[Vec<u8>], piece: usize) {
    stream.set_nodelay(true).unwrap();
    let mut answers = answers.iter();
    let mut answer = answers.next().unwrap();
    let mut request = Vec::new();
    let mut byte = [0];
    while let Ok(1) = stream.read(&mut byte) {
        request.push(byte[0]);
        if request.ends_with(b"\r\n\r\n") {
            assert!(request.starts_with(b"GET /d HTTP/1.1\r\nHost: "));
            request.clear();
            for part in answer.chunks(piece) {
                if stream.write_all(part).is_err() {
                    return;
                }
            }
            if answer.is_empty() {
                return;
            }
            answer = answers.next().unwrap_or(answer);
        }
    }
}

fn error_of(document: &Rc<Document>, answers: Vec<Vec<u8>>) -> String {
    let interrupt = Interrupt::default();
    let address = serve(answers, usize::MAX);
    let result = Load::open(address, &whole(document), 1, &interrupt)
        .and_then(|mut load| load.run(Duration::ZERO));
    format!("{:#}", result.unwrap_err())
}

/// What a trial says, and whether it is for doing other work.
fn tried(workload: &Workload, answers: Vec<Vec<u8>>) -> Result<(), (String, bool)> {
    let address = serve(answers, usize::MAX);
    Trial::of(address, workload, &Interrupt::default())
        .map_err(|error| (format!("{error:#}"), error.downcast_ref::<OtherWork>().is_some()))
}

#[test]
fn complete_answers_are_counted() {
    let interrupt = Interrupt::default();
    for len in [1, 1024, 100_000, 3_000_000] {
        let (_directory, document) = document(len);
        let address = serve(vec![answer(&document)], usize::MAX);
        let mut load = Load::open(address, &whole(&document), 3, &interrupt).unwrap();
        let work = load.run(Duration::ZERO).unwrap();
        assert_eq!((work.requests, work.body_bytes), (3, 3 * len as u64));
        assert_eq!(work.latency.len(), 3);
        let work = load.run(Duration::from_millis(30)).unwrap();
        assert!(work.requests >= 3 && work.body_bytes == work.requests * len as u64, "{work:?}");
    }
}

#[test]
fn a_window_counts_what_comes_within_it() {
    let interrupt = Interrupt::default();
    let (_directory, document) = document(3_000_000);
    let address = serve(vec![answer(&document)], usize::MAX);
    let load = Load::open_silent(address, &whole(&document), 2, &interrupt).unwrap();
    let mut marks = 0;
    let length = Duration::from_millis(50);
    let (work, first, last) = load
        .window(length, length, || {
            marks += 1;
            Ok(marks)
        })
        .unwrap();
    assert_eq!((first, last), (1, 2));
    assert!(work.body_bytes > 0 && work.wall >= length, "{work:?}");
}

#[test]
fn everything_that_falls_due_is_asked_for() {
    let interrupt = Interrupt::default();
    let (_directory, document) = document(100);
    let address = serve(vec![answer(&document)], usize::MAX);
    let mut load = Load::open(address, &whole(&document), 4, &interrupt).unwrap();
    let offered = load.offer(500.0, Duration::from_millis(200)).unwrap();
    assert!((50..200).contains(&offered.due), "{}", offered.due); // 100 in the mean
    assert_eq!((offered.work.requests, offered.given_up), (offered.due, 0));
    assert_eq!(offered.work.latency.len(), offered.due);
}

#[test]
fn what_waits_for_a_connection_has_waited_since_it_was_due() {
    let interrupt = Interrupt::default();
    let (_directory, document) = document(100);
    // A server that needs 20 ms for each answer, and a rate of one in 2 ms over one connection.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let slowly = answer(&document);
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1000];
        while stream.read(&mut request).is_ok_and(|read| read > 0) {
            thread::sleep(Duration::from_millis(20));
            stream.write_all(&slowly).unwrap();
        }
    });
    let mut load = Load::open(address, &whole(&document), 1, &interrupt).unwrap();
    let offered = load.offer(500.0, Duration::from_millis(100)).unwrap();
    assert!(offered.longest_queue > 5, "{}", offered.longest_queue);
    // The last of them has waited for all before it: a closed loop would report 20 ms for each.
    let longest = Duration::from_nanos(offered.work.latency.max());
    assert!(longest >= Duration::from_millis(20) * offered.due as u32 / 2, "{longest:?}");
}

#[test]
fn a_workload_is_worked_through_so_many_times() {
    let interrupt = Interrupt::default();
    let (_directory, document) = document(100);
    let address = serve(vec![answer(&document)], usize::MAX);
    let seven = Workload::ordered(vec![Exchange::whole(&document, "")], vec![0; 7]);
    for connections in [1, 3, 30] {
        let mut load = Load::open_silent(address, &seven, connections, &interrupt).unwrap();
        assert_eq!(load.work_through(3).unwrap().requests, 21);
        assert_eq!(load.work_through(1).unwrap().requests, 7, "all connections are idle again");
    }
}

#[test]
fn hot_requests_go_on_until_the_cold_ones_are_done() {
    let interrupt = Interrupt::default();
    let (_directory, small) = document(100);
    let (_other, large) = document(3_000_000);
    let hot = serve(vec![answer(&small)], usize::MAX);
    let mut load = Load::open(hot, &whole(&small), 2, &interrupt).unwrap();
    // One answer in 3,000 pieces, so that some hot requests fall due meanwhile.
    let cold = serve(vec![answer(&large)], 1000);
    let cold = || {
        let nine = Workload::ordered(vec![Exchange::whole(&large, "")], vec![0; 9]);
        Load::open_silent(cold, &nine, 2, &interrupt).unwrap()
    };
    let both = load.offer_beside(2000.0, cold(), Until::Done).unwrap();
    assert_eq!((both.cold.requests, both.cold.body_bytes), (9, 27_000_000));
    assert_eq!(both.by_second.iter().sum::<u64>(), 27_000_000);
    assert_eq!(both.hot.work.requests, both.hot.due);
    assert!(both.hot.due > 0 && both.hot.work.wall >= both.cold.wall);

    let length = Duration::from_millis(100);
    let both = load.offer_beside(1000.0, cold(), Until::After(length)).unwrap();
    assert!((50..200).contains(&both.hot.due), "{}", both.hot.due); // 100 in the mean
    assert!(both.cold.wall <= both.hot.work.wall);
}

#[test]
fn answers_in_pieces_are_put_together() {
    let interrupt = Interrupt::default();
    let (_directory, document) = document(300);
    for piece in [1, 7, 40] {
        let address = serve(vec![answer(&document)], piece);
        let mut load = Load::open(address, &whole(&document), 2, &interrupt).unwrap();
        assert_eq!(load.run(Duration::ZERO).unwrap().requests, 2);
        assert_eq!(Trial::of(address, &whole(&document), &interrupt).ok(), Some(()));
    }
}

#[test]
fn a_wrong_byte_is_found_in_the_trial() {
    for (len, at) in [(1000, 999), (3_000_000, 2_999_999), (3_000_000, 8000)] {
        let (_directory, document) = document(len);
        let right = answer(&document);
        assert_eq!(tried(&whole(&document), vec![right.clone()]), Ok(()));
        let mut wrong = right;
        let head = wrong.len() - len;
        wrong[head + at] ^= 1;
        let (error, other_work) = tried(&whole(&document), vec![wrong]).unwrap_err();
        assert!(error.contains(&format!("byte {at} of /d")) && other_work, "{error}");
    }
}

#[test]
fn a_server_that_cannot_is_told_from_one_that_fails() {
    let (_directory, document) = document(1000);
    let ranges = Workload::one(Exchange::ranges(&document, &[0..10, 20..30]));
    for (workload, answer, why, other) in [
        (&ranges, answer(&document), "status 200 instead of 206", true),
        (&whole(&document), b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), "no Content-Length", true),
        (&whole(&document), Vec::new(), "closed the connection", false),
    ] {
        let (error, other_work) = tried(workload, vec![answer]).unwrap_err();
        assert!(error.contains(why) && other_work == other, "{error}");
    }
}

#[test]
fn parts_are_compared_each_in_its_place() {
    let (_directory, document) = document(1000);
    let file = std::fs::read(&document.path).unwrap();
    let workload = Workload::one(Exchange::ranges(&document, &[0..10, 500..520]));
    let multipart = |second: &[u8]| {
        let part = |range: &str, bytes: &[u8]| {
            let head = format!("\r\n--b\r\nContent-Range: bytes {range}/1000\r\n\r\n");
            [head.as_bytes(), bytes].concat()
        };
        let body = [part("0-9", &file[..10]), part("500-519", second), b"\r\n--b--\r\n".to_vec()];
        let body = body.concat();
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=b\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        vec![[head.into_bytes(), body].concat()]
    };
    assert_eq!(tried(&workload, multipart(&file[500..520])), Ok(()));
    let (error, _) = tried(&workload, multipart(&file[501..521])).unwrap_err();
    assert!(error.contains("byte 500"), "{error}");
}

#[test]
fn conditions_are_what_the_server_said() {
    let (_directory, document) = document(3);
    let answer =
        "HTTP/1.1 200 OK\r\nETag: W/\"x\"\r\nLast-Modified: Sat\r\nContent-Length: 3\r\n\r\nabc";
    let address = serve(vec![answer.into()], usize::MAX);
    let conditions = Trial::connect(address).unwrap().conditions(&document).unwrap();
    assert_eq!(conditions, "If-None-Match: W/\"x\"\r\nIf-Modified-Since: Sat\r\n");
}

#[test]
fn other_work_is_refused_in_every_answer() {
    let (_directory, right) = document(1000);
    let (_other, shorter) = document(999);
    for first in [vec![], vec![answer(&right)]] {
        for (bad, why) in [
            (answer(&shorter), "Content-Length is 999"),
            (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec(), "503"),
            ([answer(&right), b"x".to_vec()].concat(), "after the end"),
            (Vec::new(), "closed the connection"),
        ] {
            let error = error_of(&right, [first.clone(), vec![bad]].concat());
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}

#[test]
fn closed_connections_are_noticed() {
    let interrupt = Interrupt::default();
    let (_directory, document) = document(10);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut load = Load::open_silent(address, &whole(&document), 2, &interrupt).unwrap();
    assert_eq!(load.closed_by_server().unwrap(), 0);
    let accepted = listener.accept().unwrap();
    drop(accepted);
    let mut closed = 0;
    while closed == 0 {
        closed = load.closed_by_server().unwrap();
    }
    assert_eq!(closed, 1);
}

#[test]
fn slow_readers_take_sips() {
    let interrupt = Interrupt::default();
    let (_directory, document) = document(5_000_000);
    let address = serve(vec![answer(&document)], usize::MAX);
    let (sip, every) = (1000, Duration::from_millis(5));
    let exchange = Exchange::whole(&document, "");
    let slow = slow::SlowReaders::start(address, &exchange, 3, sip, every, &interrupt).unwrap();
    while slow.bytes() < 30_000 {
        thread::sleep(Duration::from_millis(1));
    }
    slow.finish().unwrap();
}

#[test]
fn a_signal_ends_the_waiting() {
    let (_directory, document) = document(10);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(); // accepts, in the kernel, and never answers
    let interrupt = Interrupt::raised_from_the_start();
    let error =
        Load::open(listener.local_addr().unwrap(), &whole(&document), 1, &interrupt).err().unwrap();
    assert!(error.to_string().contains("interrupted"), "{error}");
}
