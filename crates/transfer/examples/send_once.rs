//! One transfer by a method of your choice, to be watched from outside:
//!
//! ```text
//! nc -l 7004 >/dev/null &
//! strace -f target/debug/examples/send_once 127.0.0.1:7004 Cargo.toml sendfile blocking
//! ```
//!
//! With `auto` for a method the plan chooses; with `one-version` too, and the file must not change; with a number behind it all, the file is sent as that many
//! ranges with a few bytes before each, as an answer of several ranges is.
//!
//! The transfer's own system calls stand between two calls of getppid(2). The last line tells the
//! receipt, and whether a SIGUSR1 has arrived: the tests `receipts_match_strace` and
//! `interrupted_calls` read it.

use sendrail_transfer::{Chain, FileRange, Options, blocking};
use signal_hook::consts::SIGUSR1;
use std::{
    env,
    fs::File,
    net::TcpStream,
    os::{fd::AsFd, unix::process::parent_id},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const USAGE: &str = "usage: send_once ADDRESS FILE METHOD|auto|one-version blocking|blocking-timeout|non-blocking [RANGES]";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, path, method, mode, ranges @ ..] = &arguments[..] else {
        return Err(USAGE.into());
    };
    let ranges: u64 = ranges.first().map_or(Ok(1), |number| number.parse())?;
    let signalled = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGUSR1, Arc::clone(&signalled))?;
    let file = Arc::new(File::open(path)?);
    let seen = sendrail_sys::fstat(file.as_fd())?;
    let len = seen.len;
    let one_version = method == "one-version";
    let mut chain = Chain::new();
    for number in 0..ranges {
        let start = |number| len * number / ranges;
        chain.push_bytes("a head, ");
        let (start, end) = (start(number), start(number + 1));
        let range = FileRange::new(Arc::clone(&file), start, end - start);
        chain.push_file(if one_version {
            range.unchanged_since(seen.modified, len)
        } else {
            range
        });
    }
    let socket = TcpStream::connect(address)?;
    socket.set_nonblocking(mode == "non-blocking")?;
    // Under a time limit Linux says EINTR to interrupted sends even where the handler asks for
    // SA_RESTART (signal(7)).
    let send_timeout = (mode == "blocking-timeout").then_some(Duration::from_mins(1));
    let method = (method != "auto" && !one_version).then(|| method.parse()).transpose()?;
    let options = Options { method, send_timeout, ..Options::default() };

    let _ = parent_id();
    let result = blocking::send(&socket, chain, options);
    let _ = parent_id();
    let receipt = result?;
    let signalled = signalled.load(Ordering::Relaxed);
    println!("bytes={} {receipt} signalled={signalled}", receipt.bytes);
    Ok(())
}
