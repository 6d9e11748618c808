//! HTTP/2: what is wrong with one stream is no matter of the others.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sendrail_hyper::{FileBody, ZeroCopy};
use std::{io, os::unix::fs::FileExt, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};

/// A file that is truncated while it is sent ends its stream, and the connection goes on.
#[tokio::test]
async fn a_truncated_file_ends_its_own_stream() {
    const LEN: u64 = 16 << 20;
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&vec![7; LEN as usize], 0).unwrap();
    let file = Arc::new(file);
    let serving = Arc::clone(&file);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request: Request<Incoming>| {
            let whole = request.uri().path() == "/whole";
            let len = if whole { LEN } else { 5 };
            let body = FileBody::new(Arc::clone(&serving), 0, len).to_be_copied();
            async move { Ok::<_, io::Error>(Response::new(body)) }
        });
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(ZeroCopy::new(socket)), service)
            .await
    });
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    // Little at a time, so that most of it is still to be sent when it is gone.
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_connection_window_size(8 << 20)
        .initial_stream_window_size(300_000)
        .handshake(io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut ask = async |path: &str| {
        let request = Request::builder().uri(format!("http://{address}{path}"));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        sender.send_request(request).await
    };
    let response = ask("/whole").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    file.set_len(10).unwrap();
    let mut body = response.into_body();
    let ended = loop {
        match body.frame().await {
            Some(Ok(_)) => {}
            ended => break ended,
        }
    };
    ended.expect("it is not whole").expect_err("nor does it look so");
    let next = ask("/five").await.expect("the connection is as good as before");
    assert_eq!(next.into_body().collect().await.unwrap().to_bytes(), vec![7; 5]);
}
