//! The engine against real files and real sockets, by topic; one binary, because that links fast.
//!
//! From the simple to the involved, so that the first failure tells most: what is delivered, how it
//! is delivered, and then everything that may go wrong on the way.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

mod common;

mod delivery;
mod methods;

mod full_sockets;
mod gathered;
mod interrupts;
mod peers;
mod progress;
mod shared_pipes;

mod bulk;
mod changing_files;
mod cold_files;
mod gathered_files;
mod mapped_read;
mod one_version;

#[cfg(feature = "tokio")]
mod asynchronous;
mod receipts;
