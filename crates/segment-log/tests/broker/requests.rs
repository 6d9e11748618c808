//! Requests on the wire: pipelined, in pieces, malformed, too long.

use crate::{common::*, served::Served};
use sendrail_segment_log::{
    Options,
    broker::ServeOptions,
    records,
    wire::{
        FETCHED_HEAD, Fetch, INFO_REQUEST, OK, OUT_OF_RANGE, REFUSED, encode_append, encode_fetch,
    },
};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

fn connect(served: &Served) -> TcpStream {
    let stream = TcpStream::connect(served.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Status and body of the next answer.
fn answer(stream: &mut impl Read) -> (u8, Vec<u8>) {
    let mut len = [0; 4];
    stream.read_exact(&mut len).unwrap();
    let mut body = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut body).unwrap();
    (body[0], body[1..].to_vec())
}

fn numbers(body: &[u8]) -> Vec<u64> {
    body.chunks_exact(8).map(|word| u64::from_be_bytes(*word.first_chunk().unwrap())).collect()
}

fn fetch(offset: u64, max_bytes: u32) -> [u8; 21] {
    encode_fetch(Fetch { offset, max_bytes, max_wait_ms: 0 })
}

#[test]
fn the_bytes_of_each_answer() {
    let served = Served::with(Options::default());
    let mut stream = connect(&served);
    let mut append = Vec::new();
    encode_append([&b"abc"[..], b""], &mut append);
    assert_eq!(append, b"\0\0\0\x0c\x02\0\0\0\x03abc\0\0\0\0");
    stream.write_all(&append).unwrap();
    assert_eq!(answer(&mut stream), (OK, [[0; 8], [0, 0, 0, 0, 0, 0, 0, 2]].concat()));
    stream.write_all(&INFO_REQUEST).unwrap();
    assert_eq!(answer(&mut stream), (OK, [[0; 8], [0, 0, 0, 0, 0, 0, 0, 2]].concat()));
    stream.write_all(&fetch(1, 1000)).unwrap();
    let (status, body) = answer(&mut stream);
    assert_eq!((status, numbers(&body[..24])), (OK, vec![0, 2, 2]));
    let segment = std::fs::read(&segments(served.path())[0]).unwrap();
    assert_eq!(body[24..], segment[..], "the records are those of the file");
    assert_eq!(FETCHED_HEAD, 4 + 1 + 24);
    stream.write_all(&fetch(3, 1000)).unwrap();
    assert_eq!(answer(&mut stream), (OUT_OF_RANGE, [[0; 8], [0, 0, 0, 0, 0, 0, 0, 2]].concat()));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let served = Served::with(Options { segment_bytes: 100_000, ..Options::default() });
    append_until(&served.log, 3000, 40);
    let mut stream = connect(&served);
    let mut requests = Vec::new();
    let count = 4000_u64;
    for number in 0..count {
        match number % 5 {
            0 => requests.extend_from_slice(&INFO_REQUEST),
            1 => requests.extend_from_slice(&fetch(number % 3000, 200)),
            2 => requests.extend_from_slice(&fetch(number % 3000, 60_000)),
            3 => drop(encode_append([&number.to_be_bytes()[..]], &mut requests)),
            _ => requests.extend_from_slice(&fetch(u64::MAX, 1)),
        }
    }
    let mut sender = stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        // In pieces that end anywhere.
        for piece in requests.chunks(997) {
            sender.write_all(piece).unwrap();
        }
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let mut end = 3000;
    for number in 0..count {
        let (status, body) = answer(&mut stream);
        match number % 5 {
            0 => assert_eq!((status, numbers(&body)), (OK, vec![0, end])),
            3 => {
                assert_eq!((status, numbers(&body)), (OK, vec![end, end + 1]));
                end += 1;
            }
            1 | 2 => {
                let [first, next, _] = numbers(&body[..24])[..] else { panic!("{body:?}") };
                let offset = number % 3000;
                assert!(status == OK && first <= offset && offset < next);
                let read: Vec<_> = records(&body[24..], first).map(Result::unwrap).collect();
                assert_eq!(read.len() as u64, next - first);
                for record in read.iter().filter(|record| record.offset < 3000) {
                    assert!(record.payload == payload(record.offset), "request {number}");
                }
            }
            _ => assert_eq!((status, numbers(&body)), (OUT_OF_RANGE, vec![0, end])),
        }
    }
    sending.join().unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "and then it is closed, as the other side was");
}

#[test]
fn a_request_byte_by_byte() {
    let served = Served::with(Options::default());
    let mut stream = connect(&served);
    let mut requests = Vec::new();
    encode_append([&b"abc"[..], b"defg"], &mut requests);
    requests.extend_from_slice(&fetch(0, 1000));
    for byte in requests {
        stream.write_all(&[byte]).unwrap();
        thread::yield_now();
    }
    assert_eq!(answer(&mut stream).0, OK);
    assert_eq!(numbers(&answer(&mut stream).1[..24]), [0, 2, 2]);
}

#[test]
fn what_is_malformed_is_refused_with_a_reason_and_closed() {
    let served = Served::with(Options { append_bytes: 100_000, ..Options::default() });
    for (request, reason) in [
        (&b"\0\0\0\0"[..], "without a kind"),
        (b"\0\0\0\x01\x07", "no request of this kind"),
        (b"\0\0\0\x02\x03\0", "length of its kind"),
        (b"\0\0\0\x05\x01\0\0\0\0", "length of its kind"),
        (b"\xff\xff\xff\xff\x02", "longer than is allowed"),
        (b"GET / HTTP/1.1\r\n\r\n", "longer than is allowed"),
        (b"\0\0\0\x06\x02\0\0\0\x09a", "do not end"),
    ] {
        let mut stream = connect(&served);
        stream.write_all(&INFO_REQUEST).unwrap();
        stream.write_all(request).unwrap();
        // More than it will look at: the reason must come through all the same.
        let _ = stream.write_all(&vec![0; 300_000]);
        assert_eq!(answer(&mut stream).0, OK, "what came before is answered");
        let (status, why) = answer(&mut stream);
        let why = String::from_utf8(why).unwrap();
        assert!(status == REFUSED && why.contains(reason), "{request:?}: {why}");
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed");
    }
    // A long one, whose records do not end where it does.
    let mut stream = connect(&served);
    let mut request = 90_001_u32.to_be_bytes().to_vec();
    request.push(2);
    request.extend_from_slice(&vec![0xff; 90_000]);
    stream.write_all(&request).unwrap();
    let (status, why) = answer(&mut stream);
    assert!(status == REFUSED && String::from_utf8(why).unwrap().contains("do not end"));
    assert_eq!(served.log.end(), 0, "nothing was appended");
}

#[test]
fn a_request_that_never_ends_is_closed() {
    let serve =
        ServeOptions { request_timeout: Duration::from_millis(100), ..ServeOptions::default() };
    let served = Served::begin(Options::default(), serve);
    for request in [&fetch(0, 1)[..9], &b"\0\x01\x86\xa0\x02\0\0"[..]] {
        let mut stream = connect(&served);
        stream.write_all(&INFO_REQUEST).unwrap();
        stream.write_all(request).unwrap();
        assert_eq!(answer(&mut stream).0, OK);
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }
    let mut idle = connect(&served);
    thread::sleep(Duration::from_millis(300));
    idle.write_all(&INFO_REQUEST).unwrap();
    assert_eq!(answer(&mut idle).0, OK, "who asks nothing is not closed");
}
