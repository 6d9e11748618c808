//! One reception by a method of your choice, to be watched from outside:
//!
//! ```text
//! nc -l 7005 <Cargo.lock &
//! strace -f target/debug/examples/recv_once 127.0.0.1:7005 /tmp/received splice blocking
//! tar c crates | target/debug/examples/recv_once - /tmp/crates.tar auto blocking
//! ```
//!
//! With `auto` for a method it is chosen; with `append` too, and the file is opened with O_APPEND. Then an offset in the file may follow, and a
//! length, with which less may be received than there is, and a limit for the length of files (RLIMIT_FSIZE; SIGXFSZ would end it).
//!
//! Its own system calls stand between two calls of getppid(2). The last line tells the receipt, and whether a SIGUSR1 has
//! arrived, or how it failed: the tests read it.

use rustix::process::{Resource, Rlimit, setrlimit};
use sendrail_transfer::receive::{
    RangeInto, ReceiveError, ReceiveMethod, ReceiveOptions, Received, recv_file,
};
use signal_hook::consts::SIGUSR1;
use std::{
    env,
    fs::{File, OpenOptions},
    io,
    net::TcpStream,
    os::unix::process::parent_id,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const USAGE: &str = "usage: recv_once ADDRESS|- FILE splice|buffered|direct|auto|append blocking|non-blocking [OFFSET [LENGTH [LIMIT]]]";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, path, method, mode, numbers @ ..] = &arguments[..] else {
        return Err(USAGE.into());
    };
    let numbers: Vec<u64> =
        numbers.iter().map(|number| number.parse()).collect::<Result<_, _>>()?;
    let range =
        RangeInto { offset: numbers.first().copied().unwrap_or(0), len: numbers.get(1).copied() };
    let signalled = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGUSR1, Arc::clone(&signalled))?;
    if let Some(limit) = numbers.get(2) {
        setrlimit(Resource::Fsize, Rlimit { current: Some(*limit), maximum: None })?;
    }
    let append = method == "append";
    let file = OpenOptions::new().write(!append).append(append).create(true).open(path)?;
    let method = ReceiveMethod::ALL.into_iter().find(|known| known.name() == method);
    let timeout = Some(Duration::from_mins(1));
    let options = ReceiveOptions { method, timeout, ..ReceiveOptions::default() };
    let result = if address == "-" {
        watched(&io::stdin(), &file, range, &options)
    } else {
        let socket = TcpStream::connect(address)?;
        socket.set_nonblocking(mode == "non-blocking")?;
        watched(&socket, &file, range, &options)
    };
    let signalled = signalled.load(Ordering::Relaxed);
    match result {
        Ok(receipt) => println!("bytes={} {receipt} signalled={signalled}", receipt.bytes),
        Err(ReceiveError { fault, receipt, unwritten, .. }) => {
            let unwritten = unwritten.len();
            println!("bytes={} {receipt} unwritten={unwritten} fault={fault}", receipt.bytes);
        }
    }
    Ok(())
}

fn watched(
    source: &impl std::os::fd::AsFd,
    file: &File,
    range: RangeInto,
    options: &ReceiveOptions,
) -> Result<Received, ReceiveError> {
    let _ = parent_id();
    let result = recv_file(source, file, range, options);
    let _ = parent_id();
    result
}
