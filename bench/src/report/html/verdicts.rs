//! What was demanded of the subject, and what was found.

use maud::{Markup, html};

use super::lineup::Lineup;
use super::number::{count, fixed, list, range, ratio, with_unit};
use super::plot::gauge;
use super::tables::{doubt_mark, scrolling};
use crate::report::{Against, CaseReport, Figure, Run, Verdict};
use crate::spread::Spread;

pub(super) fn section(run: &Run, lineup: &Lineup<'_>) -> Markup {
    html! {
        section #demanded {
            h2 { "What was demanded" }
            @if run.verdicts().next().is_none() {
                p { "Nothing: the cases of this run have no bounds." }
            } @else {
                (tally(run))
                (scrolling("What was demanded", &table(run, lineup)))
                p.quiet {
                    "Found is the median of the rounds; beneath it the least and the greatest; ⚠ marks cases to be "
                    "doubted. A ratio, written with ×, is "
                    (lineup.subject()) "’s figure divided by the other’s of the same round."
                }
            }
        }
    }
}

/// Counts them in a sentence, and names every demand that was missed.
fn tally(run: &Run) -> Markup {
    let missed: Vec<String> = run
        .verdicts()
        .filter(|(.., verdict)| !verdict.met)
        .map(|(case, figure, _)| format!("{} ({})", case.name, figure.measure.name))
        .collect();
    let all = run.verdicts().count();
    html! {
        p.tally {
            @if missed.is_empty() {
                @if all == 1 { "The one demand is " } @else { "All " (count(all, "demand")) " are " }
                strong.met { "met" } "."
            } @else {
                "Of " (count(all, "demand")) ", "
                strong.met { (all - missed.len()) " met" } " and "
                strong.missed { (missed.len()) " missed" } ": " (list(&missed)) "."
            }
        }
    }
}

fn table(run: &Run, lineup: &Lineup<'_>) -> Markup {
    html! {
        table.verdicts {
            thead {
                tr {
                    th scope="col" { "Case" }
                    th scope="col" { "Measure" }
                    th scope="col" { "Against" }
                    th.number scope="col" { "Demanded" }
                    th.number scope="col" { "Found" }
                    th scope="col" { "" }
                    th scope="col" { "Found, of what is allowed" }
                }
            }
            tbody {
                @for (case, figure, verdict) in run.verdicts() { (row(lineup, case, figure, verdict)) }
            }
        }
    }
}

fn row(lineup: &Lineup<'_>, case: &CaseReport, figure: &Figure, verdict: &Verdict) -> Markup {
    let measure = figure.measure;
    let limit = verdict.bound.limit;
    let (demanded, found, around) = match verdict.bound.against {
        Against::Value => (
            format!(
                "{} {}",
                limit.sign(),
                with_unit(limit.value(), measure.decimals, measure.unit)
            ),
            with_unit(verdict.found, measure.decimals, measure.unit),
            spread(lineup, figure, verdict).map(|spread| range(spread, measure.decimals)),
        ),
        against => (
            match against {
                Against::Itself => format!("1 ± {} ×", fixed(limit.value(), 2)),
                _ => format!("{} {} ×", limit.sign(), fixed(limit.value(), 2)),
            },
            format!("{} ×", ratio(verdict.found)),
            spread(lineup, figure, verdict)
                .map(|spread| format!("{}–{}", ratio(spread.min), ratio(spread.max))),
        ),
    };
    html! {
        tr.lost[!verdict.met] {
            th scope="row" { span.doubt { (doubt_mark(case)) } (case.name) }
            td { (measure.name) }
            td data-label="against" { (against(lineup, figure, verdict)) }
            td.number data-label="demanded" { (demanded) }
            td.number data-label="found" { strong { (found) } @if let Some(around) = around { small { (around) } } }
            td.verdict {
                @if verdict.met { span.met { "✓ met" } } @else { span.missed { "✗ missed" } }
            }
            td {
                // Near one is neither more nor less.
                @if verdict.bound.against != Against::Itself {
                    (gauge::plot(verdict.found, spread(lineup, figure, verdict), limit))
                }
            }
        }
    }
}

fn against(lineup: &Lineup<'_>, figure: &Figure, verdict: &Verdict) -> Markup {
    html! {
        @match verdict.bound.against {
            Against::Server(name) => { (name) },
            Against::Best => {
                "the best: " @if let Some(best) = &figure.best { (best.server) } @else { "none" }
            },
            Against::Value => { "a fixed limit" },
            Against::Itself => { "itself (" (lineup.name(1)) ")" },
        }
    }
}

/// Of what the verdict was found in.
fn spread(lineup: &Lineup<'_>, figure: &Figure, verdict: &Verdict) -> Option<Spread> {
    match verdict.bound.against {
        Against::Server(name) => {
            let server = lineup.servers.iter().position(|server| server.name == name)?;
            *figure.ratios.get(server)?
        }
        Against::Best => figure.best.as_ref().map(|best| best.ratio),
        Against::Value => *figure.spreads.first()?,
        Against::Itself => *figure.ratios.get(1)?,
    }
}
