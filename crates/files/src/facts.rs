//! What `fstat` said about an open descriptor, and when it said so.

use std::time::{SystemTime, UNIX_EPOCH};

use sendrail_sys::{FileSystem, Stat, Timestamp};

/// Longer than any clock granularity an entity tag has to fear: FAT stores even seconds, and
/// network file systems may add some tenths of a second of their own.
const SETTLED_SECONDS: i64 = 3;

/// Before any change that a file can have had.
const NEVER: Timestamp = Timestamp { seconds: i64::MIN, nanoseconds: 0 };

/// Size, times and identity of one open file description, as the kernel gave them in one `fstat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Size in bytes.
    pub len: u64,
    /// When the contents last changed (`st_mtim`). Anyone who owns the file can set it.
    pub modified: Timestamp,
    /// When the inode last changed (`st_ctim`). Set by the kernel alone. Of a snapshot that may be out of date by now a time
    /// that no inode has.
    pub changed: Timestamp,
    /// The file system's device number (`st_dev`).
    pub device: u64,
    /// The inode number, unique within `device` while the file is open.
    pub inode: u64,
    /// CLOCK_REALTIME just *before* the `fstat`. Before, so that "modified well before observed"
    /// proves that the kernel's clock had moved on when the contents were judged, even when this
    /// thread was put to sleep between the two calls.
    pub observed: Timestamp,
    /// What kind of file system holds it (`fstatfs`).
    pub file_system: FileSystem,
}

impl Facts {
    pub(crate) fn new(stat: &Stat, observed: Timestamp, file_system: FileSystem) -> Self {
        Self {
            len: stat.len,
            modified: stat.modified,
            changed: stat.changed,
            device: stat.device,
            inode: stat.inode,
            observed,
            file_system,
        }
    }

    /// Whether both describe the same contents of the same inode: device, inode, size, mtime and
    /// ctime are equal. When and where they were observed does not matter.
    ///
    /// ctime is compared because mtime can be set back (`cp -p`, `touch -r`), ctime cannot.
    pub fn same_version(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }

    /// Whether a later `stat` still shows the version these facts describe.
    pub(crate) fn still_true(&self, stat: &Stat) -> bool {
        self.identity() == Self::new(stat, self.observed, self.file_system).identity()
    }

    /// Whether the file had been left alone long enough when it was observed for another change
    /// to be certain of another time stamp. Before that a validator made of these facts can only
    /// be weak, and is worth making again.
    pub fn settled(&self) -> bool {
        self.observed.seconds.saturating_sub(self.modified.seconds) >= SETTLED_SECONDS
    }

    /// Whether the inode had been left alone as long. Whatever is done to it after it was observed will show in its ctime,
    /// which nobody can set back.
    pub(crate) fn at_rest(&self) -> bool {
        self.settled()
            && self.observed.seconds.saturating_sub(self.changed.seconds) >= SETTLED_SECONDS
    }

    /// The same facts for a version that no later look takes for the one that is there.
    pub(crate) fn until_looked_at_again(self) -> Self {
        Self { changed: NEVER, ..self }
    }

    fn identity(&self) -> (u64, u64, u64, Timestamp, Timestamp) {
        (self.device, self.inode, self.len, self.modified, self.changed)
    }
}

/// CLOCK_REALTIME through the vDSO (no system call). A clock before 1970 counts as 1970.
pub(crate) fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: since_epoch.subsec_nanos(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanoseconds: 7 }
    }

    fn facts() -> Facts {
        Facts {
            len: 10,
            modified: at(100),
            changed: at(101),
            device: 1,
            inode: 2,
            observed: at(200),
            file_system: FileSystem::Other(0),
        }
    }

    #[test]
    fn each_part_of_the_identity_counts_and_nothing_else() {
        let original = facts();
        let differing = [
            Facts { len: 11, ..original },
            Facts { modified: at(99), ..original },
            Facts { changed: at(102), ..original },
            Facts { device: 3, ..original },
            Facts { inode: 3, ..original },
        ];
        for other in differing {
            assert!(!original.same_version(&other), "{other:?}");
        }
        let observed_elsewhere =
            Facts { observed: at(300), file_system: FileSystem::Other(1), ..original };
        assert!(original.same_version(&observed_elsewhere));
    }

    #[test]
    fn what_is_out_of_date_soon_is_no_version_that_is_seen_again() {
        assert!(facts().same_version(&facts()));
        let once = facts().until_looked_at_again();
        assert!(!once.same_version(&facts()));
        assert_eq!((once.len, once.modified), (10, at(100)));
    }

    #[test]
    fn rest_is_when_neither_the_contents_nor_the_inode_changed_lately() {
        let at_rest = |modified, changed| {
            Facts { modified: at(modified), changed: at(changed), ..facts() }.at_rest()
        };
        assert!(at_rest(197, 197));
        assert!(!at_rest(198, 197));
        assert!(!at_rest(100, 198), "set back after it was written");
        assert!(!at_rest(100, 300), "changed in the future");
    }

    #[test]
    fn settled_needs_time_and_a_past() {
        let seen = |observed| Facts { observed: at(observed), ..facts() }.settled();
        assert!(!seen(100));
        assert!(!seen(102));
        assert!(seen(103));
        assert!(!seen(50), "modified in the future");
        assert!(!Facts { modified: at(i64::MAX), observed: at(i64::MIN), ..facts() }.settled());
    }
}
