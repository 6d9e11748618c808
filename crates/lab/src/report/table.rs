//! What is shown of the articles' table, and written.

pub mod page;
mod parts;

use super::{circumstances, grid::Grid};
use crate::{
    article::{asserted, remark},
    link::Link,
    table::{Row, Table},
    way::Way,
};
use parts::{Part, parts};
use std::{fmt::Write, fs, io, path::Path};

/// As close as a measured value has to be to what is asserted, in parts of it; in all if that is 0.
const CLOSE: f64 = 0.02;

/// What was measured, and beside it what is asserted and whether that is so.
fn beside(measured: Option<f64>, decimals: usize, asserted: Option<u32>) -> String {
    let value = measured.map_or_else(|| "?".to_owned(), |value| format!("{value:.decimals$}"));
    let Some(asserted) = asserted else { return value };
    let Some(measured) = measured else { return format!("{value} ({asserted})") };
    let is_so = (measured - f64::from(asserted)).abs() <= CLOSE * f64::from(asserted.max(1)) + 1e-9;
    format!("{value} ({asserted} {})", if is_so { '✓' } else { '✗' })
}

fn state(row: &Row) -> String {
    match (row.link, row.cold) {
        (Link::Loopback, false) => "hot".to_owned(),
        (Link::Loopback, true) => "cold".to_owned(),
        (link, _) => format!("hot, {link}"),
    }
}

const HEADER: [&str; 15] = [
    "way",
    "file",
    "CPU copies",
    "read",
    "sent",
    "forced",
    "received",
    "from disk",
    "calls/MiB",
    "switches/pass",
    "switches/MiB",
    "faults/MiB",
    "ctx vol+inv/MiB",
    "CPU s/GiB",
    "s/GiB",
];

fn cells(row: &Row) -> [String; 15] {
    let figures = &row.figures;
    let asserted = asserted(row.way, row.link);
    let or = |value: Option<f64>, decimals| beside(value, decimals, None);
    [
        row.way.to_string(),
        state(row),
        beside(figures.copies, 2, asserted.map(|asserted| asserted.cpu_copies)),
        or(figures.read, 2),
        or(figures.sent, 2),
        or(figures.forced, 2),
        or(figures.received, 2),
        // Of the two, the other is the network card's.
        beside(figures.disk, 2, asserted.map(|asserted| asserted.dma_copies - 1)),
        format!("{:.2}", figures.calls),
        beside(figures.switches_a_pass, 1, asserted.map(|asserted| asserted.switches)),
        or(figures.switches, 1),
        or(figures.faults, 1),
        format!("{:.2}+{:.2}", figures.voluntary, figures.involuntary),
        format!("{:.3}", figures.cpu),
        format!("{:.3}", figures.wall),
    ]
}

/// The same for programs: each value in a cell of its own, and nothing where there is none.
fn records(table: &Table) -> Grid {
    let header = [
        "part",
        "way",
        "link",
        "cold",
        "copies",
        "copies_asserted",
        "read",
        "sent",
        "forced",
        "received",
        "disk",
        "disk_asserted",
        "calls_per_mib",
        "switches_per_pass",
        "switches_per_pass_asserted",
        "switches_per_mib",
        "faults_per_mib",
        "voluntary_per_mib",
        "involuntary_per_mib",
        "socket_waits_per_mib",
        "disk_waits_per_mib",
        "cpu_s_per_gib",
        "wall_s_per_gib",
    ];
    let parts = [("send", &table.rows), ("model", &table.fronts), ("checksum", &table.checksums)];
    let rows = parts.into_iter().flat_map(|(part, rows)| rows.iter().map(move |row| (part, row)));
    let value = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.4}"));
    let whole = |value: Option<u32>| value.map_or_else(String::new, |value| value.to_string());
    Grid::new(
        header,
        4,
        rows.map(|(part, row)| {
            let (figures, asserted) = (&row.figures, asserted(row.way, row.link));
            vec![
                part.to_owned(),
                row.way.to_string(),
                row.link.to_string(),
                row.cold.to_string(),
                value(figures.copies),
                whole(asserted.map(|row| row.cpu_copies)),
                value(figures.read),
                value(figures.sent),
                value(figures.forced),
                value(figures.received),
                value(figures.disk),
                whole(asserted.map(|row| row.dma_copies - 1)),
                value(Some(figures.calls)),
                value(figures.switches_a_pass),
                whole(asserted.map(|row| row.switches)),
                value(figures.switches),
                value(figures.faults),
                value(Some(figures.voluntary)),
                value(Some(figures.involuntary)),
                value(Some(figures.socket_waits)),
                value(Some(figures.disk_waits)),
                value(Some(figures.cpu)),
                value(Some(figures.wall)),
            ]
        }),
    )
}

fn sending(table: &Table) -> Grid {
    Grid::new(HEADER, 2, table.rows.iter().map(cells))
}

/// For a terminal.
pub fn text(table: &Table) -> String {
    let mut out = format!("{}\n\n{}\n", sending(table).text(), notes(table).join("\n"));
    for Part { title, grid, words } in parts(table) {
        let _ = write!(out, "\n{title}\n{}\n{}\n", grid.text(), words.join("\n"));
    }
    out
}

/// For a document.
pub fn markdown(table: &Table) -> String {
    let list = |lines: &[String]| -> String {
        lines.iter().map(|line| ["- ", line, "\n"].concat()).collect()
    };
    let mut out = format!(
        "# The articles’ table, measured\n\n{}\n{}",
        sending(table).markdown(),
        list(&notes(table))
    );
    for Part { title, grid, words } in parts(table) {
        let _ = write!(out, "\n## {title}\n\n{}\n{}", grid.markdown(), list(&words));
    }
    out
}

/// What has to be said of the table itself, line by line.
fn notes(table: &Table) -> Vec<String> {
    let mut lines = circumstances(&table.machine, &table.warnings);
    lines.insert(
        0,
        format!(
            "{} MiB, over loopback where nothing else is said, medians of {} rounds. Copies, received and from disk are \
             bytes per byte sent; in brackets what articles assert, and whether that is so within 2 %.",
            table.len >> 20,
            table.rounds
        ),
    );
    lines.insert(
        1,
        match &table.blind {
            None => "Copies, calls and faults were counted in the kernel, by BPF; disk and context switches are from \
                     /proc."
                .to_owned(),
            Some(why) => format!(
                "Nothing was seen in the kernel: {why}. Calls are by the sender's own count; disk and context \
                 switches are from /proc. A ? is what nobody could see here."
            ),
        },
    );
    if let Some(lost) =
        table.samples.iter().filter_map(|sample| sample.counts?.lost).reduce(u64::max)
    {
        lines.insert(2, format!("Events that the probes were not told: {lost}."));
    }
    if table.rows.iter().any(|row| !row.cold) {
        lines.push(
            "From disk: articles count one DMA copy from the disk and one to the network card. What is in the page \
             cache need not come from the disk, which is why it is there."
                .to_owned(),
        );
    }
    if table.rows.iter().any(|row| row.link == Link::NotGathering) {
        lines.push(
            "Without scatter-gather each packet is put together in one piece: of pages that were passed on that is \
             the one copy; of bytes that had been copied before it is another, which nobody sees here."
                .to_owned(),
        );
    }
    lines.extend(remarks(&Way::ALL));
    lines
}

fn remarks(ways: &[Way]) -> Vec<String> {
    let mut remarks: Vec<String> = Vec::new();
    for &way in ways {
        let name = match way {
            Way::ReadWrite { .. } => "read+write".to_owned(),
            other => other.to_string(),
        };
        let remark = format!("{name}: {}.", remark(way));
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }
    remarks
}

/// Writes `table.html`, `table.md`, `table.csv` and `table.json` into a folder, which is made if it is not there.
///
/// # Errors
///
/// They cannot be written.
pub fn write(table: &Table, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("table.html"), page::page(table))?;
    fs::write(folder.join("table.md"), markdown(table))?;
    fs::write(folder.join("table.json"), serde_json::to_string_pretty(table)? + "\n")?;
    records(table).write_csv(&folder.join("table.csv"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{machine::Machine, sample::Figures};

    fn table(copies: Option<f64>) -> Table {
        let figures = Figures { copies, ..Figures::default() };
        let row = |way| Row { way, link: Link::Loopback, cold: false, figures };
        Table {
            len: 64 << 20,
            rounds: 3,
            blind: copies.is_none().then(|| "not allowed".to_owned()),
            rows: vec![row(Way::MmapWrite), row(Way::Direct)],
            warnings: vec!["it is loud here".to_owned()],
            samples: Vec::new(),
            machine: Machine::default(),
            self_tests: Vec::new(),
            fronts: Vec::new(),
            checksums: Vec::new(),
            overwritten: Vec::new(),
            private: Vec::new(),
            reflink: None,
        }
    }

    #[test]
    fn what_differs_from_the_articles_is_marked() {
        for (copies, mark) in [(1.0, "1 ✓"), (1.02, "1 ✓"), (1.03, "1 ✗"), (2.0, "1 ✗")] {
            let text = markdown(&table(Some(copies)));
            assert!(
                text.contains(&format!("| mmap+write | hot | {copies:.2} ({mark}) |")),
                "{text}"
            );
            assert!(text.contains("| direct | hot | "), "{text}");
        }
    }

    #[test]
    fn what_nobody_saw_is_said() {
        let text = text(&table(None));
        for part in ["?", "not allowed", "it is loud here", "mmap+write: two calls"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains('✗'), "{text}");
    }

    #[test]
    fn four_files_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let within = folder.path().join("a/b");
        write(&table(Some(1.0)), &within).unwrap();
        let csv = fs::read_to_string(within.join("table.csv")).unwrap();
        assert_eq!(csv.lines().count(), 3, "{csv}");
        let json = fs::read_to_string(within.join("table.json")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["rows"][0]["figures"]["copies"], 1.0);
        assert!(within.join("table.md").exists() && within.join("table.html").exists());
    }
}
