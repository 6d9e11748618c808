//! Coming from Java NIO: each row of that table in docs/coming-from.md, run. `cargo run --example coming_from_java`

mod support;

use sendrail_transfer::{
    Chain, Disk, FileFault, FileRange, Options, SendError, Step, Transfer, blocking,
    copy::{CopyOptions, copy_file},
    mapped_read::read_mapped,
    receive::{RangeInto, ReceiveOptions, recv_file},
};
use std::{io::Read, os::fd::AsFd, sync::Arc};
use support::{Outcome, bytes, comes, connection, contents, file_of, reads_all, row, sent};

fn main() -> Outcome {
    transfer_to()?;
    transfer_to_non_blocking()?;
    transfer_to_beyond_the_end()?;
    transfer_from()?;
    transfer_between_files()?;
    map()?;
    gathering_write()?;
    scattering_read()
}

/// `file.transferTo(position, count, socket)`
fn transfer_to() -> Outcome {
    let expected = bytes(300_000);
    let file = file_of(&expected)?;
    let (got, receipt) = sent(|socket| {
        let mut chain = Chain::new();
        chain.push_file(FileRange::new(file, 1000, 200_000));
        Ok(blocking::send(socket, chain, Options::default())?)
    })?;
    row("FileChannel.transferTo", &got, &expected[1000..201_000], receipt)
}

/// The same on a channel in non-blocking mode: `if (n < count) key.interestOps(OP_WRITE)`
fn transfer_to_non_blocking() -> Outcome {
    let expected = bytes(9 << 20);
    let file = file_of(&expected)?;
    let (socket, peer) = connection()?;
    socket.set_nonblocking(true)?;
    let reading = reads_all(peer);
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(file, 0, 9 << 20));
    let mut transfer = Transfer::new(chain, Options::default());
    loop {
        match transfer.step(&socket, Disk::MayWait) {
            Step::Done => break,
            Step::Yield | Step::WaitDisk => {}
            // A selector's work.
            Step::WaitSocket => drop(sendrail_sys::wait_writable(socket.as_fd(), None)?),
            Step::PeerGone(error) => return Err(error.into()),
            Step::Failed(fault) => return Err(fault.into()),
        }
    }
    drop(socket);
    let got = reading.join().map_err(|_| "the peer panicked")??;
    row("FileChannel.transferTo, non-blocking", &got, &expected, transfer.receipt())
}

/// `transferTo` of more than there is returns less. Here that is an error, with the receipt of what has gone.
fn transfer_to_beyond_the_end() -> Outcome {
    let expected = bytes(1000);
    let file = file_of(&expected)?;
    let (got, fault) = sent(|socket| {
        let mut chain = Chain::new();
        chain.push_file(FileRange::new(file, 0, 5000));
        match blocking::send(socket, chain, Options::default()) {
            Err(SendError::File { fault, receipt }) if receipt.bytes == 1000 => Ok(fault),
            outcome => Err(format!("{outcome:?}").into()),
        }
    })?;
    assert!(matches!(fault, FileFault::Truncated { offset: 1000, promised_end: 5000 }));
    row("FileChannel.transferTo beyond the end", &got, &expected, fault)
}

/// `file.transferFrom(socket, position, count)`
fn transfer_from() -> Outcome {
    let expected = bytes(300_000);
    let (socket, file) = (comes(expected.clone())?, file_of(&[])?);
    let range = RangeInto::new(0, 300_000);
    let receipt = recv_file(&socket, &file, range, &ReceiveOptions::default())?;
    row("FileChannel.transferFrom", &contents(&file)?, &expected, receipt)
}

/// `source.transferTo(position, count, target)`, or `target.transferFrom(source, …)`
fn transfer_between_files() -> Outcome {
    let expected = bytes(300_000);
    let (source, target) = (file_of(&expected)?, file_of(&[])?);
    let range = FileRange::new(source, 0, 300_000);
    let receipt = copy_file(&range, &target, 0, &CopyOptions::default())?;
    row("FileChannel.transferTo(file)", &contents(&target)?, &expected, receipt)
}

/// `file.map(READ_ONLY, position, size)`
fn map() -> Outcome {
    let expected = bytes(300_000);
    let file = file_of(&expected)?;
    let mapped = read_mapped(&FileRange::new(Arc::clone(&file), 1000, 200_000))?;
    let got = mapped.with(<[u8]>::to_vec)?; // to look at it needs no copy; to compare it later does
    file.set_len(100_000)?; // an InternalError there, wherever the buffer is read
    let fault = mapped.with(|bytes| bytes[150_000]).expect_err("the file was cut");
    row("FileChannel.map", &got, &expected[1000..201_000], fault)
}

/// `socket.write(new ByteBuffer[] { head, body, tail })`
fn gathering_write() -> Outcome {
    let (got, receipt) = sent(|socket| {
        let mut chain = Chain::new();
        for piece in ["head, ", "body, ", "tail"] {
            chain.push_bytes(piece);
        }
        Ok(blocking::send(socket, chain, Options::default())?)
    })?;
    row("GatheringByteChannel.write", &got, b"head, body, tail", receipt)
}

/// `socket.read(new ByteBuffer[] { head, body })`, the body being what goes into a file
fn scattering_read() -> Outcome {
    let body = bytes(300_000);
    let mut socket = comes([b"length 300000\n", &body[..]].concat())?;
    let mut head = [0; 14];
    socket.read_exact(&mut head)?; // into memory; what follows stays in the socket
    let file = file_of(&[])?;
    let range = RangeInto::new(0, 300_000);
    let receipt = recv_file(&socket, &file, range, &ReceiveOptions::default())?;
    let got = [&head[..], &contents(&file)?].concat();
    row("ScatteringByteChannel.read", &got, &[b"length 300000\n", &body[..]].concat(), receipt)
}
