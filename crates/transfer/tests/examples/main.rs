//! The examples, run: what people copy from must go on working.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

#[path = "../engine/common.rs"]
#[allow(dead_code, reason = "shared with the tests of the engine, which use all of it")]
mod common;

mod coming_from;
mod mio_server;

use std::path::PathBuf;

/// Where cargo has put an example beside this test.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = target.join("examples").join(name);
    let build = "cargo build -p sendrail-transfer --all-features --examples";
    assert!(path.exists(), "`{build}` first: no {}", path.display());
    path
}
