//! The log that is fetched from: full segments, written by the harness, so that both servers find the same and neither has
//! made it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};

use super::wire::{RECORD, write_record};
use crate::interrupt::Interrupt;
use crate::peer::broker;
use crate::root::{Document, Ground};

/// Of each record, in bytes.
const PAYLOAD: usize = 1024;
/// Written at a time, in records.
const BATCH: u64 = 1024;

/// Full segments of records of one length.
pub(super) struct Layout {
    /// In order.
    pub(super) segments: Vec<Rc<Document>>,
    pub(super) per_segment: u64,
}

impl Layout {
    /// Makes `count` segments, unless an earlier case has; what brokers have left behind is removed. No broker may run.
    pub(super) fn prepare(ground: &Ground, count: u64, interrupt: &Interrupt) -> Result<Layout> {
        Layout::prepare_with(ground, count, broker::SEGMENT, interrupt)
    }

    pub(super) fn prepare_with(
        ground: &Ground,
        count: u64,
        most: u64,
        interrupt: &Interrupt,
    ) -> Result<Layout> {
        let directory = broker::directory(ground);
        fs::create_dir_all(&directory)
            .with_context(|| format!("making {}", directory.display()))?;
        let per_segment = most / RECORD_LEN;
        let segment = |number: u64| {
            let name = format!("{:020}.log", number * per_segment);
            let path = directory.join(&name);
            Rc::new(Document { target: format!("/{name}"), path, len: per_segment * RECORD_LEN })
        };
        let layout = Layout { segments: (0..count).map(segment).collect(), per_segment };
        layout.clear(&directory)?;
        for (number, segment) in layout.segments.iter().enumerate() {
            interrupt.check()?;
            if !fs::metadata(&segment.path).is_ok_and(|found| found.len() == segment.len) {
                write(&segment.path, number as u64 * per_segment, per_segment)
                    .with_context(|| format!("writing {}", segment.path.display()))?;
            }
        }
        let directory = File::open(&directory).context("opening the log's directory")?;
        rustix::fs::syncfs(&directory).context("writing the log to the disk")?;
        Ok(layout)
    }

    /// Removes what is not one of the segments.
    fn clear(&self, directory: &Path) -> Result<()> {
        let own = |path: &PathBuf| self.segments.iter().any(|segment| segment.path == *path);
        for entry in fs::read_dir(directory).context("reading the log's directory")? {
            let path = entry.context("reading the log's directory")?.path();
            if !own(&path) {
                fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// The segments that a broker has added since.
    pub(super) fn appended(&self, ground: &Ground) -> Result<Vec<Rc<Document>>> {
        let mut found = Vec::new();
        let entries = fs::read_dir(broker::directory(ground)).context("listing segments")?;
        for entry in entries {
            let entry = entry.context("listing segments")?;
            let (path, target) = (entry.path(), String::new());
            let own = self.segments.iter().any(|segment| segment.path == path);
            if !own && path.extension().is_some_and(|extension| extension == "log") {
                let len = entry.metadata().context("looking at a segment")?.len();
                found.push(Rc::new(Document { target, path, len }));
            }
        }
        ensure!(!found.is_empty(), "nothing was appended to a segment of its own");
        Ok(found)
    }

    /// The offset after the last record.
    pub(super) fn end(&self) -> u64 {
        self.segments.len() as u64 * self.per_segment
    }

    pub(super) fn bytes(&self) -> u64 {
        self.end() * RECORD_LEN
    }

    /// Fails unless an answer's records are those of the file.
    pub(super) fn compare(&self, first: u64, next: u64, records: &[u8]) -> Result<()> {
        ensure!(first < next && next <= self.end(), "records {first} to {next} are not there");
        let (segment, at) = (first / self.per_segment, first % self.per_segment * RECORD_LEN);
        let segment = &self.segments[segment as usize].path;
        let mut wanted = vec![0; ((next - first) * RECORD_LEN) as usize];
        let file = File::open(segment);
        let read = file.and_then(|file| file.read_exact_at(&mut wanted, at));
        read.with_context(|| format!("records {first} to {next} of {}", segment.display()))?;
        ensure!(records == wanted, "records {first} to {next} are not those of the file");
        Ok(())
    }
}

/// Of a whole record.
pub(super) const RECORD_LEN: u64 = (RECORD + PAYLOAD) as u64;

fn write(path: &Path, base: u64, count: u64) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(base);
    let mut payload = [0; PAYLOAD];
    let mut file = File::create(path)?;
    let mut bytes = Vec::new();
    for offset in base..base + count {
        random.fill(&mut payload);
        write_record(offset, &payload, &mut bytes);
        if bytes.len() as u64 >= BATCH * RECORD_LEN {
            file.write_all(&bytes)?;
            bytes.clear();
        }
    }
    file.write_all(&bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::super::wire;
    use super::*;

    #[test]
    fn segments_are_full_in_order_and_alone() {
        let Ok(ground) = Ground::prepare(None) else {
            eprintln!("skipped: no real file system for temporary files here");
            return;
        };
        let interrupt = Interrupt::default();
        let made = || Layout::prepare_with(&ground, 3, 2_000_000, &interrupt).unwrap();
        let layout = made();
        assert_eq!((layout.per_segment, layout.end()), (1923, 5769));
        let second = fs::read(&layout.segments[1].path).unwrap();
        let (mut rest, mut offset) = (second.as_slice(), 1923);
        while let Some((found, payload, after)) = wire::record(rest) {
            assert_eq!((found, payload.len()), (offset, PAYLOAD));
            (rest, offset) = (after, offset + 1);
        }
        assert_eq!((rest.len(), offset), (0, 3846));
        layout.compare(1924, 1926, &second[1040..3120]).unwrap();
        assert!(layout.compare(1924, 1926, &second[..2080]).is_err(), "other records");
        assert!(layout.compare(1924, 1926, &second[1040..3119]).is_err(), "too few bytes");

        assert!(layout.appended(&ground).is_err());
        let left = layout.segments[0].path.with_extension("index");
        fs::write(&left, "").unwrap();
        let further = left.with_file_name("00000000000000005769.log");
        fs::write(&further, "1234").unwrap();
        let found = layout.appended(&ground).unwrap();
        assert_eq!((found.len(), found[0].len, &found[0].path), (1, 4, &further));
        let appended = fs::OpenOptions::new().append(true).open(&layout.segments[2].path);
        appended.unwrap().write_all(b"more").unwrap();
        let kept = fs::metadata(&layout.segments[0].path).unwrap().modified().unwrap();
        let again = made();
        assert!(!left.exists());
        assert_eq!(fs::metadata(&again.segments[2].path).unwrap().len(), again.segments[2].len);
        assert_eq!(fs::metadata(&again.segments[0].path).unwrap().modified().unwrap(), kept);
    }
}
