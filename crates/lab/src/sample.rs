//! What one transfer came to, from all who saw it; and what that is per byte. Pure.

use crate::{link::Link, probe::Counts, subject::Done, way::Way};
use serde::Serialize;

/// One transfer.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// How it was sent.
    pub way: Way,
    /// What over.
    pub link: Link,
    /// Whether the file had been thrown out of the page cache before.
    pub cold: bool,
    /// Bytes.
    pub len: u64,
    /// What the subject says.
    pub done: Done,
    /// What the kernel saw, where there is a probe.
    pub counts: Option<Counts>,
}

/// What is told of a transfer. Nothing where nobody could see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figures {
    /// System calls per MiB.
    pub calls: f64,
    /// Crossings between user and kernel per MiB: two for each call, and for each fault outside of one.
    pub switches: Option<f64>,
    /// Page faults per MiB.
    pub faults: Option<f64>,
    /// Bytes copied by reading, per byte.
    pub read: Option<f64>,
    /// Bytes copied by sending, per byte.
    pub sent: Option<f64>,
    /// Copies by the sender's processor, per byte: both.
    pub copies: Option<f64>,
    /// Bytes copied at the receiver, per byte.
    pub received: Option<f64>,
    /// Bytes that the disk read, per byte.
    pub disk: Option<f64>,
    /// Context switches because it waited, per MiB.
    pub voluntary: f64,
    /// Context switches for another reason, per MiB.
    pub involuntary: f64,
    /// Processor time of the sender, in seconds per GiB.
    pub cpu: f64,
    /// Time, in seconds per GiB.
    pub wall: f64,
}

impl Sample {
    /// Per byte, MiB or GiB.
    pub fn figures(&self) -> Figures {
        let bytes = self.len as f64;
        let (mib, gib) = (bytes / 1_048_576.0, bytes / 1_073_741_824.0);
        let per_byte = |count: u64| count as f64 / bytes;
        let Self { done, counts, .. } = self;
        Figures {
            calls: counts.map_or(done.calls, |counts| counts.calls) as f64 / mib,
            switches: counts.map(|counts| 2.0 * (counts.calls + counts.faults) as f64 / mib),
            faults: counts.map(|counts| (counts.faults + counts.faults_inside) as f64 / mib),
            read: counts.map(|counts| per_byte(counts.read)),
            sent: counts.map(sent_copied),
            copies: counts.map(|counts| per_byte(counts.read) + sent_copied(counts)),
            received: counts.map(|counts| per_byte(counts.received)),
            disk: done.disk.map(per_byte),
            voluntary: done.voluntary as f64 / mib,
            involuntary: done.involuntary as f64 / mib,
            cpu: done.cpu as f64 / 1e9 / gib,
            wall: done.wall as f64 / 1e9 / gib,
        }
    }

    /// What those who saw it do not agree on. Nothing, if all is well.
    pub fn disagreements(&self) -> Vec<String> {
        let Some(counts) = self.counts else { return Vec::new() };
        let mut all = Vec::new();
        let close = |one: u64, other: u64| one.abs_diff(other) * 50 <= one.max(other); // 2 %
        if !close(counts.sent(), self.len) {
            all.push(format!("{} bytes in packets, {} sent", counts.sent(), self.len));
        }
        // Memory for buffers, and a pipe or a ring that is made for the first time, are no transfer's own.
        // A fresh buffer for each send is a fresh mapping, at times.
        let counted = !matches!(self.way, Way::ReadZerocopy { .. });
        if counted && counts.calls.abs_diff(self.done.calls) > 12 {
            all.push(format!("{} calls seen, {} told", counts.calls, self.done.calls));
        }
        let copied = counts.read + counts.sent_copied;
        if self.link == Link::NotGathering {
            return all; // what is copied for the device, nobody tells
        }
        if !close(copied, self.done.copied) && copied.abs_diff(self.done.copied) * 50 > self.len {
            all.push(format!("{copied} bytes copied, {} told", self.done.copied));
        }
        all
    }
}

/// Of each byte in packets, so that one that was lost and sent again does not count as copied twice.
fn sent_copied(counts: Counts) -> f64 {
    counts.sent_copied as f64 / counts.sent().max(1) as f64
}

/// The middle one of each figure by itself.
pub fn median(samples: &[Figures]) -> Figures {
    let middle = |of: &dyn Fn(&Figures) -> Option<f64>| {
        let mut all: Vec<f64> = samples.iter().filter_map(of).collect();
        all.sort_by(f64::total_cmp);
        let half = all.len() / 2;
        match all.len() {
            0 => None,
            len if len % 2 == 1 => Some(all[half]),
            _ => Some(f64::midpoint(all[half - 1], all[half])),
        }
    };
    let sure = |of: &dyn Fn(&Figures) -> f64| middle(&|figures| Some(of(figures))).unwrap_or(0.0);
    Figures {
        calls: sure(&|figures| figures.calls),
        switches: middle(&|figures| figures.switches),
        faults: middle(&|figures| figures.faults),
        read: middle(&|figures| figures.read),
        sent: middle(&|figures| figures.sent),
        copies: middle(&|figures| figures.copies),
        received: middle(&|figures| figures.received),
        disk: middle(&|figures| figures.disk),
        voluntary: sure(&|figures| figures.voluntary),
        involuntary: sure(&|figures| figures.involuntary),
        cpu: sure(&|figures| figures.cpu),
        wall: sure(&|figures| figures.wall),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        let counts = Counts {
            calls: 32,
            faults: 0,
            read: 1 << 20,
            sent_copied: 1 << 20,
            received: 1 << 20,
            ..Counts::default()
        };
        let done =
            Done { cpu: 1_000_000, calls: 32, copied: 2 << 20, disk: Some(0), ..Done::default() };
        let way = Way::ReadWrite { buffer: 65_536 };
        Sample { way, link: Link::Loopback, cold: false, len: 1 << 20, done, counts: Some(counts) }
    }

    #[test]
    fn read_and_write_copies_twice() {
        let figures = sample().figures();
        assert_eq!((figures.read, figures.sent, figures.copies), (Some(1.0), Some(1.0), Some(2.0)));
        assert_eq!((figures.calls, figures.switches), (32.0, Some(64.0)));
        assert!((figures.cpu - 1.024).abs() < 1e-9);
        assert_eq!(sample().disagreements(), [""; 0]);
    }

    #[test]
    fn what_is_sent_again_is_not_copied_again() {
        let mut sample = sample();
        let counts = sample.counts.as_mut().unwrap();
        counts.sent_copied = counts.sent_copied * 103 / 100;
        assert_eq!(sample.figures().copies, Some(2.0));
        assert_eq!(sample.disagreements().len(), 1, "but it is told: {:?}", sample.disagreements());
    }

    #[test]
    fn without_a_probe_the_subject_is_all_there_is() {
        let figures = Sample { counts: None, ..sample() }.figures();
        assert_eq!((figures.calls, figures.copies, figures.switches), (32.0, None, None));
    }

    #[test]
    fn who_disagrees_is_named() {
        let mut sample = sample();
        sample.done.calls = 60;
        sample.done.copied = 1 << 20;
        let counts = sample.counts.as_mut().unwrap();
        counts.sent_copied = 1 << 19;
        assert_eq!(sample.disagreements().len(), 3, "{:?}", sample.disagreements());
    }

    #[test]
    fn the_median_is_of_each_figure() {
        let of = |calls, copies| Figures { calls, copies, ..Figures::default() };
        let middle = median(&[of(3.0, None), of(1.0, Some(2.0)), of(2.0, Some(1.0))]);
        assert_eq!((middle.calls, middle.copies), (2.0, Some(1.5)));
    }
}
