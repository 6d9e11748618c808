//! One figure of all servers as horizontal bars from zero, the best first.

use maud::{Markup, html};

use super::scale::Linear;
use super::{LINE, WIDTH, column, fitted, px, svg, text_width, whisker};
use crate::report::html::lineup::Lineup;
use crate::report::html::number::{fixed, range, with_unit};
use crate::report::{Better, Figure};
use crate::spread::Spread;

const ROW: f64 = 23.0;
const BAR: f64 = 14.0;

pub(in crate::report::html) fn plot(lineup: &Lineup<'_>, case: &str, figure: &Figure) -> Markup {
    let measure = figure.measure;
    let rows = ranked(figure);
    let names = column(rows.iter().map(|(server, _)| lineup.name(*server)), 126.0) + 6.0;
    let decimals = decimals(&rows, measure.decimals);
    let label = |spread: &Spread| fixed(spread.median, decimals);
    let labels =
        rows.iter().map(|(_, spread)| text_width(&label(spread))).fold(0.0, f64::max) + 8.0;
    let ends = rows.iter().flat_map(|(_, spread)| [spread.median, spread.max]);
    let scale = Linear::covering(ends, names, WIDTH - labels.min(140.0));
    let drawing = html! {
        @for (row, (server, spread)) in rows.iter().enumerate() {
            @let middle = (row as f64 + 0.5) * ROW;
            @let base = middle + LINE * 0.27;
            @let value = with_unit(spread.median, measure.decimals, measure.unit);
            g class=(lineup.class(*server)) {
                title { (lineup.name(*server)) ": " (value) " (" (range(*spread, measure.decimals)) ")" }
                text.name x=(px(names - 6.0)) y=(px(base)) text-anchor="end" { (fitted(lineup.name(*server), names)) }
                rect.bar x=(px(names)) y=(px(middle - BAR / 2.0)) rx="1.5"
                    width=(px((scale.at(spread.median) - names).max(1.0))) height=(px(BAR)) {}
                (whisker(scale.at(spread.min), scale.at(spread.max), middle))
                text.value x=(px(WIDTH)) y=(px(base)) text-anchor="end" { (label(spread)) }
            }
        }
        line.axis x1=(px(names)) x2=(px(names)) y1="0" y2=(px(rows.len() as f64 * ROW)) {}
    };
    let title = format!("{} of {case}", measure.name);
    svg(WIDTH, rows.len() as f64 * ROW, &title, &about(lineup, figure, &rows), &drawing)
}

/// Servers that have the figure, the best first.
pub(in crate::report::html) fn ranked(figure: &Figure) -> Vec<(usize, Spread)> {
    let spreads = figure.spreads.iter().enumerate();
    let mut rows: Vec<_> =
        spreads.filter_map(|(server, spread)| Some((server, (*spread)?))).collect();
    let worth = |spread: &Spread| match figure.measure.better {
        _ if spread.median.is_nan() => f64::INFINITY,
        Better::Less => spread.median,
        Better::More => -spread.median,
    };
    rows.sort_by(|(_, one), (_, other)| worth(one).total_cmp(&worth(other)));
    rows
}

/// Digits after the point say nothing where all values are large.
fn decimals(rows: &[(usize, Spread)], wanted: usize) -> usize {
    let least = rows.iter().map(|(_, spread)| spread.median.abs()).fold(f64::INFINITY, f64::min);
    match least {
        least if least >= 1000.0 => 0,
        least if least >= 100.0 => wanted.min(1),
        _ => wanted,
    }
}

fn about(lineup: &Lineup<'_>, figure: &Figure, rows: &[(usize, Spread)]) -> String {
    let measure = figure.measure;
    let better = match measure.better {
        Better::Less => "less",
        Better::More => "more",
    };
    let rows = rows.iter().map(|(server, spread)| {
        format!(
            "{} {}",
            lineup.name(*server),
            with_unit(spread.median, measure.decimals, measure.unit)
        )
    });
    let rows: Vec<String> = rows.collect();
    format!("Bars from zero, the best first; {better} is better. {}.", rows.join(", "))
}
