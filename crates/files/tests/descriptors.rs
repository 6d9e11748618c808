//! Out of descriptors: the cache gives up its own before it gives up. Alone in its process, whose
//! limit it lowers.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::fs::{self, File};
use std::sync::Arc;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sendrail_files::{CacheOptions, OpenError, OpenFileCache, Root, RootOptions};

#[test]
fn the_cache_makes_room_when_no_descriptor_is_left() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..100 {
        fs::write(directory.path().join(number.to_string()), "x").unwrap();
    }
    let root = Arc::new(Root::open(directory.path(), RootOptions::default()).unwrap());
    let mut cache = OpenFileCache::<()>::new(root, CacheOptions::default());
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(40), ..before }).unwrap();

    let now = Instant::now();
    for number in 0..100 {
        cache.lookup(number.to_string().as_bytes(), now).unwrap();
    }
    assert!(cache.counts().evicted > 0, "{:?}", cache.counts());

    // What others hold cannot be given up, and then the error says so.
    cache.clear();
    let mut held = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        held.push(file);
    }
    let refused = cache.lookup(b"0", now);
    assert!(matches!(refused, Err(OpenError::TooManyOpenFiles(_))), "{refused:?}");
    drop(held);
    cache.lookup(b"0", now).unwrap();
    setrlimit(Resource::Nofile, before).unwrap();
}
