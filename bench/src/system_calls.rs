//! System calls a server makes, counted by the kernel: a perf counter (perf_event_open(2)) on the tracepoint
//! `raw_syscalls:sys_enter` for every thread there is, inherited by those to come. Costs a server far less than strace(1),
//! but not nothing, so that it is done in a stretch of its own.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};

use crate::process;

const IDENTIFIER: &str = "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id";

/// Counts from its making on.
pub(crate) struct SystemCalls(Vec<Counter>);

impl SystemCalls {
    /// Why they cannot be counted here, if so: perf events need a kernel that has them and the right to use them.
    pub(crate) fn unavailable() -> Option<String> {
        if !Path::new(IDENTIFIER).exists() {
            return Some(format!(
                "{IDENTIFIER} is not there (tracefs is not mounted, or no right)"
            ));
        }
        counter(std::process::id()).err().map(|error| format!("{error:#}"))
    }

    pub(crate) fn of_tree(root: u32) -> Result<SystemCalls> {
        let mut counters = Vec::new();
        for pid in process::tree(root).context("listing the server's processes")? {
            for thread in process::threads(pid).context("listing the server's threads")? {
                counters.push(counter(thread)?);
            }
        }
        Ok(SystemCalls(counters))
    }

    /// Made so far.
    pub(crate) fn count(&mut self) -> Result<u64> {
        let counts = self.0.iter_mut().map(|counter| counter.read().context("reading a counter"));
        counts.sum()
    }
}

fn counter(thread: u32) -> Result<Counter> {
    let identifier = fs::read_to_string(IDENTIFIER).context("reading a tracepoint's number")?;
    let identifier = identifier.trim().parse().context("a tracepoint's number")?;
    let thread = i32::try_from(thread).context("a thread's number")?;
    let mut counter = Builder::new(Tracepoint::with_id(identifier))
        .observe_pid(thread)
        .inherit(true)
        .include_kernel()
        .build()
        .context("perf_event_open")?;
    counter.enable().context("starting a counter")?;
    Ok(counter)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_childs_calls_are_counted() {
        if let Some(why) = SystemCalls::unavailable() {
            eprintln!("skipped: {why}");
            return;
        }
        // Each byte is read by a call of its own.
        let mut child = Command::new("sh")
            .args(["-c", "while read -r line; do :; done"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut calls = SystemCalls::of_tree(child.id()).unwrap();
        let before = calls.count().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&[b'x'; 500]).unwrap();
        drop(input);
        child.wait().unwrap();
        let made = calls.count().unwrap() - before;
        assert!((500..700).contains(&made), "{made}");
    }
}
