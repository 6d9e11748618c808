//! kill -9, a thousand times, at any moment of an append: what was acknowledged is there, nothing half-written is, and appending goes on.
//!
//! The one who is killed is this very test, started again.

use crate::common::*;
use sendrail_segment_log::{Log, Options};
use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

const KILLS: u32 = 1000;
/// Where the one who is killed finds its log.
const DIRECTORY: &str = "SENDRAIL_TEST_LOG";
const NAME: &str = "kills::killed_a_thousand_times_at_any_moment_of_an_append";
/// What it says before each offset up to which it has been told that all is there.
const ACKNOWLEDGED: &str = "acknowledged ";

fn options(round: u32) -> Options {
    let tiny = Options { segment_bytes: 100_000, index_interval: 500, ..Options::default() };
    let tiny = keeping(150_000, &tiny);
    // Most of them without: a disk takes its time, and a killed process leaves the page cache as it is.
    if round.is_multiple_of(4) { on_disk(&tiny) } else { tiny }
}

#[test]
fn killed_a_thousand_times_at_any_moment_of_an_append() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        return append_until_killed(Path::new(&directory));
    }
    let folder = folder();
    let (mut end, mut torn, mut rebuilt, mut appended) = (0, 0, 0, 0);
    for round in 0..KILLS {
        let acknowledged = kill_after(folder.path(), round).max(end);
        let log = Log::open(folder.path(), options(round)).unwrap();
        let there = look_through(&log, 20_000);
        assert!(there.end >= acknowledged, "round {round}: {} of {acknowledged}", there.end);
        // The append that was under way may be there too: it was written, and nobody was told yet.
        assert!(there.end <= acknowledged + longest_batch(), "round {round}: {}", log.recovery());
        assert!(log.recovery().damage.is_none());
        torn += u32::from(log.recovery().torn.is_some());
        rebuilt += log.recovery().rebuilt.len();
        appended += there.end - end;
        end = there.end;
        // Appending goes on here as well.
        append_until(&log, end + 1, 1);
        end += 1;
    }
    println!("{KILLS} kills, {appended} records: {torn} torn tails, {rebuilt} indexes made anew");
}

/// Sizes from a record to more than a segment, so that the kill finds writes under way.
fn batch(next: u64) -> u64 {
    [1, 1, 3, 50, 1, 400, 2, 1500][(next / 7 % 8) as usize]
}

fn longest_batch() -> u64 {
    1500
}

fn append_until_killed(directory: &Path) {
    let round = env::var("SENDRAIL_TEST_ROUND").unwrap().parse().unwrap();
    let log = Log::open(directory, options(round)).unwrap();
    let mut out = std::io::stdout();
    loop {
        let next = log.end();
        append_until(&log, next + batch(next), batch(next));
        writeln!(out, "\n{ACKNOWLEDGED}{}", log.end()).unwrap();
    }
}

/// Says up to where it had been acknowledged.
fn kill_after(directory: &Path, round: u32) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(DIRECTORY, directory)
        .env("SENDRAIL_TEST_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = 0;
    let mut hear = |line: &str| {
        if let Some(end) = line.strip_prefix(ACKNOWLEDGED)
            && line.ends_with('\n')
        // else it was killed in the midst of saying it
        {
            acknowledged = end.trim_end().parse().unwrap();
        }
    };
    let mut line = String::new();
    while !line.starts_with(ACKNOWLEDGED) {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended by itself, in round {round}");
    }
    hear(&line);
    // From nothing to some milliseconds, another one each time.
    std::thread::sleep(Duration::from_micros(u64::from(round) * 7919 % 4000));
    child.kill().unwrap();
    child.wait().unwrap();
    loop {
        line.clear();
        if said.read_line(&mut line).unwrap() == 0 {
            return acknowledged;
        }
        if let Some(end) = line.strip_prefix(ACKNOWLEDGED)
            && line.ends_with('\n')
        {
            acknowledged = end.trim_end().parse().unwrap();
        }
    }
}
