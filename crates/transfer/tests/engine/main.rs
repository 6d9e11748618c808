//! The engine against real files and real sockets, by topic; one binary, because that links fast.
//!
//! From the simple to the involved, so that the first failure tells most: what is delivered, how it
//! is delivered, and then everything that may go wrong on the way.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

mod common;
#[path = "../receive/disks.rs"]
#[allow(dead_code, reason = "shared with the tests of receiving, which use the others")]
mod disks;

mod delivery;
mod methods;

mod full_sockets;
mod gathered;
mod half_closed;
mod interrupts;
mod modes;
mod peers;
mod progress;
mod shared_pipes;

mod bulk;
mod changing_files;
mod cold_files;
mod file_systems;
mod gathered_files;
mod mapped_read;
mod one_version;
mod ranges;

#[cfg(feature = "tokio")]
mod asynchronous;
mod receipts;
