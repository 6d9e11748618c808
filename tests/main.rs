//! End to end: the real binary, real sockets, real clients, one module per topic.

#![allow(clippy::unwrap_used)] // a panic is how a test fails
#![allow(missing_docs)] // the names of the tests say what they hold

mod harness;

mod bad_disk;
mod brake;
mod clients;
mod command_line;
mod conditional;
mod config_file;
mod confinement;
mod descriptors;
mod disk_pool;
mod drain;
mod exchange;
mod exchange_disks;
mod file_systems;
mod framing;
mod lab;
mod limits;
mod listing;
mod little;
mod live;
mod log;
mod methods;
mod mutable;
mod negotiation;
mod page_cache;
mod parked;
mod pipelining;
mod range;
mod receipt;
mod replaced;
mod semantics;
mod slow_clients;
mod slow_disk;
mod thresholds;
mod truncation;
mod uploads;
