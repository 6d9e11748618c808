//! Reads that are begun ahead by `io_uring(7)`, and sent in their order: with a copy, or without (SEND_ZC).

use super::sending::{Own, PATIENCE, Sent};
use sendrail_sys::{ReadRing, ring::Read, send::send as send_copied};
use socket2::Socket;
use std::{collections::VecDeque, fs::File, io, os::fd::AsFd};

/// Reads in flight, and not more buffers than that.
const DEPTH: usize = 8;

/// Each, in bytes.
const LENGTH: usize = 512 << 10;

pub(super) fn ring() -> io::Result<ReadRing> {
    ReadRing::new(DEPTH, LENGTH).map_err(|no| no.error)
}

/// A read that has been begun.
struct Ahead {
    buffer: usize,
    len: usize,
    done: bool,
}

pub(super) fn send(
    file: &File,
    len: u64,
    socket: &Socket,
    ring: &mut ReadRing,
    passes: bool,
) -> Sent {
    let (mut calls, mut begun) = (0, 0);
    let mut under_way: VecDeque<Ahead> = VecDeque::new();
    // Those that were sent come last: the network may have them still.
    let mut free: VecDeque<usize> = (0..DEPTH).collect();
    loop {
        ring.look();
        let mut reads = Vec::new();
        while begun < len
            && let Some(&buffer) = free.front()
            && ring.is_passed(buffer)
        {
            free.pop_front();
            let count = LENGTH.min(usize::try_from(len - begun)?);
            // A whole buffer even where the file ends before it: O_DIRECT wants multiples of a block.
            reads.push(Read { buffer, offset: begun, len: LENGTH });
            under_way.push_back(Ahead { buffer, len: count, done: false });
            begun += count as u64;
        }
        if !reads.is_empty() {
            ring.submit(file.as_fd(), &reads)?;
            calls += 1;
        }
        let Some(first) = under_way.front() else {
            if begun >= len && free.iter().all(|buffer| ring.is_passed(*buffer)) {
                break;
            }
            ring.wait(PATIENCE)?; // for the network
            calls += 1;
            continue;
        };
        if !first.done {
            let Some(completed) = ring.completed() else {
                ring.wait(PATIENCE)?;
                calls += 1;
                continue;
            };
            let read = under_way.iter_mut().find(|read| read.buffer == completed.buffer);
            let read = read.ok_or("a read that nobody began")?;
            if completed.result? < read.len {
                return Err("a read was short".into());
            }
            read.done = true;
            continue;
        }
        let (buffer, length) = (first.buffer, first.len);
        let mut sent = 0;
        while sent < length {
            if passes {
                let span = (sent, length - sent);
                let (count, of_this) = ring.send_zc(socket.as_fd(), buffer, span, PATIENCE)?;
                sent += count;
                calls += u64::from(of_this);
            } else {
                let contents = ring.contents(buffer).ok_or("it is being read")?;
                sent += send_copied(socket.as_fd(), &contents[sent..length], false)?;
                calls += 1;
            }
        }
        free.push_back(buffer);
        under_way.pop_front();
    }
    let (copied, methods) = if passes { (0, "SEND_ZC") } else { (2 * len, "io_uring") };
    Ok(Own { calls, copied, methods: methods.to_owned(), ..Own::default() })
}
