//! The table of 2008 that is quoted wherever zero copy is explained, on this machine: eight sizes,
//! "traditional" against zero copy, in milliseconds. The milliseconds of 2008 were those of a network of a
//! gigabit and a disk; what can be compared are the ratios.

use crate::{
    course::{make_file, transfer},
    java::Java,
    machine::{Look, Machine},
    receiver::CONGESTION,
    space::{self, Space},
    subject::Subject,
    way::Way,
};
use serde::Serialize;
use std::{fs::File, io, path::PathBuf, thread};

/// Megabytes, the published milliseconds of read+write and of `transferTo` ("Efficient data transfer
/// through zero copy", IBM developerWorks 2008, table 1: Linux 2.6, Java).
pub const PUBLISHED: [(u64, f64, f64); 8] = [
    (7, 156.0, 45.0),
    (21, 337.0, 128.0),
    (63, 843.0, 387.0),
    (98, 1320.0, 617.0),
    (200, 2124.0, 1150.0),
    (350, 3631.0, 1762.0),
    (700, 13_498.0, 4422.0),
    (1024, 18_399.0, 8537.0),
];

/// The article's program reads 4 KiB at a time. The others are what it could have been compared with.
pub const WAYS: [Way; 5] = [
    Way::ReadWrite { buffer: 4 << 10 },
    Way::ReadWrite { buffer: 64 << 10 },
    Way::MmapWrite,
    Way::Sendfile,
    Way::Splice,
];

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program that can be a subject.
    pub program: PathBuf,
    /// Where the file is made.
    pub scratch: PathBuf,
    /// The largest size that is measured, in megabytes.
    pub most: u64,
    /// How often each is.
    pub rounds: usize,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Classic {
    /// What it was measured on.
    pub machine: Machine,
    /// One for each size.
    pub lines: Vec<Line>,
    /// How often each was measured. The medians are told.
    pub rounds: usize,
    /// The Java virtual machine, if there is one, and its version.
    pub java: Option<String>,
    /// The congestion control of the sockets that Java sent by, if it did: they have the system's default.
    pub congestion: Option<String>,
    /// What was not measured, and why.
    pub absent: Vec<String>,
    /// What has to be known beside it.
    pub warnings: Vec<String>,
}

/// One size.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Megabytes (2²⁰ bytes).
    pub megabytes: u64,
    /// What the article says.
    pub published: Published,
    /// For each way: [`WAYS`], and then those of Java that could be measured.
    pub times: Vec<Times>,
}

/// In 2008, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Published {
    /// By read+write.
    pub traditional: f64,
    /// By `transferTo`.
    pub zero_copy: f64,
}

/// How long one way took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Times {
    /// Its name.
    pub way: String,
    /// Whether it is a program in Java.
    pub java: bool,
    /// From the first byte to the last, in milliseconds.
    pub wall: f64,
    /// Of all threads of the process that sends, in milliseconds.
    pub cpu: f64,
}

impl Published {
    /// How many times as long read+write took.
    pub fn ratio(self) -> f64 {
        self.traditional / self.zero_copy
    }
}

impl Line {
    /// How many times as long the article's read+write took as this way, in the same language: of its time,
    /// and of its processor's. As in the article, nothing else is the measure. `None` where that is absent.
    pub fn ratios(&self, way: usize) -> Option<(f64, f64)> {
        let this = &self.times[way];
        let base = |times: &&Times| times.java == this.java && times.way.ends_with(TRADITIONAL);
        let base = self.times.iter().find(base)?;
        Some((base.wall / this.wall, base.cpu / this.cpu))
    }
}

/// The article's own way; Java's name for it has the language before it.
const TRADITIONAL: &str = "read+write 4 KiB";

/// How often each way of Java sends the first file before anything is measured. A loop of 4 KiB has been
/// gone through some 36 000 times then: the compiler has had it, and does not have it in one figure and in
/// the next no more.
const WARM_UP: usize = 20;

/// Measures. `progress` is told what comes next.
///
/// # Errors
///
/// A file cannot be made, or a transfer failed.
pub fn measure(plan: &Plan, mut progress: impl FnMut(&str) + Send) -> io::Result<Classic> {
    let default = space::congestion().unwrap_or_else(|| "unknown".to_owned());
    if default.as_bytes() == CONGESTION {
        return measure_here(plan, &mut progress);
    }
    // Java cannot choose its congestion control, so it is given a loopback where there is no other; and all
    // else as well, so that nothing but the program differs.
    let inside = thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            let space = Space::make()?;
            space.enter()?;
            Ok::<_, io::Error>(measure_here(plan, &mut progress))
        });
        measuring.join().unwrap_or_else(|_| Err(io::Error::other("a bug")))
    });
    let why = match inside {
        Ok(measured) => return measured,
        Err(why) => why,
    };
    let mut classic = measure_here(plan, &mut progress)?;
    if classic.java.is_some() && !space::is_fair(&default) {
        classic.warnings.push(format!(
            "Java cannot choose its congestion control. This system's is {default}, which distorts Java's \
             times over loopback (BBR paces what it sends); ours have reno. There could be no network \
             namespace with that alone, which takes root: {why}."
        ));
    }
    Ok(classic)
}

/// The same, with the congestion control of where this thread is.
fn measure_here(plan: &Plan, progress: &mut impl FnMut(&str)) -> io::Result<Classic> {
    let look = Look::begin(&plan.scratch);
    let mut subject = Subject::start(&plan.program)?;
    progress("is there Java?");
    let (mut java, mut absent) = match Java::start(&plan.scratch) {
        Ok(java) => (Some(java), Vec::new()),
        Err(why) => (None, vec![format!("Java: {why}")]),
    };
    let mut lines = Vec::new();
    for (megabytes, traditional, zero_copy) in PUBLISHED {
        if megabytes > plan.most {
            continue;
        }
        progress(&format!("{megabytes} MB: making the file"));
        let len = megabytes << 20;
        let file = make_file(&plan.scratch, len)?;
        if let (Some(java), true) = (&mut java, lines.is_empty()) {
            warm_up(java, &file, len, progress);
        }
        let names = names(java.as_ref());
        let mut all = vec![Vec::new(); names.len()];
        for round in 0..=plan.rounds {
            for (at, (name, times)) in names.iter().zip(&mut all).enumerate() {
                progress(&format!("{megabytes} MB, {name}: round {round} of {}", plan.rounds));
                // Hot, as in the article: who reads it first would pay for all.
                io::copy(&mut File::open(file.path())?, &mut io::sink())?;
                let checks = (round == 0).then_some(file.as_file());
                let (wall, cpu) = match (WAYS.get(at), &mut java) {
                    (None, Some(java)) => {
                        let took = java.send(at - WAYS.len(), (file.path(), len), checks)?;
                        (took.wall, took.cpu)
                    }
                    (way, _) => {
                        let task = (*way.unwrap_or(&WAYS[0]), file.path(), len);
                        let (done, _) = transfer(&mut subject, None, task, checks, None)?;
                        (done.wall, done.cpu)
                    }
                };
                if round > 0 {
                    times.push((wall as f64 / 1e6, cpu as f64 / 1e6));
                }
            }
        }
        let times = names.into_iter().zip(&all).enumerate().map(|(at, (way, times))| {
            let (wall, cpu) = middle(times);
            Times { way, java: at >= WAYS.len(), wall, cpu }
        });
        let published = Published { traditional, zero_copy };
        lines.push(Line { megabytes, published, times: times.collect() });
    }
    let mut warnings = Vec::new();
    if java.as_ref().is_some_and(|java| !java.is_precise()) {
        warnings.push("Java's processor time is told in steps of 10 ms here.".to_owned());
    }
    absent.extend(java.iter().flat_map(|java| java.absent().to_vec()));
    let congestion = java.as_ref().and_then(|_| space::congestion());
    let java = java.map(|java| java.version().to_owned());
    let machine = look.end();
    Ok(Classic { machine, lines, rounds: plan.rounds, java, congestion, absent, warnings })
}

/// What cannot send is found out here, before it would be the end of the whole. The first time the bytes
/// are held against the file.
fn warm_up(
    java: &mut Java,
    file: &tempfile::NamedTempFile,
    len: u64,
    progress: &mut impl FnMut(&str),
) {
    let ways = java.ways().len();
    for way in (0..ways).rev() {
        progress(&format!("{}: warming up", java.ways().nth(way).unwrap_or_default()));
        let sent = (0..WARM_UP).try_for_each(|time| {
            java.send(way, (file.path(), len), (time == 0).then_some(file.as_file())).map(drop)
        });
        if let Err(error) = sent {
            java.give_up(way, &error);
        }
    }
}

fn names(java: Option<&Java>) -> Vec<String> {
    let ours = WAYS.iter().map(Way::to_string);
    ours.chain(java.into_iter().flat_map(|java| java.ways().map(str::to_owned))).collect()
}

/// The medians, each by itself.
fn middle(times: &[(f64, f64)]) -> (f64, f64) {
    let of = |value: &dyn Fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = times.iter().map(value).collect();
        all.sort_by(f64::total_cmp);
        let half = all.len() / 2;
        if all.len() % 2 == 1 { all[half] } else { f64::midpoint(all[half - 1], all[half]) }
    };
    (of(&|times| times.0), of(&|times| times.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_what_the_article_calls_traditional_in_the_same_language() {
        let times = |way: &str, java, wall, cpu| Times { way: way.to_owned(), java, wall, cpu };
        let (traditional, zero_copy) = (156.0, 45.0);
        let mut line = Line {
            megabytes: 7,
            published: Published { traditional, zero_copy },
            times: vec![
                times(&WAYS[0].to_string(), false, 9.0, 8.0),
                times("sendfile", false, 3.0, 2.0),
                times("Java read+write 4 KiB", true, 20.0, 30.0),
                times("Java transferTo", true, 4.0, 3.0),
            ],
        };
        let ratios = |line: &Line| (0..4).map(|way| line.ratios(way)).collect::<Vec<_>>();
        let one = Some((1.0, 1.0));
        assert_eq!(ratios(&line), [one, Some((3.0, 4.0)), one, Some((5.0, 10.0))]);
        assert!((line.published.ratio() - 3.466).abs() < 0.001);
        // Nothing else stands in for it.
        line.times[2].way = "Java something".to_owned();
        assert_eq!(ratios(&line), [one, Some((3.0, 4.0)), None, None]);
    }

    #[test]
    fn the_median_is_of_each_by_itself() {
        let three = [(1.0, 9.0), (2.0, 7.0), (3.0, 8.0)];
        assert_eq!(middle(&three), (2.0, 8.0));
        assert_eq!(middle(&three[..2]), (1.5, 8.0));
    }

    #[test]
    fn zero_copy_took_about_half_of_the_time_in_2008() {
        let ratios: Vec<f64> = PUBLISHED.iter().map(|(_, before, after)| before / after).collect();
        assert!(ratios.iter().all(|ratio| (1.8..3.5).contains(ratio)), "{ratios:?}");
    }
}
