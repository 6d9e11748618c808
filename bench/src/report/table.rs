//! The table on the terminal, and by another style the one in summary.md.

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_BORDERS_ONLY};
use comfy_table::{CellAlignment, Table};

use super::{Bound, CaseReport, Row, Run, ServerRecord};

/// The whole run for the terminal, with its warnings beneath.
pub(crate) fn of_run(run: &Run) -> String {
    let mut table = table(&run.servers, &run.cases);
    table.load_style(UTF8_BORDERS_ONLY);
    [table.to_string(), warnings(&run.cases)].join("\n")
}

/// One case, as soon as it is done.
pub(crate) fn of_case(servers: &[ServerRecord], case: &CaseReport) -> String {
    let cases = std::slice::from_ref(case);
    let mut table = table(servers, cases);
    table.load_style(UTF8_BORDERS_ONLY);
    [table.to_string(), warnings(cases)].join("\n")
}

/// The whole run as a Markdown table.
pub(super) fn markdown(run: &Run) -> String {
    let mut table = table(&run.servers, &run.cases);
    table.load_style(ASCII_MARKDOWN);
    table.to_string()
}

fn table(servers: &[ServerRecord], cases: &[CaseReport]) -> Table {
    let mut table = Table::new();
    let mut header = vec!["case".to_owned(), "figure".to_owned()];
    header.extend(servers.iter().map(|server| server.name.clone()));
    if let Some((subject, others)) = servers.split_first() {
        header.extend(
            others.iter().map(|other| format!("{} / {} (min–max)", subject.name, other.name)),
        );
    }
    header.extend(["bound".to_owned(), String::new()]);
    let figures = 2..header.len() - 2;
    table.set_header(header);
    for case in cases {
        for (number, row) in case.rows.iter().enumerate() {
            table.add_row(cells(if number == 0 { &case.name } else { "" }, row, servers.len()));
        }
    }
    for column in table
        .column_iter_mut()
        .enumerate()
        .filter_map(|(at, column)| figures.contains(&at).then_some(column))
    {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cells(case: &str, row: &Row, servers: usize) -> Vec<String> {
    let unit = if row.unit.is_empty() { String::new() } else { format!(", {}", row.unit) };
    let mut cells = vec![case.to_owned(), format!("{}{unit}", row.figure)];
    cells.extend(row.values.iter().map(|value| format!("{value:.*}", row.decimals)));
    let mut ratios = row.ratios.iter();
    cells.extend((1..servers).map(|_| {
        ratios.next().map_or(String::new(), |ratio| {
            format!("{:.3} ({:.3}–{:.3})", ratio.median, ratio.min, ratio.max)
        })
    }));
    cells.push(row.bound.map_or(String::new(), |bound| match bound {
        Bound::Ratio { at_most } => format!("≤ {at_most:.2} ×"),
        Bound::Value { at_most } => format!("≤ {at_most:.0} {}", row.unit),
        Bound::RatioNearOne { within } => format!("1.00 ± {within:.2} ×"),
    }));
    cells.push(row.met.map_or("", |met| if met { "met" } else { "MISSED" }).to_owned());
    cells
}

fn warnings(cases: &[CaseReport]) -> String {
    let lines = cases.iter().flat_map(|case| {
        case.warnings.iter().map(move |text| format!("warning: {}: {text}\n", case.name))
    });
    lines.collect()
}
