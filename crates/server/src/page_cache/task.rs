//! The passes over the files: what is there to do, doing it, and looking at what came of it.

use super::{
    act::{self, Deed},
    arguments::{CacheArguments, Limit},
    complaint::Complaints,
    interrupt::Stop,
    look::Glance,
    memory,
    output::Output,
    progress::Progress,
    show::rows_that_fit,
    style::Style,
    tally::{lives_in_memory, resident_bytes},
    text::human,
    walk::{Found, Passed, Roots, walk},
};
use crate::config::Problem;
use sendrail_sys::limits::page_size;
use std::{
    io::{self, IsTerminal},
    ops::{ControlFlow, Range},
    os::fd::AsFd,
    time::Instant,
};

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// All was looked at.
    Whole,
    /// Something could not be; it was said.
    WithErrors,
    /// A signal came.
    Interrupted,
}

/// A file, and what was seen of it.
pub(super) struct Seen {
    pub(super) found: Found,
    /// The bytes that were looked at.
    pub(super) range: Range<u64>,
    pub(super) glance: Glance,
}

impl Seen {
    /// How many bytes were looked at.
    pub(super) fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// How many of them are resident; 0 where that is not known.
    pub(super) fn resident_bytes(&self) -> u64 {
        resident_bytes(self.bytes(), &self.glance)
    }

    /// Whether there is nothing to bring in.
    fn is_all_resident(&self) -> bool {
        self.glance.resident == Some(self.glance.pages)
    }

    /// How many of them are no holes.
    pub(super) fn data_bytes(&self) -> u64 {
        act::data_bytes(&self.found, &self.range)
    }
}

/// What was asked for, and what is needed for it.
pub(super) struct Task {
    arguments: CacheArguments,
    roots: Roots,
    style: Style,
    stop: Stop,
    progress: Progress,
    since: Instant,
}

impl Task {
    /// Catches signals from here on.
    pub(super) fn new(mut arguments: CacheArguments) -> Result<Self, Problem> {
        let since = Instant::now();
        let stop = Stop::on_signals()
            .map_err(|error| Problem::new(format!("cannot catch signals: {error}")))?;
        let style = Style::detect(arguments.ascii);
        let progress = Progress::new(!arguments.json && io::stderr().is_terminal(), style.ascii);
        let roots = Roots {
            paths: std::mem::take(&mut arguments.paths),
            one_file_system: arguments.one_file_system,
            follow: arguments.follow,
        };
        Ok(Self { arguments, roots, style, stop, progress, since })
    }

    /// Does it, and writes to standard output what came of it.
    pub(super) fn run(self) -> Result<End, Problem> {
        let mut complaints = Complaints::new(self.arguments.json, self.progress.clone());
        let deed = if self.arguments.warm {
            self.warm(&mut complaints)?
        } else if self.arguments.evict {
            self.evict(&mut complaints)
        } else {
            Deed::Look
        };
        let was_written = self.report(deed, &mut complaints);
        match was_written {
            Ok(()) if self.stop.is_asked() => {
                match deed {
                    Deed::Warm { read, .. } => {
                        eprintln!("sendrail: interrupted; {} had been read", human(read));
                    }
                    _ => eprintln!("sendrail: interrupted"),
                }
                Ok(End::Interrupted)
            }
            Ok(()) if complaints.count() > 0 => Ok(End::WithErrors),
            Ok(()) => Ok(End::Whole),
            // Who reads it has had enough, as head(1) has.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(End::Whole),
            Err(error) => Err(Problem::new(format!("cannot write to standard output: {error}"))),
        }
    }

    /// Reads what is not resident, if there is memory for it.
    fn warm(&self, complaints: &mut Complaints) -> Result<Deed, Problem> {
        let (mut cold, mut holes, mut to_read) = (0, 0, 0);
        self.progress.begin_walk("looking");
        self.each_file(complaints, |seen, _| {
            let data = seen.data_bytes();
            holes += seen.bytes() - data;
            cold += data.saturating_sub(seen.resident_bytes());
            to_read += if seen.is_all_resident() { 0 } else { data };
            ControlFlow::Continue(())
        });
        self.check_memory(cold)?;
        self.progress.begin_bytes(to_read, "reading");
        let jobs = self.arguments.jobs;
        let (read, failed) = act::warm(jobs, &self.stop, &self.progress, |readers| {
            self.each_file(complaints, |seen, complaints| {
                if !seen.is_all_resident() {
                    readers.give(seen.found, seen.range);
                }
                for (path, error) in readers.failures() {
                    complaints.add(&path, &error.to_string());
                }
                ControlFlow::Continue(())
            });
        })
        .map_err(|error| Problem::new(format!("cannot start to read: {error}")))?;
        for (path, error) in failed {
            complaints.add(&path, &error.to_string());
        }
        Ok(Deed::Warm { read, holes, missing: 0 })
    }

    fn check_memory(&self, cold: u64) -> Result<(), Problem> {
        let Some(available) = memory::available().filter(|available| available.bytes < cold) else {
            return Ok(());
        };
        let what =
            format!("{} are not resident, and {available} of memory is available", human(cold));
        if !self.arguments.force {
            let why = "they would push out each other, and what else is hot";
            let hint = "warm fewer files, or a part of each (--length), or insist (--force)";
            return Err(Problem::new(format!("not warmed: {what}: {why}; {hint}")));
        }
        self.progress.pause(|| eprintln!("sendrail: {what}: what is read first will not stay"));
        Ok(())
    }

    /// Gives back what may go.
    fn evict(&self, complaints: &mut Complaints) -> Deed {
        let (mut before, mut unwritten) = (0, 0);
        self.progress.begin_walk("evicting");
        self.each_file(complaints, |seen, complaints| {
            let Found { path, file: Some(file), len, file_system, .. } = &seen.found else {
                return ControlFlow::Continue(());
            };
            // A length of 0 is, for the kernel, all that follows.
            if seen.range.is_empty() || lives_in_memory(*file_system) {
                return ControlFlow::Continue(()); // there is nowhere to bring it back from
            }
            before += seen.resident_bytes();
            let more = seen.glance.more.unwrap_or_default();
            unwritten += (more.dirty + more.writeback) * page_size() as u64;
            if let Err(error) = act::evict(file, *len, &seen.range) {
                complaints.add(path, &format!("cannot be evicted: {error}"));
            }
            ControlFlow::Continue(())
        });
        Deed::Evict { before, unwritten }
    }

    /// Looks at all files and writes about them.
    fn report(&self, mut deed: Deed, complaints: &mut Complaints) -> io::Result<()> {
        let arguments = &self.arguments;
        let limit = match arguments.limit {
            Some(Limit(limit)) => limit,
            None if arguments.json => None,
            None => rows_that_fit(&self.style),
        };
        let mut output = if !arguments.json {
            Output::table(self.style, arguments.sort.unwrap_or_default(), limit, self.is_part())
        } else if arguments.sort.is_none() && arguments.limit.is_none() {
            Output::lines()
        } else {
            Output::sorted_lines(arguments.sort.unwrap_or_default(), limit)
        };
        self.progress.begin_walk("looking");
        let mut written = Ok(());
        let passed = self.each_file(complaints, |seen, complaints| {
            if let Deed::Warm { missing, .. } = &mut deed
                && seen.glance.resident.is_some()
            {
                *missing += seen.data_bytes().saturating_sub(seen.resident_bytes());
            }
            written = output.file(&seen, complaints);
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        written?;
        self.progress.end();
        output.end(passed, deed, complaints, self.stop.is_asked(), self.since.elapsed())
    }

    /// Walks over all files and looks at each.
    fn each_file(
        &self,
        complaints: &mut Complaints,
        mut visit: impl FnMut(Seen, &mut Complaints) -> ControlFlow<()>,
    ) -> Passed {
        let (mut files, mut bytes) = (0, 0);
        walk(&self.roots, &self.stop, complaints, |found, complaints| {
            files += 1;
            bytes += found.len;
            self.progress.walked(files, bytes);
            let range = self.part(found.len);
            let look = |file| Glance::at(file, found.len, &range, found.file_system);
            let glance = found.file.as_ref().map_or(Glance::EMPTY, |file| look(file.as_fd()));
            visit(Seen { found, range, glance }, complaints)
        })
    }

    /// Whether only a part of each file was asked for.
    fn is_part(&self) -> bool {
        self.arguments.offset.0 > 0 || self.arguments.length.is_some()
    }

    /// The part of a file of `len` bytes that was asked for.
    fn part(&self, len: u64) -> Range<u64> {
        let start = self.arguments.offset.0.min(len);
        let length = self.arguments.length.map_or(u64::MAX, |length| length.0);
        start..start.saturating_add(length).min(len)
    }
}
