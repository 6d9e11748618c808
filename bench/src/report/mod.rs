//! What a run found. Cases fill in rows; one file per output shows them.

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
use crate::spread::Spread;

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
    pub(crate) cases: Vec<CaseReport>,
}

/// Who was measured, and how exactly it was started.
#[derive(Debug, Serialize)]
pub(crate) struct ServerRecord {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) command: Vec<String>,
    pub(crate) configuration: Option<Configuration>,
}

/// One case, all servers.
#[derive(Debug, Serialize)]
pub(crate) struct CaseReport {
    pub(crate) name: String,
    pub(crate) about: String,
    /// The first is the one the case is about.
    pub(crate) rows: Vec<Row>,
    /// Why these figures are to be doubted.
    pub(crate) warnings: Vec<String>,
    /// Every figure that was read, in the case's own form.
    pub(crate) raw: serde_json::Value,
}

/// One figure for all servers.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) figure: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) decimals: usize,
    /// In the order of the servers; medians where there were rounds.
    pub(crate) values: Vec<f64>,
    /// The subject's figure as a share of each other server's, taken round by round; empty where there were no rounds.
    pub(crate) ratios: Vec<Spread>,
    pub(crate) bound: Option<Bound>,
    /// Whether the subject keeps the bound.
    pub(crate) met: Option<bool>,
}

/// What the subject must reach.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Bound {
    /// The median ratio to the first other server.
    Ratio { at_most: f64 },
    /// The figure itself, in the row's unit.
    Value { at_most: f64 },
    /// For a self-check: the same against the same.
    RatioNearOne { within: f64 },
}

impl Row {
    /// A figure taken once per server.
    pub(crate) fn once(
        figure: &'static str,
        unit: &'static str,
        decimals: usize,
        values: impl Iterator<Item = f64>,
        bound: Option<Bound>,
    ) -> Row {
        Row {
            figure,
            unit,
            decimals,
            values: values.collect(),
            ratios: Vec::new(),
            bound,
            met: None,
        }
        .judged()
    }

    /// A figure taken in every round: `rounds[server][round]`.
    pub(crate) fn of_rounds(
        figure: &'static str,
        unit: &'static str,
        decimals: usize,
        rounds: &[Vec<f64>],
        bound: Option<Bound>,
    ) -> Row {
        let values = rounds
            .iter()
            .filter_map(|values| Spread::of(values.iter().copied()))
            .map(|spread| spread.median);
        let (subject, others) = rounds.split_first().expect("there is a server");
        let ratio = |other: &Vec<f64>| {
            Spread::of(subject.iter().zip(other).map(|(subject, other)| subject / other))
        };
        let ratios = others.iter().filter_map(ratio).collect();
        Row { figure, unit, decimals, values: values.collect(), ratios, bound, met: None }.judged()
    }

    fn judged(mut self) -> Row {
        let ratio = self.ratios.first().map(|ratio| ratio.median);
        self.met = self.bound.and_then(|bound| match bound {
            Bound::Ratio { at_most } => Some(ratio? <= at_most),
            Bound::Value { at_most } => Some(*self.values.first()? <= at_most),
            Bound::RatioNearOne { within } => Some((ratio? - 1.0).abs() <= within),
        });
        self
    }
}

impl Run {
    /// `DATE-HOST`: the name of the directory it is kept in.
    pub(crate) fn name(&self) -> String {
        let (date, _) = self.started.split_once('T').unwrap_or((&self.started, ""));
        format!("{date}-{}", self.environment.host)
    }

    /// Some bound is missed.
    pub(crate) fn missed(&self) -> bool {
        self.cases.iter().flat_map(|case| &case.rows).any(|row| row.met == Some(false))
    }
}

/// Shows the run and keeps it under `out`.
pub(crate) fn publish(run: &Run, out: &Path) -> Result<()> {
    println!("{}", table::of_run(run));
    let write = |name: &str, text: String| {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    fs::create_dir_all(out).with_context(|| format!("making the directory {}", out.display()))?;
    write("raw.json", json::of_run(run)?)?;
    write("summary.md", markdown::of_run(run))?;
    println!("{}/raw.json and summary.md written", out.display());
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
    fn ratios_are_taken_round_by_round() {
        // The medians are equal; in every round but one the subject is dearer.
        let rounds = [vec![3.0, 4.0, 2.0], vec![2.0, 3.0, 4.0]];
        let row = Row::of_rounds("x", "µs", 1, &rounds, Some(Bound::Ratio { at_most: 1.0 }));
        assert_eq!(row.values, [3.0, 3.0]);
        assert_eq!(row.ratios, [Spread { median: 4.0 / 3.0, min: 0.5, max: 1.5 }]);
        assert_eq!(row.met, Some(false));
    }

    #[test]
    fn bounds_are_inclusive() {
        let met =
            |values: &[f64], bound| Row::once("x", "", 0, values.iter().copied(), Some(bound)).met;
        assert_eq!(met(&[10.0, 99.0], Bound::Value { at_most: 10.0 }), Some(true));
        assert_eq!(met(&[10.1, 99.0], Bound::Value { at_most: 10.0 }), Some(false));
        let met =
            |ratio, bound| Row::of_rounds("x", "", 0, &[vec![ratio], vec![1.0]], Some(bound)).met;
        assert_eq!(met(0.65, Bound::Ratio { at_most: 0.65 }), Some(true));
        assert_eq!(met(0.94, Bound::RatioNearOne { within: 0.05 }), Some(false));
        assert_eq!(met(1.04, Bound::RatioNearOne { within: 0.05 }), Some(true));
    }
}
