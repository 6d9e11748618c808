//! What it costs to look before each window whether it is in the page cache, as an event loop does:
//! `cachestat(2)` of the window, and a byte of each 512 KiB by `preadv2(2)` with RWF_NOWAIT. Beside it what
//! sending the window over loopback costs, both in processor time of this thread.
//!
//! ```console
//! $ cargo run --release -p sendrail-transfer --example cost_of_a_look
//! ```

use rustix::time::{ClockId, clock_gettime};
use sendrail_sys::{
    cachestat::cachestat,
    fadvise::{Advice, fadvise},
    poll::wait_writable,
    pread::{ReadFlags, preadv2},
};
use sendrail_transfer::{Chain, Disk, FileRange, Medium, Options, Step, Transfer, plan};
use std::{
    error::Error,
    fs::File,
    io::{self, Read, Seek, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    sync::Arc,
    thread,
};

const ROUNDS: usize = 15;

/// Bytes that are sent in each round.
const EACH: u64 = 256 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let socket = drained()?;
    println!("| file, KiB | its pages | µs to send | µs to look | % (medians of {ROUNDS}) |");
    println!("|---|---|---|---|---|");
    for len in [64 << 10, 256 << 10, 1 << 20, 2 << 20, 64 << 20] {
        for read_back in [false, true] {
            let mut file = tempfile::tempfile_in(".")?;
            file.write_all(&vec![7; len as usize])?;
            if read_back {
                file.sync_all()?;
                fadvise(file.as_fd(), 0, 0, Advice::DontNeed)?;
                file.rewind()?;
                io::copy(&mut file, &mut io::sink())?;
            }
            let file = Arc::new(file);
            let times = EACH / len;
            let (mut sending, mut looking) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                sending.push(microseconds(&socket, &file, len, times)?);
                let before = now();
                for _ in 0..times {
                    look(&file, len)?;
                }
                looking.push((now() - before) / times as f64);
            }
            let [sending, looking] = [sending, looking].map(|mut all| {
                all.sort_by(f64::total_cmp);
                all[ROUNDS / 2]
            });
            let pages = if read_back { "read from the disk" } else { "written" };
            let part = 100.0 * looking / sending;
            println!("| {} | {pages} | {sending:.1} | {looking:.2} | {part:.1} |", len >> 10);
        }
    }
    Ok(())
}

/// As the engine does it for each of a file's windows.
fn look(file: &File, len: u64) -> io::Result<()> {
    let nowait = ReadFlags { nowait: true, ..ReadFlags::default() };
    let mut at = 0;
    while at < len {
        let end = (at + plan::WINDOW).min(len);
        cachestat(file.as_fd(), at, end - at)?;
        while at < end {
            preadv2(file.as_fd(), &mut [0], at, nowait)?;
            at += 512 << 10;
        }
        at = end;
    }
    Ok(())
}

/// Processor time of this thread, in microseconds.
fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Processor time of one transfer.
fn microseconds(
    socket: &TcpStream,
    file: &Arc<File>,
    len: u64,
    times: u64,
) -> Result<f64, Box<dyn Error>> {
    let before = now();
    for _ in 0..times {
        let mut chain = Chain::new();
        let range = FileRange::new(Arc::clone(file), 0, len).on(Medium::Disk);
        chain.push_file(range.known_resident(true));
        let mut transfer = Transfer::new(chain, Options::default());
        transfer.socket_is_nonblocking();
        loop {
            match transfer.step(socket, Disk::MustNotWait) {
                Step::Done => break,
                Step::Yield => {}
                Step::WaitSocket => drop(wait_writable(socket.as_fd(), None)?),
                step => return Err(format!("{step:?}").into()),
            }
        }
    }
    Ok((now() - before) / times as f64)
}

/// A connection at whose other end a thread takes all that comes.
fn drained() -> Result<TcpStream, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let socket = TcpStream::connect(listener.local_addr()?)?;
    let (mut peer, _) = listener.accept()?;
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while peer.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
    socket.set_nonblocking(true)?;
    Ok(socket)
}
