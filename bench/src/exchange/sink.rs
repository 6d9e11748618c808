//! The receiver of the exchange, the same for all: takes what comes, and drops it in the kernel. It knows just enough of
//! `docs/send-recv.md` for a sender that speaks it to be content.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread::{self, JoinHandle};

use sendrail_sys::{recv_discard, sockopt::set_receive_low_water};
use serde_json::{Value, json};

/// So much is dropped by one call at the most, in bytes.
const MOST: usize = 1 << 20;
/// So much is waited for (SO_RCVLOWAT, socket(7)), as `sendrail recv` does it. Over loopback it is the sender who pays for
/// waking the receiver up, which over a network no sender does: with this it pays less of it.
const SOME: u32 = 256 << 10;
const PREAMBLE: &[u8; 20] = b"SENDRAIL EXCHANGE 1\n";

/// What a sender says besides the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// Nothing.
    Plain,
    /// The protocol of `sendrail send` and `recv`.
    Protocol,
}

/// One that waits for one sender.
pub(super) struct Sink {
    pub(super) port: u16,
    thread: JoinHandle<io::Result<u64>>,
}

impl Sink {
    /// Listens; its thread inherits the generator's core.
    pub(super) fn listen(speaks: Speaks) -> io::Result<Sink> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept()?;
            match speaks {
                Speaks::Plain => discard(&stream, None),
                Speaks::Protocol => converse(stream),
            }
        });
        Ok(Sink { port, thread })
    }

    /// How many bytes of files came.
    pub(super) fn end(self) -> io::Result<u64> {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Lets go of one to whom nobody came.
    pub(super) fn give_up(self) {
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        let _ = self.end();
    }
}

/// Drops `len` bytes, or all up to the end.
fn discard(stream: &TcpStream, len: Option<u64>) -> io::Result<u64> {
    // What comes after the last of them may be less.
    let many = len.map(|len| len.saturating_sub(SOME.into()));
    if many == Some(0) {
        return drop_bytes(stream, len);
    }
    set_receive_low_water(stream.as_fd(), SOME)?;
    let dropped = drop_bytes(stream, many)?;
    set_receive_low_water(stream.as_fd(), 1)?;
    match len {
        Some(len) => Ok(dropped + drop_bytes(stream, Some(len - dropped))?),
        None => Ok(dropped),
    }
}

fn drop_bytes(stream: &TcpStream, len: Option<u64>) -> io::Result<u64> {
    let mut dropped = 0;
    while len != Some(dropped) {
        let most = len.map_or(MOST, |len| (len - dropped).min(MOST as u64) as usize);
        match recv_discard(stream.as_fd(), most)? {
            0 if len.is_none() => break,
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => dropped += count as u64,
        }
    }
    Ok(dropped)
}

/// Has nothing, takes everything, finds everything right.
fn converse(mut stream: TcpStream) -> io::Result<u64> {
    stream.set_nodelay(true)?;
    stream.write_all(PREAMBLE)?;
    say(&mut stream, &json!({"type": "hello", "role": "receive", "program": "sendrail-bench"}))?;
    stream.read_exact(&mut [0; PREAMBLE.len()])?;
    let mut bytes = 0;
    loop {
        let message = hear(&mut stream)?;
        match message["type"].as_str() {
            Some("offer") => {
                let count = message["files"].as_array().map_or(0, Vec::len);
                say(&mut stream, &json!({"type": "have", "files": vec!["nothing"; count]}))?;
            }
            Some("begin") => {
                while let len @ 1.. = number(&mut stream)? {
                    bytes += discard(&stream, Some(len.into()))?;
                }
                hear(&mut stream)?;
                say(&mut stream, &json!({"type": "result", "outcome": "arrived"}))?;
            }
            Some("done") => {
                say(&mut stream, &json!({"type": "done"}))?;
                return Ok(bytes);
            }
            _ => {}
        }
    }
}

fn number(stream: &mut TcpStream) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn hear(stream: &mut TcpStream) -> io::Result<Value> {
    let mut body = vec![0; number(stream)? as usize];
    stream.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

fn say(stream: &mut TcpStream, message: &Value) -> io::Result<()> {
    let body = message.to_string();
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes.extend(body.as_bytes());
    stream.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn what_is_sent_is_counted() {
        let sink = Sink::listen(Speaks::Plain).unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, sink.port)).unwrap();
        stream.write_all(&vec![7; 3_000_001]).unwrap();
        drop(stream);
        assert_eq!(sink.end().unwrap(), 3_000_001);
    }

    #[test]
    fn a_sender_that_speaks_is_answered() {
        let sink = Sink::listen(Speaks::Protocol).unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, sink.port)).unwrap();
        stream.write_all(PREAMBLE).unwrap();
        say(&mut stream, &json!({"type": "hello", "role": "send"})).unwrap();
        stream.read_exact(&mut [0; 20]).unwrap();
        assert_eq!(hear(&mut stream).unwrap()["role"], "receive");
        say(&mut stream, &json!({"type": "offer", "files": [{}, {}]})).unwrap();
        assert_eq!(hear(&mut stream).unwrap()["files"], json!(["nothing", "nothing"]));
        for chunk in [&b"abc"[..], b"de"] {
            say(&mut stream, &json!({"type": "begin", "from": 0})).unwrap();
            stream.write_all(&(chunk.len() as u32).to_be_bytes()).unwrap();
            stream.write_all(chunk).unwrap();
            stream.write_all(&[0; 4]).unwrap();
            say(&mut stream, &json!({"type": "end", "blake3": null})).unwrap();
            assert_eq!(hear(&mut stream).unwrap()["outcome"], "arrived");
        }
        say(&mut stream, &json!({"type": "done"})).unwrap();
        assert_eq!(hear(&mut stream).unwrap()["type"], "done");
        assert_eq!(sink.end().unwrap(), 5);
    }
}
