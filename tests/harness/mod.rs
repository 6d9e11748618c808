//! What the topics share: a server that is started and stopped, a tree to serve, a raw connection.

#![allow(dead_code)] // each topic uses its part

pub(crate) mod cache_command;
mod connection;
pub(crate) mod disk;
pub(crate) mod exchange;
mod journal;
mod opens;
mod pacing;
pub(crate) mod process;
mod server;
pub(crate) mod terminal;
mod tree;

pub(crate) use connection::{Connection, Response};
pub(crate) use journal::Journal;
pub(crate) use opens::Opens;
pub(crate) use process::evict;
pub(crate) use server::{Server, eventually, eventually_or};
pub(crate) use tree::{AGED, AGED_DATE, Tree, age, build_folder, bytes};

use std::process::Command;

/// Whether a program that a test needs is there; says so if the test has to be skipped.
pub(crate) fn has(program: &str) -> bool {
    let there = Command::new("sh")
        .args(["-c", &format!("command -v {program} >/dev/null")])
        .status()
        .is_ok_and(|status| status.success());
    if !there {
        eprintln!("skipped: {program} is not installed");
    }
    there
}
