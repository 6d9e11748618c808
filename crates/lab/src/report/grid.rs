//! A grid of cells with a header: drawn for a terminal, for a document, for a page, and written as CSV.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use maud::{Markup, html};
use std::{io, path::Path};

/// What is shown of an experiment, line by line. The first cell of a row is its name.
#[derive(Debug)]
pub(super) struct Grid {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    /// So many columns are words; those behind them are numbers.
    words: usize,
}

impl Grid {
    pub(super) fn new<H: ToString, R: Into<Vec<String>>>(
        header: impl IntoIterator<Item = H>,
        words: usize,
        rows: impl IntoIterator<Item = R>,
    ) -> Self {
        let header = header.into_iter().map(|name| name.to_string()).collect();
        Self { header, rows: rows.into_iter().map(Into::into).collect(), words }
    }

    pub(super) fn text(&self) -> String {
        let mut drawn = Table::new();
        drawn.load_style(presets::UTF8_BORDERS_ONLY);
        drawn.set_content_arrangement(ContentArrangement::Disabled);
        drawn.set_header(&self.header);
        drawn.add_rows(&self.rows);
        for column in drawn.column_iter_mut().skip(self.words) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        drawn.to_string()
    }

    pub(super) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<String> = (0..self.header.len())
            .map(|column| if column < self.words { "---" } else { "---:" }.to_owned())
            .collect();
        let rows = self.rows.iter().map(|row| line(row));
        [line(&self.header), line(&rule)].into_iter().chain(rows).collect()
    }

    pub(super) fn html(&self) -> Markup {
        html! {
            div class="scroll" tabindex="0" {
                table {
                    thead { tr { @for (at, name) in self.header.iter().enumerate() { th scope="col" class=[(at < self.words).then_some("word")] { (name) } } } }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @for (at, cell) in row.iter().enumerate() {
                                    @if at == 0 { th scope="row" { (cell) } } @else { td class=[(at < self.words).then_some("word")] { (cell) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    pub(super) fn write_csv(&self, path: &Path) -> io::Result<()> {
        let mut csv = csv::Writer::from_path(path)?;
        csv.write_record(&self.header)?;
        for row in &self.rows {
            csv.write_record(row)?;
        }
        csv.flush()
    }
}
