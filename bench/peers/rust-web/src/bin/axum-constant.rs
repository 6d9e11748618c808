//! What axum itself costs: small files from memory, as they were at the start, with a constant head. No server:
//! `axum-constant ADDRESS DIRECTORY`.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Response, StatusCode, header},
};
use std::{collections::HashMap, convert::Infallible, env, error::Error, fs, sync::Arc};

/// Longer ones are not there: to copy them would be no floor.
const LONGEST: usize = 64 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().ok_or("no address")?;
    let mut files = HashMap::new();
    for entry in fs::read_dir(arguments.next().ok_or("no directory")?)? {
        let entry = entry?;
        if entry.metadata()?.len() <= LONGEST as u64 && entry.file_type()?.is_file() {
            let path = format!("/{}", entry.file_name().to_string_lossy());
            files.insert(path, bytes::Bytes::from(fs::read(entry.path())?));
        }
    }
    let files = Arc::new(files);
    let service = tower::service_fn(move |request: Request| {
        let found = files.get(request.uri().path()).cloned();
        async move { Ok::<_, Infallible>(answer(found)) }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let app: axum::Router = axum::Router::new().fallback_service(service);
        axum::serve(tokio::net::TcpListener::bind(address).await?, app).await?;
        Ok(())
    })
}

/// As many fields as the others send.
fn answer(found: Option<bytes::Bytes>) -> Response<Body> {
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let body = found.unwrap_or_default();
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::LAST_MODIFIED, "Sun, 22 Nov 2026 06:23:25 GMT"),
        (header::ETAG, "\"constant\""),
        (header::ACCEPT_RANGES, "bytes"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    fields.insert(header::CONTENT_LENGTH, length);
    response
}
