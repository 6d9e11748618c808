//! What is shown of a table, and written: for a terminal, as a page, as Markdown, as CSV and as JSON.

pub mod cache;
pub mod classic;
mod grid;
pub mod html;

use crate::{
    article::{asserted, remark},
    link::Link,
    nic::Interface,
    table::{Row, Table},
    way::Way,
};
use grid::Grid;
use std::{fs, io, path::Path};

/// Of every page.
const STYLE: &str = include_str!("report/style.css");

const HEADER: [&str; 14] = [
    "way",
    "file",
    "CPU copies",
    "asserted",
    "read",
    "sent",
    "received",
    "disk",
    "calls/MiB",
    "switches/MiB",
    "faults/MiB",
    "ctx vol+inv/MiB",
    "CPU s/GiB",
    "s/GiB",
];

/// As close as a copy count has to be to what is asserted.
const CLOSE: f64 = 0.02;

fn cells(row: &Row) -> [String; 14] {
    let figures = &row.figures;
    let or_dash = |value: Option<f64>, decimals: usize| {
        value.map_or_else(|| "?".to_owned(), |value| format!("{value:.decimals$}"))
    };
    let assertion = asserted(row.way, row.link).map(|asserted| f64::from(asserted.cpu_copies));
    let verdict = match (assertion, figures.copies) {
        (Some(asserted), Some(copies)) if (asserted - copies).abs() < CLOSE + 1e-9 => {
            format!("{asserted} ✓")
        }
        (Some(asserted), Some(_)) => format!("{asserted} ✗"),
        (Some(asserted), None) => format!("{asserted}"),
        (None, _) => "–".to_owned(),
    };
    [
        row.way.to_string(),
        match (row.link, row.cold) {
            (Link::Loopback, false) => "hot".to_owned(),
            (Link::Loopback, true) => "cold".to_owned(),
            (link, _) => format!("hot, {link}"),
        },
        or_dash(figures.copies, 2),
        verdict,
        or_dash(figures.read, 2),
        or_dash(figures.sent, 2),
        or_dash(figures.received, 2),
        or_dash(figures.disk, 2),
        format!("{:.2}", figures.calls),
        or_dash(figures.switches, 1),
        or_dash(figures.faults, 1),
        format!("{:.2}+{:.2}", figures.voluntary, figures.involuntary),
        format!("{:.3}", figures.cpu),
        format!("{:.3}", figures.wall),
    ]
}

fn grid(table: &Table) -> Grid {
    Grid::new(HEADER, 2, table.rows.iter().map(cells))
}

/// For a terminal.
pub fn text(table: &Table) -> String {
    format!("{}\n\n{}", grid(table).text(), notes(table))
}

/// For a document.
pub fn markdown(table: &Table) -> String {
    format!("{}\n{}", grid(table).markdown(), notes(table))
}

/// Interfaces, for a terminal.
pub fn interfaces(interfaces: &[Interface]) -> String {
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();
    let rows = interfaces.iter().map(|one| {
        let features = [one.scatter_gather, one.segmentation, one.checksums].map(on);
        let [gather, segmentation, checksums] = features;
        [one.name.clone(), gather, segmentation, checksums, one.meaning().to_owned()]
    });
    let header = ["interface", "scatter-gather", "TSO", "checksums", "what it means"];
    Grid::new(header, header.len(), rows).text() + "\n"
}

fn notes(table: &Table) -> String {
    let mut out = format!(
        "{} MiB, over loopback where nothing else is said, medians of {} rounds. Copies, received and disk are bytes per byte sent.\n",
        table.len >> 20,
        table.rounds
    );
    out += match &table.blind {
        None => {
            "Copies, calls and faults were counted in the kernel, by BPF; disk and context switches are from /proc.\n"
        }
        Some(_) => {
            "Calls are by the sender's own count; disk and context switches are from /proc. A ? is what nobody could see here.\n"
        }
    };
    if let Some(why) = &table.blind {
        out.push_str(&["Nothing was seen in the kernel: ", why, ".\n"].concat());
    }
    for warning in &table.warnings {
        out.push_str(&["Note: ", warning, "\n"].concat());
    }
    if table.rows.iter().any(|row| row.link == Link::NotGathering) {
        out += "Without scatter-gather each packet is put together in one piece: of pages that were passed on that is the \
                one copy; of bytes that had been copied before it is another, which nobody sees here.\n";
    }
    out.push('\n');
    let mut remarks: Vec<String> = Vec::new();
    for way in Way::ALL {
        let name = match way {
            Way::ReadWrite { .. } => "read+write".to_owned(),
            other => other.to_string(),
        };
        let remark = format!("{name}: {}.\n", remark(way));
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }
    out + &remarks.concat()
}

/// Writes `table.html`, `table.md`, `table.csv` and `table.json` into a folder, which is made if it is not there.
///
/// # Errors
///
/// They cannot be written.
pub fn write(table: &Table, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("table.html"), html::page(table))?;
    fs::write(folder.join("table.md"), markdown(table))?;
    fs::write(folder.join("table.json"), serde_json::to_string_pretty(table)? + "\n")?;
    grid(table).write_csv(&folder.join("table.csv"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Figures;

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
        }
    }

    #[test]
    fn what_differs_from_the_articles_is_marked() {
        for (copies, mark) in [(1.0, "1 ✓"), (1.02, "1 ✓"), (1.03, "1 ✗"), (2.0, "1 ✗")] {
            let text = markdown(&table(Some(copies)));
            assert!(
                text.contains(&format!("| mmap+write | hot | {copies:.2} | {mark} |")),
                "{text}"
            );
            assert!(text.contains("| direct | hot | "), "{text}");
        }
    }

    #[test]
    fn what_nobody_saw_is_said() {
        let text = text(&table(None));
        for part in ["?", "not allowed", "it is loud here", "mmap+write: pages"] {
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
