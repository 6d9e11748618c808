//! The asynchronous front: a task per client; what is not in the page cache goes by the disk pool.
//!
//! ```text
//! cargo run --features tokio --example tokio -- Cargo.toml    # in one terminal
//! nc 127.0.0.1 7003                                           # in as many others as you like
//! ```

use sendrail_transfer::{Chain, FileRange, Options, asynchronous};
use std::{env, fs::File, sync::Arc};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = env::args().nth(1).ok_or("usage: tokio FILE")?;
    let file = Arc::new(File::open(path)?);
    let len = file.metadata()?.len();
    let listener = TcpListener::bind("127.0.0.1:7003").await?;
    loop {
        let (socket, peer) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let file = Arc::clone(&file);
        tokio::spawn(async move {
            let mut chain = Chain::new();
            chain.push_file(FileRange::new(file, 0, len));
            match asynchronous::send(&socket, chain, Options::default()).await {
                Ok(receipt) => println!("{peer}: {receipt}"),
                Err(error) => println!("{peer}: {error}"),
            }
        });
    }
}
