//! What is shown of the classical table, and written.

use crate::classic::{Line, WAYS};
use comfy_table::{CellAlignment, ContentArrangement, presets};
use std::{fs, io, path::Path};

fn header() -> Vec<String> {
    let mut header = vec!["MB".to_owned(), "2008".to_owned()];
    for way in WAYS {
        header.push(format!("{way}, ms"));
        header.push("×".to_owned());
        header.push("CPU ×".to_owned());
    }
    header
}

fn cells(line: &Line) -> Vec<String> {
    let mut cells = vec![line.megabytes.to_string(), format!("{:.2}", line.published)];
    for (at, times) in line.times.iter().enumerate() {
        let (wall, cpu) = line.ratios(at);
        cells.push(format!("{:.1}", times.wall));
        cells.push(format!("{wall:.2}"));
        cells.push(format!("{cpu:.2}"));
    }
    cells
}

const NOTES: &str = "\
Hot files over loopback, from the first byte to the last, medians. × is how many times as long the
article's own way (read+write, 4 KiB) took, CPU × the same of the sender's processor time; 2008 is what the
article found for transferTo (sendfile) against it, over a network and from a disk.
";

/// For a terminal.
pub fn text(lines: &[Line]) -> String {
    let mut drawn = comfy_table::Table::new();
    drawn.load_style(presets::UTF8_BORDERS_ONLY);
    drawn.set_content_arrangement(ContentArrangement::Disabled);
    drawn.set_header(header());
    for line in lines {
        drawn.add_row(cells(line));
    }
    for column in drawn.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{drawn}\n\n{NOTES}")
}

/// For a document.
pub fn markdown(lines: &[Line]) -> String {
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let header = header();
    let mut out = row(header.clone());
    out += &row(header.iter().map(|_| "---:".to_owned()).collect());
    for line in lines {
        out += &row(cells(line));
    }
    format!("{out}\n{NOTES}")
}

/// Writes `classic.md`, `classic.csv` and `classic.json` into a folder, which is made if it is not there.
///
/// # Errors
///
/// They cannot be written.
pub fn write(lines: &[Line], folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("classic.md"), markdown(lines))?;
    fs::write(folder.join("classic.json"), serde_json::to_string_pretty(lines)? + "\n")?;
    let mut csv = csv::Writer::from_path(folder.join("classic.csv"))?;
    csv.write_record(header())?;
    for line in lines {
        csv.write_record(cells(line))?;
    }
    csv.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classic::Times;

    #[test]
    fn a_line_has_a_ratio_for_each_way() {
        let times = vec![Times { wall: 10.0, cpu: 8.0 }; WAYS.len()];
        let line = Line { megabytes: 7, published: 156.0 / 45.0, times };
        let text = markdown(std::slice::from_ref(&line));
        assert!(text.contains("| 7 | 3.47 | 10.0 | 1.00 | 1.00 | 10.0 |"), "{text}");
        assert_eq!(header().len(), cells(&line).len());
    }
}
