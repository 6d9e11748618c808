//! The articles' table, measured: every way, hot and cold, in turns; and what belongs beside it.

use crate::{
    copy_on_write,
    course::{evict, make_file, perform, transfer, warm},
    link::{Link, Pair},
    machine::{Look, Machine},
    overwrite::{Overwritten, overwrite},
    probe::Probe,
    sample::{Figures, Sample, median},
    self_test::{Check, checks},
    subject::{Subject, Task, known},
    way::{Reading, Way},
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
    /// What it was measured on.
    pub machine: Machine,
    /// The file, in bytes.
    pub len: u64,
    /// Rounds.
    pub rounds: usize,
    /// Why nothing is seen in the kernel. Nothing, if it is.
    pub blind: Option<String>,
    /// Whether the probes can be believed.
    pub self_tests: Vec<Check>,
    /// The ways of sending, in the order of [`Way::ALL`], hot before cold; then those over devices.
    pub rows: Vec<Row>,
    /// The same transfer through each front ([`Way::FRONTS`]).
    pub fronts: Vec<Row>,
    /// What reading for a checksum costs ([`Way::CHECKSUMS`]).
    pub checksums: Vec<Row>,
    /// Who got to see what was written to a file after it had been sent.
    pub overwritten: Vec<Overwritten>,
    /// What is copied of a private mapping, and when.
    pub private: Vec<copy_on_write::Step>,
    /// What of a reflink clone, and where it was tried.
    pub reflink: Option<(String, Vec<copy_on_write::Step>)>,
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

/// Measures. `progress` is told how far it has come, and what comes next.
///
/// # Errors
///
/// The file cannot be made, or a transfer failed.
pub fn measure(plan: &Plan, mut progress: impl FnMut(f64, &str)) -> io::Result<Table> {
    let look = Look::begin(&plan.scratch);
    let (probe, blind) = match Probe::load() {
        Ok(probe) => (Some(probe), None),
        Err(why) => (None, Some(why.to_string())),
    };
    progress(0.0, "making a file");
    let file = make_file(&plan.scratch, plan.len)?;
    let mut warnings = vec![
        "Over loopback the receiver always copies, and there is no device to gather from memory."
            .to_owned(),
    ];
    let can_be_cold = evict(file.as_file());
    if !can_be_cold {
        warnings.push(format!("What is in {} cannot be made cold.", plan.scratch.display()));
    }
    let mut bench = Bench {
        plan,
        probe,
        subject: Subject::start(&plan.program)?,
        file: file.path(),
        samples: Vec::new(),
        turns: 0,
        all_turns: turns(plan.rounds, can_be_cold),
        progress: &mut progress,
    };
    let self_tests = bench.self_test()?;
    for check in self_tests.iter().filter(|check| !check.holds()) {
        let seen = check.seen.unwrap_or(0);
        warnings
            .push(format!("{}: {seen} seen, {} done: do not believe it.", check.what, check.known));
    }
    let loopback = rows_of(&Way::ALL, can_be_cold);
    let fronts = rows_of(&Way::FRONTS, can_be_cold);
    let mut checksums = rows_of(&Way::CHECKSUMS, can_be_cold);
    checksums.retain(|(way, _, cold)| !(*cold && *way == Way::Checksum(Reading::Nothing)));
    for rows in [&loopback, &fronts, &checksums] {
        warnings.extend(bench.rounds(rows, None)?);
    }
    let mut rows = loopback;
    let mut overwritten = Vec::new();
    for way in OVERWRITTEN {
        overwritten.push(overwrite(
            &mut bench.subject,
            &plan.scratch,
            way,
            (Link::Loopback, None),
        )?);
    }
    match bench.over_devices(&mut overwritten) {
        Ok((more, refused)) => {
            rows.extend(more);
            warnings.extend(refused);
        }
        Err(error) => warnings.push(format!("Nothing was sent over other devices: {error}.")),
    }
    (bench.progress)(1.0, "copy-on-write");
    let private = copy_on_write::private_mapping(&plan.scratch)?;
    let reflink = copy_on_write::reflink(&plan.scratch);
    let reflink = reflink.map_err(|error| {
        warnings
            .push(format!("No clone could be made to look at copy-on-write on the disk: {error}."));
    });
    let samples = bench.samples;
    warnings.extend(disagreements(&samples));
    let rows_of =
        |rows: Vec<Kind>| rows.into_iter().filter_map(|kind| row(kind, &samples)).collect();
    Ok(Table {
        machine: look.end(),
        len: plan.len,
        rounds: plan.rounds,
        blind,
        self_tests,
        rows: rows_of(rows),
        fronts: rows_of(fronts),
        checksums: rows_of(checksums),
        overwritten,
        private,
        reflink: reflink.ok(),
        warnings,
        samples,
    })
}

/// What a row is of: the way, what over, and whether cold.
type Kind = (Way, Link, bool);

fn rows_of(ways: &[Way], can_be_cold: bool) -> Vec<Kind> {
    let states: &[bool] = if can_be_cold { &[false, true] } else { &[false] };
    ways.iter()
        .flat_map(|&way| states.iter().map(move |&cold| (way, Link::Loopback, cold)))
        .collect()
}

/// The medians of its samples. Nothing, if there are none.
fn row((way, link, cold): Kind, samples: &[Sample]) -> Option<Row> {
    let of_this =
        samples.iter().filter(|sample| (sample.way, sample.link, sample.cold) == (way, link, cold));
    let figures: Vec<Figures> = of_this.map(Sample::figures).collect();
    (!figures.is_empty()).then(|| Row { way, link, cold, figures: median(&figures) })
}

/// What those who counted do not agree on, each once; and a checksum that was another one.
fn disagreements(samples: &[Sample]) -> Vec<String> {
    let mut warnings = Vec::new();
    for sample in samples {
        for disagreement in sample.disagreements() {
            let warning = format!("{}: {disagreement}", sample.way);
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    let mut sums: Vec<&str> = samples
        .iter()
        .filter(
            |sample| matches!(sample.way, Way::Checksum(reading) if reading != Reading::Nothing),
        )
        .map(|sample| sample.done.methods.as_str())
        .collect();
    sums.dedup();
    if sums.len() > 1 {
        warnings.push("The checksums differ: somebody read other bytes.".to_owned());
    }
    warnings
}

/// What is sent over devices that gather, and that do not.
const OVER_DEVICES: [Way; 3] = [Way::ReadWrite { buffer: 64 << 10 }, Way::Sendfile, Way::Splice];

/// What is overwritten behind the receiver.
const OVERWRITTEN: [Way; 4] =
    [Way::ReadWrite { buffer: 64 << 10 }, Way::MmapWrite, Way::Sendfile, Way::Splice];

const DEVICES: [Link; 2] = [Link::Gathering, Link::NotGathering];

/// Transfers that there will be, for the progress.
fn turns(rounds: usize, can_be_cold: bool) -> usize {
    let states = if can_be_cold { 2 } else { 1 };
    let ways = Way::ALL.len() + Way::FRONTS.len() + Way::CHECKSUMS.len();
    (rounds + 1) * (ways * states + OVER_DEVICES.len() * DEVICES.len())
}

/// All that a transfer takes.
struct Bench<'a> {
    plan: &'a Plan,
    probe: Option<Probe>,
    subject: Subject,
    file: &'a Path,
    samples: Vec<Sample>,
    turns: usize,
    all_turns: usize,
    progress: &'a mut dyn FnMut(f64, &str),
}

impl Bench<'_> {
    /// Has a program that is known be seen.
    fn self_test(&mut self) -> io::Result<Vec<Check>> {
        let file = make_file(&self.plan.scratch, known::BYTES)?;
        let task = Task {
            way: Way::Known,
            file: file.path().to_owned(),
            len: known::BYTES,
            address: None,
            thresholds: None,
        };
        let (done, counts) = perform(&mut self.subject, self.probe.as_mut(), task, None, None)?;
        let known = done.known.ok_or_else(|| io::Error::other("the self-test says nothing"))?;
        Ok(checks(&known, counts.as_ref(), done.disk, done.voluntary))
    }

    /// Each of these in turn, round after round. The first round is to see that the bytes are right, and
    /// counts for nothing. Says what could not be tried here.
    fn rounds(&mut self, kinds: &[Kind], pair: Option<&Pair>) -> io::Result<Vec<String>> {
        let mut refused = Vec::new();
        let mut left_out = Vec::new();
        for round in 0..=self.plan.rounds {
            for &(way, link, cold) in kinds {
                self.turns += 1;
                if left_out.contains(&way) {
                    continue;
                }
                let state = match (cold, link) {
                    (true, _) => "cold".to_owned(),
                    (false, Link::Loopback) => "hot".to_owned(),
                    (false, link) => link.to_string(),
                };
                let share = self.turns as f64 / self.all_turns as f64;
                (self.progress)(
                    share,
                    &match round {
                        0 => format!("{way}, {state}: are the bytes right?"),
                        round => format!("{way}, {state}: round {round} of {}", self.plan.rounds),
                    },
                );
                match self.one(way, cold, round == 0, pair) {
                    Ok((done, counts)) if round > 0 => {
                        let len = self.plan.len;
                        self.samples.push(Sample { way, link, cold, len, done, counts });
                    }
                    Ok(_) => {}
                    // What the machine has not, the table goes without.
                    Err(error) if round == 0 && may_be_missing(way) => {
                        refused.push(format!("Not to be had here: {error}."));
                        left_out.push(way);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(refused)
    }

    fn one(
        &mut self,
        way: Way,
        cold: bool,
        is_checked: bool,
        pair: Option<&Pair>,
    ) -> io::Result<crate::course::Seen> {
        let file = File::open(self.file)?;
        if cold {
            evict(&file);
        } else {
            warm(&file)?;
        }
        let checks = (is_checked && way.sends()).then_some(&file);
        let task = (way, self.file, self.plan.len);
        transfer(&mut self.subject, self.probe.as_mut(), task, checks, pair)
    }

    /// Hot, between two namespaces: what the articles mean by sendfile with and without scatter-gather.
    fn over_devices(
        &mut self,
        overwritten: &mut Vec<Overwritten>,
    ) -> io::Result<(Vec<Kind>, Vec<String>)> {
        let pair = Pair::make()?;
        let other = Subject::start_by(pair.command(&self.plan.program))?;
        let own = std::mem::replace(&mut self.subject, other);
        let (mut all, mut refused) = (Vec::new(), Vec::new());
        for link in DEVICES {
            pair.gather(link == Link::Gathering)?;
            let kinds = OVER_DEVICES.map(|way| (way, link, false));
            refused.extend(self.rounds(&kinds, Some(&pair))?);
            all.extend(kinds);
            for way in OVERWRITTEN {
                let over = (link, Some(&pair));
                overwritten.push(overwrite(&mut self.subject, &self.plan.scratch, way, over)?);
            }
        }
        self.subject = own;
        Ok((all, refused))
    }
}

/// Whether kernels, file systems and limits may refuse it.
fn may_be_missing(way: Way) -> bool {
    matches!(
        way,
        Way::RingRead
            | Way::DirectZerocopy
            | Way::ReadZerocopy { .. }
            | Way::MmapZerocopy { .. }
            | Way::Checksum(Reading::Direct | Reading::Mmap)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Done;

    fn sample(way: Way, sum: &str) -> Sample {
        let done = Done { methods: sum.to_owned(), ..Done::default() };
        Sample { way, link: Link::Loopback, cold: false, len: 1, done, counts: None }
    }

    #[test]
    fn another_checksum_is_noticed() {
        let read = |sum| sample(Way::Checksum(Reading::Read), sum);
        let nothing = sample(Way::Checksum(Reading::Nothing), "");
        assert_eq!(disagreements(&[read("a"), nothing.clone(), read("a")]), [""; 0]);
        assert_eq!(disagreements(&[read("a"), nothing, read("b")]).len(), 1);
    }

    #[test]
    fn what_could_not_be_tried_has_no_row() {
        let samples = [sample(Way::Sendfile, "")];
        assert!(row((Way::Sendfile, Link::Loopback, false), &samples).is_some());
        assert!(row((Way::Sendfile, Link::Loopback, true), &samples).is_none());
    }

    #[test]
    fn progress_is_of_all_turns() {
        assert_eq!(turns(5, true), 6 * (2 * 20 + 6));
    }
}
