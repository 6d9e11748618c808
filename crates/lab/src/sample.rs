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
    /// The same for each call that gave bytes to a socket: what the articles mean by one pass.
    pub switches_a_pass: Option<f64>,
    /// Page faults per MiB.
    pub faults: Option<f64>,
    /// Bytes copied by reading, per byte.
    pub read: Option<f64>,
    /// Bytes copied by sending, per byte.
    pub sent: Option<f64>,
    /// Bytes that were passed on without a copy and copied all the same before they reached the receiver's
    /// socket, per byte: what the kernel does with a process's pages where both ends are on one machine.
    pub forced: Option<f64>,
    /// Copies by the sender's processor, per byte: all three.
    pub copies: Option<f64>,
    /// Bytes copied at the receiver, per byte.
    pub received: Option<f64>,
    /// Bytes that the disk read, per byte.
    pub disk: Option<f64>,
    /// Context switches because it waited, per MiB.
    pub voluntary: f64,
    /// Context switches for another reason, per MiB.
    pub involuntary: f64,
    /// Times that the engine waited for the socket, beside its calls, per MiB.
    pub socket_waits: f64,
    /// Times that it waited for the disk, beside its calls, per MiB.
    pub disk_waits: f64,
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
            switches_a_pass: counts
                .filter(|counts| counts.passes > 0)
                .map(|counts| 2.0 * (counts.calls + counts.faults) as f64 / counts.passes as f64),
            read: counts.and_then(|counts| read(counts, self.way)).map(per_byte),
            sent: counts.map(|counts| in_packets(counts, counts.sent_copied)),
            forced: counts.map(|counts| in_packets(counts, counts.forced())),
            copies: counts.and_then(|counts| {
                let sent = in_packets(counts, counts.sent_copied + counts.forced());
                Some(per_byte(read(counts, self.way)?) + sent)
            }),
            received: counts.map(|counts| per_byte(counts.received)),
            disk: done.disk.map(per_byte),
            voluntary: done.voluntary as f64 / mib,
            involuntary: done.involuntary as f64 / mib,
            socket_waits: f64::from(done.waits.0) / mib,
            disk_waits: f64::from(done.waits.1) / mib,
            cpu: done.cpu as f64 / 1e9 / gib,
            wall: done.wall as f64 / 1e9 / gib,
        }
    }

    /// What those who saw it do not agree on. Nothing, if all is well.
    pub fn disagreements(&self) -> Vec<String> {
        let Some(counts) = self.counts else { return Vec::new() };
        let mut all = Vec::new();
        let close = |one: u64, other: u64| one.abs_diff(other) * 50 <= one.max(other); // 2 %
        if let Some(lost @ 1..) = counts.lost {
            all.push(format!("the probe was not told of {lost} events"));
        }
        if self.way.sends() && !close(counts.sent(), self.len) {
            all.push(format!("{} bytes in packets, {} sent", counts.sent(), self.len));
        }
        // Memory for buffers, and a pipe or a ring that is made for the first time, are no transfer's own.
        if self.way.counts_calls() && counts.calls.abs_diff(self.done.calls) > 12 {
            all.push(format!("{} calls seen, {} told", counts.calls, self.done.calls));
        }
        let copied = counts.read + counts.ring_read.unwrap_or(0) + counts.sent_copied;
        // What is copied for the device, nobody tells; nor what nobody can see.
        if self.link == Link::NotGathering || read(counts, self.way).is_none() {
            return all;
        }
        if !close(copied, self.done.copied) && copied.abs_diff(self.done.copied) * 50 > self.len {
            all.push(format!("{copied} bytes copied, {} told", self.done.copied));
        }
        all
    }
}

/// Bytes that were copied by reading. Nothing, where that is done by a ring that cannot be seen.
fn read(counts: Counts, way: Way) -> Option<u64> {
    match (counts.ring_read, way) {
        (None, Way::RingRead) => None,
        (ring_read, _) => Some(counts.read + ring_read.unwrap_or(0)),
    }
}

/// Of each byte in packets, so that one that was lost and sent again does not count as copied twice.
fn in_packets(counts: Counts, bytes: u64) -> f64 {
    bytes as f64 / counts.sent().max(1) as f64
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
        forced: middle(&|figures| figures.forced),
        switches_a_pass: middle(&|figures| figures.switches_a_pass),
        copies: middle(&|figures| figures.copies),
        received: middle(&|figures| figures.received),
        disk: middle(&|figures| figures.disk),
        voluntary: sure(&|figures| figures.voluntary),
        involuntary: sure(&|figures| figures.involuntary),
        socket_waits: sure(&|figures| figures.socket_waits),
        disk_waits: sure(&|figures| figures.disk_waits),
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
            delivered: 1 << 20,
            passes: 16,
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
        assert_eq!(figures.switches_a_pass, Some(4.0));
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
    fn what_is_copied_at_delivery_is_a_copy() {
        let mut sample = sample();
        let counts = sample.counts.as_mut().unwrap();
        (counts.sent_copied, counts.sent_user) = (0, 1 << 20);
        let figures = sample.figures();
        assert_eq!(
            (figures.sent, figures.forced, figures.copies),
            (Some(0.0), Some(1.0), Some(2.0))
        );
        sample.counts.as_mut().unwrap().delivered_else = 1 << 20;
        assert_eq!(sample.figures().copies, Some(1.0));
    }

    #[test]
    fn a_ring_that_cannot_be_seen_is_not_said_to_copy_nothing() {
        let mut sample = Sample { way: Way::RingRead, ..sample() };
        assert_eq!(sample.figures().copies, None);
        let counts = sample.counts.as_mut().unwrap();
        (counts.read, counts.ring_read) = (0, Some(1 << 20));
        assert_eq!(sample.figures().copies, Some(2.0));
    }

    #[test]
    fn events_that_were_lost_are_told() {
        let mut sample = sample();
        sample.counts.as_mut().unwrap().lost = Some(3);
        assert_eq!(sample.disagreements(), ["the probe was not told of 3 events"]);
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
