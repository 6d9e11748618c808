//! Files that arrive, against real directories and real disks, by topic.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

mod concurrent;
mod disks;
mod killed;
mod plain;
mod power;
mod quota;
mod resumable;
mod sweeping;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use sendrail_files::{Arrival, Landing, LandingOptions, Root, RootOptions, Terms};

/// Nothing has to stay free, so that the tests run on small disks too.
fn options() -> LandingOptions {
    LandingOptions {
        sync: false,
        reserve: 0,
        keep: Duration::from_hours(1),
        ..LandingOptions::default()
    }
}

fn landing(directory: &Path) -> Landing {
    landing_with(directory, options())
}

fn landing_with(directory: &Path, options: LandingOptions) -> Landing {
    let root = Root::open(directory, RootOptions::default()).unwrap();
    Landing::open(&root, b"", options).unwrap()
}

/// Where files have no names until they are whole, and where they need one.
fn both(directory: &Path) -> [Landing; 2] {
    let root = Root::open(directory, RootOptions::default()).unwrap();
    let named = Landing::open_by_names(&root, b"", options()).unwrap();
    assert!(!named.has_unnamed_files());
    [landing(directory), named]
}

fn temp() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn len(len: usize) -> Terms {
    Terms { len: Some(len as u64), ..Terms::default() }
}

fn put(landing: &Landing, path: &str, bytes: &[u8]) -> sendrail_files::Stored {
    arriving(landing, path, bytes).finish().unwrap()
}

fn arriving(landing: &Landing, path: &str, bytes: &[u8]) -> Arrival {
    let arrival = landing.begin(path.as_bytes(), len(bytes.len())).unwrap();
    arrival.file().write_all(bytes).unwrap();
    arrival
}

/// Names in a directory, sorted, the hidden ones too; nothing if it is not there.
fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Whether it is what is remembered of an upload.
fn is_record(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "about")
}

/// Bytes that differ from each other wherever two of them could be mistaken.
fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}
