//! What is shown of the experiment with the page cache, and written.

use super::{circumstances, grid::Grid};
use crate::cache::{Course, Experiment};
use maud::{Markup, html};
use std::{fmt::Write, fs, io, path::Path};

const HEADER: [&str; 8] =
    ["way", "hot set left", "least", "hot p50, µs", "hot p99, µs", "cold GiB/s", "CPU s/GiB", "s"];

fn cells(experiment: &Experiment, course: &Course) -> [String; 8] {
    let rate = experiment.cold as f64 / 1_073_741_824.0 / course.seconds;
    [
        course.way.to_string(),
        format!("{:.1} %", course.left.0),
        format!("{:.1} %", course.left.1),
        format!("{:.0} → {:.0}", course.alone.0, course.beside.0),
        format!("{:.0} → {:.0}", course.alone.1, course.beside.1),
        format!("{rate:.2}"),
        format!("{:.3}", course.cpu),
        format!("{:.2}", course.seconds),
    ]
}

fn notes(experiment: &Experiment) -> Vec<String> {
    let memory = experiment.memory.map_or_else(
        || "Without a limit on memory".to_owned(),
        |bytes| format!("In {} MiB of memory", bytes >> 20),
    );
    let mut notes = vec![format!(
        "{memory}: a hot set of {} MiB, read {} times a second, 64 KiB each, and a cold file of {} MiB that is \
         sent beside it. Of {} rounds the one in which not most and not least was left. Latency is that of reading, from when a read was due: alone → beside the cold file.",
        experiment.hot >> 20,
        experiment.rate,
        experiment.cold >> 20,
        experiment.rounds
    )];
    notes.extend(circumstances(&experiment.machine, &experiment.warnings));
    notes
}

fn grid(experiment: &Experiment) -> Grid {
    let rows = experiment.courses.iter().map(|course| cells(experiment, course));
    Grid::new(HEADER, 1, rows)
}

/// For a terminal.
pub fn text(experiment: &Experiment) -> String {
    format!("{}\n\n{}\n", grid(experiment).text(), notes(experiment).join("\n"))
}

/// For a document.
pub fn markdown(experiment: &Experiment) -> String {
    format!("{}\n{}\n", grid(experiment).markdown(), notes(experiment).join("\n"))
}

/// The page, with what was left and what was waited for over time.
pub fn page(experiment: &Experiment) -> String {
    let most = experiment.courses.iter().map(|course| course.seconds).fold(0.1, f64::max);
    let body = html! {
        (grid(experiment).html())
        (super::notes(&notes(experiment)))
        h2 { "Over time" }
        p { "Filled: how much of the hot set is in memory. The dots: how long each read of it took, from 10 µs at the bottom to 10 s at the top." }
        div class="ways" { @for course in &experiment.courses { (over_time(course, most)) } }
    };
    super::page("The page cache beside a cold file", &body)
}

fn over_time(course: &Course, most: f64) -> Markup {
    const WIDTH: f64 = 600.0;
    const HEIGHT: f64 = 150.0;
    let x = |seconds: f64| 34.0 + WIDTH * (seconds / most).min(1.0);
    let mut area = format!("{:.1},{HEIGHT} ", x(0.0));
    for (at, share) in &course.residency {
        let _ = write!(area, "{:.1},{:.1} ", x(*at), HEIGHT - HEIGHT * share / 100.0);
    }
    let last = course.residency.last().map_or(0.0, |(at, _)| *at);
    let _ = write!(area, "{:.1},{HEIGHT}", x(last));
    // From 10 µs to 10 s: six decades.
    let y = |latency: f64| HEIGHT - HEIGHT * ((latency.max(10.0).log10() - 1.0) / 6.0).min(1.0);
    html! {
        figure {
            figcaption { strong { (course.way.to_string()) } (format!("{:.1} % left, p50 {:.0} µs, {:.2} s", course.left.0, course.beside.0, course.seconds)) }
            svg viewBox="0 0 640 170" role="img" aria-label=(format!("The hot set beside a cold file sent by {}", course.way)) {
                @for share in [0, 50, 100] {
                    text class="lane" x="0" y=(HEIGHT - HEIGHT * f64::from(share) / 100.0 + if share == 100 { 9.0 } else { 0.0 }) { (share) " %" }
                }
                polygon class="area" points=(area) {}
                @for (at, latency) in &course.latency {
                    circle class="dot" r="1.2" cx=(format!("{:.1}", x(*at))) cy=(format!("{:.1}", y(*latency))) {}
                }
                line class="border" x1="34" x2="634" y1=(HEIGHT) y2=(HEIGHT) {}
                text class="lane" x="634" y="164" text-anchor="end" { (format!("{most:.1} s")) }
            }
        }
    }
}

/// Writes `cache.html`, `cache.md`, `cache.csv` and `cache.json` into a folder, which is made if it is not
/// there.
///
/// # Errors
///
/// They cannot be written.
pub fn write(experiment: &Experiment, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("cache.html"), page(experiment))?;
    fs::write(folder.join("cache.md"), markdown(experiment))?;
    fs::write(folder.join("cache.json"), serde_json::to_string(experiment)? + "\n")?;
    grid(experiment).write_csv(&folder.join("cache.csv"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{machine::Machine, way::Way};

    #[test]
    fn what_was_left_is_told_and_drawn() {
        let course = Course {
            way: Way::Sendfile,
            alone: (50.0, 100.0),
            beside: (900.0, 20_000.0),
            left: (1.5, 0.5),
            seconds: 2.0,
            cpu: 0.2,
            residency: vec![(0.0, 100.0), (1.0, 0.5), (2.0, 1.5)],
            latency: vec![(0.5, 50.0), (1.5, 900.0)],
        };
        let experiment = Experiment {
            machine: Machine::default(),
            memory: Some(512 << 20),
            hot: 256 << 20,
            cold: 1 << 30,
            rate: 200,
            rounds: 3,
            courses: vec![course],
            warnings: vec!["<loud>".to_owned()],
        };
        let text = markdown(&experiment);
        assert!(
            text.contains("| sendfile | 1.5 % | 0.5 % | 50 → 900 | 100 → 20000 | 0.50 |"),
            "{text}"
        );
        let page = page(&experiment);
        assert_eq!(page.matches("<circle").count(), 2, "{page}");
        assert!(page.contains("34.0,150 34.0,0.0 334.0,149.2 634.0,147.8 634.0,150"), "{page}");
        assert!(page.contains("&lt;loud&gt;") && !page.contains("http"), "{page}");
    }
}
