//! Coming from Kafka: a log of segment files, fetched by consumers. Each row of that table in docs/coming-from.md, run.
//! `cargo run --example coming_from_kafka`

mod support;

use sendrail_transfer::{
    Chain, Disk, DropBehind, FileFault, FileRange, Options, SendError, Step, Transfer, blocking,
    receive::{RangeInto, ReceiveOptions, recv_file},
};
use std::{os::fd::AsFd, sync::Arc};
use support::{Outcome, bytes, comes, connection, contents, file_of, reads_all, row, sent};

fn main() -> Outcome {
    write_to()?;
    slice()?;
    several_segments()?;
    completed()?;
    catching_up()?;
    truncated_segment()?;
    append()
}

/// `FileRecords.writeTo(channel, offset, length)`, which is `transferTo`
fn write_to() -> Outcome {
    let segment = bytes(3 << 20);
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(file_of(&segment)?, 0, 3 << 20));
    let (got, receipt) = sent(|socket| Ok(blocking::send(socket, chain, Options::default())?))?;
    assert_eq!(receipt.copied, 0);
    row("FileRecords.writeTo", &got, &segment, receipt)
}

/// `fileRecords.slice(position, size)`: from where the index says, as much as the consumer wants
fn slice() -> Outcome {
    let segment = bytes(3 << 20);
    let range = FileRange::new(file_of(&segment)?, 4096, 1 << 20).of_file(3 << 20);
    let mut chain = Chain::new();
    chain.push_file(range);
    let (got, receipt) = sent(|socket| Ok(blocking::send(socket, chain, Options::default())?))?;
    row("FileRecords.slice", &got, &segment[4096..4096 + (1 << 20)], receipt)
}

/// A fetch response: a head, and of each partition a head and records out of its segment (`MultiRecordsSend`)
fn several_segments() -> Outcome {
    let segments = [bytes(700_000), bytes(20_000), bytes(1 << 20)];
    let (mut chain, mut expected) = (Chain::new(), b"fetch response, ".to_vec());
    chain.push_bytes("fetch response, ");
    for (partition, segment) in segments.iter().enumerate() {
        let head = format!("partition {partition}, ");
        let (from, len) = (100, segment.len() as u64 - 200);
        expected.extend(head.as_bytes());
        expected.extend(&segment[100..segment.len() - 100]);
        chain.push_bytes(head);
        chain.push_file(FileRange::new(file_of(segment)?, from, len));
    }
    let (got, receipt) = sent(|socket| Ok(blocking::send(socket, chain, Options::default())?))?;
    row("MultiRecordsSend", &got, &expected, receipt)
}

/// `send.writeTo(channel)` until `send.completed()`, when the selector says that the channel is writable
fn completed() -> Outcome {
    let segment = bytes(9 << 20);
    let (socket, peer) = connection()?;
    socket.set_nonblocking(true)?;
    let reading = reads_all(peer);
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(file_of(&segment)?, 0, 9 << 20));
    let mut send = Transfer::new(chain, Options::default());
    loop {
        match send.step(&socket, Disk::MayWait) {
            Step::Done => break,
            Step::Yield | Step::WaitDisk => {}
            Step::WaitSocket => drop(sendrail_sys::wait_writable(socket.as_fd(), None)?),
            Step::PeerGone(error) => return Err(error.into()),
            Step::Failed(fault) => return Err(fault.into()),
        }
    }
    assert_eq!(send.remaining(), 0);
    drop(socket);
    let got = reading.join().map_err(|_| "the peer panicked")??;
    row("Send.completed", &got, &segment, send.receipt())
}

/// A consumer that is days behind reads what nobody else does: behind it the page cache is given back
fn catching_up() -> Outcome {
    let segment = bytes(9 << 20);
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(file_of(&segment)?, 0, 9 << 20));
    let options = Options { drop_behind: DropBehind::On, ..Options::default() };
    let (got, receipt) = sent(|socket| Ok(blocking::send(socket, chain, options)?))?;
    row("a consumer that catches up", &got, &segment, receipt)
}

/// A log that is truncated by a new leader, while its old end is being fetched
fn truncated_segment() -> Outcome {
    let segment = bytes(1 << 20);
    let file = file_of(&segment)?;
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(Arc::clone(&file), 0, 1 << 20));
    file.set_len(500_000)?;
    let (got, fault) = sent(|socket| match blocking::send(socket, chain, Options::default()) {
        Err(SendError::File { fault, .. }) => Ok(fault),
        outcome => Err(format!("{outcome:?}").into()),
    })?;
    assert!(matches!(fault, FileFault::Truncated { .. }));
    row("a truncated log", &got, &segment[..500_000], fault)
}

/// `FileRecords.append(records)`, for records that need not be looked at: a replica's, or a mirror's
fn append() -> Outcome {
    let records = bytes(2 << 20);
    let (socket, segment) = (comes(records.clone())?, file_of(b"what was there, ")?);
    let range = RangeInto::new(16, 2 << 20);
    let receipt = recv_file(&socket, &segment, range, &ReceiveOptions::default())?;
    let expected = [b"what was there, ", &records[..]].concat();
    row("FileRecords.append", &contents(&segment)?, &expected, receipt)
}
