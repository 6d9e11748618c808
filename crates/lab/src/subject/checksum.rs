//! Reading a file for a checksum, which takes the bytes into the process: what the way of reading costs.

use super::sending::{Own, PATIENCE, Sent};
use crate::way::Reading;
use sendrail_sys::{
    ReadRing,
    open::{OpenFlags, reopen},
    ring::Read as RingRead,
};
use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

/// What is read at once, in bytes.
const BUFFER: usize = 64 << 10;

/// Of the ring, as the engine's.
const DEPTH: usize = 8;
const LENGTH: usize = 512 << 10;

/// Reads it and computes its BLAKE3, which is told as what the methods were: it must be the same by each.
pub(super) fn by(reading: Reading, file: &File, path: &Path, len: u64) -> Sent {
    let mut own = Own::default();
    let mut hasher = blake3::Hasher::new();
    match reading {
        Reading::Nothing => {
            let buffer = vec![0; BUFFER];
            for _ in 0..len / BUFFER as u64 {
                hasher.update(&buffer);
            }
            return Ok(own);
        }
        Reading::Read => {
            let (mut file, mut buffer) = (file, vec![0; BUFFER]);
            loop {
                let count = file.read(&mut buffer)?;
                own.calls += 1;
                if count == 0 {
                    break;
                }
                hasher.update(&buffer[..count]);
                own.copied += count as u64;
            }
        }
        Reading::Mmap => {
            hasher.update_mmap(path)?;
        }
        Reading::Direct => {
            let direct = reopen(file.as_fd(), OpenFlags::READ | OpenFlags::DIRECT)?;
            own.calls = read_past_the_cache(&direct, len, &mut hasher)?;
        }
    }
    own.methods = hasher.finalize().to_hex().to_string();
    Ok(own)
}

/// Says how many calls it took.
fn read_past_the_cache(
    file: &OwnedFd,
    len: u64,
    hasher: &mut blake3::Hasher,
) -> Result<u64, Box<dyn std::error::Error>> {
    let mut ring = ReadRing::new(DEPTH, LENGTH).map_err(|no| no.error)?;
    let mut calls = u64::from(ring.system_calls() + ring.calls_to_drop());
    let pieces = len.div_ceil(LENGTH as u64);
    let mut done = [false; DEPTH];
    // A whole piece even where the file ends before it: O_DIRECT wants multiples of a block.
    let read = |piece: u64| RingRead {
        buffer: (piece % DEPTH as u64) as usize,
        offset: piece * LENGTH as u64,
        len: LENGTH,
    };
    let first: Vec<RingRead> = (0..pieces.min(DEPTH as u64)).map(read).collect();
    ring.submit(file.as_fd(), &first)?;
    calls += 1;
    for piece in 0..pieces {
        let buffer = read(piece).buffer;
        while !done[buffer] {
            if let Some(completed) = ring.completed() {
                completed.result?;
                done[completed.buffer] = true;
            } else {
                ring.wait(PATIENCE)?;
                calls += 1;
            }
        }
        let count = (len - piece * LENGTH as u64).min(LENGTH as u64) as usize;
        hasher.update(&ring.contents(buffer).ok_or("it is being read")?[..count]);
        done[buffer] = false;
        if piece + (DEPTH as u64) < pieces {
            ring.submit(file.as_fd(), &[read(piece + DEPTH as u64)])?;
            calls += 1;
        }
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn each_way_of_reading_has_the_same_sum() {
        let mut file = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
        let bytes: Vec<u8> = (0..5_000_001_u32).map(|at| (at % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let expected = blake3::hash(&bytes).to_hex().to_string();
        for reading in [Reading::Read, Reading::Mmap, Reading::Direct] {
            let opened = File::open(file.path()).unwrap();
            match by(reading, &opened, file.path(), bytes.len() as u64) {
                Ok(own) => assert_eq!(own.methods, expected, "{reading:?}"),
                Err(error) => eprintln!("skipped: {reading:?}: {error}"),
            }
        }
    }
}
