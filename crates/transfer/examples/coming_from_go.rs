//! Coming from Go: each row of that table in docs/coming-from.md, run. `cargo run --example coming_from_go`

mod support;

use sendrail_transfer::{
    Chain, FileRange, Options, SendError, blocking,
    copy::{CopyOptions, copy_file},
    receive::{RangeInto, ReceiveOptions, recv_file},
    relay::relay,
};
use std::time::Duration;
use support::{Outcome, bytes, comes, connection, contents, file_of, row, sent};

fn main() -> Outcome {
    copy_to_connection()?;
    copy_n_to_connection()?;
    limit_reader()?;
    section_reader()?;
    buffers()?;
    multi_reader()?;
    copy_from_connection()?;
    copy_n_from_connection()?;
    copy_files()?;
    copy_between_connections()?;
    write_deadline()
}

/// Sends ranges of one file.
fn send(whole: &[u8], ranges: &[(u64, u64)]) -> Outcome<(Vec<u8>, String)> {
    let file = file_of(whole)?;
    let mut chain = Chain::new();
    for (offset, len) in ranges {
        chain.push_file(FileRange::new(file.clone(), *offset, *len));
    }
    sent(|socket| Ok(blocking::send(socket, chain, Options::default())?.to_string()))
}

/// `io.Copy(conn, file)`, which is `(*TCPConn).ReadFrom`, which is sendfile(2)
fn copy_to_connection() -> Outcome {
    let whole = bytes(300_000);
    let (got, receipt) = send(&whole, &[(0, 300_000)])?;
    row("io.Copy(conn, file)", &got, &whole, receipt)
}

/// `file.Seek(1000, io.SeekStart); io.CopyN(conn, file, 5000)`
fn copy_n_to_connection() -> Outcome {
    let whole = bytes(300_000);
    let (got, receipt) = send(&whole, &[(1000, 5000)])?;
    row("io.CopyN(conn, file, n)", &got, &whole[1000..6000], receipt)
}

/// `io.Copy(conn, io.LimitReader(file, n))`; that a file is shorter is no error there
fn limit_reader() -> Outcome {
    let whole = bytes(300_000);
    let len = whole.len() as u64;
    let (got, receipt) = send(&whole, &[(0, len.min(1_000_000))])?;
    row("io.LimitReader", &got, &whole, receipt)
}

/// `io.NewSectionReader(file, off, n)`, twice, in two goroutines or in one answer
fn section_reader() -> Outcome {
    let whole = bytes(300_000);
    let (got, receipt) = send(&whole, &[(200_000, 5), (10, 100_000)])?;
    let expected = [&whole[200_000..200_005], &whole[10..100_010]].concat();
    row("io.NewSectionReader", &got, &expected, receipt)
}

/// `net.Buffers{head, body}.WriteTo(conn)`, which is writev(2)
fn buffers() -> Outcome {
    let mut chain = Chain::new();
    chain.push_bytes("head, ");
    chain.push_bytes("body");
    let (got, receipt) = sent(|socket| Ok(blocking::send(socket, chain, Options::default())?))?;
    row("net.Buffers.WriteTo", &got, b"head, body", receipt)
}

/// `io.Copy(conn, io.MultiReader(strings.NewReader(head), file))`
fn multi_reader() -> Outcome {
    let whole = bytes(300_000);
    let mut chain = Chain::new();
    chain.push_bytes("head, ");
    chain.push_file(FileRange::new(file_of(&whole)?, 0, 300_000));
    let (got, receipt) = sent(|socket| Ok(blocking::send(socket, chain, Options::default())?))?;
    row("io.MultiReader", &got, &[b"head, ", &whole[..]].concat(), receipt)
}

/// `io.Copy(file, conn)`, which is `(*File).ReadFrom`, which is splice(2)
fn copy_from_connection() -> Outcome {
    let expected = bytes(300_000);
    let (socket, file) = (comes(expected.clone())?, file_of(&[])?);
    let receipt = recv_file(&socket, &file, RangeInto::until_end(0), &ReceiveOptions::default())?;
    row("io.Copy(file, conn)", &contents(&file)?, &expected, receipt)
}

/// `io.CopyN(file, conn, n)`, twice, from one connection
fn copy_n_from_connection() -> Outcome {
    let expected = bytes(300_000);
    let (socket, file) = (comes(expected.clone())?, file_of(&[])?);
    let options = ReceiveOptions::default();
    recv_file(&socket, &file, RangeInto::new(0, 100_000), &options)?;
    let receipt = recv_file(&socket, &file, RangeInto::new(100_000, 200_000), &options)?;
    row("io.CopyN(file, conn, n)", &contents(&file)?, &expected, receipt)
}

/// `io.Copy(target, source)`, which is `(*File).ReadFrom`, which is copy_file_range(2)
fn copy_files() -> Outcome {
    let expected = bytes(300_000);
    let (source, target) = (file_of(&expected)?, file_of(&[])?);
    let range = FileRange::new(source, 0, 300_000);
    let receipt = copy_file(&range, &target, 0, &CopyOptions::default())?;
    row("io.Copy(target, source)", &contents(&target)?, &expected, receipt)
}

/// `io.Copy(conn, other)`, which is splice(2) through a pipe
fn copy_between_connections() -> Outcome {
    let expected = bytes(300_000);
    let other = comes(expected.clone())?;
    let (got, receipt) = sent(|socket| Ok(relay(&other, socket, None)?.to_string()))?;
    row("io.Copy(conn, other)", &got, &expected, receipt)
}

/// `conn.SetWriteDeadline(time.Now().Add(d))` before each write
fn write_deadline() -> Outcome {
    let whole = bytes(64 << 20);
    let (socket, _peer_that_reads_nothing) = connection()?;
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(file_of(&whole)?, 0, 64 << 20));
    let send_timeout = Some(Duration::from_millis(50));
    match blocking::send(&socket, chain, Options { send_timeout, ..Options::default() }) {
        Err(error @ SendError::TimedOut { .. }) => row("SetWriteDeadline", &[], &[], error),
        outcome => Err(format!("{outcome:?}").into()),
    }
}
