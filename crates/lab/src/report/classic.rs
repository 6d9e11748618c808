//! What is shown of the classical table, and written.

mod page;

use super::{circumstances, grid::Grid};
use crate::classic::{Classic, Line, Times};
use std::{fs, io, path::Path};

pub use page::page;

/// One row for each way, one column for each size: time, after what the article says of it.
fn wall(classic: &Classic) -> Grid {
    let published = |name: &str, of: &dyn Fn(&Line) -> (f64, f64)| {
        let cells = classic.lines.iter().map(|line| {
            let (milliseconds, ratio) = of(line);
            format!("{milliseconds:.0} ({ratio:.2})")
        });
        row(name, cells)
    };
    let mut rows = vec![
        published("2008: read+write", &|line| (line.published.traditional, 1.0)),
        published("2008: transferTo", &|line| (line.published.zero_copy, line.published.ratio())),
    ];
    rows.extend(measured(classic, |times| times.wall, |(wall, _)| wall));
    Grid::new(header("ms (×)", classic), 1, rows)
}

/// The same of the processor, of which the article has no milliseconds.
fn cpu(classic: &Classic) -> Grid {
    let rows = measured(classic, |times| times.cpu, |(_, cpu)| cpu);
    Grid::new(header("CPU ms (×)", classic), 1, rows)
}

fn header(what: &str, classic: &Classic) -> Vec<String> {
    row(what, classic.lines.iter().map(|line| format!("{} MB", line.megabytes)))
}

fn row(name: &str, cells: impl Iterator<Item = String>) -> Vec<String> {
    [name.to_owned()].into_iter().chain(cells).collect()
}

fn measured(
    classic: &Classic,
    milliseconds: impl Fn(&Times) -> f64,
    of: impl Fn((f64, f64)) -> f64,
) -> Vec<Vec<String>> {
    let ways = classic.lines.first().map_or(&[][..], |line| &line.times);
    let cell = |line: &Line, way: usize| {
        let ratio =
            line.ratios(way).map_or_else(|| "–".to_owned(), |both| format!("{:.2}", of(both)));
        format!("{:.1} ({ratio})", milliseconds(&line.times[way]))
    };
    let row = |(at, times): (usize, &Times)| {
        row(&times.way, classic.lines.iter().map(|line| cell(line, at)))
    };
    ways.iter().enumerate().map(row).collect()
}

/// For whoever calculates: a row for each way and size.
fn tidy(classic: &Classic) -> Grid {
    const HEADER: [&str; 7] = ["way", "language", "MB", "ms", "×", "CPU ms", "CPU ×"];
    let mut rows = Vec::new();
    for line in &classic.lines {
        let size = line.megabytes.to_string();
        let published = line.published;
        for (way, milliseconds, ratio) in [
            ("2008: read+write", published.traditional, 1.0),
            ("2008: transferTo", published.zero_copy, published.ratio()),
        ] {
            let figures = [format!("{milliseconds:.0}"), format!("{ratio:.3}")];
            let [milliseconds, ratio] = figures;
            let (way, java) = (way.to_owned(), "Java".to_owned());
            let nothing = String::new();
            rows.push([way, java, size.clone(), milliseconds, ratio, nothing.clone(), nothing]);
        }
        for (at, times) in line.times.iter().enumerate() {
            let ratios = line.ratios(at);
            let ratio = |of: &dyn Fn((f64, f64)) -> f64| {
                ratios.map_or_else(String::new, |both| format!("{:.3}", of(both)))
            };
            rows.push([
                times.way.clone(),
                if times.java { "Java" } else { "Rust" }.to_owned(),
                size.clone(),
                format!("{:.3}", times.wall),
                ratio(&|(wall, _)| wall),
                format!("{:.3}", times.cpu),
                ratio(&|(_, cpu)| cpu),
            ]);
        }
    }
    Grid::new(HEADER, 2, rows)
}

/// What has to be known beside the figures.
fn notes(classic: &Classic) -> Vec<String> {
    let mut notes = vec![format!(
        "Hot files over loopback, from the first byte to the last, medians (rounds: {}); CPU is that of all threads \
             of the process that sends. (×) is how many times as long the article's own way (read+write, 4 KiB) took in \
             the same language. 2008 is what the article found, in Java, over a network and from a disk.",
        classic.rounds
    )];
    if let Some(java) = &classic.java {
        let congestion = classic.congestion.as_deref().unwrap_or("?");
        notes.push(format!(
            "Java is {java}: one process for each program, warmed up. Its sockets used {congestion}, ours reno."
        ));
    }
    notes.extend(classic.absent.iter().map(|why| format!("Not measured: {why}")));
    notes.extend(circumstances(&classic.machine, &classic.warnings));
    notes
}

/// For a terminal.
pub fn text(classic: &Classic) -> String {
    let notes = notes(classic).join("\n");
    format!("{}\n\n{}\n\n{notes}\n", wall(classic).text(), cpu(classic).text())
}

/// For a document.
pub fn markdown(classic: &Classic) -> String {
    let notes = notes(classic).join("\n\n");
    format!("{}\n{}\n{notes}\n", wall(classic).markdown(), cpu(classic).markdown())
}

/// Writes `classic.html`, `classic.md`, `classic.csv` and `classic.json` into a folder, which is made if it
/// is not there.
///
/// # Errors
///
/// They cannot be written.
pub fn write(classic: &Classic, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("classic.html"), page(classic))?;
    fs::write(folder.join("classic.md"), markdown(classic))?;
    fs::write(folder.join("classic.json"), serde_json::to_string_pretty(classic)? + "\n")?;
    tidy(classic).write_csv(&folder.join("classic.csv"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        classic::{Published, WAYS},
        machine::Machine,
    };

    pub(super) fn classic(java: bool) -> Classic {
        let times = |way: &str, java, wall, cpu| Times { way: way.to_owned(), java, wall, cpu };
        let line = |megabytes, longer| Line {
            megabytes,
            published: Published { traditional: 156.0, zero_copy: 45.0 },
            times: [
                times(&WAYS[0].to_string(), false, 10.0 * longer, 8.0 * longer),
                times("sendfile", false, 4.0, 2.0),
                times("Java read+write 4 KiB", true, 20.0 * longer, 30.0 * longer),
                times("Java transferTo", true, 5.0, 3.0),
            ]
            .into_iter()
            .filter(|times| java || !times.java)
            .collect(),
        };
        Classic {
            machine: Machine::default(),
            lines: vec![line(7, 1.0), line(21, 2.0)],
            rounds: 3,
            java: java.then(|| "a VM, 17".to_owned()),
            congestion: java.then(|| "bbr".to_owned()),
            absent: if java {
                vec!["<Netty>: & gone".to_owned()]
            } else {
                vec!["Java: not installed".to_owned()]
            },
            warnings: vec!["it is loud here".to_owned()],
        }
    }

    #[test]
    fn a_way_has_a_ratio_for_each_size_in_its_language() {
        let text = markdown(&classic(true));
        for row in [
            "| ms (×) | 7 MB | 21 MB |",
            "| 2008: transferTo | 45 (3.47) | 45 (3.47) |",
            "| sendfile | 4.0 (2.50) | 4.0 (5.00) |",
            "| Java transferTo | 5.0 (4.00) | 5.0 (8.00) |",
            "| CPU ms (×) | 7 MB | 21 MB |",
            "| sendfile | 2.0 (4.00) | 2.0 (8.00) |",
            "| Java transferTo | 3.0 (10.00) | 3.0 (20.00) |",
        ] {
            assert!(text.contains(row), "{row} in {text}");
        }
    }

    #[test]
    fn what_has_nothing_to_be_measured_by_has_no_ratio() {
        let mut classic = classic(true);
        for line in &mut classic.lines {
            line.times.remove(2);
        }
        assert!(markdown(&classic).contains("| Java transferTo | 5.0 (–) | 5.0 (–) |"));
    }

    #[test]
    fn what_was_not_measured_is_said_and_by_what_the_rest_was() {
        for shown in [text, markdown, page] {
            let with = shown(&classic(true));
            for part in ["a VM, 17", "used bbr", "Netty", "it is loud here"] {
                assert!(with.contains(part), "{part} in {with}");
            }
            let without = shown(&classic(false));
            assert!(without.contains("Not measured: Java: not installed"), "{without}");
            assert!(!without.contains("Its sockets"), "{without}");
        }
    }

    #[test]
    fn four_files_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let within = folder.path().join("a/b");
        write(&classic(true), &within).unwrap();
        let csv = fs::read_to_string(within.join("classic.csv")).unwrap();
        assert_eq!(csv.lines().count(), 1 + 2 * (2 + 4), "{csv}");
        assert!(csv.contains("2008: transferTo,Java,21,45,3.467,,\n"), "{csv}");
        assert!(csv.contains("Java transferTo,Java,7,5.000,4.000,3.000,10.000\n"), "{csv}");
        let json = fs::read_to_string(within.join("classic.json")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["lines"][1]["times"][3]["way"], "Java transferTo");
        assert_eq!(value["lines"][0]["published"]["zero_copy"], 45.0);
        assert!(within.join("classic.md").exists() && within.join("classic.html").exists());
    }
}
