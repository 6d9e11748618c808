//! The policy's thresholds, measured on this machine: each with the curve that speaks for it.

mod choice;
mod reads;

pub use choice::{Choice, Point, choose};

use crate::{
    calibrate,
    course::{evict, make_file, perform, warm},
    machine::{Look, Machine},
    subject::{Subject, Task, Thresholds},
    way::Way,
};
use sendrail_sys::cachestat::cachestat;
use serde::Serialize;
use std::{
    fs::File,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::Duration,
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
    /// How often each value is tried.
    pub rounds: usize,
    /// How long the disk is read by so many threads each time.
    pub read_for: Duration,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Tuned {
    /// What it was measured on.
    pub machine: Machine,
    /// The file, in bytes.
    pub len: u64,
    /// How often each value was tried.
    pub rounds: usize,
    /// The thresholds.
    pub curves: Vec<Curve>,
    /// What has to be known beside it.
    pub warnings: Vec<String>,
}

/// One threshold.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// The option of `sendrail serve`, without its dashes.
    pub option: &'static str,
    /// Whether its values are bytes. Else they are numbers.
    pub is_size: bool,
    /// What was measured, of which less is better.
    pub cost: &'static str,
    /// What else there is to be said for a small value, if anything.
    pub beside: Option<&'static str>,
    /// Each value that was tried.
    pub points: Vec<Point>,
    /// What the server takes by itself. Nothing where it measures at its start.
    pub default: Option<u64>,
    /// What came of it.
    pub choice: Choice,
}

/// Of `--window`, in bytes.
const WINDOWS: [u64; 6] = [256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20, 8 << 20];

/// Of `--drop-behind-lag`, in bytes.
const LAGS: [u64; 5] = [2 << 20, 4 << 20, 8 << 20, 16 << 20, 32 << 20];

/// Of `--ring-depth`.
const DEPTHS: [u64; 6] = [1, 2, 4, 8, 16, 32];

/// Of `--disk-threads`.
const THREADS: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Measures. `progress` is told how far it has come, and what comes next.
///
/// # Errors
///
/// The file cannot be made, or a transfer failed.
pub fn measure(plan: &Plan, mut progress: impl FnMut(f64, &str)) -> io::Result<Tuned> {
    let look = Look::begin(&plan.scratch);
    progress(0.0, "making a file");
    let file = make_file(&plan.scratch, plan.len)?;
    let mut warnings = Vec::new();
    let can_be_cold = evict(file.as_file());
    if !can_be_cold {
        warnings.push(format!(
            "What is in {} cannot be made cold: what has to do with the disk keeps its default.",
            plan.scratch.display()
        ));
    }
    let mut curves = Vec::new();
    progress(0.05, "small files, from memory or by sendfile");
    match small_files(plan.rounds) {
        Ok(curve) => curves.push(curve),
        Err(error) => warnings.push(format!("small-files could not be measured: {error}.")),
    }
    let usual = Thresholds::default();
    let mut bench = Bench {
        plan,
        subject: Subject::start(&plan.program)?,
        file: file.path(),
        from: 0.1,
        progress: &mut progress,
    };
    curves.push(bench.transfers(Threshold {
        option: "window",
        values: &WINDOWS,
        default: usual.window,
        apply: |value, thresholds| thresholds.window = value,
        way: Way::Sendrail,
        cold: false,
        cost: "CPU s/GiB of a hot file",
        beside: Some("how long one takes, ms"),
    })?);
    if can_be_cold {
        curves.push(bench.transfers(Threshold {
            option: "drop-behind-lag",
            values: &LAGS,
            default: usual.drop_behind_lag,
            apply: |value, thresholds| thresholds.drop_behind_lag = value,
            way: Way::Sendrail,
            cold: true,
            cost: "CPU s/GiB of a cold file",
            beside: Some("in the page cache when it ended, MiB"),
        })?);
        let mut tell = |share, what: &str| bench.tell(share, what);
        curves.push(reads::disk_threads(plan, file.path(), &THREADS, &mut tell)?);
        bench.from += PART;
        match bench.transfers(Threshold {
            option: "ring-depth",
            values: &DEPTHS,
            default: usual.ring_depth as u64,
            apply: |value, thresholds| thresholds.ring_depth = value as usize,
            way: Way::Direct,
            cold: true,
            cost: "s/GiB of a cold file by direct",
            beside: None,
        }) {
            Ok(curve) => curves.push(curve),
            Err(error) => warnings.push(format!("ring-depth could not be measured: {error}.")),
        }
    }
    let (len, rounds) = (plan.len, plan.rounds);
    Ok(Tuned { machine: look.end(), len, rounds, curves, warnings })
}

/// As the server does at its start, but several times.
fn small_files(rounds: usize) -> io::Result<Curve> {
    let mut all = Vec::new();
    for _ in 0..rounds.max(3) {
        all.push(calibrate::measure(calibrate::WORKING_SET)?);
    }
    let sizes = all[0].ratios.iter().map(|(size, _)| *size);
    let points: Vec<Point> = sizes
        .enumerate()
        .map(|(at, size)| {
            let costs = all.iter().filter_map(|one| one.ratios.get(at)).map(|(_, ratio)| *ratio);
            Point::of(size as u64, costs.collect(), None)
        })
        .collect();
    let ratios: Vec<(usize, f64)> =
        points.iter().map(|point| (point.value as usize, point.cost)).collect();
    Ok(Curve {
        option: "small-files",
        is_size: true,
        cost: "CPU time from memory, of that by sendfile",
        beside: None,
        points,
        default: None,
        choice: Choice {
            value: calibrate::limit(&ratios),
            is_default: false,
            why: "memory is cheaper up to there; the default (auto) measures the same at each start, once and \
                  for 30 ms"
                .to_owned(),
        },
    })
}

/// A threshold that is tried by transfers.
#[derive(Clone, Copy)]
struct Threshold {
    option: &'static str,
    values: &'static [u64],
    default: u64,
    apply: fn(u64, &mut Thresholds),
    way: Way,
    cold: bool,
    cost: &'static str,
    beside: Option<&'static str>,
}

struct Bench<'a> {
    plan: &'a Plan,
    subject: Subject,
    file: &'a Path,
    /// What has been done of all.
    from: f64,
    progress: &'a mut dyn FnMut(f64, &str),
}

/// Of all that is done, for each threshold.
const PART: f64 = 0.22;

impl Bench<'_> {
    /// So much of this threshold's part has been done.
    fn tell(&mut self, share: f64, what: &str) {
        (self.progress)(self.from + PART * share, what);
    }

    /// Each value in turn, round after round; the round before the first counts for nothing.
    fn transfers(&mut self, threshold: Threshold) -> io::Result<Curve> {
        let Threshold { option, values, default, apply, way, cold, cost, beside } = threshold;
        let len = self.plan.len;
        // What is hot is soon sent, and differs more.
        let rounds = if cold { self.plan.rounds } else { 2 * self.plan.rounds };
        let gib = len as f64 / 1_073_741_824.0;
        let mut costs = vec![Vec::new(); values.len()];
        let mut others = vec![Vec::new(); values.len()];
        for round in 0..=rounds {
            for (at, &value) in values.iter().enumerate() {
                let done = round * values.len() + at;
                let all = (rounds + 1) * values.len();
                self.tell(done as f64 / all as f64, &format!("{option} {value}"));
                let file = File::open(self.file)?;
                if cold {
                    evict(&file);
                } else {
                    warm(&file)?;
                }
                let mut thresholds = Thresholds::default();
                apply(value, &mut thresholds);
                let task = Task {
                    way,
                    file: self.file.to_owned(),
                    len,
                    address: None,
                    thresholds: Some(thresholds),
                };
                let (done, _) = perform(&mut self.subject, None, task, None, None)?;
                if round == 0 {
                    continue;
                }
                // Who reads past the cache waits for the disk; the others are the processor's.
                let spent = if way == Way::Direct { done.wall } else { done.cpu };
                costs[at].push(spent as f64 / 1e9 / gib);
                others[at].push(if cold {
                    let left = cachestat(file.as_fd(), 0, 0).map_or(0, |stat| stat.cached);
                    (left * sendrail_sys::limits::page_size() as u64) as f64 / 1_048_576.0
                } else {
                    done.wall as f64 / 1e6 * value as f64 / len as f64
                });
            }
        }
        self.from += PART;
        let points: Vec<Point> = values
            .iter()
            .zip(costs.into_iter().zip(others))
            .map(|(value, (costs, others))| {
                Point::of(*value, costs, beside.map(|_| choice::median(others)))
            })
            .collect();
        let choice = choose(&points, default);
        Ok(Curve {
            option,
            is_size: option != "ring-depth",
            cost,
            beside,
            points,
            default: Some(default),
            choice,
        })
    }
}
