//! The articles' table, measured: every way, hot and cold, in turns.

use crate::{
    course::{evict, make_file, transfer},
    probe::Probe,
    sample::{Figures, Sample, median},
    subject::Subject,
    way::Way,
};
use serde::Serialize;
use std::{fs::File, io, path::PathBuf};

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program that can be a subject.
    pub program: PathBuf,
    /// Where the file is made.
    pub scratch: PathBuf,
    /// How long it is, in bytes.
    pub len: u64,
    /// How often each row is measured.
    pub rounds: usize,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Table {
    /// The file, in bytes.
    pub len: u64,
    /// Rounds.
    pub rounds: usize,
    /// Why nothing is seen in the kernel. Nothing, if it is.
    pub blind: Option<String>,
    /// The rows, in the order of [`Way::ALL`], hot before cold.
    pub rows: Vec<Row>,
    /// What has to be known beside it.
    pub warnings: Vec<String>,
    /// Every transfer.
    pub samples: Vec<Sample>,
}

/// One way, hot or cold.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The way.
    pub way: Way,
    /// Whether the file had to come from the disk.
    pub cold: bool,
    /// The medians.
    pub figures: Figures,
}

/// Measures. `progress` is told what comes next.
///
/// # Errors
///
/// The file cannot be made, or a transfer failed.
pub fn measure(plan: &Plan, mut progress: impl FnMut(&str)) -> io::Result<Table> {
    let (mut probe, blind) = match Probe::load() {
        Ok(probe) => (Some(probe), None),
        Err(why) => (None, Some(why.to_string())),
    };
    progress("making a file");
    let file = make_file(&plan.scratch, plan.len)?;
    let mut warnings = vec![
        "Over loopback the receiver always copies, and there is no device to gather from memory."
            .to_owned(),
    ];
    let can_be_cold = evict(file.as_file());
    if !can_be_cold {
        warnings.push(format!("What is in {} cannot be made cold.", plan.scratch.display()));
    }
    let mut samples = Vec::new();
    let mut subject = Subject::start(&plan.program)?;
    let states: &[bool] = if can_be_cold { &[false, true] } else { &[false] };
    // The first round is to see that the bytes are right, and counts for nothing.
    for round in 0..=plan.rounds {
        for way in Way::ALL {
            for &cold in states {
                let state = if cold { "cold" } else { "hot" };
                progress(&match round {
                    0 => format!("{way}, {state}: are the bytes right?"),
                    round => format!("{way}, {state}: round {round} of {}", plan.rounds),
                });
                if cold {
                    evict(file.as_file());
                } else {
                    io::copy(&mut File::open(file.path())?, &mut io::sink())?;
                }
                let task = (way, file.path(), plan.len);
                let checks = (round == 0).then_some(file.as_file());
                let (done, counts) = transfer(&mut subject, probe.as_mut(), task, checks)?;
                if round > 0 {
                    samples.push(Sample { way, cold, len: plan.len, done, counts });
                }
            }
        }
    }
    for sample in &samples {
        for disagreement in sample.disagreements() {
            let warning = format!("{}: {disagreement}", sample.way);
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    let rows = Way::ALL.iter().flat_map(|&way| states.iter().map(move |&cold| (way, cold)));
    let rows = rows
        .map(|(way, cold)| {
            let of_this = samples.iter().filter(|sample| (sample.way, sample.cold) == (way, cold));
            let figures: Vec<Figures> = of_this.map(Sample::figures).collect();
            Row { way, cold, figures: median(&figures) }
        })
        .collect();
    Ok(Table { len: plan.len, rounds: plan.rounds, blind, rows, warnings, samples })
}
