//! What is shown of the thresholds that were measured, and written; and the configuration that comes of them.

use super::{circumstances, grid::Grid};
use crate::tune::{Curve, Point, Tuned};
use maud::{Markup, html};
use std::{fmt::Write, fs, io, path::Path};

/// As it is typed: `64k`, `2m`, or a number.
fn typed(value: u64, is_size: bool) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match value {
        value if is_size && value >= MIB && value.is_multiple_of(MIB) => {
            format!("{}m", value / MIB)
        }
        value if is_size && value >= KIB && value.is_multiple_of(KIB) => {
            format!("{}k", value / KIB)
        }
        value => value.to_string(),
    }
}

/// The fragment that `sendrail serve --config` reads. What was right already stands in a comment.
pub fn fragment(tuned: &Tuned) -> String {
    let mut out = format!(
        "# Thresholds for this machine, by `sendrail lab tune`; for `sendrail serve --config FILE`.\n# {}\n",
        tuned.machine.facts
    );
    for curve in &tuned.curves {
        let _ = write!(out, "\n# {}:", curve.cost);
        for point in &curve.points {
            let _ = write!(out, " {} {:.3}", typed(point.value, curve.is_size), point.cost);
        }
        let _ = writeln!(out, "\n# {}.", curve.choice.why);
        let value = typed(curve.choice.value, curve.is_size);
        let value = if curve.is_size { format!("\"{value}\"") } else { value };
        let comment = if curve.choice.is_default { "# " } else { "" };
        let _ = writeln!(out, "{comment}{} = {value}", curve.option);
    }
    out
}

fn mark(curve: &Curve, point: &Point) -> &'static str {
    let is_default = curve.default == Some(point.value);
    match (point.value == curve.choice.value, is_default) {
        (true, true) => "the default, and right",
        (true, false) => "to be set",
        (false, true) => "the default",
        (false, false) => "",
    }
}

fn grid(curve: &Curve) -> Grid {
    let mut header = vec![curve.option, curve.cost, "differs by"];
    header.extend(curve.beside);
    header.push("");
    let rows = curve.points.iter().map(|point| {
        let mut row = vec![
            typed(point.value, curve.is_size),
            format!("{:.3}", point.cost),
            format!("{:.1} %", point.spread * 100.0),
        ];
        row.extend(point.beside.map(|beside| format!("{beside:.2}")));
        row.push(mark(curve, point).to_owned());
        row
    });
    Grid::new(header, 1, rows)
}

fn records(tuned: &Tuned) -> Grid {
    let header = ["option", "value", "cost", "spread", "beside", "is_default", "is_chosen"];
    let rows = tuned.curves.iter().flat_map(|curve| {
        curve.points.iter().map(move |point| {
            vec![
                curve.option.to_owned(),
                point.value.to_string(),
                format!("{:.5}", point.cost),
                format!("{:.5}", point.spread),
                point.beside.map_or_else(String::new, |beside| format!("{beside:.5}")),
                (curve.default == Some(point.value)).to_string(),
                (curve.choice.value == point.value).to_string(),
            ]
        })
    });
    Grid::new(header, 1, rows)
}

fn notes(tuned: &Tuned) -> Vec<String> {
    let mut lines = vec![format!(
        "Each value in turn, {} rounds (twice as many of what is hot), medians; a file of {} MiB. A default is left alone unless another value costs at \
         least 5 % less, and more than figures differ by themselves (how far the middle half of them lies apart). Then the smallest \
         value is taken that costs within 5 % of the best.",
        tuned.rounds,
        tuned.len >> 20
    )];
    lines.extend(circumstances(&tuned.machine, &tuned.warnings));
    lines
}

/// For a terminal.
pub fn text(tuned: &Tuned) -> String {
    let mut out = String::new();
    for curve in &tuned.curves {
        let _ = writeln!(out, "{}\n{}: {}\n", grid(curve).text(), verdict(curve), curve.choice.why);
    }
    let _ = write!(out, "{}\n\n{}", notes(tuned).join("\n"), fragment(tuned));
    out
}

fn verdict(curve: &Curve) -> String {
    format!("{} = {}", curve.option, typed(curve.choice.value, curve.is_size))
}

/// For a document.
pub fn markdown(tuned: &Tuned) -> String {
    let mut out = "# Thresholds of this machine\n".to_owned();
    for line in notes(tuned) {
        let _ = write!(out, "\n- {line}");
    }
    out.push('\n');
    for curve in &tuned.curves {
        let (grid, verdict) = (grid(curve).markdown(), verdict(curve));
        let _ =
            write!(out, "\n## {}\n\n{grid}\n`{verdict}`: {}.\n", curve.option, curve.choice.why);
    }
    let _ = write!(out, "\n## sendrail.toml\n\n```toml\n{}```\n", fragment(tuned));
    out
}

/// The page, with each curve drawn.
pub fn page(tuned: &Tuned) -> String {
    let body = html! {
        (super::notes(&notes(tuned)))
        @for curve in &tuned.curves {
            h2 { (verdict(curve)) }
            p { (curve.choice.why) "." }
            (drawn(curve))
            (grid(curve).html())
        }
        h2 { "sendrail.toml" }
        pre { (fragment(tuned)) }
    };
    super::page("Thresholds of this machine", &body)
}

/// What each value cost, from nothing on; and how far the middle half lies apart.
fn drawn(curve: &Curve) -> Markup {
    const WIDTH: f64 = 560.0;
    const HEIGHT: f64 = 140.0;
    let most = curve.points.iter().map(|point| point.cost).fold(f64::MIN_POSITIVE, f64::max) * 1.1;
    let step = WIDTH / curve.points.len().max(2) as f64;
    let x = |at: usize| 50.0 + step * (at as f64 + 0.5);
    let y = |cost: f64| 10.0 + HEIGHT * (1.0 - cost / most);
    let mut line = String::new();
    for (at, point) in curve.points.iter().enumerate() {
        let _ = write!(line, "{:.1},{:.1} ", x(at), y(point.cost));
    }
    html! {
        svg class="bars" viewBox="0 0 640 190" role="img" aria-label=(format!("{} by {}", curve.cost, curve.option)) {
            line class="border" x1="50" x2="610" y1=(10.0 + HEIGHT) y2=(10.0 + HEIGHT) {}
            text class="lane" x="46" y="20" text-anchor="end" { (format!("{most:.2}")) }
            text class="lane" x="46" y=(10.0 + HEIGHT) text-anchor="end" { "0" }
            polyline class="curve" points=(line) {}
            @for (at, point) in curve.points.iter().enumerate() {
                @let half = point.cost * point.spread / 2.0;
                line class="spread" x1=(format!("{:.1}", x(at))) x2=(format!("{:.1}", x(at))) y1=(format!("{:.1}", y(point.cost - half))) y2=(format!("{:.1}", y(point.cost + half))) {}
                circle class=(if point.value == curve.choice.value { "chosen" } else { "tried" }) r="5" cx=(format!("{:.1}", x(at))) cy=(format!("{:.1}", y(point.cost))) {}
                text x=(format!("{:.1}", x(at))) y=(28.0 + HEIGHT) text-anchor="middle" { (typed(point.value, curve.is_size)) }
            }
            text class="lane" x="50" y="188" { (curve.cost) }
        }
    }
}

/// Writes `tune.html`, `tune.md`, `tune.csv`, `tune.json` and `sendrail.toml` into a folder, which is made if it is not
/// there.
///
/// # Errors
///
/// They cannot be written.
pub fn write(tuned: &Tuned, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("tune.html"), page(tuned))?;
    fs::write(folder.join("tune.md"), markdown(tuned))?;
    fs::write(folder.join("tune.json"), serde_json::to_string_pretty(tuned)? + "\n")?;
    fs::write(folder.join("sendrail.toml"), fragment(tuned))?;
    records(tuned).write_csv(&folder.join("tune.csv"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{machine::Machine, tune::choose};

    fn tuned() -> Tuned {
        let point = |value, cost| Point { value, cost, spread: 0.01, beside: Some(1.0) };
        let curve = |option, is_size, points: Vec<Point>, default| Curve {
            option,
            is_size,
            cost: "s",
            beside: Some("ms"),
            choice: choose(&points, default),
            points,
            default: Some(default),
        };
        Tuned {
            machine: Machine::default(),
            len: 1 << 20,
            rounds: 3,
            curves: vec![
                curve("window", true, vec![point(1 << 20, 1.0), point(2 << 20, 0.99)], 2 << 20),
                curve("disk-threads", false, vec![point(8, 2.0), point(16, 4.0)], 16),
            ],
            warnings: vec!["it is <loud>".to_owned()],
        }
    }

    #[test]
    fn what_was_right_already_is_a_comment() {
        let fragment = fragment(&tuned());
        assert!(fragment.contains("\n# window = \"2m\"\n"), "{fragment}");
        assert!(fragment.contains("\ndisk-threads = 8\n"), "{fragment}");
    }

    #[test]
    fn sizes_are_as_they_are_typed() {
        let all = [(4096, "4k"), (2 << 20, "2m"), (1_572_864, "1536k"), (100, "100")];
        for (value, text) in all {
            assert_eq!(typed(value, true), text);
        }
        assert_eq!(typed(4096, false), "4096");
    }

    #[test]
    fn the_page_is_whole() {
        let page = page(&tuned());
        assert_eq!(page.matches("class=\"chosen\"").count(), 2, "{page}");
        assert!(page.contains("it is &lt;loud&gt;") && !page.contains("http"), "{page}");
        assert!(markdown(&tuned()).contains("`disk-threads = 8`: it costs 50.0 % less"));
    }
}
