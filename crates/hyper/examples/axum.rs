//! One file by axum, without a copy: `cargo run --example axum -- FILE`, and `curl http://127.0.0.1:3000/`.

use axum::{Router, body::Body, extract::State, http::StatusCode, routing::get};
use sendrail_hyper::{FileBody, Listener};
use std::{env, fs::File, io, path::PathBuf, sync::Arc};

async fn file(State(path): State<Arc<PathBuf>>) -> Result<Body, StatusCode> {
    let opened = tokio::task::spawn_blocking(move || File::open(&*path)).await;
    let file = opened.ok().and_then(Result::ok).ok_or(StatusCode::NOT_FOUND)?;
    FileBody::whole(Arc::new(file)).map(Body::new).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let path = PathBuf::from(env::args().nth(1).unwrap_or_else(|| "Cargo.toml".to_owned()));
    let app = Router::new().route("/", get(file)).with_state(Arc::new(path));
    let address = env::args().nth(2).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = Listener::from(tokio::net::TcpListener::bind(address).await?);
    axum::serve(listener, app).await
}
