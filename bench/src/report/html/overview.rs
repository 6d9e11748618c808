//! The whole run in one picture: the subject beside every other server, case by case.

use maud::{Markup, html};

use super::chapters;
use super::lineup::Lineup;
use super::number::{count, effort, ratio, ratio_spread};
use super::plot::scale::{Beyond, Log};
use super::plot::{LINE, WIDTH, fitted, px, svg, text_width, whisker};
use super::tables::{doubt_mark, scrolling};
use crate::report::{Better, CaseReport, Chapter, Figure, Run};
use crate::spread::Spread;

const ROW: f64 = 22.0;
const HEADING: f64 = 30.0;
const TOP: f64 = 34.0;
/// Ratios beyond are drawn at the edge, with an arrow: one absurd figure must not flatten all others.
const BOUNDS: (f64, f64) = (0.01, 100.0);

/// A case's first figure, and the subject's share of each other server's, less always being better.
struct Row<'a> {
    case: &'a CaseReport,
    figure: &'a Figure,
    /// By server.
    efforts: Vec<(usize, Spread)>,
    best: Option<usize>,
}

/// How the subject stands beside the best of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Ahead,
    Level,
    Behind,
}

pub(super) fn section(run: &Run, lineup: &Lineup<'_>) -> Markup {
    let rows: Vec<Row<'_>> =
        chapters::in_order(run).into_iter().filter_map(|case| row(run, case)).collect();
    let rows: Vec<Row<'_>> = rows.into_iter().filter(|row| !row.efforts.is_empty()).collect();
    html! {
        section #overview {
            h2 { "The whole run in one picture" }
            @if rows.is_empty() {
                p { "Nothing in this run can be set beside anything else." }
            } @else {
                p {
                    "Each row is a case, each mark " (lineup.subject()) "’s share of one server’s effort for the same "
                    "work: left of the line at 1.0 " (lineup.subject()) " needs less, right of it more. The whisker is "
                    "the least and the greatest ratio of the rounds to the best of the others; ⚠ marks cases to be "
                    "doubted."
                }
                p { (standings(&rows, lineup)) }
                div.wide { (plot(&rows, lineup, 1000.0)) }
                div.narrow { (plot(&rows, lineup, WIDTH)) }
                details.card { summary { "The same as a table" } (table(&rows, lineup)) }
            }
        }
    }
}

fn row<'a>(run: &Run, case: &'a CaseReport) -> Option<Row<'a>> {
    let figure = case.figures.first()?;
    let efforts = figure.ratios.iter().enumerate().filter_map(|(server, ratio)| {
        let effort = effort((*ratio)?, figure.measure.better);
        (!effort.median.is_nan()).then_some((server, effort))
    });
    let best = figure.best.as_ref();
    let best = best
        .and_then(|best| run.servers.iter().skip(1).position(|server| server.name == best.server));
    Some(Row { case, figure, efforts: efforts.collect(), best: best.map(|position| position + 1) })
}

impl Row<'_> {
    fn to_best(&self) -> Option<Spread> {
        self.efforts
            .iter()
            .find(|(server, _)| Some(*server) == self.best)
            .map(|(_, effort)| *effort)
    }

    fn standing(&self) -> Option<Standing> {
        let effort = self.to_best()?;
        Some(match effort {
            Spread { max, .. } if max < 1.0 => Standing::Ahead,
            Spread { min, .. } if min > 1.0 => Standing::Behind,
            _ => Standing::Level,
        })
    }
}

/// The sentence that counts them, losses by name.
fn standings(rows: &[Row<'_>], lineup: &Lineup<'_>) -> Markup {
    let of = |wanted| rows.iter().filter(move |row| row.standing() == Some(wanted));
    let (ahead, level) = (of(Standing::Ahead).count(), of(Standing::Level).count());
    let behind: Vec<&str> = of(Standing::Behind).map(|row| row.case.name.as_str()).collect();
    html! {
        "Beside whoever is best in each case, " (lineup.subject()) " is "
        strong { "ahead in " (count(ahead, "case")) }
        ", too close to call in " (count(level, "case"))
        " (the rounds’ ratios lie on both sides of 1.0), and "
        strong { "behind in " (count(behind.len(), "case")) }
        @if !behind.is_empty() { ": " (behind.join(", ")) }
        "."
    }
}

fn plot(rows: &[Row<'_>], lineup: &Lineup<'_>, width: f64) -> Markup {
    let roomy = width > WIDTH;
    let name = |row: &Row<'_>| text_width(doubt_mark(row.case)) + text_width(&row.case.name);
    let names = rows.iter().map(name).fold(0.0, f64::max);
    let left = names.min(if roomy { 240.0 } else { 112.0 }) + 10.0;
    let summary = |row: &Row<'_>| {
        let (effort, best) = (row.to_best()?, row.best?);
        let (ratio, name) = (ratio(effort.median), lineup.name(best));
        Some(if roomy { format!("{ratio} × {}", fitted(name, 150.0)) } else { ratio })
    };
    let texts: Vec<String> = rows.iter().map(|row| summary(row).unwrap_or_default()).collect();
    let right = width - texts.iter().map(|text| text_width(text)).fold(0.0, f64::max) - 12.0;
    let values = rows.iter().flat_map(|row| &row.efforts).map(|(_, effort)| effort.median);
    let whiskers = rows.iter().filter_map(Row::to_best).flat_map(|effort| [effort.min, effort.max]);
    let Some(scale) =
        Log::covering(values.chain(whiskers).chain([0.5, 2.0]), left + 8.0, right - 8.0)
    else {
        return html! {};
    };
    let scale = scale.within(BOUNDS.0, BOUNDS.1);
    let (places, height) = places(rows);
    let one = px(scale.at(1.0).unwrap_or(left));
    let drawing = html! {
        rect.ahead x=(px(left)) y=(TOP) width=(px(one - left)) height=(px(height - TOP)) {}
        text.direction x=(one - 8.0) y="11" text-anchor="end" { "← " (fitted(lineup.subject(), 140.0)) " needs less" }
        @if roomy { text.direction x=(one + 8.0) y="11" { "needs more →" } }
        text.direction x=(px(width)) y=(TOP - 8.0) text-anchor="end" {
            @if roomy { "beside the best" } @else { "× best" }
        }
        (axis(scale, height))
        line.one x1=(one) x2=(one) y1=(TOP - 4.0) y2=(px(height)) {}
        @for ((row, place), text) in rows.iter().zip(places).zip(&texts) {
            @if let Some(chapter) = place.heading {
                text.chapter x="0" y=(px(place.y - ROW * 0.5 - 7.0)) { (chapter.title()) }
            }
            line.row x1=(px(left)) x2=(px(right)) y1=(px(place.y)) y2=(px(place.y)) {}
            text.case x=(px(left - 8.0)) y=(px(place.y + 4.0)) text-anchor="end" {
                title { (row.case.name) ": " (row.case.about) }
                (doubt_mark(row.case)) (fitted(&row.case.name, left - 8.0))
            }
            (marks(row, lineup, scale, place.y))
            text.value.behind[row.standing() == Some(Standing::Behind)]
                x=(px(width)) y=(px(place.y + 4.0)) text-anchor="end" { (text) }
        }
    };
    let title = format!("{} beside each other server, all cases", lineup.subject());
    let about = "One row per case; the ratio of the subject's first figure to each other server's on a logarithmic \
                 axis. Left of the line at 1.0 the subject needs less.";
    svg(width, height + 18.0, &title, about, &drawing)
}

struct Place {
    y: f64,
    /// Of the chapter that begins here.
    heading: Option<Chapter>,
}

fn places(rows: &[Row<'_>]) -> (Vec<Place>, f64) {
    let (mut y, mut places, mut chapter) = (TOP, Vec::new(), None);
    for row in rows {
        let heading = (chapter != Some(row.case.chapter)).then_some(row.case.chapter);
        chapter = Some(row.case.chapter);
        y += heading.map_or(0.0, |_| HEADING);
        places.push(Place { y: y + ROW / 2.0, heading });
        y += ROW;
    }
    (places, y + 6.0)
}

fn axis(scale: Log, height: f64) -> Markup {
    html! {
        @for value in scale.ticks(26.0) {
            @let x = px(scale.at(value).unwrap_or(0.0));
            line.grid x1=(x) x2=(x) y1=(TOP) y2=(px(height)) {}
            @for y in [TOP - 8.0, height + LINE] {
                text.tick x=(x) y=(px(y)) text-anchor="middle" { (value) }
            }
        }
    }
}

fn marks(row: &Row<'_>, lineup: &Lineup<'_>, scale: Log, y: f64) -> Markup {
    let ordered = row.efforts.iter().filter(|(server, _)| Some(*server) != row.best);
    let best = row.efforts.iter().find(|(server, _)| Some(*server) == row.best);
    html! {
        @for (server, effort) in ordered.chain(best) {
            @let is_best = Some(*server) == row.best;
            @let end = |value| scale.at_or_beyond(value).map(|(x, _)| x);
            @if let (Some(from), Some(to)) = (end(effort.min), end(effort.max)) {
                g class={ (lineup.class(*server)) " whisker" @if is_best { " best" } } { (whisker(from, to, y)) }
            }
            @if let Some((x, beyond)) = scale.at_or_beyond(effort.median) {
                g class={ (lineup.class(*server)) " ratio" @if is_best { " best" } }
                    transform={ "translate(" (px(x)) "," (px(y)) ")" } data-ratio=(effort.median) {
                    title { (row.case.name) ", beside " (lineup.name(*server)) ": " (ratio_spread(*effort)) }
                    @match beyond {
                        Beyond::Neither => { (lineup.mark(*server, if is_best { 5.5 } else { 4.0 })) },
                        Beyond::Below => { path.mark d="M-6,0l7,-5v10z" {} },
                        Beyond::Above => { path.mark d="M6,0l-7,-5v10z" {} },
                    }
                }
            }
        }
    }
}

fn table(rows: &[Row<'_>], lineup: &Lineup<'_>) -> Markup {
    let others = || (0..lineup.servers.len()).filter(|server| !lineup.is_subject(*server));
    let title = format!("Ratio of {}’s first figure to each other server’s", lineup.subject());
    scrolling(
        &title,
        &html! {
            table.figures {
                thead {
                    tr {
                        th scope="col" { "Case" }
                        th scope="col" { "Figure" }
                        @for server in others() { th.number scope="col" { (lineup.name(server)) } }
                    }
                }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" { (row.case.name) }
                            td {
                                (row.figure.measure.name)
                                @if row.figure.measure.better == Better::More { " (the other’s share)" }
                            }
                            @for server in others() {
                                @let found = row.efforts.iter().find(|(other, _)| *other == server);
                                td.number.best[row.best == Some(server)] {
                                    @if let Some((_, effort)) = found {
                                        (ratio(effort.median))
                                        small { (ratio(effort.min)) "–" (ratio(effort.max)) }
                                    } @else { "–" }
                                }
                            }
                        }
                    }
                }
            }
        },
    )
}
