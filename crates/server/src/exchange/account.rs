//! What an exchange cost, in one line: counted where it arises.

use super::{failure::Tally, sum::Read};
use crate::page_cache::text::{human, many};
use sendrail_transfer::{Receipt, receive::Received};
use std::{
    collections::BTreeSet,
    fmt::Write,
    time::{Duration, Instant},
};

/// What it cost so far.
#[derive(Debug)]
pub(super) struct Account {
    since: Instant,
    /// Bytes of files that were moved.
    pub(super) bytes: u64,
    /// Bytes of files that had been there before.
    pub(super) skipped: u64,
    /// Bytes that the CPU copied between user and kernel memory to move them.
    pub(super) copied: u64,
    /// System calls on files and sockets, without those for checksums.
    pub(super) calls: u64,
    methods: BTreeSet<String>,
    checked: Read,
}

impl Account {
    /// From now on.
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            bytes: 0,
            skipped: 0,
            copied: 0,
            calls: 0,
            methods: BTreeSet::new(),
            checked: Read::default(),
        }
    }

    /// A transfer of the engine's.
    pub(super) fn transfer(&mut self, receipt: &Receipt) {
        self.bytes += receipt.file_bytes;
        self.calls += receipt.system_calls;
        self.copied += receipt.copied;
        if !receipt.methods.is_empty() {
            self.methods.extend(receipt.methods.to_string().split('+').map(str::to_owned));
        }
    }

    /// The same, of the engine's receiving.
    pub(super) fn reception(&mut self, received: &Received) {
        self.bytes += received.bytes;
        self.calls += received.system_calls;
        self.copied += received.copied;
        for method in &received.methods {
            self.method(method.name());
        }
    }

    /// Bytes were moved in this way.
    pub(super) fn method(&mut self, name: &str) {
        if !self.methods.contains(name) {
            self.methods.insert(name.to_owned());
        }
    }

    /// A file was read for its checksum.
    pub(super) fn checked(&mut self, read: Read) {
        self.checked.calls += read.calls;
        self.checked.copied += read.copied;
    }

    /// The receipt. `verb`: "sent" or "received"; `more`: calls that the connection has counted itself.
    pub(super) fn line(&self, verb: &str, tally: Tally, more: u64) -> String {
        let took = self.since.elapsed();
        let mut line = format!(
            "{verb} {}, {} bytes in {:.2} s ({}/s): {} calls={} copied={}",
            many(tally.arrived, "file", "files"),
            self.bytes,
            took.as_secs_f64(),
            human(rate(self.bytes, took)),
            if self.methods.is_empty() {
                "nothing".to_owned()
            } else {
                self.methods.iter().map(String::as_str).collect::<Vec<_>>().join("+")
            },
            self.calls + more,
            self.copied,
        );
        if self.checked.calls > 0 {
            let Read { calls, copied } = self.checked;
            let _ = write!(line, "; checksums calls={calls} copied={copied}");
        }
        for (count, what) in [
            (self.skipped, "bytes had been there before"),
            (tally.failed, "not whole"),
            (tally.differs, "with a checksum that differs"),
        ] {
            if count > 0 {
                let _ = write!(line, "; {count} {what}");
            }
        }
        line
    }
}

fn rate(bytes: u64, took: Duration) -> u64 {
    (bytes as f64 / took.as_secs_f64().max(1e-6)) as u64
}
