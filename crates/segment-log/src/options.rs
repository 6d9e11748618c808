//! What a log is to be like.

use std::time::Duration;

/// The longest segment that can be asked for, in bytes: positions in it are 32 bits wide, and an append that finds less than itself left
/// goes into a segment of its own.
pub const MOST_SEGMENT_BYTES: u64 = 2 << 30;

/// The longest append that can be allowed, in bytes as stored.
pub const MOST_APPEND_BYTES: u64 = 1 << 30;

/// What a log is to be like. Name those that you set, and take the others by `..Options::default()`.
///
/// ```
/// use sendrail_segment_log::{Options, Retention, SyncPolicy};
/// let options = Options {
///     sync: SyncPolicy::EveryAppend,
///     retention: Retention { bytes: Some(100 << 30), age: None },
///     ..Options::default()
/// };
/// assert_eq!(options.segment_bytes, 1 << 30);
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    /// With this many bytes a segment is closed, and a new one begun; 1 GiB by default, [`MOST_SEGMENT_BYTES`] at the most. An append is
    /// never split, so a segment may be longer by one that is longer than a segment.
    pub segment_bytes: u64,
    /// An entry of the index for so many bytes; 16 KiB by default. A fetch that does not begin at the tail begins and ends at entries: less
    /// makes small fetches exact, and costs memory: 8 bytes for each entry, 512 KiB for a GiB of log by default.
    pub index_interval: u64,
    /// The longest append, in bytes as stored (16 for each record beside its payload); 16 MiB by default, [`MOST_APPEND_BYTES`] at the most.
    pub append_bytes: u64,
    /// When what was appended is on the disk.
    pub sync: SyncPolicy,
    /// What need not be kept.
    pub retention: Retention,
    /// If records in the middle are damaged, cut the log there rather than refuse it. What is cut off is kept beside, as `….cut`.
    pub repair: bool,
    /// Check every record of every segment when opening, not only those of the last.
    pub check_all: bool,
    /// The last bytes of the log that are kept in memory as well, for the broker: small fetches at its tail do not even read the page cache. 256 KiB by
    /// default, up to twice as much are kept; 0 switches that off.
    pub tail_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            index_interval: 16 << 10,
            append_bytes: 16 << 20,
            sync: SyncPolicy::Never,
            retention: Retention::default(),
            repair: false,
            check_all: false,
            tail_bytes: 256 << 10,
        }
    }
}

impl Options {
    /// What makes no sense, if something does not.
    pub(crate) fn fault(&self) -> Option<String> {
        let within = |name: &str, value: u64, most: u64| {
            let fine = (1..=most).contains(&value);
            (!fine).then(|| format!("{name} must be from 1 to {most}, not {value}"))
        };
        within("segment_bytes", self.segment_bytes, MOST_SEGMENT_BYTES)
            .or_else(|| within("index_interval", self.index_interval, MOST_SEGMENT_BYTES))
            .or_else(|| within("append_bytes", self.append_bytes, MOST_APPEND_BYTES))
    }
}

/// When what was appended is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncPolicy {
    /// When the kernel writes it out. An append that was acknowledged survives the death of the process, but not that of the machine.
    #[default]
    Never,
    /// Before it is acknowledged, by `fdatasync(2)`: one for all that wait. Consumers see only what is on the disk.
    EveryAppend,
}

/// What need not be kept: whole segments, the oldest first, and never the one that is appended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Segments go as long as at least so many bytes remain without them.
    pub bytes: Option<u64>,
    /// Segments go when their last record is older than this.
    pub age: Option<Duration>,
}
