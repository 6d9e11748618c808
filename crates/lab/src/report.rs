//! What is shown of an experiment, and written: for a terminal, as a page, as Markdown, as CSV and as JSON.

pub mod cache;
pub mod classic;
mod grid;
pub mod table;
pub mod tune;

use crate::{machine::Machine, nic::Interface};
use grid::Grid;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::{fs, io, path::Path};

/// Of every page.
const STYLE: &str = include_str!("report/style.css");

/// A page of one piece: no script, and nothing from elsewhere.
fn page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                (body)
            }
        }
    };
    page.into_string()
}

/// Lines that have to be said beside a table.
fn notes(lines: &[String]) -> Markup {
    html! { ul class="notes" { @for line in lines { li { (line) } } } }
}

/// What was measured on, and what disturbed it, line by line.
fn circumstances(machine: &Machine, warnings: &[String]) -> Vec<String> {
    let mut lines = vec![machine.facts.clone()];
    lines.extend(machine.warnings.iter().chain(warnings).map(|warning| format!("Note: {warning}")));
    lines
}

/// Interfaces, for a terminal.
pub fn interfaces(interfaces: &[Interface]) -> String {
    interfaces_grid(interfaces).text() + "\n"
}

fn interfaces_grid(interfaces: &[Interface]) -> Grid {
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();
    let rows = interfaces.iter().map(|one| {
        let features = [one.scatter_gather, one.segmentation, one.checksums].map(on);
        let [gather, segmentation, checksums] = features;
        [one.name.clone(), gather, segmentation, checksums, one.meaning().to_owned()]
    });
    let header = ["interface", "scatter-gather", "TSO", "checksums", "what it means"];
    Grid::new(header, header.len(), rows)
}

/// Writes `nic.html`, `nic.md`, `nic.csv` and `nic.json` into a folder, which is made if it is not there.
///
/// # Errors
///
/// They cannot be written.
pub fn write_interfaces(interfaces: &[Interface], folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let title = "What network interfaces mean for sending without a copy";
    let grid = interfaces_grid(interfaces);
    fs::write(folder.join("nic.html"), page(title, &grid.html()))?;
    fs::write(folder.join("nic.md"), format!("# {title}\n\n{}", grid.markdown()))?;
    fs::write(folder.join("nic.json"), serde_json::to_string_pretty(interfaces)? + "\n")?;
    grid.write_csv(&folder.join("nic.csv"))
}
