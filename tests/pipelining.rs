//! Many requests before the first answer: answers come in order, whatever they are made of.

use crate::harness::{Connection, Server, Tree, bytes};
use std::{io::Write, net::Shutdown, thread};

/// One request and what must come for it.
struct Exchange {
    request: String,
    head_only: bool,
    status: u16,
    /// None: whatever page it is.
    body: Option<Vec<u8>>,
}

/// Numbers that look random and are the same each time (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

/// Files that leave in all the ways there are: from memory, in one piece, in several windows.
const SIZES: [usize; 6] = [0, 1, 1000, 4097, 100_000, 700_000];

fn tree() -> Tree {
    let tree = Tree::new();
    for size in SIZES {
        tree.file(&format!("{size}.bin"), bytes(size));
    }
    tree.file("dir/index.html", "home");
    tree.file("list/x", "");
    tree
}

/// Any of the things a client can ask for, some with a body.
fn some_exchange(random: &mut Random) -> Exchange {
    let size = SIZES[random.below(SIZES.len())];
    let content = bytes(size);
    let file = format!("/{size}.bin");
    let (method, target, fields, status, body) = match random.below(10) {
        0..4 => ("GET", file, String::new(), 200, Some(content)),
        4 => ("HEAD", file, String::new(), 200, Some(Vec::new())),
        5 if size > 1 => {
            let last = random.below(size);
            let range = format!("Range: bytes=0-{last}\r\n");
            ("GET", file, range, 206, Some(content[..=last].to_vec()))
        }
        5 | 6 => ("GET", "/absent".into(), String::new(), 404, None),
        7 => ("OPTIONS", file, String::new(), 204, Some(Vec::new())),
        8 => ("GET", "/list/".into(), String::new(), 200, None),
        _ => ("GET", file, "If-None-Match: *\r\n".into(), 304, Some(Vec::new())),
    };
    let (framing, sent_body) = match random.below(6) {
        0 => ("Content-Length: 17\r\n", "GET / HTTP/1.1\r\n\r"),
        1 => ("Transfer-Encoding: chunked\r\n", "5\r\nGET /\r\n3;x\r\n\r\n\r\r\n0\r\nT: 1\r\n\r\n"),
        _ => ("", ""),
    };
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}{framing}\r\n{sent_body}");
    Exchange { request, head_only: method == "HEAD", status, body }
}

fn expect(client: &mut Connection, exchanges: &[Exchange], seed: u64) {
    for (number, exchange) in exchanges.iter().enumerate() {
        let response = client.response(exchange.head_only);
        let which = format!("seed {seed}, number {number}: {:?}", exchange.request);
        assert_eq!(response.status, exchange.status, "{which}");
        if let Some(body) = &exchange.body {
            assert!(response.body == *body, "{which}");
        }
    }
}

fn wire(exchanges: &[Exchange]) -> Vec<u8> {
    exchanges.iter().flat_map(|exchange| exchange.request.bytes()).collect()
}

#[test]
fn a_thousand_requests_in_one_write() {
    let tree = Tree::new();
    for i in 0..10 {
        tree.file(&i.to_string(), format!("file {i}"));
    }
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let request = |i: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", i % 10);
    client.send((0..1000).map(request).collect::<String>());
    for i in 0..1000 {
        assert_eq!(client.response(false).body, format!("file {}", i % 10).as_bytes());
    }
}

#[test]
fn all_kinds_of_requests_in_one_write() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    for seed in 1..=8 {
        let mut random = Random(seed);
        let exchanges: Vec<_> = (0..60).map(|_| some_exchange(&mut random)).collect();
        let mut client = server.connect();
        client.send(wire(&exchanges));
        expect(&mut client, &exchanges, seed);
    }
}

/// Where the network cuts the stream must make no difference.
#[test]
fn the_stream_cut_anywhere() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    for seed in 1..=12 {
        let mut random = Random(seed << 32);
        let exchanges: Vec<_> = (0..25).map(|_| some_exchange(&mut random)).collect();
        let mut client = server.connect();
        client.stream.set_nodelay(true).unwrap();
        let mut stream = client.stream.try_clone().unwrap();
        let bytes = wire(&exchanges);
        let largest = [1, 3, 20, 200, 2000][random.below(5)];
        // Another thread writes, for the answers have to be read meanwhile.
        let writer = thread::spawn(move || {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((1 + random.below(largest)).min(rest.len()));
                stream.write_all(piece).unwrap();
                rest = after;
                thread::yield_now();
            }
        });
        expect(&mut client, &exchanges, seed);
        writer.join().unwrap();
    }
}

/// Every cut of one pair of requests, not only some.
#[test]
fn two_requests_cut_at_each_place() {
    let tree = Tree::new();
    tree.file("a", "first");
    tree.file("b", "second");
    let server = Server::start(&tree, &[]);
    let body = "Transfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n";
    let both = format!("GET /a HTTP/1.1\r\nHost: a\r\n{body}GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut client = server.connect();
    client.stream.set_nodelay(true).unwrap();
    for cut in 1..both.len() {
        client.send(&both[..cut]);
        client.send(&both[cut..]);
        assert_eq!(client.response(false).body, b"first", "cut at {cut}");
        assert_eq!(client.response(false).body, b"second", "cut at {cut}");
    }
}

/// A request that arrives whole together with the last bytes of a body before it.
#[test]
fn behind_a_body_in_pieces() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    client.send("GET /1000.bin HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    client.send(bytes(99_999));
    client.send("xGET /4097.bin HTTP/1.1\r\nHost: a\r\n\r\nGET /1.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.response(false).body == bytes(1000));
    assert!(client.response(false).body == bytes(4097));
    assert!(client.response(false).body == bytes(1));
}

#[test]
fn what_came_before_a_bad_request_is_answered_and_nothing_after() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let good = "GET /700000.bin HTTP/1.1\r\nHost: a\r\n\r\n";
    let bad = "GET /1.bin HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n";
    let mut client = server.connect();
    client.send([good, good, bad, good, good].concat());
    for _ in 0..2 {
        assert!(client.response(false).body == bytes(700_000));
    }
    assert_eq!(client.response(false).status, 400);
    assert!(client.rest().is_empty());
}

#[test]
fn nothing_after_connection_close_is_answered() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let last = "GET /100000.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut client = server.connect();
    client.send(last.repeat(3));
    let response = client.response(false);
    assert_eq!(response.field("Connection"), Some("close"));
    assert!(response.body == bytes(100_000));
    assert!(client.rest().is_empty());
}

/// `printf … | nc`: the client says that it has said all, and still wants every answer.
#[test]
fn a_client_that_closes_its_side_gets_all_answers() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    client.send("GET /700000.bin HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5));
    client.stream.shutdown(Shutdown::Write).unwrap();
    for _ in 0..5 {
        assert!(client.response(false).body == bytes(700_000));
    }
    assert!(client.rest().is_empty());
}
