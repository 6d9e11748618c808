//! Coming from nginx: each row of that table in docs/coming-from.md, as a program of one's own would have it.
//! `cargo run --example coming_from_nginx`

mod support;

use sendrail_transfer::{
    Chain, Disk, DropBehind, FileRange, Method, Options, Receipt, SendError, Step, Transfer,
    blocking,
    disk_pool::{DiskPool, Job, Limits, Turn, Whose, Windows},
    plan::{Glue, RING_BUFFER, glue},
};
use std::{
    os::{fd::AsFd, unix::fs::MetadataExt},
    sync::{Arc, mpsc::channel},
    time::Duration,
};
use support::{Outcome, bytes, connection, file_of, reads_all, row, sent};

const LEN: u64 = 3 << 20;

fn main() -> Outcome {
    sendfile_on()?;
    sendfile_off()?;
    sendfile_max_chunk()?;
    aio_threads()?;
    directio()?;
    directio_alignment()?;
    output_buffers()?;
    tcp_nopush()?;
    read_ahead()?;
    send_timeout()?;
    limit_rate()
}

fn send(name: &str, options: &Options) -> Outcome<Receipt> {
    let expected = bytes(LEN as usize);
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(file_of(&expected)?, 0, LEN));
    let (got, receipt) = sent(|socket| Ok(blocking::send(socket, chain, options.clone())?))?;
    row(name, &got, &expected, &receipt)?;
    Ok(receipt)
}

/// `sendfile on;`
fn sendfile_on() -> Outcome {
    let options = Options { method: Some(Method::Sendfile), ..Options::default() };
    assert_eq!(send("sendfile on", &options)?.copied, 0);
    Ok(())
}

/// `sendfile off;`
fn sendfile_off() -> Outcome {
    let options = Options { method: Some(Method::Copy), ..Options::default() };
    assert_eq!(send("sendfile off", &options)?.copied, 2 * LEN);
    Ok(())
}

/// `sendfile_max_chunk 512k;`
fn sendfile_max_chunk() -> Outcome {
    send("sendfile_max_chunk", &Options { window: 512 << 10, ..Options::default() })?;
    Ok(())
}

/// `aio threads;` with `thread_pool default threads=16 max_queue=65536;`
fn aio_threads() -> Outcome {
    let expected = bytes(LEN as usize);
    let file = file_of(&expected)?;
    file.sync_all()?;
    sendrail_sys::fadvise(file.as_fd(), 0, 0, sendrail_sys::Advice::DontNeed)?; // cold, where that is heeded
    let pool = DiskPool::new(Limits { per_device: 16, queue: 65_536 });
    let (socket, peer) = connection()?;
    socket.set_nonblocking(true)?;
    let socket = Arc::new(socket);
    let reading = reads_all(peer);
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(Arc::clone(&file), 0, LEN));
    let mut transfer = Transfer::new(chain, Options::default());
    let receipt = loop {
        let mut step = transfer.step(&*socket, Disk::MustNotWait);
        if matches!(step, Step::WaitDisk) {
            let (mut windows, there) = (Some(Windows::of(transfer)), Arc::clone(&socket));
            let work = move |turn: &Turn<'_>| match windows.as_mut() {
                Some(inside) => {
                    inside.advance(&*there, turn).map_break(|step| (windows.take(), step))
                }
                None => unreachable!("it has ended when this is gone"),
            };
            let (tell, told) = channel();
            let whose = Whose { device: file.metadata()?.dev(), client: 1 };
            let job = Job::in_turns(whose, work, move |outcome| drop(tell.send(outcome)));
            let _place = pool.submit(job).map_err(|_| "the queue is full")?;
            let (windows, then) = told.recv()??; // an event loop serves others meanwhile
            (transfer, step) = (windows.ok_or("it came back")?.into_transfer(), then);
        }
        match step {
            Step::Done => break transfer.into_receipt(),
            Step::WaitSocket => drop(sendrail_sys::wait_writable(socket.as_fd(), None)?),
            Step::Yield | Step::WaitDisk => {}
            Step::PeerGone(error) => return Err(error.into()),
            Step::Failed(fault) => return Err(fault.into()),
        }
    };
    drop(socket);
    let got = reading.join().map_err(|_| "the peer panicked")??;
    row("aio threads", &got, &expected, receipt)
}

/// `directio 1m;`
fn directio() -> Outcome {
    let receipt = send("directio", &Options { direct_above: Some(1 << 20), ..Options::default() })?;
    assert!(receipt.methods.contains(Method::Direct) || receipt.refusals.iter().count() > 0);
    Ok(())
}

/// `directio_alignment 4k;` is asked of the kernel. Where a range begins and ends does not matter.
fn directio_alignment() -> Outcome {
    let whole = bytes(LEN as usize);
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(file_of(&whole)?, 1001, 1_000_003));
    let options = Options { method: Some(Method::Direct), ..Options::default() };
    let (got, receipt) = sent(|socket| Ok(blocking::send(socket, chain, options)?))?;
    row("directio_alignment", &got, &whole[1001..1_001_004], receipt)
}

/// `output_buffers 4 512k;`
fn output_buffers() -> Outcome {
    assert_eq!(RING_BUFFER, 512 << 10);
    let method = Some(Method::Direct);
    send("output_buffers", &Options { method, ring_depth: 4, ..Options::default() })?;
    Ok(())
}

/// `tcp_nopush on;` is decided by what is to be sent
fn tcp_nopush() -> Outcome {
    assert_eq!(glue(100, false, false), Glue::None);
    assert_eq!(glue(100_000, true, false), Glue::More);
    assert_eq!(glue(10 << 20, true, false), Glue::Cork);
    row("tcp_nopush", &[], &[], "MSG_MORE up to 256 KiB, TCP_CORK above")
}

/// `read_ahead 1m;` is left to the kernel: the file is sent by a thread that may sleep, in the order of its bytes, and what
/// that has brought in is given back behind it
fn read_ahead() -> Outcome {
    send("read_ahead", &Options { drop_behind: DropBehind::Auto, ..Options::default() })?;
    Ok(())
}

/// `send_timeout 50ms;`
fn send_timeout() -> Outcome {
    let (socket, _peer_that_reads_nothing) = connection()?;
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(file_of(&bytes(64 << 20))?, 0, 64 << 20));
    let send_timeout = Some(Duration::from_millis(50));
    match blocking::send(&socket, chain, Options { send_timeout, ..Options::default() }) {
        Err(error @ SendError::TimedOut { .. }) => row("send_timeout", &[], &[], error),
        outcome => Err(format!("{outcome:?}").into()),
    }
}

/// `limit_rate 64m;` is the kernel's (SO_MAX_PACING_RATE, `socket(7)`), and the caller's to set
fn limit_rate() -> Outcome {
    let expected = bytes(LEN as usize);
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(file_of(&expected)?, 0, LEN));
    let (got, receipt) = sent(|socket| {
        sendrail_sys::sockopt::set_max_pacing_rate(socket.as_fd(), 64 << 20)?;
        Ok(blocking::send(socket, chain, Options::default())?)
    })?;
    row("limit_rate", &got, &expected, receipt)
}
