//! What is shown of the classical table, and written.

use super::grid::Grid;
use crate::classic::{Line, WAYS};
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

fn grid(lines: &[Line]) -> Grid {
    Grid::new(header(), 0, lines.iter().map(cells))
}

/// For a terminal.
pub fn text(lines: &[Line]) -> String {
    format!("{}\n\n{NOTES}", grid(lines).text())
}

/// For a document.
pub fn markdown(lines: &[Line]) -> String {
    format!("{}\n{NOTES}", grid(lines).markdown())
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
    grid(lines).write_csv(&folder.join("classic.csv"))
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
