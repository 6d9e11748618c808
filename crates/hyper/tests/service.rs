//! A directory as a tower service: what is found, what is refused, and what HTTP says.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use sendrail_hyper::{ResponseBody, ServeDir, ServeFile};
use std::{convert::Infallible, fs, os::unix::fs::symlink};
use tower_service::Service;

fn tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("sub")).unwrap();
    fs::create_dir(at("empty")).unwrap();
    fs::write(at("sub/index.html"), "<p>here").unwrap();
    fs::write(at("a.txt"), "0123456789").unwrap();
    fs::write(at("a.txt.gz"), "not really gzip").unwrap();
    fs::write(at("large"), vec![7; 300_000]).unwrap();
    fs::write(at(".secret"), "no").unwrap();
    symlink("/etc/passwd", at("out")).unwrap();
    folder
}

async fn ask<S>(service: &mut S, request: http::request::Builder) -> Response<Bytes>
where
    S: Service<Request<()>, Response = Response<ResponseBody>, Error = Infallible>,
{
    let Ok(response) = service.call(request.body(()).unwrap()).await;
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn files_are_found_and_nothing_else_is() {
    let folder = tree();
    let mut service = ServeDir::new(folder.path()).unwrap();
    for (path, status) in [
        ("/a.txt", 200),
        ("/a%2etxt", 200),
        ("/sub/", 200),
        ("/sub", 307),
        ("/empty/", 404),
        ("/a.txt/", 404),
        ("/absent", 404),
        ("/.secret", 404),
        ("/../a.txt", 400),
        ("/%2e%2e/etc/passwd", 400),
    ] {
        let response = ask(&mut service, Request::get(path)).await;
        assert_eq!(response.status(), status, "{path}");
    }
    let out = ask(&mut service, Request::get("/out")).await;
    assert!(out.status().is_client_error() && out.body().len() < 1000, "{out:?}");
    let found = ask(&mut service, Request::get("/a.txt")).await;
    assert_eq!(found.body(), "0123456789");
    assert_eq!(found.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(found.headers()["content-length"], "10");
    let moved = ask(&mut service, Request::get("/sub?a=1")).await;
    assert_eq!(moved.headers()["location"], "./sub/?a=1");
    let index = ask(&mut service, Request::get("/sub/")).await;
    assert_eq!(index.body(), "<p>here");
    let mut without = service.append_index_html_on_directories(false);
    assert_eq!(ask(&mut without, Request::get("/sub/")).await.status(), 404);
}

#[tokio::test]
async fn parts_and_conditions() {
    let folder = tree();
    let mut service = ServeDir::new(folder.path()).unwrap();
    let whole = ask(&mut service, Request::get("/a.txt")).await;
    let (etag, modified) = (&whole.headers()["etag"], &whole.headers()["last-modified"]);
    let same = Request::get("/a.txt").header("if-none-match", etag);
    assert_eq!(ask(&mut service, same).await.status(), 304);
    let since = Request::get("/a.txt").header("if-modified-since", modified);
    assert_eq!(ask(&mut service, since).await.status(), 304);
    let other = Request::get("/a.txt").header("if-match", "\"other\"");
    assert_eq!(ask(&mut service, other).await.status(), 412);

    let part = ask(&mut service, Request::get("/a.txt").header("range", "bytes=2-4")).await;
    assert_eq!((part.status(), part.body()), (StatusCode::PARTIAL_CONTENT, &Bytes::from("234")));
    assert_eq!(part.headers()["content-range"], "bytes 2-4/10");
    let beyond = ask(&mut service, Request::get("/a.txt").header("range", "bytes=10-")).await;
    assert_eq!(beyond.status(), 416);
    assert_eq!(beyond.headers()["content-range"], "bytes */10");
    let several = Request::get("/large").header("range", "bytes=0-0,100000-199999");
    let several = ask(&mut service, several).await;
    let length: usize = several.headers()["content-length"].to_str().unwrap().parse().unwrap();
    assert_eq!((several.status(), several.body().len()), (StatusCode::PARTIAL_CONTENT, length));
    let run = several.body().split(|byte| *byte != 7).map(<[u8]>::len).max();
    assert_eq!(run, Some(100_000));

    let head = ask(&mut service, Request::head("/large")).await;
    assert_eq!(
        (head.headers()["content-length"].as_bytes(), head.body().len()),
        (&b"300000"[..], 0)
    );
}

#[tokio::test]
async fn variants_are_sent_where_they_are_wanted() {
    let folder = tree();
    let accepting = || Request::get("/a.txt").header("accept-encoding", "br, gzip");
    let mut without = ServeDir::new(folder.path()).unwrap();
    let plain = ask(&mut without, accepting()).await;
    assert!(!plain.headers().contains_key("vary") && plain.body() == "0123456789");
    let mut with = without.precompressed_gzip().cache_control(HeaderValue::from_static("no-cache"));
    let packed = ask(&mut with, accepting()).await;
    assert_eq!(packed.body(), "not really gzip");
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_eq!(packed.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(
        (&packed.headers()["vary"], &packed.headers()["cache-control"]),
        (&HeaderValue::from_static("Accept-Encoding"), &HeaderValue::from_static("no-cache"))
    );
    let plain = ask(&mut with, Request::get("/a.txt")).await;
    assert_eq!(
        (plain.body(), &plain.headers()["vary"]),
        (&Bytes::from("0123456789"), &HeaderValue::from_static("Accept-Encoding"))
    );
}

#[tokio::test]
async fn nothing_can_be_written() {
    let folder = tree();
    let mut service = ServeDir::new(folder.path()).unwrap();
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let response = ask(&mut service, Request::builder().method(method).uri("/a.txt")).await;
        assert_eq!(
            (response.status(), &response.headers()["allow"]),
            (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("GET, HEAD"))
        );
    }
}

#[derive(Clone)]
struct Other;

impl Service<Request<()>> for Other {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let path = request.uri().path().to_owned();
        std::future::ready(Ok(Response::new(Full::from(path))))
    }
}

#[tokio::test]
async fn somebody_else_is_asked_for_what_is_not_there() {
    let folder = tree();
    let mut falling = ServeDir::new(folder.path()).unwrap().fallback(Other);
    let response = ask(&mut falling, Request::get("/absent")).await;
    assert_eq!((response.status(), response.body()), (StatusCode::OK, &Bytes::from("/absent")));
    assert_eq!(ask(&mut falling, Request::get("/a.txt")).await.body(), "0123456789");
    let mut missing = ServeDir::new(folder.path()).unwrap().not_found_service(Other);
    let response = ask(&mut missing, Request::get("/absent")).await;
    assert_eq!(
        (response.status(), response.body()),
        (StatusCode::NOT_FOUND, &Bytes::from("/absent"))
    );
}

#[tokio::test]
async fn one_file_whatever_is_asked_for() {
    let folder = tree();
    let mut service = ServeFile::new(folder.path().join("a.txt")).unwrap().precompressed_gzip();
    for path in ["/", "/whatever", "/a/b/c/"] {
        assert_eq!(ask(&mut service, Request::get(path)).await.body(), "0123456789", "{path}");
    }
    // Anew for each request.
    fs::remove_file(folder.path().join("a.txt")).unwrap();
    assert_eq!(ask(&mut service, Request::get("/")).await.status(), 404);
    let mut missing = ServeFile::new(folder.path().join("sub")).unwrap();
    assert_eq!(ask(&mut missing, Request::get("/")).await.status(), 404, "a directory is no file");
    ServeFile::new("/nowhere/at/all").unwrap_err();
    ServeDir::new(folder.path().join("a.txt")).unwrap_err();
}
