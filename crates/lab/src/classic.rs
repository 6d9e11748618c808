//! The table of 2008 that is quoted wherever zero copy is explained, on this machine: eight sizes,
//! "traditional" against zero copy, in milliseconds. The milliseconds of 2008 were those of a network of a
//! gigabit and a disk; what can be compared are the ratios.

use crate::{
    course::{make_file, transfer},
    subject::Subject,
    way::Way,
};
use serde::Serialize;
use std::{fs::File, io, path::PathBuf};

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

/// One size.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Megabytes (2²⁰ bytes).
    pub megabytes: u64,
    /// Read+write in 2008, over `transferTo`.
    pub published: f64,
    /// For each of [`WAYS`].
    pub times: Vec<Times>,
}

/// How long one way took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// From the first byte to the last, in milliseconds.
    pub wall: f64,
    /// Of the sender's processor, in milliseconds.
    pub cpu: f64,
}

impl Line {
    /// How many times as long the article's read+write took as this way: of its time, and of its
    /// processor's. As in the article, nothing else is the measure.
    pub fn ratios(&self, way: usize) -> (f64, f64) {
        let (first, this) = (self.times[0], self.times[way]);
        (first.wall / this.wall, first.cpu / this.cpu)
    }
}

/// Measures. `progress` is told what comes next.
///
/// # Errors
///
/// A file cannot be made, or a transfer failed.
pub fn measure(plan: &Plan, mut progress: impl FnMut(&str)) -> io::Result<Vec<Line>> {
    let mut subject = Subject::start(&plan.program)?;
    let mut lines = Vec::new();
    for (megabytes, before, zero_copy) in PUBLISHED {
        if megabytes > plan.most {
            continue;
        }
        progress(&format!("{megabytes} MB: making the file"));
        let len = megabytes << 20;
        let file = make_file(&plan.scratch, len)?;
        let mut all = vec![Vec::new(); WAYS.len()];
        for round in 0..=plan.rounds {
            for (way, times) in WAYS.iter().zip(&mut all) {
                progress(&format!("{megabytes} MB, {way}: round {round} of {}", plan.rounds));
                // Hot, as in the article: who reads it first would pay for all.
                io::copy(&mut File::open(file.path())?, &mut io::sink())?;
                let checks = (round == 0).then_some(file.as_file());
                let (done, _) =
                    transfer(&mut subject, None, (*way, file.path(), len), checks, None)?;
                if round > 0 {
                    let milliseconds = |time: u64| time as f64 / 1e6;
                    times
                        .push(Times { wall: milliseconds(done.wall), cpu: milliseconds(done.cpu) });
                }
            }
        }
        let times = all.iter().map(|times| middle(times)).collect();
        lines.push(Line { megabytes, published: before / zero_copy, times });
    }
    Ok(lines)
}

/// The medians, each by itself.
fn middle(times: &[Times]) -> Times {
    let of = |value: &dyn Fn(&Times) -> f64| {
        let mut all: Vec<f64> = times.iter().map(value).collect();
        all.sort_by(f64::total_cmp);
        let half = all.len() / 2;
        if all.len() % 2 == 1 { all[half] } else { f64::midpoint(all[half - 1], all[half]) }
    };
    Times { wall: of(&|times| times.wall), cpu: of(&|times| times.cpu) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_what_the_article_calls_traditional() {
        let times = |wall, cpu| Times { wall, cpu };
        let line =
            Line { megabytes: 7, published: 3.47, times: vec![times(9.0, 8.0), times(3.0, 2.0)] };
        assert_eq!((line.ratios(0), line.ratios(1)), ((1.0, 1.0), (3.0, 4.0)));
    }

    #[test]
    fn the_median_is_of_each_by_itself() {
        let times = |wall, cpu| Times { wall, cpu };
        let three = [times(1.0, 9.0), times(2.0, 7.0), times(3.0, 8.0)];
        assert_eq!(middle(&three), times(2.0, 8.0));
        assert_eq!(middle(&three[..2]), times(1.5, 8.0));
    }

    #[test]
    fn zero_copy_took_about_half_of_the_time_in_2008() {
        let ratios: Vec<f64> = PUBLISHED.iter().map(|(_, before, after)| before / after).collect();
        assert!(ratios.iter().all(|ratio| (1.8..3.5).contains(ratio)), "{ratios:?}");
    }
}
