//! What is kept between requests is never out of date, and never too much.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use sendrail_files::{Mutable, RootOptions};
use sendrail_hyper::{Keep, ResponseBody, ServeDir};
use std::{
    fs,
    io::{Seek, Write},
    path::Path,
    time::Duration,
};
use tower_service::Service;

async fn answer(service: &mut ServeDir, path: &str) -> Response<ResponseBody> {
    let Ok(response) = service.call(Request::get(path).body(()).unwrap()).await;
    response
}

async fn get(service: &mut ServeDir, path: &str) -> (u16, Bytes) {
    let (parts, body) = answer(service, path).await.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    if parts.status == 200 {
        assert_eq!(parts.headers["content-length"], bytes.len().to_string().as_str());
    }
    (parts.status.as_u16(), bytes)
}

/// Copies each part as it comes.
async fn copy_all(mut body: ResponseBody) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        all.extend_from_slice(frame?.data_ref().unwrap());
    }
    Ok(all)
}

/// How many descriptors of this process are open for files beneath a folder.
fn open_beneath(folder: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    links
        .filter_map(|link| fs::read_link(link.ok()?.path()).ok())
        .filter(|path| path.starts_with(folder) && path != folder)
        .count()
}

/// A folder with these files, left alone for longer than it takes until they are kept.
async fn at_rest(files: &[(&str, usize)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, len) in files {
        fs::write(folder.path().join(name), vec![b'1'; *len]).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(4100)).await;
    folder
}

#[tokio::test]
async fn whatever_happens_to_a_file_is_seen_at_the_next_request() {
    for len in [100, 300_000] {
        let names = ["left", "replaced", "written", "longer", "shorter", "deleted"];
        let folder = at_rest(&names.map(|name| (name, len))).await;
        let mut service = ServeDir::new(folder.path()).unwrap();
        for _ in 0..3 {
            for name in names {
                let (status, bytes) = get(&mut service, &format!("/{name}")).await;
                assert_eq!((status, bytes), (200, vec![b'1'; len].into()), "{name}");
            }
        }
        assert_eq!(open_beneath(folder.path()), names.len(), "they are kept");

        let at = |name: &str| folder.path().join(name);
        fs::write(at("new"), vec![b'2'; len]).unwrap();
        fs::rename(at("new"), at("replaced")).unwrap();
        let mut written = fs::File::options().write(true).open(at("written")).unwrap();
        written.write_all(&vec![b'2'; len]).unwrap();
        let mut longer = fs::File::options().append(true).open(at("longer")).unwrap();
        longer.write_all(b"2").unwrap();
        let shorter = fs::File::options().write(true).open(at("shorter")).unwrap();
        shorter.set_len(len as u64 - 1).unwrap();
        fs::remove_file(at("deleted")).unwrap();

        let one = |len| vec![b'1'; len];
        for (name, expected) in [
            ("left", one(len)),
            ("replaced", vec![b'2'; len]),
            ("written", vec![b'2'; len]),
            ("longer", [one(len), b"2".to_vec()].concat()),
            ("shorter", one(len - 1)),
        ] {
            let (status, bytes) = get(&mut service, &format!("/{name}")).await;
            assert!(status == 200 && bytes == expected, "{name} of {len}");
        }
        assert_eq!(get(&mut service, "/deleted").await.0, 404);
    }
}

#[tokio::test]
async fn a_kept_file_that_was_truncated_under_way_is_whole_again_the_next_time() {
    let len = 300_000;
    let folder = at_rest(&[("file", len)]).await;
    let mut service = ServeDir::new(folder.path()).unwrap();
    assert_eq!(get(&mut service, "/file").await.1.len(), len);
    let body = answer(&mut service, "/file").await.into_body();
    let path = folder.path().join("file");
    fs::File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
    // Whoever copies it comes to pages that are gone.
    copy_all(body).await.unwrap_err();
    fs::write(&path, vec![b'2'; len]).unwrap();
    assert!(get(&mut service, "/file").await.1 == vec![b'2'; len]);
    tokio::time::sleep(Duration::from_millis(4100)).await;
    for _ in 0..2 {
        assert!(get(&mut service, "/file").await.1 == vec![b'2'; len]);
    }
}

#[tokio::test]
async fn no_more_is_kept_than_may_be() {
    let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let files: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 5000)).collect();
    let folder = at_rest(&files).await;
    for (files, memory) in [(0, 1 << 20), (10, 1 << 20), (40, 0), (40, 100_000), (40, 1 << 20)] {
        let keep = Keep { files, memory };
        let mut service = ServeDir::new(folder.path()).unwrap().keep(keep);
        for _ in 0..2 {
            for name in &names {
                let (status, bytes) = get(&mut service, &format!("/{name}")).await;
                assert!(status == 200 && bytes == vec![b'1'; 5000], "{name}");
            }
        }
        let open = open_beneath(folder.path());
        assert!(open <= files && (open > 0) == (files > 0), "{open} of {keep:?}");
    }
}

#[tokio::test]
async fn settings_that_come_later_hold_for_what_was_kept_before() {
    let folder = at_rest(&[("a.css", 10)]).await;
    let mut service = ServeDir::new(folder.path()).unwrap();
    get(&mut service, "/a.css").await;
    let mut service = service.cache_control(http::HeaderValue::from_static("no-store"));
    for _ in 0..2 {
        let response = answer(&mut service, "/a.css").await;
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["content-type"], "text/css; charset=utf-8");
    }
}

#[tokio::test]
async fn variants_of_what_is_kept_are_sent_to_whom_they_are_for() {
    let folder = at_rest(&[("a.css", 10), ("a.css.gz", 7)]).await;
    let mut service = ServeDir::new(folder.path()).unwrap().precompressed_gzip();
    for _ in 0..3 {
        for (path, accepted, coding, len, media_type) in [
            ("/a.css", "gzip", Some("gzip"), 7, "text/css; charset=utf-8"),
            ("/a.css", "br", None, 10, "text/css; charset=utf-8"),
            ("/a.css.gz", "gzip", None, 7, "application/gzip"),
        ] {
            let request = Request::get(path).header("accept-encoding", accepted);
            let Ok(response) = service.call(request.body(()).unwrap()).await;
            let fields = response.headers();
            let said = fields.get("content-encoding").map(|value| value.to_str().unwrap());
            assert_eq!((said, &fields["content-type"]), (coding, &media_type.parse().unwrap()));
            assert_eq!(fields.contains_key("vary"), path == "/a.css");
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), len);
        }
    }
}

#[tokio::test]
async fn a_directory_that_is_made_anew_is_served() {
    let folder = at_rest(&[]).await;
    let dist = folder.path().join("dist");
    let make = |byte: u8| {
        fs::create_dir(&dist).unwrap();
        fs::write(dist.join("a.txt"), vec![byte; 100_000]).unwrap();
    };
    make(b'1');
    let mut service = ServeDir::new(&dist).unwrap();
    let mut only = sendrail_hyper::ServeFile::new(dist.join("a.txt")).unwrap();
    tokio::time::sleep(Duration::from_millis(4100)).await; // until it is kept
    for byte in [b'1', b'2', b'3'] {
        if byte != b'1' {
            fs::remove_dir_all(&dist).unwrap();
            make(byte);
        }
        let (status, bytes) = get(&mut service, "/a.txt").await;
        assert!(status == 200 && bytes == vec![byte; 100_000], "{status}, {}", byte as char);
        let Ok(response) = only.call(Request::get("/").body(()).unwrap()).await;
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert!(bytes == vec![byte; 100_000], "{}", byte as char);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_link_to_the_directory_may_be_switched() {
    let folder = tempfile::tempdir().unwrap();
    let current = folder.path().join("current");
    for release in ["1", "2"] {
        fs::create_dir(folder.path().join(release)).unwrap();
        fs::write(folder.path().join(release).join("a.txt"), release).unwrap();
    }
    std::os::unix::fs::symlink("1", &current).unwrap();
    let mut service = ServeDir::new(&current).unwrap();
    assert_eq!(get(&mut service, "/a.txt").await.1, "1");
    let other = folder.path().join("other");
    std::os::unix::fs::symlink("2", &other).unwrap();
    fs::rename(other, &current).unwrap();
    while get(&mut service, "/a.txt").await.1 != "2" {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// `Mutable::Copy`: every byte is of the version whose name goes before it, or there is an error.
#[tokio::test]
async fn one_version_or_none_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, vec![b'1'; 2_000_000]).unwrap();
    let options = RootOptions { mutable: Mutable::Copy, ..RootOptions::default() };
    let mut service = ServeDir::with_options(folder.path(), options).unwrap();
    assert!(get(&mut service, "/file").await.1 == vec![b'1'; 2_000_000]);
    let mut body = answer(&mut service, "/file").await.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    let mut file = fs::File::options().write(true).open(&path).unwrap();
    file.seek(std::io::SeekFrom::End(-1)).unwrap();
    file.write_all(b"2").unwrap();
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("changed"), "{error}");
}
