//! The classical table as a page: figures, and the ratios over the sizes beside those of 2008.

use super::{Classic, cpu, notes, wall};
use maud::{Markup, PreEscaped, html};

/// Beside that of every page. Lines are told apart by their dashes and marks where there is no colour.
const PLOT: &str = "
:root { --c0: var(--faint); --c1: var(--hot); --c2: var(--cold); --c3: #1a7f37; --c4: #8250df; }
@media (prefers-color-scheme: dark) { :root { --c3: #56d364; --c4: #d2a8ff; } }
@media print { :root { --c3: #1a7f37; --c4: #8250df; } }
path.way { fill: none; stroke-width: 2; }
path.mark, svg text.way { stroke: none; }
.c0 { stroke: var(--c0); fill: var(--c0); } .c1 { stroke: var(--c1); fill: var(--c1); } .c2 { stroke: var(--c2); fill: var(--c2); }
.c3 { stroke: var(--c3); fill: var(--c3); } .c4 { stroke: var(--c4); fill: var(--c4); }
.c5 { stroke: var(--ink); fill: var(--ink); }
path.grid { stroke: var(--line); fill: none; }
";

const DASHES: [&str; 5] = ["none", "7 3", "2 3", "9 3 2 3", "5 5"];

const LEFT: f64 = 36.0;
const RIGHT: f64 = 430.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 300.0;

/// The page. It refers to nothing outside of itself.
pub fn page(classic: &Classic) -> String {
    let title = "The table of 2008, measured here";
    let published =
        curve("2008: transferTo", classic, |at| Some(classic.lines[at].published.ratio()));
    let body = html! {
        style { (PreEscaped(PLOT)) }
        p { "“Efficient data transfer through zero copy” (IBM developerWorks, 2008) has eight sizes, a \
             “traditional” program and one with zero copy. These are the same sizes, and the same two programs among others." }
        @for note in notes(classic) { p class="note" { (note) } }
        h2 { "Time" }
        (wall(classic).html())
        h2 { "Processor time of the sender" }
        (cpu(classic).html())
        h2 { "How many times as fast as read+write with 4 KiB" }
        div class="ways" {
            @for (java, language) in [(false, "Rust"), (true, "Java")] {
                @let curves = curves(classic, java);
                @if !curves.is_empty() { (plot(language, classic, &curves, &published, most(classic))) }
            }
        }
    };
    crate::report::page(title, &body)
}

/// A way, and its ratio for each size.
struct Curve {
    name: String,
    ratios: Vec<f64>,
}

fn curve(name: &str, classic: &Classic, ratio: impl Fn(usize) -> Option<f64>) -> Curve {
    let ratios = (0..classic.lines.len()).filter_map(ratio).collect();
    Curve { name: name.to_owned(), ratios }
}

/// Of one language; without the one that is the measure, which is 1 for all sizes.
fn curves(classic: &Classic, java: bool) -> Vec<Curve> {
    let ways = classic.lines.first().map_or(&[][..], |line| &line.times);
    let of_language = ways.iter().enumerate().filter(|(_, times)| times.java == java);
    let curves = of_language.map(|(way, times)| {
        curve(&times.way, classic, |at| classic.lines[at].ratios(way).map(|(wall, _)| wall))
    });
    curves.filter(|curve| curve.ratios.iter().any(|ratio| (ratio - 1.0).abs() > 1e-9)).collect()
}

/// Both plots have the same scale.
fn most(classic: &Classic) -> f64 {
    let published = classic.lines.iter().map(|line| line.published.ratio());
    let curves = [false, true].into_iter().flat_map(|java| curves(classic, java));
    published.chain(curves.flat_map(|curve| curve.ratios)).fold(1.0, f64::max).ceil()
}

fn x(at: usize, of: usize) -> f64 {
    LEFT + (RIGHT - LEFT) * (at as f64 + 0.5) / of as f64
}

fn y(ratio: f64, most: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * ratio / most
}

fn plot(
    language: &str,
    classic: &Classic,
    curves: &[Curve],
    published: &Curve,
    most: f64,
) -> Markup {
    let step = (most / 8.0).ceil().max(1.0);
    let ticks: Vec<f64> =
        (0..=8).map(|tick| f64::from(tick) * step).take_while(|tick| *tick <= most).collect();
    let all: Vec<&Curve> = [published].into_iter().chain(curves).collect();
    let ends: Vec<f64> =
        all.iter().map(|curve| y(curve.ratios.last().copied().unwrap_or(0.0), most)).collect();
    let labels = apart(&ends, 14.0);
    html! {
        figure {
            figcaption { strong { (language) } "By size in MB; the line at 1 is read+write with 4 KiB." }
            svg viewBox="0 0 600 330" role="img" aria-label=(format!("Ratio by size, {language}")) {
                @for tick in ticks {
                    path class="grid" d=(format!("M{LEFT},{0:.1}H{RIGHT}", y(tick, most))) {}
                    text class="lane" x=(LEFT - 6.0) y=(format!("{:.1}", y(tick, most) + 3.0)) text-anchor="end" { (tick) }
                }
                path class="way c0" stroke-dasharray="1 3" d=(format!("M{LEFT},{0:.1}H{RIGHT}", y(1.0, most))) {}
                @for (at, line) in classic.lines.iter().enumerate() {
                    text class="lane" x=(format!("{:.1}", x(at, classic.lines.len()))) y=(BOTTOM + 16.0) text-anchor="middle" { (line.megabytes) }
                }
                @for (at, (curve, label)) in all.iter().zip(&labels).enumerate() {
                    (drawn(at, curve, most, *label))
                }
            }
        }
    }
}

/// The first is what was published.
fn drawn(at: usize, curve: &Curve, most: f64, label: f64) -> Markup {
    let class = if at == 0 { "c5".to_owned() } else { format!("c{}", (at - 1) % 4 + 1) };
    let points: Vec<(f64, f64)> = curve
        .ratios
        .iter()
        .enumerate()
        .map(|(at, ratio)| (x(at, curve.ratios.len()), y(*ratio, most)))
        .collect();
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let marks: String = points.iter().map(|(x, y)| mark(at, *x, *y)).collect();
    html! {
        path class=(format!("way {class}")) stroke-dasharray=(DASHES[at % DASHES.len()]) d=(format!("M{}", path.join("L"))) {}
        path class=(format!("mark {class}")) d=(marks) {}
        text class=(format!("way {class}")) x=(RIGHT + 4.0) y=(format!("{:.1}", label + 4.0)) { (curve.name) }
    }
}

/// A circle, square, triangle, diamond or bar.
fn mark(at: usize, x: f64, y: f64) -> String {
    let from = |dx: f64, dy: f64, rest: &str| format!("M{:.1},{:.1}{rest}", x + dx, y + dy);
    match at % 5 {
        0 => from(-3.5, 0.0, "a3.5,3.5 0 1 0 7,0a3.5,3.5 0 1 0 -7,0z"),
        1 => from(-3.0, -3.0, "h6v6h-6z"),
        2 => from(0.0, -4.0, "l4,7h-8z"),
        3 => from(0.0, -4.5, "l4.5,4.5l-4.5,4.5l-4.5,-4.5z"),
        _ => from(-4.5, -1.5, "h9v3h-9z"),
    }
}

/// Where labels go that would like to be at these heights, each so far from the next.
fn apart(wanted: &[f64], distance: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|one, other| wanted[*one].total_cmp(&wanted[*other]));
    let mut places = wanted.to_vec();
    // Down from the top, and then up from the bottom, if the last went too far.
    let mut free = TOP;
    for &at in &order {
        places[at] = wanted[at].max(free);
        free = places[at] + distance;
    }
    let mut free = BOTTOM;
    for &at in order.iter().rev() {
        places[at] = places[at].min(free);
        free = places[at] - distance;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::classic::tests::classic;

    #[test]
    fn the_page_is_whole_and_refers_to_nothing() {
        let page = page(&classic(true));
        for tag in [
            "html", "head", "style", "body", "table", "tr", "td", "th", "p", "figure", "svg",
            "path", "text", "div",
        ] {
            let opened = page.matches(&format!("<{tag}>")).count()
                + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
            assert!(opened > 0, "{tag}");
        }
        for outside in ["http", "<script", "src=", "url(", "@import", "NaN", "inf,"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("&lt;Netty&gt;: &amp; gone"), "{page}");
    }

    #[test]
    fn each_way_is_drawn_beside_2008() {
        let with = page(&classic(true));
        assert_eq!(with.matches("<figure>").count(), 2);
        assert_eq!(with.matches(">2008: transferTo</text>").count(), 2);
        assert_eq!(with.matches(">Java transferTo</text>").count(), 1);
        // sendfile: 2.5 and 5 of 8; the sizes have half of the width each.
        assert!(with.contains("d=\"M134.5,210.6L331.5,121.2\""), "{with}");
        assert_eq!(page(&classic(false)).matches("<figure>").count(), 1);
    }

    #[test]
    fn labels_do_not_cover_each_other() {
        for wanted in [vec![100.0, 101.0, 99.0, 250.0], vec![299.0; 5], vec![0.0; 3]] {
            let mut places = apart(&wanted, 14.0);
            places.sort_by(f64::total_cmp);
            assert!(places.windows(2).all(|two| two[1] - two[0] > 13.9), "{places:?}");
            assert!(places.iter().all(|place| (TOP..=BOTTOM).contains(place)), "{places:?}");
        }
        assert_eq!(apart(&[100.0, 200.0], 14.0), [100.0, 200.0]);
    }
}
