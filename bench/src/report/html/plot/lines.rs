//! A figure over file size, both logarithmic: one line per server, named at its end.

use maud::{Markup, html};

use super::scale::{Log, apart};
use super::{LINE, WIDTH, column, fitted, px, svg, text_width};
use crate::report::html::lineup::Lineup;
use crate::report::html::number::{size, tick};
use crate::spread::Spread;

const HEIGHT: f64 = 290.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = HEIGHT - 22.0;
/// Of the scale's labels at the left.
const LEFT: f64 = 44.0;
const BETWEEN_NAMES: f64 = 13.0;

/// What a server has at one file size.
#[derive(Clone, Copy, Debug)]
pub(in crate::report::html) struct Sample {
    pub(in crate::report::html) bytes: u64,
    pub(in crate::report::html) spread: Spread,
}

/// One plot's worth: the servers' samples in ascending order of size.
pub(in crate::report::html) struct Lines<'a> {
    pub(in crate::report::html) title: &'a str,
    pub(in crate::report::html) unit: &'static str,
    pub(in crate::report::html) servers: Vec<(usize, Vec<Sample>)>,
    /// Draw a line here: the subject's own in a plot of multiples.
    pub(in crate::report::html) mark: Option<f64>,
}

struct Scales {
    x: Log,
    y: Log,
}

impl Lines<'_> {
    /// None when there is nothing that could be drawn.
    pub(in crate::report::html) fn plot(&self, lineup: &Lineup<'_>) -> Option<Markup> {
        let names = column(self.servers.iter().map(|(server, _)| lineup.name(*server)), 118.0);
        let right = WIDTH - names - 16.0;
        let samples = || self.servers.iter().flat_map(|(_, samples)| samples);
        let values = samples()
            .flat_map(|sample| [sample.spread.median, sample.spread.min, sample.spread.max]);
        let scales = Scales {
            x: Log::covering(samples().map(|sample| sample.bytes as f64), LEFT, right)?,
            y: Log::covering(values.chain(self.mark), BOTTOM, TOP)?,
        };
        // The subject last, and so on top.
        let drawn = || self.servers.iter().rev();
        let drawing = html! {
            (self.axes(&scales, right))
            @for (server, samples) in drawn() {
                g class=(lineup.class(*server)) { (self.line(lineup, *server, samples, &scales)) }
            }
            (self.names(lineup, &scales, right))
        };
        let about = format!(
            "Horizontally the size of the file, vertically {}, both logarithmic; one line per server, \
             medians with the least and the greatest of the rounds. Lower is better.",
            self.title
        );
        Some(svg(WIDTH, HEIGHT, self.title, &about, &drawing))
    }

    fn axes(&self, scales: &Scales, right: f64) -> Markup {
        html! {
            @for value in scales.y.ticks(22.0) {
                @let y = scales.y.at(value).unwrap_or(BOTTOM);
                line.grid x1=(LEFT) x2=(px(right)) y1=(px(y)) y2=(px(y)) {}
                text.tick x=(LEFT - 5.0) y=(px(y + 4.0)) text-anchor="end" { (tick(value, self.unit)) }
            }
            @if let Some(y) = self.mark.and_then(|value| scales.y.at(value)) {
                line.one x1=(LEFT) x2=(px(right)) y1=(px(y)) y2=(px(y)) {}
            }
            @for (bytes, x, named) in self.sizes(scales) {
                line.grid x1=(px(x)) x2=(px(x)) y1=(TOP) y2=(px(BOTTOM + 4.0)) {}
                @if named {
                    text.tick x=(px(x)) y=(px(BOTTOM + LINE + 2.0)) text-anchor="middle" { (size(bytes)) }
                }
            }
        }
    }

    /// The sizes that were measured, with their places; named as far as there is room, the whole units first.
    fn sizes(&self, scales: &Scales) -> Vec<(u64, f64, bool)> {
        let mut sizes: Vec<u64> = self
            .servers
            .iter()
            .flat_map(|(_, samples)| samples)
            .map(|sample| sample.bytes)
            .collect();
        sizes.sort_unstable();
        sizes.dedup();
        let mut by_worth = sizes.clone();
        by_worth.sort_by_key(|bytes| {
            !(bytes.is_power_of_two() && bytes.trailing_zeros().is_multiple_of(10))
        });
        let mut named: Vec<(u64, f64, f64)> = Vec::new();
        for bytes in by_worth {
            let (Some(x), half) = (scales.x.at(bytes as f64), text_width(&size(bytes)) / 2.0 + 3.0)
            else {
                continue;
            };
            if named.iter().all(|(_, other, their_half)| (x - other).abs() > half + their_half) {
                named.push((bytes, x, half));
            }
        }
        let is_named = |bytes| named.iter().any(|(other, ..)| *other == bytes);
        let placed =
            sizes.into_iter().filter_map(|bytes| Some((bytes, scales.x.at(bytes as f64)?)));
        placed.map(|(bytes, x)| (bytes, x, is_named(bytes))).collect()
    }

    fn line(
        &self,
        lineup: &Lineup<'_>,
        server: usize,
        samples: &[Sample],
        scales: &Scales,
    ) -> Markup {
        let place = |sample: &Sample, value: f64| {
            Some((px(scales.x.at(sample.bytes as f64)?), px(scales.y.at(value)?)))
        };
        let path = |value: fn(Spread) -> f64| {
            let places = samples.iter().filter_map(|sample| place(sample, value(sample.spread)));
            places.map(|(x, y)| format!("{x},{y}")).collect::<Vec<_>>()
        };
        let middle = path(|spread| spread.median);
        let mut around = path(|spread| spread.max);
        around.extend(path(|spread| spread.min).into_iter().rev());
        html! {
            @if lineup.is_subject(server) && around.len() > 3 {
                polygon.band points=(around.join(" ")) {}
            }
            @for sample in samples {
                @if let (Some((x, low)), Some((_, high))) =
                    (place(sample, sample.spread.min), place(sample, sample.spread.max)) {
                    line.range x1=(x) x2=(x) y1=(low) y2=(high) {}
                }
            }
            polyline.line points=(middle.join(" ")) {}
            @for sample in samples {
                @if let Some((x, y)) = place(sample, sample.spread.median) {
                    g transform={ "translate(" (x) "," (y) ")" } {
                        title {
                            (lineup.name(server)) ", " (size(sample.bytes)) ": "
                            (tick(sample.spread.median, self.unit)) " ("
                            (tick(sample.spread.min, self.unit)) "–" (tick(sample.spread.max, self.unit)) ")"
                        }
                        (lineup.mark(server, if lineup.is_subject(server) { 3.6 } else { 2.8 }))
                    }
                }
            }
        }
    }

    /// Every line's name at its right end, moved so that none covers another, with a thread to where it ends.
    fn names(&self, lineup: &Lineup<'_>, scales: &Scales, right: f64) -> Markup {
        let end = |(server, samples): &(usize, Vec<Sample>)| {
            let placed = samples.iter().rev().find_map(|sample| {
                Some((scales.x.at(sample.bytes as f64)?, scales.y.at(sample.spread.median)?))
            });
            placed.map(|(x, y)| (*server, x, y))
        };
        let ends: Vec<(usize, f64, f64)> = self.servers.iter().filter_map(end).collect();
        let wanted: Vec<f64> = ends.iter().map(|(.., y)| *y).collect();
        let places = apart(&wanted, BETWEEN_NAMES, TOP + 2.0, BOTTOM);
        let from = right + 14.0;
        html! {
            @for ((server, x, y), place) in ends.iter().zip(places) {
                g class=(lineup.class(*server)) {
                    path.leader d={ "M" (px(x + 4.0)) "," (px(*y)) "L" (px(from - 3.0)) "," (px(place)) } {}
                    text.name x=(px(from)) y=(px(place + 4.0)) {
                        (fitted(lineup.name(*server), WIDTH - from + 4.0))
                    }
                }
            }
        }
    }
}
