//! Opening a log: what its files hold is found out, a torn tail is cut off, and damage in the middle is refused.

use crate::{
    directory::{Directory, Refused},
    error::OpenError,
    index::{Entry, IndexFault, IndexFile},
    options::{Options, SyncPolicy},
    record::RecordFault,
    scan::{Scan, good_record_behind, scan, scan_from},
    view::{Closed, Edge},
};
use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// What was found when a log was opened, and what was done about it.
///
/// ```
/// use sendrail_segment_log::{Log, Options};
/// # let directory = tempfile::tempdir()?;
/// let log = Log::open(directory.path(), Options::default())?;
/// println!("{}", log.recovery()); // 1 segment, 0 records, 0 bytes; 0 bytes checked
/// assert!(log.recovery().torn.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Recovery {
    /// Segments that the log has.
    pub segments: usize,
    /// Records in them.
    pub records: u64,
    /// Bytes of these records.
    pub bytes: u64,
    /// Bytes of segments that were read and checked.
    pub checked: u64,
    /// The tail that was torn, and is cut off: what was being appended when the process or the machine died.
    pub torn: Option<Torn>,
    /// Segments whose index was made anew, and why that which was there was not believed.
    pub rebuilt: Vec<(PathBuf, IndexFault)>,
    /// Index files without a segment, which have been removed.
    pub orphans: Vec<PathBuf>,
    /// Where the log was cut because of damage in the middle ([`Options::repair`]).
    pub damage: Option<Damage>,
}

/// A tail that was cut off.
#[derive(Debug, Clone)]
pub struct Torn {
    /// The segment.
    pub file: PathBuf,
    /// Its length now, in bytes.
    pub position: u64,
    /// Bytes that were cut off.
    pub bytes: u64,
    /// What was wrong with them.
    pub fault: RecordFault,
}

/// Damage in the middle, at which the log was cut.
#[derive(Debug, Clone)]
pub struct Damage {
    /// The segment.
    pub file: PathBuf,
    /// Its length now, in bytes.
    pub position: u64,
    /// What was wrong there; `None` if the segment that should follow is missing.
    pub fault: Option<RecordFault>,
    /// Where what was cut off is kept: the rest of the segment, and those after it.
    pub kept: Vec<PathBuf>,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segments, records, bytes, checked, .. } = self;
        let plural = if *segments == 1 { "" } else { "s" };
        write!(
            f,
            "{segments} segment{plural}, {records} records, {bytes} bytes; {checked} bytes checked"
        )?;
        if let Some(Torn { file, position, bytes, fault }) = &self.torn {
            let file = file.display();
            write!(
                f,
                "; {bytes} bytes of a torn tail cut off {file} at byte {position} ({fault})"
            )?;
        }
        for (file, fault) in &self.rebuilt {
            write!(f, "; index of {} made anew: {fault}", file.display())?;
        }
        for orphan in &self.orphans {
            write!(f, "; {} removed: it had no segment", orphan.display())?;
        }
        if let Some(Damage { file, position, fault, kept }) = &self.damage {
            write!(f, "; {} cut at byte {position}", file.display())?;
            match fault {
                Some(fault) => write!(f, " ({fault})")?,
                None => f.write_str(" (the next segment is missing)")?,
            }
            for kept in kept {
                write!(f, ", kept: {}", kept.display())?;
            }
        }
        Ok(())
    }
}

/// What is behind the log that was opened.
pub(crate) struct Recovered {
    pub(crate) directory: Directory,
    pub(crate) closed: Vec<Closed>,
    pub(crate) base: u64,
    pub(crate) file: File,
    pub(crate) index: Vec<Entry>,
    pub(crate) end: Edge,
    pub(crate) recovery: Recovery,
}

fn cannot(doing: &'static str, file: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |error| OpenError::Io { doing, file: file.into(), error }
}

pub(crate) fn recover(path: &Path, options: &Options) -> Result<Recovered, OpenError> {
    let directory = Directory::open(path).map_err(|refused| match refused {
        Refused::InUse => OpenError::InUse { directory: path.into() },
        Refused::Io { doing, file, error } => OpenError::Io { doing, file, error },
    })?;
    let bases = directory.bases("log").map_err(cannot("read the directory", path))?;
    let mut opening = Opening { directory, options, recovery: Recovery::default() };
    let mut segments = opening.segments(&bases)?;
    if segments.is_empty() {
        segments.push(opening.first()?);
    }
    opening.remove_orphans(&segments)?;
    let Opening { directory, mut recovery, .. } = opening;
    let Some(last) = segments.pop() else { unreachable!("there is at least the first") };
    if options.sync == SyncPolicy::EveryAppend {
        // What a process that died had written and not synced is about to be shown.
        last.file.sync_data().map_err(cannot("sync", &directory.segment(last.base)))?;
        directory.sync().map_err(cannot("sync", path))?;
    }
    recovery.segments = segments.len() + 1;
    let bases = segments.first().map_or(last.base, |first| first.base);
    recovery.records = last.end.next - bases;
    recovery.bytes =
        segments.iter().map(|segment| segment.end.position).sum::<u64>() + last.end.position;
    let closed = segments.into_iter().map(Found::close).collect();
    let Found { base, file, index, end } = last;
    Ok(Recovered { directory, closed, base, file, index, end, recovery })
}

/// A segment that is as it should be.
struct Found {
    base: u64,
    file: File,
    index: Vec<Entry>,
    end: Edge,
}

impl Found {
    fn close(self) -> Closed {
        let modified = self.file.metadata().and_then(|metadata| metadata.modified());
        Closed {
            base: self.base,
            end: self.end,
            file: Arc::new(self.file),
            index: self.index,
            modified: modified.unwrap_or_else(|_| SystemTime::now()),
        }
    }
}

struct Opening<'a> {
    directory: Directory,
    options: &'a Options,
    recovery: Recovery,
}

impl Opening<'_> {
    fn segments(&mut self, bases: &[u64]) -> Result<Vec<Found>, OpenError> {
        let mut found: Vec<Found> = Vec::with_capacity(bases.len());
        for (place, &base) in bases.iter().enumerate() {
            if let Some(before) = found.last()
                && before.end.next != base
            {
                let (before, position) = (before.base, before.end.position);
                if !self.options.repair {
                    let (file, expected) =
                        (self.directory.segment(base), found[place - 1].end.next);
                    return Err(OpenError::Gap { file, expected });
                }
                let kept = self.keep_beside(&bases[place..])?;
                let file = self.directory.segment(before);
                self.recovery.damage = Some(Damage { file, position, fault: None, kept });
                break;
            }
            let (segment, cut) = self.segment(base, &bases[place + 1..])?;
            found.push(segment);
            if cut {
                break;
            }
        }
        Ok(found)
    }

    /// Opens a segment, which `later` ones follow, and says whether the log was cut in it.
    fn segment(&mut self, base: u64, later: &[u64]) -> Result<(Found, bool), OpenError> {
        let path = self.directory.segment(base);
        let file = self.directory.open_segment(base).map_err(cannot("open", &path))?;
        let len = file.metadata().map_err(cannot("look at", &path))?.len();
        if let Some(&next) = later.first()
            && !self.options.check_all
        {
            match self.by_index(&file, base, len, next).map_err(cannot("read", &path))? {
                Ok((index, end)) => return Ok((Found { base, file, index, end }, false)),
                Err(fault) => self.recovery.rebuilt.push((path.clone(), fault)),
            }
        }
        let scanned =
            scan(&file, base, self.options.index_interval).map_err(cannot("read", &path))?;
        self.recovery.checked += scanned.len;
        let Scan { entries: index, len: good, next, fault } = scanned;
        let mut cut = false;
        if let Some(fault) = fault {
            cut = self.cut(&file, base, (good, next, len), fault, later)?;
        }
        let end = Edge { next, position: good };
        if later.first() == Some(&next) && !cut {
            let entries = index.clone();
            self.directory.write_index(&IndexFile { base, segment_len: good, next, entries });
        }
        Ok((Found { base, file, index, end }, cut))
    }

    /// A closed segment as its index has it, if that leads to the next segment: the records behind the last entry are read.
    fn by_index(
        &mut self,
        file: &File,
        base: u64,
        len: u64,
        next: u64,
    ) -> io::Result<Result<(Vec<Entry>, Edge), IndexFault>> {
        let read = match self.directory.read_index(base, len) {
            Ok(read) => read,
            Err(fault) => return Ok(Err(fault)),
        };
        let Some(&last) = read.entries.last() else { return Ok(Err(IndexFault::Order)) };
        let behind = scan_from(file, base, last, u64::MAX)?;
        self.recovery.checked += behind.len - u64::from(last.position);
        if behind.fault.is_some() || (behind.len, behind.next) != (len, next) || read.next != next {
            return Ok(Err(IndexFault::LastEntry));
        }
        Ok(Ok((read.entries, Edge { next, position: len })))
    }

    /// What follows the last good record is cut off if it is a torn tail; else the log is cut there, or refused. Says whether what is
    /// `later` has gone as well.
    fn cut(
        &mut self,
        file: &File,
        base: u64,
        (good, next, len): (u64, u64, u64),
        fault: RecordFault,
        later: &[u64],
    ) -> Result<bool, OpenError> {
        let path = self.directory.segment(base);
        let goes_on = match good_record_behind(file, good, next).map_err(cannot("read", &path))? {
            Some(at) => Some((path.clone(), at)),
            None => self.later_record(later)?.map(|file| (file, 0)),
        };
        let Some(goes_on) = goes_on else {
            file.set_len(good).map_err(cannot("cut the torn tail off", &path))?;
            let bytes = len - good;
            self.recovery.torn = Some(Torn { file: path, position: good, bytes, fault });
            // Empty ones, made when the process died.
            for &base in later {
                self.directory
                    .remove(base)
                    .map_err(cannot("remove", &self.directory.segment(base)))?;
            }
            return Ok(true);
        };
        if !self.options.repair {
            return Err(OpenError::Damaged { file: path, position: good, fault, goes_on });
        }
        let kept = self.directory.cut(base, good);
        self.copy_rest(base, good, &kept).map_err(cannot("keep what is cut off in", &kept))?;
        let mut all_kept = vec![kept];
        all_kept.extend(self.keep_beside(later)?);
        file.set_len(good).map_err(cannot("cut", &path))?;
        file.sync_all().map_err(cannot("sync", &path))?;
        self.directory.remove_index(base).map_err(cannot("remove the index of", &path))?;
        self.recovery.damage =
            Some(Damage { file: path, position: good, fault: Some(fault), kept: all_kept });
        Ok(true)
    }

    /// Copies a segment from `position` on, on the disk before anything is cut.
    fn copy_rest(&self, base: u64, position: u64, kept: &Path) -> io::Result<()> {
        use std::io::{Seek, SeekFrom};
        let mut from = File::open(self.directory.segment(base))?;
        from.seek(SeekFrom::Start(position))?;
        let mut to = File::create_new(kept)?;
        io::copy(&mut from, &mut to)?;
        to.sync_all()?;
        self.directory.sync()
    }

    /// The first of these segments in which there is anything.
    fn later_record(&self, later: &[u64]) -> Result<Option<PathBuf>, OpenError> {
        for &base in later {
            let path = self.directory.segment(base);
            if fs::metadata(&path).map_err(cannot("look at", &path))?.len() > 0 {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Puts segments out of the way, under names that no segment has. The last one first: what is left is a log at any time.
    fn keep_beside(&mut self, bases: &[u64]) -> Result<Vec<PathBuf>, OpenError> {
        let mut kept = Vec::new();
        for &base in bases.iter().rev() {
            let path = self.directory.segment(base);
            let cut = self.directory.cut(base, 0);
            fs::rename(&path, &cut).map_err(cannot("rename", &path))?;
            self.directory.remove_index(base).map_err(cannot("remove the index of", &path))?;
            kept.push(cut);
        }
        self.directory.sync().map_err(cannot("sync", self.directory.path()))?;
        kept.reverse();
        Ok(kept)
    }

    fn first(&self) -> Result<Found, OpenError> {
        let path = self.directory.segment(0);
        let file = self.directory.make_segment(0).map_err(cannot("make", &path))?;
        self.directory.sync().map_err(cannot("sync", self.directory.path()))?;
        Ok(Found { base: 0, file, index: Vec::new(), end: Edge { next: 0, position: 0 } })
    }

    /// Index files without a segment, and that of the segment which is appended to from now on.
    fn remove_orphans(&mut self, segments: &[Found]) -> Result<(), OpenError> {
        let path = self.directory.path();
        let bases = self.directory.bases("index").map_err(cannot("read the directory", path))?;
        for base in bases {
            let place = segments.iter().position(|segment| segment.base == base);
            if place.is_some_and(|place| place + 1 < segments.len()) {
                continue;
            }
            let index = self.directory.index(base);
            self.directory.remove_index(base).map_err(cannot("remove", &index))?;
            if place.is_none() {
                self.recovery.orphans.push(index);
            }
        }
        Ok(())
    }
}
