//! The table for people: a row per file, the sum, and what must be known to read it.

use super::{
    act::Deed,
    look::Evidence,
    style::{FAINT, STRONG, Style},
    tally::{Picture, Row, Sums, resident_bytes},
    text::{clip, count, human, many, percent, printable, wrap},
    walk::Passed,
};
use sendrail_sys::limits::page_size;
use std::{
    io::{self, Write},
    time::Duration,
};

/// Columns that the numbers take, with the gaps between all columns.
pub(super) const NUMBERS: usize = 8 + 2 + 8 + 2 + 4 + 2 + 2;
/// Columns that the name of a remark takes.
const REMARK: usize = 13;
/// Lines beside the rows: heading, rest, sum, an empty line, some remarks, and the prompt.
const OTHER_LINES: usize = 10;

/// How many rows fit the screen.
pub(super) fn rows_that_fit(style: &Style) -> Option<usize> {
    style.height.map(|height| height.saturating_sub(OTHER_LINES).max(10))
}

/// What has been seen.
#[derive(Debug)]
pub(super) struct Report {
    /// Files to show, in order.
    pub(super) rows: Vec<Row>,
    /// The sum of the others.
    pub(super) rest: Sums,
    /// The sum of all.
    pub(super) total: Sums,
    /// What was not looked at.
    pub(super) passed: Passed,
    /// What was done before.
    pub(super) deed: Deed,
    /// Whether only a part of each file was looked at.
    pub(super) is_part: bool,
    /// How long all of it took.
    pub(super) took: Duration,
}

impl Report {
    /// Writes the table.
    pub(super) fn write(&self, style: &Style, out: &mut impl Write) -> io::Result<()> {
        if !self.rows.is_empty() {
            let size = if self.is_part { "part" } else { "size" };
            let bar = style.bar();
            let legend = style.legend();
            let heading = format!("resident  {size:>8}     %  {legend:<bar$}  file");
            writeln!(out, "{}", style.paint(FAINT, heading))?;
        }
        for row in &self.rows {
            row_line(row, style, out)?;
        }
        if self.rest.files > 0 && !self.rows.is_empty() {
            let text = format!("and {}", many(self.rest.files, "more file", "more files"));
            writeln!(out, "{}", style.paint(FAINT, sums_line(&self.rest, &text)))?;
        }
        let files = many(self.total.files, "file", "files");
        let seconds = self.took.as_secs_f64();
        let text = format!("{files}, in {seconds:.2} s");
        writeln!(out, "{}", style.paint(STRONG, sums_line(&self.total, &text)))?;
        let remarks = self.remarks();
        if !remarks.is_empty() {
            writeln!(out)?;
        }
        for (what, text) in remarks {
            let mut what = what;
            let room = style.height.map_or(usize::MAX, |_| style.width.saturating_sub(REMARK));
            for line in wrap(&text, room) {
                writeln!(out, "{}{line}", style.paint(FAINT, format_args!("{what:<REMARK$}")))?;
                what = "";
            }
        }
        out.flush()
    }

    /// What the numbers alone do not say.
    fn remarks(&self) -> Vec<(&'static str, String)> {
        let mut remarks = Vec::new();
        self.deed_remarks(&mut remarks);
        let (total, bytes) = (&self.total, |pages: u64| human(pages * page_size() as u64));
        let more = total.more;
        if more.dirty > 0 {
            remarks.push(("dirty", format!("{} not yet written to the disk", bytes(more.dirty))));
        }
        if more.writeback > 0 {
            let text = format!("{} being written to the disk", bytes(more.writeback));
            remarks.push(("writeback", text));
        }
        if more.recently_evicted > 0 {
            let evicted = bytes(more.recently_evicted);
            remarks.push(("evicted", format!("{evicted} so lately that they may be wanted back")));
        }
        if total.in_memory.0 > 0 {
            let (files, size) = total.in_memory;
            let files = many(files, "file", "files");
            let text = format!("{files} ({}) on tmpfs live there: never evicted", human(size));
            remarks.push(("in memory", text));
        }
        for (evidence, files) in &total.evidence {
            let files = many(*files, "file", "files");
            match evidence {
                Evidence::Cachestat | Evidence::Empty => {}
                Evidence::Mincore | Evidence::MincoreStacked => {
                    remarks.push(("evidence", format!("{files} by {evidence}")));
                }
                Evidence::NotYours | Evidence::Refused(_) => {
                    remarks.push(("unknown", format!("{files}: {evidence}")));
                }
            }
        }
        let passed = passed_over(&self.passed);
        if !passed.is_empty() {
            remarks.push(("passed over", passed));
        }
        remarks
    }

    fn deed_remarks(&self, remarks: &mut Vec<(&'static str, String)>) {
        match self.deed {
            Deed::Look => {}
            Deed::Warm { read, holes, missing } => {
                let read = human(read);
                let text = match holes {
                    0 => format!("{read} read"),
                    _ => format!("{read} read, {} of holes left out", human(holes)),
                };
                remarks.push(("warmed", text));
                if missing > 0 {
                    let text = format!("{} are not resident all the same", human(missing));
                    remarks.push(("missing", text + ": memory was short, or there is no cache"));
                }
            }
            Deed::Evict { before, unwritten } => {
                let stayed = self.total.resident_bytes - self.total.in_memory_resident;
                let given = human(before.saturating_sub(stayed));
                let text = match before {
                    0 if self.total.unknown.0 > 0 => {
                        "asked of the kernel; how much was resident is not known".to_owned()
                    }
                    0 => "nothing was resident that can be given back".to_owned(),
                    _ => format!("{given} of {} given back", human(before)),
                };
                remarks.push(("evicted", text));
                let unwritten = unwritten.min(stayed);
                if unwritten > 0 {
                    let text = "was not yet written to the disk; that has begun, so try again soon";
                    remarks.push(("stayed", format!("{} {text}", human(unwritten))));
                }
                if stayed > unwritten {
                    let mut text =
                        "in use: mapped by a process, or on its way to a socket".to_owned();
                    if self.is_part {
                        text += ", or in large folios that reach out of the part";
                    }
                    remarks.push(("stayed", format!("{} {text}", human(stayed - unwritten))));
                }
            }
        }
    }
}

fn row_line(row: &Row, style: &Style, out: &mut impl Write) -> io::Result<()> {
    let Picture::Cells(cells) = &row.picture else { return Ok(()) };
    let resident = match row.glance.resident {
        Some(_) => human(resident_bytes(row.bytes, &row.glance)),
        None => "unknown".to_owned(),
    };
    let share = row
        .glance
        .resident
        .map_or_else(|| "?".to_owned(), |resident| percent(resident, row.glance.pages));
    let bar = style.draw(cells);
    let mut path = printable(&row.path, style.ascii);
    if let Some(width) = style.path() {
        path = clip(&path, width, style.ellipsis());
    }
    writeln!(out, "{resident:>8}  {:>8}  {share:>4}  {bar}  {path}", human(row.bytes))
}

fn sums_line(sums: &Sums, text: &str) -> String {
    let is_unknown = sums.unknown.1 > 0 && sums.unknown.1 == sums.bytes;
    let resident = if is_unknown { "unknown".to_owned() } else { human(sums.resident_bytes) };
    let size = human(sums.bytes);
    // What is not known is in neither number of the share.
    let share = percent(sums.resident_bytes, sums.bytes - sums.unknown.1);
    format!("{resident:>8}  {size:>8}  {share:>4}  {text}")
}

/// What was not looked at, in a sentence.
fn passed_over(passed: &Passed) -> String {
    let parts = [
        (passed.symlinks, "symbolic link", "symbolic links"),
        (passed.special, "device, FIFO or socket", "devices, FIFOs and sockets"),
        (passed.repeated, "name of what was counted already", "names of what was counted already"),
        (passed.other_file_systems, "other file system", "other file systems"),
        (passed.without_cache, "file system without page cache", "file systems without page cache"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, one, several)| {
            format!("{} {}", count(number), if number == 1 { one } else { several })
        })
        .collect();
    parts.join(", ")
}
