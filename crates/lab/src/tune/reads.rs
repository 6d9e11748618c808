//! How many readers at once the disk wants: 64 KiB each, anywhere in a file that is not in memory.

use super::{Curve, Plan, Point, choose};
use crate::course::evict;
use sendrail_sys::fadvise::{Advice, fadvise};
use std::{
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::FileExt},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

/// What one reads, in bytes: a little file.
const PIECE: u64 = 64 << 10;

/// What `--disk-threads` is by default.
const DEFAULT: u64 = 16;

pub(super) fn disk_threads(
    plan: &Plan,
    path: &Path,
    values: &[u64],
    progress: &mut dyn FnMut(f64, &str),
) -> io::Result<Curve> {
    let pieces = (plan.len / PIECE).max(1);
    let mut costs = vec![Vec::new(); values.len()];
    let mut waits = vec![Vec::new(); values.len()];
    for round in 0..plan.rounds {
        for (at, &threads) in values.iter().enumerate() {
            let share = (round * values.len() + at) as f64 / (plan.rounds * values.len()) as f64;
            progress(share, &format!("disk-threads {threads}"));
            let file = File::open(path)?;
            evict(&file);
            // Each piece by itself, as files are.
            let _ = fadvise(file.as_fd(), 0, 0, Advice::Random);
            let (next, began) = (AtomicU64::new(0), Instant::now());
            // A step that meets each piece once, and no two neighbours one after the other.
            let step = coprime(pieces);
            let count = thread::scope(|scope| {
                let read = || -> io::Result<u64> {
                    let (mut buffer, mut count) = (vec![0; PIECE as usize], 0);
                    while began.elapsed() < plan.read_for {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= pieces {
                            break; // all of it is in memory by now
                        }
                        file.read_exact_at(&mut buffer, number * step % pieces * PIECE)?;
                        count += 1;
                    }
                    Ok(count)
                };
                let all: Vec<_> = (0..threads).map(|_| scope.spawn(read)).collect();
                let counts = all
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("a bug"))));
                counts.sum::<io::Result<u64>>()
            })?;
            let microseconds = began.elapsed().as_secs_f64() * 1e6;
            costs[at].push(microseconds / count.max(1) as f64);
            waits[at].push(microseconds * threads as f64 / count.max(1) as f64 / 1e3);
        }
    }
    let points: Vec<Point> = values
        .iter()
        .zip(costs.into_iter().zip(waits))
        .map(|(value, (costs, waits))| Point::of(*value, costs, Some(super::choice::median(waits))))
        .collect();
    let choice = choose(&points, DEFAULT);
    Ok(Curve {
        option: "disk-threads",
        is_size: false,
        cost: "µs for each cold read of 64 KiB, all threads together",
        beside: Some("how long one read takes, ms"),
        points,
        default: Some(DEFAULT),
        choice,
    })
}

/// About two fifths of so many, and without a common divisor.
fn coprime(pieces: u64) -> u64 {
    let divides = |step: u64| {
        let (mut one, mut other) = (step, pieces);
        while other > 0 {
            (one, other) = (other, one % other);
        }
        one == 1
    };
    (pieces * 2 / 5..pieces).find(|step| *step > 0 && divides(*step)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_is_met_once() {
        for pieces in [1, 2, 3, 10, 64, 1000, 8192] {
            let step = coprime(pieces);
            let mut met: Vec<u64> = (0..pieces).map(|number| number * step % pieces).collect();
            met.sort_unstable();
            met.dedup();
            assert_eq!(met.len() as u64, pieces, "{pieces} by {step}");
        }
    }
}
