//! A directory by axum with sendrail-hyper, on one thread: `axum-sendrail ADDRESS DIRECTORY`.

use sendrail_hyper::{Listener, ServeDir};
use std::{env, error::Error};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().ok_or("no address")?;
    let directory = arguments.next().ok_or("no directory")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let app = axum::Router::new().fallback_service(ServeDir::new(directory)?);
        let listener = tokio::net::TcpListener::bind(address).await?;
        axum::serve(Listener::from(listener), app).await?;
        Ok(())
    })
}
