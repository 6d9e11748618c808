//! What stands below the table of the ways of sending: models, checksums, the overwrite test, copy-on-write, and
//! whether the probes can be believed.

use super::{super::grid::Grid, beside, remarks, state};
use crate::{
    copy_on_write::{self, Step},
    overwrite::Got,
    self_test::Check,
    table::Table,
    way::Way,
};

/// The three models: what waits, and where.
fn models(table: &Table) -> Grid {
    let header = [
        "model",
        "file",
        "calls/MiB",
        "switches/MiB",
        "waits for the socket/MiB",
        "for the disk/MiB",
        "ctx vol+inv/MiB",
        "CPU s/GiB",
        "s/GiB",
    ];
    let rows = table.fronts.iter().map(|row| {
        let figures = &row.figures;
        [
            row.way.to_string(),
            state(row),
            format!("{:.2}", figures.calls),
            beside(figures.switches, 1, None),
            format!("{:.2}", figures.socket_waits),
            format!("{:.2}", figures.disk_waits),
            format!("{:.2}+{:.2}", figures.voluntary, figures.involuntary),
            format!("{:.3}", figures.cpu),
            format!("{:.3}", figures.wall),
        ]
    });
    Grid::new(header, 2, rows)
}

fn checksums(table: &Table) -> Grid {
    let header = [
        "read by",
        "file",
        "CPU copies",
        "from disk",
        "calls/MiB",
        "faults/MiB",
        "CPU s/GiB",
        "s/GiB",
    ];
    let rows = table.checksums.iter().map(|row| {
        let figures = &row.figures;
        [
            row.way.to_string(),
            state(row),
            beside(figures.read, 2, None),
            beside(figures.disk, 2, None),
            format!("{:.2}", figures.calls),
            beside(figures.faults, 1, None),
            format!("{:.3}", figures.cpu),
            format!("{:.3}", figures.wall),
        ]
    });
    Grid::new(header, 2, rows)
}

fn overwritten(table: &Table) -> Grid {
    let rows = table.overwritten.iter().map(|tried| {
        let copied = match tried.got {
            Got::Old => "the old bytes: they had been copied",
            Got::New => "the new bytes: nothing had been copied",
            Got::Both => "some of both",
        };
        [tried.way.to_string(), tried.link.to_string(), copied.to_owned()]
    });
    Grid::new(["way", "over", "the receiver got"], 3, rows)
}

fn steps(steps: &[Step]) -> Grid {
    let rows = steps.iter().map(|step| {
        [
            step.what.to_owned(),
            step.written.to_string(),
            format!("{:.2}", step.copied as f64 / 1_048_576.0),
            step.faults.map_or_else(|| "–".to_owned(), |faults| faults.to_string()),
        ]
    });
    Grid::new(["step", "bytes written", "MiB copied by then", "faults"], 1, rows)
}

fn self_tests(checks: &[Check]) -> Grid {
    let rows = checks.iter().map(|check| {
        let verdict = match (check.seen, check.holds(), check.at_least) {
            (None, ..) => "nobody could see it",
            (_, true, false) => "✓ exactly",
            (_, true, true) => "✓ at least",
            (_, false, _) => "✗",
        };
        [
            check.what.to_owned(),
            check.known.to_string(),
            check.seen.map_or_else(|| "?".to_owned(), |seen| seen.to_string()),
            verdict.to_owned(),
        ]
    });
    Grid::new(["probe", "done", "seen", ""], 1, rows)
}

/// A part of the report: what it is called, what it shows, and what has to be said of it.
pub(super) struct Part {
    pub(super) title: String,
    pub(super) grid: Grid,
    pub(super) words: Vec<String>,
}

fn part(title: impl Into<String>, grid: Grid, words: Vec<String>) -> Part {
    Part { title: title.into(), grid, words }
}

/// What comes after the table of the ways of sending.
pub(super) fn parts(table: &Table) -> Vec<Part> {
    let mib = copy_on_write::LENGTH >> 20;
    let mut parts = vec![
        part(
            "Three models of input and output",
            models(table),
            [
                "The same sendfile through three fronts. A wait that the front sees itself is counted as one; one \
                 within a call is a context switch (voluntary) and no more."
                    .to_owned(),
            ]
            .into_iter()
            .chain(remarks(&Way::FRONTS))
            .collect(),
        ),
        part("Reading for a checksum", checksums(table), {
            let mut words = vec![
                "Nothing is sent: the bytes are read into the program, which computes their BLAKE3.".to_owned(),
            ];
            words.extend(remarks(&Way::CHECKSUMS));
            words
        }),
        part(
            "Overwritten behind the receiver",
            overwritten(table),
            vec![
                "The proof that needs no probe: a file is sent, and overwritten in place before the receiver \
                 reads. Who was sent pages reads what was written after."
                    .to_owned(),
            ],
        ),
        part(
            "Copy-on-write in memory",
            steps(&table.private),
            vec![format!(
                "A private mapping (MAP_PRIVATE) of {mib} MiB. Reading copies nothing; the first write to a page \
                 copies all of it, and the second none."
            )],
        ),
    ];
    if let Some((place, all)) = &table.reflink {
        parts.push(part(
            "Copy-on-write on the disk",
            steps(all),
            vec![format!(
                "A reflink clone of {mib} MiB, {place}: blocks of the disk that were not taken before. What is \
                 written to is copied in the file system's own units, which may be more than a page."
            )],
        ));
    }
    parts.push(part(
        "Whether the probes can be believed",
        self_tests(&table.self_tests),
        vec![
            "Before all else, a program of which everything is known is watched. Others and lost packets may \
             add to what is seen; where nothing can, it has to be exact."
                .to_owned(),
        ],
    ));
    parts
}
