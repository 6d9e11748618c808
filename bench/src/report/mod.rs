//! What a run found. Cases fill in rows; one file per output shows them.

mod csv;
pub(crate) mod figure;
mod html;
mod json;
mod markdown;
pub(crate) mod table;
pub(crate) mod warnings;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::environment::Environment;
use crate::peer::Configuration;
use crate::root::{PREFIX, RANDOM};

pub(crate) use figure::{Against, Better, Bound, Figure, Limit, Measure, Verdict};

/// Everything: raw.json is this.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    /// Of this structure; a reader of an older one knows what to expect.
    pub(crate) schema: u32,
    pub(crate) command: Vec<String>,
    /// UTC.
    pub(crate) started: String,
    pub(crate) finished: String,
    pub(crate) publishable: bool,
    pub(crate) not_publishable_because: Vec<String>,
    pub(crate) rounds: u32,
    /// Of load on each server in each round.
    pub(crate) seconds: f64,
    pub(crate) environment: Environment,
    /// The subject first.
    pub(crate) servers: Vec<ServerRecord>,
    /// Peers that are not installed.
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) cases: Vec<CaseReport>,
}

/// Who was measured, and how exactly it was started.
#[derive(Debug, Serialize)]
pub(crate) struct ServerRecord {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) version: String,
    pub(crate) command: Vec<String>,
    pub(crate) configuration: Option<Configuration>,
}

/// What a floor is the cost of.
fn costs_alone(floor: &ServerRecord) -> &'static str {
    if floor.name == "floor" { "what the kernel alone costs" } else { "what its framework costs" }
}

/// What a server is measured for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// The one whose figures are set against the others'.
    Subject,
    Peer,
    /// The subject with other options; never the best.
    Variant,
    /// No server, but what the kernel alone costs; never the best.
    Floor,
}

/// A server that is not in the figures, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) server: String,
    pub(crate) why: String,
}

/// What cases are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Chapter {
    /// One hot file at a number of connections.
    Hot,
    /// Many files, as popular as on a real site.
    Mix,
    /// Ranges, conditions, codings.
    Requests,
    /// At a fixed offered rate.
    Latency,
    /// Many idle connections, slow readers, memory.
    Crowd,
    /// Files that nobody has read yet, beside a hot set, in little memory.
    Cold,
    /// One file from one machine to another, without a server.
    Exchange,
    /// A segment log, fetched from and appended to.
    Segments,
    /// Files that grow while they are sent.
    Live,
    /// Files that arrive.
    Uploads,
}

impl Chapter {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Chapter::Hot => "One hot file",
            Chapter::Mix => "Many files",
            Chapter::Requests => "Ranges, conditions, codings",
            Chapter::Latency => "Latency at a fixed offered rate",
            Chapter::Crowd => "Crowds: idle connections, slow readers, memory",
            Chapter::Cold => "Cold files beside a hot set",
            Chapter::Exchange => "One file from one machine to another",
            Chapter::Segments => "A segment log and its consumers",
            Chapter::Live => "Files that grow",
            Chapter::Uploads => "Files that arrive",
        }
    }
}

/// Where a case of one file lies, for plots over size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Point {
    pub(crate) bytes: u64,
    pub(crate) connections: usize,
}

/// One case, all servers.
#[derive(Debug, Serialize)]
pub(crate) struct CaseReport {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) chapter: Chapter,
    pub(crate) point: Option<Point>,
    /// The first is the one the case is about.
    pub(crate) figures: Vec<Figure>,
    /// Servers that do other work when asked for this, or fail at it.
    pub(crate) left_out: Vec<LeftOut>,
    /// Why these figures are to be doubted.
    pub(crate) warnings: Vec<String>,
    /// Every figure that was read, in the case's own form.
    pub(crate) raw: serde_json::Value,
}

impl Run {
    /// `DATE-HOST`: the name of the directory it is kept in.
    pub(crate) fn name(&self) -> String {
        let (date, _) = self.started.split_once('T').unwrap_or((&self.started, ""));
        format!("{date}-{}", self.environment.host)
    }

    /// Everything that was demanded, in the order of the cases.
    pub(crate) fn verdicts(&self) -> impl Iterator<Item = (&CaseReport, &Figure, &Verdict)> {
        self.cases.iter().flat_map(|case| {
            case.figures.iter().flat_map(move |figure| {
                figure.verdicts.iter().map(move |verdict| (case, figure, verdict))
            })
        })
    }

    /// Some bound is missed.
    pub(crate) fn missed(&self) -> bool {
        self.verdicts().any(|(_, _, verdict)| !verdict.met)
    }
}

/// The same with `GROUND` for the temporary directory that the servers had: it is another one each time, and where it was says nothing.
fn without_ground(text: &str) -> String {
    let mut pieces = text.split(PREFIX);
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let behind = piece.trim_start_matches(|byte: char| byte.is_ascii_alphanumeric());
        if piece.len() - behind.len() != RANDOM || behind.starts_with('-') {
            shown.push_str(PREFIX); // a control group's
            shown.push_str(piece);
            continue;
        }
        let before = shown.rfind(|byte: char| !is_of_path(byte)).map_or(0, |at| at + 1);
        shown.truncate(before);
        shown.push_str("GROUND");
        shown.push_str(behind);
    }
    shown
}

fn is_of_path(byte: char) -> bool {
    byte.is_ascii_alphanumeric() || "/._-".contains(byte)
}

/// Shows the run and keeps it under `out`.
pub(crate) fn publish(run: &Run, out: &Path) -> Result<()> {
    println!("{}", table::of_run(run));
    let write = |name: &str, text: String| {
        let path = out.join(name);
        fs::write(&path, without_ground(&text))
            .with_context(|| format!("writing {}", path.display()))
    };
    fs::create_dir_all(out).with_context(|| format!("making the directory {}", out.display()))?;
    write("raw.json", json::of_run(run)?)?;
    write("rounds.csv", csv::of_run(run)?)?;
    write("summary.md", markdown::of_run(run))?;
    write("report.html", html::of_run(run))?;
    println!("written to {}: report.html, summary.md, raw.json, rounds.csv", out.display());
    if !run.publishable {
        println!("not publishable: {}", run.not_publishable_because.join("; "));
    }
    Ok(())
}

/// For reading.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_ground_was_is_not_said() {
        for (text, shown) in [
            ("serve /tmp/sendrail-bench-a1B2c3/root --x", "serve GROUND/root --x"),
            ("\"/var/t.mp/sendrail-bench-a1B2c3\"", "\"GROUND\""),
            ("a=/tmp/sendrail-bench-a1B2c3/b /tmp/sendrail-bench-a1B2c3/c", "a=GROUND/b GROUND/c"),
            (
                "sendrail-bench --list /sys/x/sendrail-bench-123456-1",
                "sendrail-bench --list /sys/x/sendrail-bench-123456-1",
            ),
        ] {
            assert_eq!(without_ground(text), shown);
        }
    }
}
