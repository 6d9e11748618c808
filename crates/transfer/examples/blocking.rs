//! The blocking front: a thread sends a file to whoever connects, and prints what it cost.
//!
//! ```text
//! cargo run --example blocking -- Cargo.toml      # in one terminal
//! nc 127.0.0.1 7001                               # in another
//! ```

use sendrail_transfer::{Chain, FileRange, Options, blocking};
use std::{env, fs::File, net::TcpListener, sync::Arc, time::Duration};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = env::args().nth(1).ok_or("usage: blocking FILE")?;
    let file = Arc::new(File::open(path)?);
    let len = file.metadata()?.len();

    let listener = TcpListener::bind("127.0.0.1:7001")?;
    let (socket, peer) = listener.accept()?;
    socket.set_nodelay(true)?;

    let mut chain = Chain::new();
    chain.push_bytes(format!("{len} bytes follow\n"));
    chain.push_file(FileRange::new(file, 0, len));
    let options = Options { send_timeout: Some(Duration::from_secs(30)), ..Options::default() };
    let receipt = blocking::send(&socket, chain, options)?;
    println!("{peer}: {} bytes, {receipt}", receipt.bytes);
    Ok(())
}
