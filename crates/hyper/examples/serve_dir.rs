//! A directory by axum, without a copy: `cargo run --example serve_dir --features axum -- DIR`, and
//! `curl http://127.0.0.1:3000/static/FILE`. Each receipt goes to standard error.

use axum::{Router, routing::get};
use sendrail_hyper::{Listener, ServeDir, Watch};
use std::{env, error::Error};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| ".".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let app = Router::new()
        .route("/", get(async || "the files are in /static"))
        .nest_service("/static", ServeDir::new(directory)?.precompressed_gzip());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    let watch = Watch::new(|sent| {
        let receipt = sent.receipt;
        eprintln!(
            "{} bytes from byte {}: {}, {} copied, {} not in the page cache, {} system calls",
            sent.len,
            sent.offset,
            receipt.methods,
            receipt.copied,
            receipt.cold,
            receipt.system_calls
        );
    });
    axum::serve(Listener::from(listener).watched_by(watch), app).await?;
    Ok(())
}
