//! What receiving a file over loopback costs the receiver by each method, in processor time of its thread per GiB: into pages that
//! are in the page cache already, into a new file, and in pieces of known lengths, one call for each; from a sender that writes, and from
//! one that sends a file. The methods take turns.
//!
//! ```console
//! $ cargo run --release -p sendrail-transfer --example receive_methods -- [FOLDER]
//! ```

use rustix::time::{ClockId, clock_gettime};
use sendrail_transfer::{
    Chain, FileRange, Method, Options, blocking,
    receive::{RangeInto, ReceiveMethod, ReceiveOptions, recv_file},
};
use std::{
    env,
    error::Error,
    fs::File,
    io::{self, Seek, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

const ROUNDS: usize = 7;

const GIB: f64 = 1_073_741_824.0;

/// Bytes that are received in each round.
const EACH: u64 = 256 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let sent = Arc::new(tempfile::tempfile_in(&folder)?);
    for _ in 0..64 {
        (&*sent).write_all(&vec![7; 1 << 20])?;
    }
    let senders = [("write", never_ending(None)?), ("sendfile", never_ending(Some(sent))?)];
    let old = tempfile::tempfile_in(&folder)?;
    receive(&senders[0].1, &old, ReceiveMethod::Splice, 0, EACH)?;
    println!("s/GiB, medians of {ROUNDS}\n");
    println!("| sent by | file | pieces, KiB | {} |", names().join(" | "));
    println!("|---|---|---{}|", "|---".repeat(ReceiveMethod::ALL.len()));
    let whole = [("cached", EACH), ("new", EACH)];
    let pieces = [4_u64, 16, 64, 256, 1024].map(|kib| ("cached", kib << 10));
    for (sender, socket) in &senders {
        for (file, piece) in whole.into_iter().chain(pieces) {
            let mut times = ReceiveMethod::ALL.map(|_| Vec::new());
            for _ in 0..ROUNDS {
                for (method, times) in ReceiveMethod::ALL.into_iter().zip(&mut times) {
                    let file = if file == "new" { None } else { Some(&old) };
                    times.push(round(socket, file, &folder, method, piece)?);
                }
            }
            let medians = times.map(|mut times| {
                times.sort_by(f64::total_cmp);
                format!("{:.3}", times[ROUNDS / 2])
            });
            println!("| {sender} | {file} | {} | {} |", piece >> 10, medians.join(" | "));
        }
    }
    Ok(())
}

/// Processor time in seconds per GiB.
fn round(
    socket: &TcpStream,
    old: Option<&File>,
    folder: &str,
    method: ReceiveMethod,
    piece: u64,
) -> Result<f64, Box<dyn Error>> {
    let new = tempfile::tempfile_in(folder)?;
    if let Some(mut old) = old {
        // Direct writes drop the pages that they write past.
        io::copy(&mut old, &mut io::sink())?;
        old.rewind()?;
    }
    // A direct write of a little thing waits for the disk each time.
    let each = if piece < 256 << 10 { EACH / 16 } else { EACH };
    let before = now();
    for at in (0..each).step_by(piece as usize) {
        receive(socket, old.unwrap_or(&new), method, at, piece)?;
    }
    Ok((now() - before) * GIB / each as f64)
}

fn names() -> [&'static str; 3] {
    ReceiveMethod::ALL.map(ReceiveMethod::name)
}

fn receive(
    socket: &TcpStream,
    file: &File,
    method: ReceiveMethod,
    at: u64,
    len: u64,
) -> Result<(), Box<dyn Error>> {
    let options = ReceiveOptions { method: Some(method), ..ReceiveOptions::default() };
    let receipt = recv_file(socket, file, RangeInto::new(at, len), &options)?;
    if receipt.refusals.is_empty() { Ok(()) } else { Err(receipt.to_string().into()) }
}

/// A socket from which there is always more to come: bytes in memory, or those of a file.
fn never_ending(file: Option<Arc<File>>) -> Result<TcpStream, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (socket, _) = listener.accept()?;
    socket.set_nonblocking(true)?;
    thread::spawn(move || {
        let Some(file) = file else {
            let bytes = vec![7; 1 << 20];
            while sender.write_all(&bytes).is_ok() {}
            return;
        };
        let len = file.metadata().map_or(0, |facts| facts.len());
        loop {
            let mut chain = Chain::new();
            chain.push_file(FileRange::new(Arc::clone(&file), 0, len));
            let options = Options { method: Some(Method::Sendfile), ..Options::default() };
            if blocking::send(&sender, chain, options).is_err() {
                return;
            }
        }
    });
    Ok(socket)
}

/// Processor time of this thread, in seconds.
fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
