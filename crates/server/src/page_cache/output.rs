//! Where what was seen goes: into a table, or out as lines for machines.

use super::{
    act::Deed,
    arguments::Sort,
    complaint::Complaints,
    json, map,
    show::Report,
    style::Style,
    tally::{Picture, Row, Sums, Top},
    task::Seen,
    walk::Passed,
};
use std::{
    io::{self, BufWriter, Stdout, Write},
    time::Duration,
};

/// What was seen, on its way to standard output.
pub(super) struct Output {
    form: Form,
    total: Sums,
    out: BufWriter<Stdout>,
}

enum Form {
    /// A table at the end.
    Table { top: Top, style: Style, is_part: bool },
    /// A line at once.
    Lines,
    /// Lines at the end.
    SortedLines(Top),
}

impl Output {
    /// A table of at most `limit` rows.
    pub(super) fn table(style: Style, sort: Sort, limit: Option<usize>, is_part: bool) -> Self {
        Self::new(Form::Table { top: Top::new(sort, limit), style, is_part })
    }

    /// A line for each file as it comes; nothing is kept.
    pub(super) fn lines() -> Self {
        Self::new(Form::Lines)
    }

    /// Lines for at most `limit` files, in order.
    pub(super) fn sorted_lines(sort: Sort, limit: Option<usize>) -> Self {
        Self::new(Form::SortedLines(Top::new(sort, limit)))
    }

    fn new(form: Form) -> Self {
        Self { form, total: Sums::default(), out: BufWriter::new(io::stdout()) }
    }

    /// Takes a file.
    pub(super) fn file(&mut self, seen: &Seen, complaints: &mut Complaints) -> io::Result<()> {
        let (found, glance, bytes) = (&seen.found, &seen.glance, seen.bytes());
        self.total.add(bytes, glance, found.file_system);
        let (path, file_system) = (&found.path, found.file_system);
        let made = match &mut self.form {
            Form::Table { top, style, .. } => {
                top.offer(path, bytes, glance, file_system, || row(seen, Some(style.bar())))
            }
            Form::SortedLines(top) => {
                top.offer(path, bytes, glance, file_system, || row(seen, None))
            }
            Form::Lines => match row(seen, None) {
                Ok(row) => {
                    json::file(&row, &mut self.out)?;
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = made {
            complaints.add(path, &format!("cannot be looked at: {error}"));
        }
        self.errors(complaints)
    }

    /// Writes what there is to write at the end.
    pub(super) fn end(
        mut self,
        passed: Passed,
        deed: Deed,
        complaints: &mut Complaints,
        interrupted: bool,
        took: Duration,
    ) -> io::Result<()> {
        self.errors(complaints)?;
        let errors = complaints.count();
        let Self { form, total, mut out } = self;
        match form {
            // Nothing was seen before the signal came, or nothing could be: that has been said.
            Form::Table { .. } if total.files == 0 && (interrupted || errors > 0) => return Ok(()),
            Form::Table { top, style, is_part } => {
                let (rows, rest) = top.finish();
                let report = Report { rows, rest, total, passed, deed, is_part, took };
                return report.write(&style, &mut out);
            }
            Form::SortedLines(top) => {
                for row in top.finish().0 {
                    json::file(&row, &mut out)?;
                }
            }
            Form::Lines => {}
        }
        let end = json::End { total: &total, passed, deed, errors, interrupted, took };
        json::summary(&end, &mut out)?;
        out.flush()
    }

    /// Machines read what went wrong beside the files.
    fn errors(&mut self, complaints: &mut Complaints) -> io::Result<()> {
        for (path, message) in complaints.take() {
            json::error(&path, &message, &mut self.out)?;
        }
        Ok(())
    }
}

/// Looks where the resident pages of a file are: as a bar of `width`, or as runs.
fn row(seen: &Seen, width: Option<usize>) -> io::Result<Row> {
    let Seen { found, range, glance } = seen;
    let picture = match (&found.file, width) {
        (Some(file), Some(width)) => Picture::Cells(map::cells(file, range, glance, width)?),
        (Some(file), None) => Picture::Runs(map::runs(file, found.len, range, glance)?),
        (None, Some(_)) => Picture::Cells(Vec::new()),
        (None, None) => Picture::Runs(map::Runs { runs: Vec::new(), complete: true }),
    };
    Ok(Row {
        path: found.path.clone(),
        len: found.len,
        bytes: seen.bytes(),
        glance: *glance,
        file_system: found.file_system,
        picture,
    })
}
