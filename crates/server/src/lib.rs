//! The file server behind the `sendrail` binary: command line, listener, connections, log.
//!
//! The way of a byte, one direction only:
//! `config` → `listen` → `connection` → request → `respond` (what does HTTP say? `sendrail-http`)
//! → plan and transfer (`sendrail-transfer`) → receipt → `log`.
//!
//! This is a library so that its rooms can be tested; its interface is the command line, and
//! nothing else in here is promised to stay.

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod exchange;
pub mod explain;
pub mod page_cache;
pub mod serve;
pub mod trace;
pub mod uploads;

mod announce;
mod clock;
mod connection;
mod listen;
mod live;
mod log;
mod respond;
mod shutdown;
mod worker;
