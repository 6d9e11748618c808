//! One transfer or one reception in a tokio task, to be watched from outside:
//!
//! ```text
//! nc -l 7006 >/dev/null &
//! strace -f -e clone3,sendfile,splice target/debug/examples/tokio_once send 127.0.0.1:7006 Cargo.lock
//! nc -l 7006 <Cargo.lock &
//! strace -f -e clone3,splice target/debug/examples/tokio_once recv 127.0.0.1:7006 /tmp/received splice
//! ```
//!
//! What happens for it stands between two calls of getppid(2). The last line tells the receipt; the tests read it.

use sendrail_transfer::{
    Chain, FileRange, Options, asynchronous,
    receive::{RangeInto, ReceiveMethod, ReceiveOptions},
};
use std::{env, fs::File, os::unix::process::parent_id, sync::Arc};
use tokio::net::TcpStream;

const USAGE: &str = "usage: tokio_once send|recv ADDRESS FILE [METHOD]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [direction, address, path, method @ ..] = &arguments[..] else { return Err(USAGE.into()) };
    let socket = TcpStream::connect(address).await?;
    match &direction[..] {
        "send" => {
            let file = Arc::new(File::open(path)?);
            let len = file.metadata()?.len();
            let mut chain = Chain::new();
            chain.push_file(FileRange::new(Arc::clone(&file), 0, len)); // closed by who opened it
            let method = method.first().map(|name| name.parse()).transpose()?;
            let options = Options { method, ..Options::default() };
            let _ = parent_id();
            let sent = asynchronous::send(&socket, chain, options).await;
            let _ = parent_id();
            let receipt = sent?;
            println!("bytes={} {receipt}", receipt.bytes);
        }
        "recv" => {
            let file = Arc::new(File::create(path)?);
            let known = |name: &String| ReceiveMethod::ALL.into_iter().find(|m| m.name() == name);
            let method = method.first().map(|name| known(name).ok_or(USAGE)).transpose()?;
            let options = ReceiveOptions { method, ..ReceiveOptions::default() };
            socket.readable().await?; // so that the first call finds something
            let _ = parent_id();
            let range = RangeInto::until_end(0);
            let received = asynchronous::recv_file(&socket, &file, range, &options).await;
            let _ = parent_id();
            match received {
                Ok(receipt) => println!("bytes={} {receipt}", receipt.bytes),
                Err(error) => println!("bytes={} fault={error}", error.receipt.bytes),
            }
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}
