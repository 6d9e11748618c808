//! Latency of all servers: half of the requests, all but a hundredth, all but a thousandth, on one logarithmic axis.

use maud::{Markup, html};

use super::scale::{Log, apart};
use super::{LINE, WIDTH, column, fitted, px, svg};
use crate::report::html::lineup::Lineup;
use crate::report::html::number::{tick, with_unit};
use crate::report::{CaseReport, Figure, Measure};

const ROW: f64 = 23.0;
const AXIS: f64 = 20.0;
/// Of the percentiles' names above the first row.
const TOP: f64 = 14.0;

/// Endings of the keys, what the percentile is called, and the size of its mark.
const PERCENTILES: [(&str, &str, f64); 3] =
    [("_p50", "p50", 3.0), ("_p99", "p99", 4.3), ("_p999", "p99.9", 5.6)];

/// The figures of one distribution, from half to nearly all; there may be several in a case.
pub(in crate::report::html) struct Percentiles<'a> {
    figures: Vec<(&'static str, f64, &'a Figure)>,
}

/// Every distribution of the case of which two percentiles are known.
pub(in crate::report::html) fn of_case(case: &CaseReport) -> Vec<Percentiles<'_>> {
    let stem = |figure: &&Figure| {
        let key = figure.measure.key;
        PERCENTILES.iter().find_map(|(ending, ..)| key.strip_suffix(ending))
    };
    let mut stems: Vec<&str> = Vec::new();
    for found in case.figures.iter().filter_map(|figure| stem(&figure)) {
        if !stems.contains(&found) {
            stems.push(found);
        }
    }
    let figures = |stem: &str| {
        let known = PERCENTILES.iter().filter_map(|(ending, name, size)| {
            let has_key = |figure: &&Figure| figure.measure.key.strip_suffix(ending) == Some(stem);
            Some((*name, *size, case.figures.iter().find(has_key)?))
        });
        known.collect()
    };
    let all = stems.into_iter().map(|stem| Percentiles { figures: figures(stem) });
    all.filter(|percentiles| percentiles.figures.len() > 1).collect()
}

impl Percentiles<'_> {
    /// `p50, p99 and p99.9`
    pub(in crate::report::html) fn names(&self) -> Vec<&'static str> {
        self.figures.iter().map(|(name, ..)| *name).collect()
    }

    pub(in crate::report::html) fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.figures.iter().map(|(.., figure)| *figure)
    }

    fn last(&self) -> &Figure {
        self.figures.last().expect("only made of two or more").2
    }

    /// None when no server has a latency that can be drawn.
    pub(in crate::report::html) fn plot(&self, lineup: &Lineup<'_>, case: &str) -> Option<Markup> {
        let measure = self.last().measure;
        let rows = self.ranked(lineup.servers.len());
        let names = column(rows.iter().map(|server| lineup.name(*server)), 126.0) + 12.0;
        let medians = self.figures().flat_map(|figure| &figure.spreads).flatten();
        let scale = Log::covering(medians.map(|spread| spread.median), names, WIDTH - 20.0)?;
        let height = TOP + rows.len() as f64 * ROW;
        let labelled = rows.first().map(|server| self.places(*server, scale)).unwrap_or_default();
        let xs: Vec<f64> = labelled.iter().map(|place| place.x).collect();
        let above = apart(&xs, 36.0, names, WIDTH - 18.0);
        let drawing = html! {
            @for value in scale.ticks(44.0) {
                @let x = px(scale.at(value).unwrap_or(names));
                line.grid x1=(x) x2=(x) y1=(TOP) y2=(px(height)) {}
                text.tick x=(x) y=(px(height + LINE)) text-anchor="middle" { (tick(value, measure.unit)) }
            }
            @for (place, x) in labelled.iter().zip(above) {
                text.tick x=(px(x)) y="10" text-anchor="middle" { (place.name) }
            }
            @for (row, server) in rows.iter().enumerate() {
                @let middle = TOP + (row as f64 + 0.5) * ROW;
                g class=(lineup.class(*server)) {
                    text.name x=(px(names - 12.0)) y=(px(middle + LINE * 0.27)) text-anchor="end" {
                        (fitted(lineup.name(*server), names))
                    }
                    (self.row(*server, scale, middle, lineup.name(*server)))
                }
            }
        };
        let title = format!("Latency of {case}: {}", self.names().join(", "));
        let about = "One row per server, the best first. From the small to the large dot: from half \
                     of the requests to nearly all.";
        Some(svg(WIDTH, height + AXIS, &title, about, &drawing))
    }

    /// The best first by the highest percentile; those without one, for want of answers, last.
    fn ranked(&self, servers: usize) -> Vec<usize> {
        let mut rows: Vec<usize> =
            super::bars::ranked(self.last()).into_iter().map(|(server, _)| server).collect();
        let some = |server: &usize| {
            self.figures().any(|figure| figure.spreads.get(*server).is_some_and(Option::is_some))
        };
        let others = (0..servers).filter(some).filter(|server| !rows.contains(server));
        let others: Vec<usize> = others.collect();
        rows.extend(others);
        rows
    }

    fn places(&self, server: usize, scale: Log) -> Vec<Place> {
        let places = self.figures.iter().filter_map(|(name, radius, figure)| {
            let median = figure.spreads.get(server)?.as_ref()?.median;
            let (name, radius, measure) = (*name, *radius, figure.measure);
            Some(Place { name, radius, measure, median, x: scale.at(median)? })
        });
        places.collect()
    }

    fn row(&self, server: usize, scale: Log, y: f64, name: &str) -> Markup {
        let places = self.places(server, scale);
        let xs = || places.iter().map(|place| place.x);
        let (from, to) = (xs().fold(f64::INFINITY, f64::min), xs().fold(0.0, f64::max));
        html! {
            @if places.len() > 1 {
                line.thread x1=(px(from)) x2=(px(to)) y1=(px(y)) y2=(px(y)) {}
            }
            @for place in &places {
                @let measure = place.measure;
                circle.dot cx=(px(place.x)) cy=(px(y)) r=(place.radius) {
                    title {
                        (name) ", " (place.name) ": "
                        (with_unit(place.median, measure.decimals, measure.unit))
                    }
                }
            }
        }
    }
}

/// One dot.
struct Place {
    /// Of the percentile.
    name: &'static str,
    radius: f64,
    measure: Measure,
    median: f64,
    x: f64,
}
