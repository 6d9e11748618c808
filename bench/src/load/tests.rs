//! The generator against servers that do right, and that do wrong in each way it must notice.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use super::*;

fn document(len: usize) -> Document {
    let bytes = (0..len).map(|at| (at * 31 % 251) as u8).collect();
    Document { target: "/d".into(), len: len as u64, bytes: Some(bytes) }
}

fn answer(document: &Document) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", document.len).into_bytes();
    answer.extend(document.bytes.as_ref().unwrap());
    answer
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
            assert!(request.starts_with(b"GET /d HTTP/1.1\r\nHost: 127.0.0.1:"));
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

fn error_of(document: &Document, answers: Vec<Vec<u8>>) -> String {
    let interrupt = Interrupt::default();
    let address = serve(answers, usize::MAX);
    let result =
        Load::open(address, document, 1, &interrupt).and_then(|mut load| load.run(Duration::ZERO));
    format!("{:#}", result.unwrap_err())
}

#[test]
fn complete_answers_are_counted() {
    let interrupt = Interrupt::default();
    for len in [1, 1024, 100_000, 3_000_000] {
        let document = document(len);
        let mut load =
            Load::open(serve(vec![answer(&document)], usize::MAX), &document, 3, &interrupt)
                .unwrap();
        let work = load.run(Duration::ZERO).unwrap();
        assert_eq!((work.requests, work.body_bytes), (3, 3 * len as u64));
        let work = load.run(Duration::from_millis(30)).unwrap();
        assert!(work.requests >= 3 && work.body_bytes == work.requests * len as u64, "{work:?}");
    }
}

#[test]
fn answers_in_pieces_are_put_together() {
    let interrupt = Interrupt::default();
    let document = document(300);
    for piece in [1, 7, 40] {
        let mut load =
            Load::open(serve(vec![answer(&document)], piece), &document, 2, &interrupt).unwrap();
        assert_eq!(load.run(Duration::ZERO).unwrap().requests, 2);
    }
}

#[test]
fn a_wrong_byte_in_the_first_answer_is_found() {
    for (len, at) in [(1000, 999), (500_000, 499_999), (500_000, 8000)] {
        let document = document(len);
        let mut wrong = answer(&document);
        let head = wrong.len() - len;
        wrong[head + at] ^= 1;
        let error = error_of(&document, vec![wrong]);
        assert!(error.contains(&format!("byte {at} of the body")), "{error}");
    }
}

#[test]
fn other_work_is_refused_in_every_answer() {
    let right = document(1000);
    for first in [vec![], vec![answer(&right)]] {
        for (bad, why) in [
            (answer(&document(999)), "Content-Length is 999"),
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
    let document = document(10);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut load = Load::open_untried(address, &document, 2, &interrupt).unwrap();
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
fn a_signal_ends_the_waiting() {
    let document = document(10);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(); // accepts, in the kernel, and never answers
    let interrupt = Interrupt::raised_from_the_start();
    let error = Load::open(listener.local_addr().unwrap(), &document, 1, &interrupt).err().unwrap();
    assert!(error.to_string().contains("interrupted"), "{error}");
}
