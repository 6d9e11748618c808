//! The broker over real sockets: the same bytes as on the disk, whoever asks how; and what it costs, by strace(1).

#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

#[path = "../log/common.rs"]
mod common;

mod clients;
mod cold;
mod examples;
mod requests;
mod served;
