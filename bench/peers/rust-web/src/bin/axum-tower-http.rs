//! A directory by axum with tower-http's ServeDir, on one thread: `axum-tower-http ADDRESS DIRECTORY`.

use axum::serve::ListenerExt;
use std::{env, error::Error};
use tower_http::services::ServeDir;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().ok_or("no address")?;
    let directory = arguments.next().ok_or("no directory")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let app = axum::Router::new().fallback_service(ServeDir::new(directory));
        let listener = tokio::net::TcpListener::bind(address).await?;
        // As the other one's.
        let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
        axum::serve(listener, app).await?;
        Ok(())
    })
}
