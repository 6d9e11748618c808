//! The articles' table, measured: every way, hot and cold, in turns.

use crate::{
    course::{evict, make_file, transfer},
    link::{Link, Pair},
    probe::Probe,
    sample::{Figures, Sample, median},
    subject::Subject,
    way::Way,
};
use serde::Serialize;
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

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
    /// What over.
    pub link: Link,
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
                let (done, counts) = transfer(&mut subject, probe.as_mut(), task, checks, None)?;
                if round > 0 {
                    let (len, link) = (plan.len, Link::Loopback);
                    samples.push(Sample { way, link, cold, len, done, counts });
                }
            }
        }
    }
    match over_devices(plan, file.path(), probe.as_mut(), &mut progress) {
        Ok(more) => samples.extend(more),
        Err(error) => warnings.push(format!("Nothing was sent over other devices: {error}.")),
    }
    for sample in &samples {
        for disagreement in sample.disagreements() {
            let warning = format!("{}: {disagreement}", sample.way);
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    let on_loopback = Way::ALL
        .iter()
        .flat_map(|&way| states.iter().map(move |&cold| (way, Link::Loopback, cold)));
    let over_devices = [Link::Gathering, Link::NotGathering]
        .iter()
        .flat_map(|&link| OVER_DEVICES.iter().map(move |&way| (way, link, false)))
        .filter(|&(_, link, _)| samples.iter().any(|sample| sample.link == link));
    let rows = on_loopback.chain(over_devices);
    let rows = rows
        .map(|(way, link, cold)| {
            let of_this = samples
                .iter()
                .filter(|sample| (sample.way, sample.link, sample.cold) == (way, link, cold));
            let figures: Vec<Figures> = of_this.map(Sample::figures).collect();
            Row { way, link, cold, figures: median(&figures) }
        })
        .collect();
    Ok(Table { len: plan.len, rounds: plan.rounds, blind, rows, warnings, samples })
}

/// What is sent over devices that gather, and that do not.
const OVER_DEVICES: [Way; 3] = [Way::ReadWrite { buffer: 64 << 10 }, Way::Sendfile, Way::Splice];

/// Hot, between two namespaces: what the articles mean by sendfile with and without scatter-gather.
fn over_devices(
    plan: &Plan,
    file: &Path,
    mut probe: Option<&mut Probe>,
    progress: &mut dyn FnMut(&str),
) -> io::Result<Vec<Sample>> {
    let pair = Pair::make()?;
    let mut subject = Subject::start_by(pair.command(&plan.program))?;
    let mut samples = Vec::new();
    for round in 0..=plan.rounds {
        for link in [Link::Gathering, Link::NotGathering] {
            pair.gather(link == Link::Gathering)?;
            for way in OVER_DEVICES {
                progress(&format!("{way}, {link}: round {round} of {}", plan.rounds));
                io::copy(&mut File::open(file)?, &mut io::sink())?;
                let original = File::open(file)?;
                let checks = (round == 0).then_some(&original);
                let task = (way, file, plan.len);
                let (done, counts) =
                    transfer(&mut subject, probe.as_deref_mut(), task, checks, Some(&pair))?;
                if round > 0 {
                    samples.push(Sample { way, link, cold: false, len: plan.len, done, counts });
                }
            }
        }
    }
    Ok(samples)
}
