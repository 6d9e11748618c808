//! One hot file over its size: what a request costs, what a GiB costs, and what the others cost in multiples.

use maud::{Markup, html};

use super::lineup::Lineup;
use super::number::{count, fixed, range, ratio, size};
use super::plot::lines::{Lines, Sample};
use super::tables::scrolling;
use crate::report::{CaseReport, Figure, Point};
use crate::spread::Spread;

const KEYS: [&str; 2] = ["cpu_per_request", "cpu_per_gib"];

/// What of a figure is drawn for a server.
type Value = fn(&Figure, usize) -> Option<Spread>;

/// A row of plots per measure, in each a plot per number of connections.
pub(super) fn over_size(cases: &[&CaseReport], lineup: &Lineup<'_>) -> Markup {
    let points = || cases.iter().filter_map(|case| case.point);
    let mut crowds: Vec<usize> = points().map(|point| point.connections).collect();
    crowds.sort_unstable();
    crowds.dedup();
    // A line needs two ends.
    crowds.retain(|crowd| {
        let mut sizes =
            points().filter(|point| point.connections == *crowd).map(|point| point.bytes);
        sizes.next().is_some_and(|first| sizes.any(|other| other != first))
    });
    html! {
        @if !crowds.is_empty() {
            h3 { "Beside " (lineup.subject()) ", in multiples" }
            p.quiet { "Above the line the others need more for the same work, below it less." }
            (plots(cases, lineup, &crowds, KEYS[0], true))
            @for key in KEYS {
                @if let Some(figure) = cases.iter().find_map(|case| figure(case, key)) {
                    h3 { (figure.measure.name) " over the size of the file" }
                    (plots(cases, lineup, &crowds, key, false))
                }
            }
            h3 { "Case by case" }
        }
    }
}

fn plots(
    cases: &[&CaseReport],
    lineup: &Lineup<'_>,
    crowds: &[usize],
    key: &str,
    multiples: bool,
) -> Markup {
    let value: Value =
        if multiples { multiple } else { |figure, server| *figure.spreads.get(server)? };
    html! {
        div.cards {
            @for crowd in crowds {
                @let at = at(cases, *crowd, key);
                @if let Some((_, first)) = at.first() {
                    @let connections = count(*crowd, "connection");
                    @let title = if multiples {
                        format!("{} in multiples of {}’s", first.measure.name, lineup.subject())
                    } else {
                        first.measure.name.to_owned()
                    };
                    @let plot = Lines {
                        title: &format!("{title}, {connections}"),
                        unit: if multiples { "×" } else { first.measure.unit },
                        servers: lines(&at, lineup, value),
                        mark: multiples.then_some(1.0),
                    };
                    @if let Some(drawn) = plot.plot(lineup) {
                        figure.card {
                            figcaption { h4 { (connections) } p.what { (title) } }
                            (drawn)
                            details { summary { "As a table" } (table(&at, lineup, plot.title, value, multiples)) }
                        }
                    }
                }
            }
        }
    }
}

/// A server's figure as a multiple of the subject's, which is the first.
fn multiple(figure: &Figure, server: usize) -> Option<Spread> {
    if server == 0 {
        let one = Spread { median: 1.0, min: 1.0, max: 1.0 };
        return figure.ratios.iter().any(Option::is_some).then_some(one);
    }
    let ratio = (*figure.ratios.get(server)?)?;
    Some(Spread { median: ratio.median.recip(), min: ratio.max.recip(), max: ratio.min.recip() })
}

fn figure<'a>(case: &'a CaseReport, key: &str) -> Option<&'a Figure> {
    case.figures.iter().find(|figure| figure.measure.key == key)
}

/// The figure at every size, in ascending order.
fn at<'a>(cases: &[&'a CaseReport], crowd: usize, key: &str) -> Vec<(u64, &'a Figure)> {
    let found = cases.iter().filter_map(|case| match case.point {
        Some(Point { bytes, connections }) if connections == crowd => {
            Some((bytes, figure(case, key)?))
        }
        _ => None,
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|(bytes, _)| *bytes);
    found
}

fn lines(at: &[(u64, &Figure)], lineup: &Lineup<'_>, value: Value) -> Vec<(usize, Vec<Sample>)> {
    let samples = |server: usize| {
        let samples = at.iter().filter_map(|(bytes, figure)| {
            Some(Sample { bytes: *bytes, spread: value(figure, server)? })
        });
        (server, samples.collect::<Vec<_>>())
    };
    (0..lineup.servers.len()).map(samples).filter(|(_, samples)| !samples.is_empty()).collect()
}

fn table(
    at: &[(u64, &Figure)],
    lineup: &Lineup<'_>,
    title: &str,
    value: Value,
    multiples: bool,
) -> Markup {
    scrolling(
        title,
        &html! {
            table.figures {
                thead {
                    tr {
                        th scope="col" { "Server" }
                        @for (bytes, _) in at { th.number scope="col" { (size(*bytes)) } }
                    }
                }
                tbody {
                    @for server in 0..lineup.servers.len() {
                        tr class=(lineup.class(server)) {
                            th scope="row" { (lineup.name(server)) }
                            @for (_, figure) in at { (cell(figure, value(figure, server), multiples)) }
                        }
                    }
                }
            }
        },
    )
}

fn cell(figure: &Figure, spread: Option<Spread>, multiples: bool) -> Markup {
    let decimals = figure.measure.decimals;
    html! {
        td.number {
            @match spread {
                None => { "–" },
                Some(spread) if multiples => {
                    (ratio(spread.median)) small { (ratio(spread.min)) "–" (ratio(spread.max)) }
                },
                Some(spread) => { (fixed(spread.median, decimals)) small { (range(spread, decimals)) } },
            }
        }
    }
}
