//! For machines: one JSON object per line, of the types `file`, `error` and, last, `summary`.

use super::{
    act::Deed,
    look::{Glance, More},
    tally::{Picture, Row, Sums, resident_bytes},
    walk::Passed,
};
use sendrail_sys::limits::page_size;
use serde::Serialize;
use std::{
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
    time::Duration,
};

/// A path that loses nothing: names on Linux are bytes, JSON has only Unicode.
#[derive(Serialize)]
struct Name<'a> {
    path: std::borrow::Cow<'a, str>,
    /// The bytes themselves, where `path` could not hold them.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<&'a [u8]>,
}

impl<'a> Name<'a> {
    fn of(path: &'a Path) -> Self {
        let is_unicode = path.to_str().is_some();
        let path_bytes = (!is_unicode).then(|| path.as_os_str().as_bytes());
        Self { path: path.to_string_lossy(), path_bytes }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    File {
        #[serde(flatten)]
        name: Name<'a>,
        size: u64,
        bytes: u64,
        pages: u64,
        resident_pages: Option<u64>,
        resident_bytes: Option<u64>,
        #[serde(flatten)]
        more: Option<More>,
        runs: Option<&'a [(u64, u64)]>,
        runs_complete: Option<bool>,
        file_system: &'static str,
        evidence: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        unknown_because: Option<String>,
    },
    Error {
        #[serde(flatten)]
        name: Name<'a>,
        message: &'a str,
    },
    Summary {
        files: u64,
        bytes: u64,
        pages: u64,
        resident_pages: u64,
        resident_bytes: u64,
        #[serde(flatten)]
        more: More,
        page_size: u64,
        unknown_files: u64,
        unknown_bytes: u64,
        in_memory_files: u64,
        in_memory_bytes: u64,
        passed_over: PassedOver,
        #[serde(skip_serializing_if = "Option::is_none")]
        warmed: Option<Warmed>,
        #[serde(skip_serializing_if = "Option::is_none")]
        evicted: Option<Evicted>,
        errors: u64,
        interrupted: bool,
        seconds: f64,
    },
}

#[derive(Serialize)]
struct PassedOver {
    symlinks: u64,
    special: u64,
    repeated: u64,
    other_file_systems: u64,
    without_page_cache: u64,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "as in the JSON, where each name says its unit")]
struct Warmed {
    read_bytes: u64,
    hole_bytes: u64,
    missing_bytes: u64,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "as in the JSON, where each name says its unit")]
struct Evicted {
    before_bytes: u64,
    stayed_bytes: u64,
    unwritten_bytes: u64,
}

/// Writes a file's line.
pub(super) fn file(row: &Row, out: &mut impl Write) -> io::Result<()> {
    let runs = match &row.picture {
        Picture::Runs(runs) if row.glance.resident.is_some() => Some(runs),
        _ => None,
    };
    let Glance { pages, resident, more, evidence } = row.glance;
    let known = resident.is_some();
    let line = Line::File {
        name: Name::of(&row.path),
        size: row.len,
        bytes: row.bytes,
        pages,
        resident_pages: resident,
        resident_bytes: known.then(|| resident_bytes(row.bytes, &row.glance)),
        more,
        runs: runs.map(|runs| &runs.runs[..]),
        runs_complete: runs.map(|runs| runs.complete),
        file_system: row.file_system.name(),
        evidence: evidence.name(),
        unknown_because: (!known).then(|| evidence.to_string()),
    };
    write(&line, out)
}

/// Writes the line of something that could not be looked at.
pub(super) fn error(path: &Path, message: &str, out: &mut impl Write) -> io::Result<()> {
    write(&Line::Error { name: Name::of(path), message }, out)
}

/// What the last line tells.
#[derive(Debug)]
pub(super) struct End<'a> {
    /// The sum of all files.
    pub(super) total: &'a Sums,
    /// What was not looked at.
    pub(super) passed: Passed,
    /// What was done before.
    pub(super) deed: Deed,
    /// What could not be looked at.
    pub(super) errors: u64,
    /// Whether a signal ended it before its time.
    pub(super) interrupted: bool,
    /// How long it took.
    pub(super) took: Duration,
}

/// Writes the last line.
pub(super) fn summary(end: &End<'_>, out: &mut impl Write) -> io::Result<()> {
    let End { total, passed, deed, .. } = *end;
    let (mut warmed, mut evicted) = (None, None);
    match deed {
        Deed::Look => {}
        Deed::Warm { read, holes, missing } => {
            let missing_bytes = missing;
            warmed = Some(Warmed { read_bytes: read, hole_bytes: holes, missing_bytes });
        }
        Deed::Evict { before, unwritten } => {
            let stayed_bytes = total.resident_bytes - total.in_memory_resident;
            let unwritten_bytes = unwritten.min(stayed_bytes);
            evicted = Some(Evicted { before_bytes: before, stayed_bytes, unwritten_bytes });
        }
    }
    let line = Line::Summary {
        files: total.files,
        bytes: total.bytes,
        pages: total.pages,
        resident_pages: total.resident,
        resident_bytes: total.resident_bytes,
        more: total.more,
        page_size: page_size() as u64,
        unknown_files: total.unknown.0,
        unknown_bytes: total.unknown.1,
        in_memory_files: total.in_memory.0,
        in_memory_bytes: total.in_memory.1,
        passed_over: PassedOver {
            symlinks: passed.symlinks,
            special: passed.special,
            repeated: passed.repeated,
            other_file_systems: passed.other_file_systems,
            without_page_cache: passed.without_cache,
        },
        warmed,
        evicted,
        errors: end.errors,
        interrupted: end.interrupted,
        seconds: end.took.as_secs_f64(),
    };
    write(&line, out)
}

fn write(line: &Line<'_>, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
