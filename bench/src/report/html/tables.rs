//! Every figure of a case as a table: a server per row, a figure per column.

use maud::{Markup, html};

use super::chapters;
use super::lineup::Lineup;
use super::number::{fixed, range, ratio, readable};
use crate::report::{Better, CaseReport, Figure, LeftOut, Run};
use crate::spread::Spread;

/// A wide table scrolls in its own box, also by the keyboard.
pub(super) fn scrolling(label: &str, table: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { (table) } }
}

pub(super) fn section(run: &Run, lineup: &Lineup<'_>) -> Markup {
    let cases = chapters::in_order(run);
    html! {
        section #figures {
            h2 { "All figures" }
            p {
                "Medians of the rounds, the least and the greatest beneath, then " (lineup.subject())
                "’s share of that figure. The best of each column is set in bold (a floor does not compete). Where "
                "there is a dash, the server was left out of the case."
            }
            @for (number, case) in cases.iter().enumerate() {
                @if number == 0 || cases[number - 1].chapter != case.chapter { h3 { (case.chapter.title()) } }
                details.case {
                    summary {
                        span { strong { (case.name) } " " span.quiet { (case.about) } }
                        (headline(case))
                    }
                    (of_figures(lineup, &case.name, &case.figures.iter().collect::<Vec<_>>()))
                    (doubts(case))
                    (absent(&case.left_out))
                }
            }
        }
    }
}

/// The case in a line: the subject's first figure, how it stands to the best, and whether to doubt it.
fn headline(case: &CaseReport) -> Markup {
    let Some(figure) = case.figures.first() else {
        return html! {};
    };
    let measure = figure.measure;
    html! {
        span.headline {
            @if !case.warnings.is_empty() { span.doubt { "⚠ to be doubted" } " · " }
            @if let Some(Some(spread)) = figure.spreads.first() {
                (measure.name) " " strong { (readable(spread.median, measure.decimals, measure.unit)) }
            }
            @if let Some(best) = &figure.best { " · " (ratio(best.ratio.median)) " × " (best.server) }
        }
    }
}

/// Goes before the case's name where there is no room to say why.
pub(super) fn doubt_mark(case: &CaseReport) -> &'static str {
    if case.warnings.is_empty() { "" } else { "⚠ " }
}

/// Why the figures of the case are to be doubted.
pub(super) fn doubts(case: &CaseReport) -> Markup {
    html! {
        @if !case.warnings.is_empty() {
            ul.doubts {
                @for warning in &case.warnings { li { span aria-label="Warning:" { "⚠ " } (warning) } }
            }
        }
    }
}

/// Who is not in the figures, and why.
pub(super) fn absent(left_out: &[LeftOut]) -> Markup {
    html! {
        @if !left_out.is_empty() {
            ul.absent {
                @for absent in left_out { li { "Without " strong { (absent.server) } ": " (absent.why) } }
            }
        }
    }
}

/// The table of some figures of one case.
pub(super) fn of_figures(lineup: &Lineup<'_>, case: &str, figures: &[&Figure]) -> Markup {
    let unit = |unit: &str| if unit.is_empty() { String::new() } else { format!(", {unit}") };
    scrolling(
        &format!("Figures of {case}"),
        &html! {
            table.figures {
                thead {
                    tr {
                        th scope="col" { "Server" }
                        @for figure in figures {
                            th.number scope="col" { (figure.measure.name) (unit(figure.measure.unit)) }
                        }
                    }
                }
                tbody {
                    @for server in 0..lineup.servers.len() {
                        tr class=(lineup.class(server)) {
                            th scope="row" { (lineup.name(server)) }
                            @for figure in figures { (cell(lineup, figure, server)) }
                        }
                    }
                }
            }
        },
    )
}

fn cell(lineup: &Lineup<'_>, figure: &Figure, server: usize) -> Markup {
    let Some(Some(spread)) = figure.spreads.get(server) else {
        return html! { td.number { "–" } };
    };
    let decimals = figure.measure.decimals;
    html! {
        td.number.best[is_best(lineup, figure, server, *spread)] {
            (fixed(spread.median, decimals))
            small { (range(*spread, decimals)) }
            @if let Some(Some(found)) = figure.ratios.get(server) { small { (ratio(found.median)) " ×" } }
        }
    }
}

/// The floor is no competitor: neither is it the best, nor is anybody beaten by it.
fn is_best(lineup: &Lineup<'_>, figure: &Figure, server: usize, spread: Spread) -> bool {
    let others = figure.spreads.iter().enumerate().filter(|(other, _)| !lineup.is_floor(*other));
    let medians = others.filter_map(|(_, other)| other.as_ref()).map(|other| other.median);
    let mut medians = medians.filter(|median| !median.is_nan());
    !lineup.is_floor(server)
        && !spread.median.is_nan()
        && match figure.measure.better {
            Better::Less => medians.all(|other| spread.median <= other),
            Better::More => medians.all(|other| spread.median >= other),
        }
}
