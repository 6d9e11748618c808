//! The experiment with the page cache: a hot set that is read all the time, and one large cold file that is
//! sent beside it, by each way in turn. What is left of the hot set, and how long its readers wait.

use crate::{
    course::{evict, make_file, transfer},
    group::Group,
    machine::{Look, Machine},
    subject::Subject,
    way::Way,
};
use sendrail_sys::cachestat::cachestat;
use serde::Serialize;
use std::{
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::FileExt},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// What is read of the hot set at once, in bytes.
const PIECE: u64 = 64 << 10;

/// How long the hot set is read alone, to know what it takes.
const ALONE: Duration = Duration::from_secs(2);

/// How often somebody looks what is left.
const LOOK: Duration = Duration::from_millis(50);

/// What is to be measured. Sizes in bytes.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program that can be a subject.
    pub program: PathBuf,
    /// Where the files are made.
    pub scratch: PathBuf,
    /// What all take part in, page cache included.
    pub memory: u64,
    /// The hot set.
    pub hot: u64,
    /// The cold file.
    pub cold: u64,
    /// Reads of the hot set in a second.
    pub rate: u32,
    /// How often each way is tried.
    pub rounds: usize,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Experiment {
    /// What it was measured on.
    pub machine: Machine,
    /// The memory, in bytes; nothing, if it could not be bounded.
    pub memory: Option<u64>,
    /// The hot set, in bytes.
    pub hot: u64,
    /// The cold file, in bytes.
    pub cold: u64,
    /// Reads of the hot set in a second.
    pub rate: u32,
    /// Rounds. Of each way, the one is told in which not most and not least was left.
    pub rounds: usize,
    /// One for each way.
    pub courses: Vec<Course>,
    /// What has to be known beside it.
    pub warnings: Vec<String>,
}

/// One way.
#[derive(Debug, Clone, Serialize)]
pub struct Course {
    /// The way.
    pub way: Way,
    /// Latency of a read of the hot set before, in microseconds: median, and 99 of 100.
    pub alone: (f64, f64),
    /// The same while the cold file was sent.
    pub beside: (f64, f64),
    /// What was left of the hot set at the end, and when least was, in percent.
    pub left: (f64, f64),
    /// How long the cold file took, in seconds.
    pub seconds: f64,
    /// Processor time of the sender, in seconds per GiB.
    pub cpu: f64,
    /// Over time: seconds, and how much of the hot set is in memory, in percent.
    pub residency: Vec<(f64, f64)>,
    /// Over time: seconds, and the latency of each read, in microseconds.
    pub latency: Vec<(f64, f64)>,
}

/// Measures. `progress` is told what comes next.
///
/// # Errors
///
/// A file cannot be made, or a transfer failed.
pub fn measure(plan: &Plan, mut progress: impl FnMut(&str)) -> io::Result<Experiment> {
    let look = Look::begin(&plan.scratch);
    progress("making the files");
    let hot = make_file(&plan.scratch, plan.hot)?;
    let cold = make_file(&plan.scratch, plan.cold)?;
    let mut warnings = Vec::new();
    // What a group has read is charged to it: nobody else may have read the files before.
    if !evict(hot.as_file()) || !evict(cold.as_file()) {
        return Err(io::Error::other("what is here cannot be thrown out of the page cache"));
    }
    let group = Group::enter(plan.memory);
    if let Err(error) = &group {
        warnings.push(format!(
            "The memory could not be bounded ({error}): with {} MiB it would have been.",
            plan.memory >> 20
        ));
    }
    let mut subject = Subject::start(&plan.program)?;
    let ways = Way::ALL;
    let mut rounds = vec![Vec::new(); ways.len()];
    for round in 1..=plan.rounds {
        for (way, courses) in ways.iter().zip(&mut rounds) {
            let mut tell = |what: &str| progress(&format!("round {round}, {way}: {what}"));
            courses.push(course(plan, *way, (hot.as_file(), &cold), &mut subject, &mut tell)?);
        }
    }
    let courses = rounds.into_iter().filter_map(middle).collect();
    let memory = group.is_ok().then_some(plan.memory);
    let &Plan { hot, cold, rate, rounds, .. } = plan;
    let machine = look.end();
    Ok(Experiment { machine, memory, hot, cold, rate, rounds, courses, warnings })
}

/// The round in which not most and not least was left: all of its figures belong together.
fn middle(mut courses: Vec<Course>) -> Option<Course> {
    courses.sort_by(|one, other| one.left.0.total_cmp(&other.left.0));
    (!courses.is_empty()).then(|| courses.swap_remove(courses.len() / 2))
}

fn course(
    plan: &Plan,
    way: Way,
    (hot, cold): (&File, &tempfile::NamedTempFile),
    subject: &mut Subject,
    tell: &mut dyn FnMut(&str),
) -> io::Result<Course> {
    tell("bringing in the hot set");
    evict(cold.as_file());
    evict(hot);
    let mut piece = vec![0; PIECE as usize];
    for _ in 0..3 {
        // Thrice: what was read once is the first to go.
        for at in (0..plan.hot / PIECE).map(|number| number * PIECE) {
            hot.read_exact_at(&mut piece, at)?;
        }
    }
    tell("the hot set alone");
    let before = read_hot(hot, plan, &|elapsed| elapsed >= ALONE)?;
    tell("the cold file beside it");
    let ended = AtomicBool::new(false);
    let (latency, residency, done) = thread::scope(|scope| {
        let reading = scope.spawn(|| read_hot(hot, plan, &|_| ended.load(Ordering::Relaxed)));
        let looking = scope.spawn(|| look(hot, &ended));
        let sent = transfer(subject, None, (way, cold.path(), plan.cold), None, None);
        ended.store(true, Ordering::Relaxed);
        let bug = || io::Error::other("a bug");
        let latency = reading.join().map_err(|_| bug())??;
        let residency = looking.join().map_err(|_| bug())??;
        sent.map(|(done, _)| (latency, residency, done))
    })?;
    let shares = residency.iter().map(|(_, share)| *share);
    Ok(Course {
        way,
        alone: percentiles(&before),
        beside: percentiles(&latency),
        left: (residency.last().map_or(0.0, |(_, share)| *share), shares.fold(100.0, f64::min)),
        seconds: done.wall as f64 / 1e9,
        cpu: done.cpu as f64 / 1e9 / (plan.cold as f64 / 1_073_741_824.0),
        residency,
        latency,
    })
}

/// Reads pieces of the hot set at the rate, each counted from when it was due, until it is `over`.
fn read_hot(
    file: &File,
    plan: &Plan,
    over: &(dyn Fn(Duration) -> bool + Sync),
) -> io::Result<Vec<(f64, f64)>> {
    let (mut buffer, mut all) = (vec![0; PIECE as usize], Vec::new());
    let (pieces, began) = ((plan.hot / PIECE).max(1), Instant::now());
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for number in 0_u32.. {
        let due = Duration::from_secs(1) * number / plan.rate;
        if let Some(early) = due.checked_sub(began.elapsed()) {
            thread::sleep(early);
        }
        if over(began.elapsed()) {
            break;
        }
        // xorshift64: the same pieces for each way.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        file.read_exact_at(&mut buffer, random % pieces * PIECE)?;
        let late = began.elapsed().saturating_sub(due);
        all.push((due.as_secs_f64(), late.as_secs_f64() * 1e6));
    }
    Ok(all)
}

/// Looks at what is left of the hot set, now and then.
fn look(file: &File, ended: &AtomicBool) -> io::Result<Vec<(f64, f64)>> {
    let (mut all, began) = (Vec::new(), Instant::now());
    let pages = file.metadata()?.len().div_ceil(sendrail_sys::limits::page_size() as u64);
    loop {
        let over = ended.load(Ordering::Relaxed); // and one look more, at the end
        let share = 100.0 * cachestat(file.as_fd(), 0, 0)?.cached as f64 / pages as f64;
        all.push((began.elapsed().as_secs_f64(), share));
        if over {
            return Ok(all);
        }
        thread::sleep(LOOK);
    }
}

/// The median, and what 99 of 100 do not exceed.
fn percentiles(latency: &[(f64, f64)]) -> (f64, f64) {
    let mut all: Vec<f64> = latency.iter().map(|(_, latency)| *latency).collect();
    all.sort_by(f64::total_cmp);
    let at = |hundredths: usize| {
        let place = (all.len() * hundredths).div_ceil(100).saturating_sub(1);
        all.get(place).copied().unwrap_or(0.0)
    };
    (at(50), at(99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let latency: Vec<(f64, f64)> = (1..=200).map(|at| (0.0, f64::from(at))).collect();
        assert_eq!(percentiles(&latency), (100.0, 198.0));
        assert_eq!(percentiles(&latency[..1]), (1.0, 1.0));
        assert_eq!(percentiles(&[]), (0.0, 0.0));
    }

    #[test]
    fn the_middle_round_is_whole() {
        let course = |left, seconds| Course {
            way: Way::Sendfile,
            alone: (0.0, 0.0),
            beside: (0.0, 0.0),
            left: (left, left),
            seconds,
            cpu: 0.0,
            residency: Vec::new(),
            latency: Vec::new(),
        };
        let told = middle(vec![course(90.0, 3.0), course(10.0, 1.0), course(50.0, 2.0)]);
        assert_eq!(told.map(|course| course.seconds), Some(2.0));
        assert!(middle(Vec::new()).is_none());
    }

    #[test]
    fn reads_are_counted_from_when_they_were_due() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 * PIECE).unwrap();
        let plan = Plan {
            program: PathBuf::new(),
            scratch: PathBuf::new(),
            memory: 0,
            hot: 4 * PIECE,
            cold: 0,
            rate: 100,
            rounds: 1,
        };
        let all = read_hot(&file, &plan, &|elapsed| elapsed > Duration::from_millis(100)).unwrap();
        assert!(all.len() >= 10, "{all:?}");
        assert!(all.windows(2).all(|two| (two[1].0 - two[0].0 - 0.01).abs() < 1e-6), "{all:?}");
    }
}
