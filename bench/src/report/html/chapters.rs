//! The chapters: a card with a plot per case, and for one hot file the figures over its size.

use maud::{Markup, html};

use super::lineup::Lineup;
use super::plot::bars;
use super::plot::percentiles::{self, Percentiles};
use super::tables::{absent, doubts, of_figures};
use super::{hot, number};
use crate::report::{Better, CaseReport, Chapter, Figure, Run};

const CHAPTERS: [Chapter; 10] = [
    Chapter::Hot,
    Chapter::Mix,
    Chapter::Requests,
    Chapter::Latency,
    Chapter::Crowd,
    Chapter::Cold,
    Chapter::Exchange,
    Chapter::Segments,
    Chapter::Live,
    Chapter::Uploads,
];

/// All chapters that have cases.
pub(super) fn sections(run: &Run, lineup: &Lineup<'_>) -> Markup {
    html! {
        @for chapter in CHAPTERS {
            @let cases = of_chapter(run, chapter);
            @if !cases.is_empty() {
                section id=(anchor(chapter)) {
                    h2 { (chapter.title()) }
                    @if chapter == Chapter::Hot { (hot::over_size(&cases, lineup)) }
                    @if chapter == Chapter::Latency {
                        p {
                            "Requests come at a fixed rate, whether or not the server keeps up, and the clock of each "
                            "starts when it was due. The dots are, from small to large, the latency of half of the "
                            "requests, of all but 1 in 100 and of all but 1 in 1000."
                        }
                    }
                    @if chapter == Chapter::Cold {
                        p {
                            "Each server has a control group with room for what is hot, not for what is cold. Hot files are "
                            "asked for at a fixed rate, first alone (the control), then beside downloads of files that nobody "
                            "has read yet. What is hot should neither wait nor be thrown out, and what is cold should come as "
                            "fast as the disk, for little CPU time."
                        }
                    }
                    div.cards { @for case in &cases { (cards(case, lineup)) } }
                }
            }
        }
    }
}

/// The cases as the page shows them: chapter by chapter, else as they were run.
pub(super) fn in_order(run: &Run) -> Vec<&CaseReport> {
    CHAPTERS.iter().flat_map(|chapter| of_chapter(run, *chapter)).collect()
}

fn of_chapter(run: &Run, chapter: Chapter) -> Vec<&CaseReport> {
    run.cases.iter().filter(|case| case.chapter == chapter).collect()
}

/// Links to what there is.
pub(super) fn contents(run: &Run) -> Markup {
    let there = |chapter: &&Chapter| run.cases.iter().any(|case| case.chapter == **chapter);
    html! {
        @for chapter in CHAPTERS.iter().filter(there) {
            a href={ "#" (anchor(*chapter)) } { (chapter.title()) }
        }
    }
}

fn anchor(chapter: Chapter) -> &'static str {
    match chapter {
        Chapter::Hot => "hot",
        Chapter::Mix => "mix",
        Chapter::Requests => "requests",
        Chapter::Latency => "latency",
        Chapter::Crowd => "crowd",
        Chapter::Cold => "cold",
        Chapter::Exchange => "exchange",
        Chapter::Segments => "segments",
        Chapter::Live => "live",
        Chapter::Uploads => "uploads",
    }
}

/// What a cold case is about beside its first figure: neither is of use without the others.
const COLD: [&str; 4] =
    ["hot_resident_after", "hot_p99", "cpu_per_cold_gib", "cold_gib_per_second"];

/// The case's percentiles, if it has some, and its first figures where they do not show them.
fn cards(case: &CaseReport, lineup: &Lineup<'_>) -> Markup {
    // Where the generator waits for answers, latency is but the inverse of the rate.
    let percentiles = match case.chapter {
        Chapter::Latency => percentiles::of_case(case),
        _ => Vec::new(),
    };
    let shown: Vec<&str> = percentiles
        .iter()
        .flat_map(Percentiles::figures)
        .map(|figure| figure.measure.key)
        .collect();
    let first = case.figures.first().filter(|figure| !shown.contains(&figure.measure.key));
    let of_cold = case
        .figures
        .iter()
        .filter(|figure| case.chapter == Chapter::Cold && COLD.contains(&figure.measure.key));
    html! {
        @for figure in first.into_iter().chain(of_cold) {
            (card(case, &of_figure(figure), &bars::plot(lineup, &case.name, figure), &[figure], lineup))
        }
        @for found in &percentiles {
            @if let Some(plot) = found.plot(lineup, &case.name) {
                @let figures: Vec<&Figure> = found.figures().collect();
                @let name = number::list(&found.names());
                (card(case, &html! { (name) span.quiet { ", less is better" } }, &plot, &figures, lineup))
            }
        }
        @if case.figures.is_empty() {
            div.card {
                h3 { (case.name) }
                p.about { (case.about) }
                p { "Nobody has a figure here." }
                (doubts(case))
                (absent(&case.left_out))
            }
        }
    }
}

fn of_figure(figure: &Figure) -> Markup {
    let measure = figure.measure;
    let better = match measure.better {
        Better::Less => "less",
        Better::More => "more",
    };
    html! {
        (measure.name) @if !measure.unit.is_empty() { ", " (measure.unit) }
        span.quiet { ", " (better) " is better" }
    }
}

fn card(
    case: &CaseReport,
    what: &Markup,
    plot: &Markup,
    figures: &[&Figure],
    lineup: &Lineup<'_>,
) -> Markup {
    html! {
        figure.card {
            figcaption {
                h3 { (case.name) }
                p.about { (case.about) }
                p.what { (what) }
            }
            (plot)
            (doubts(case))
            (absent(&case.left_out))
            details { summary { "As a table" } (of_figures(lineup, &case.name, figures)) }
        }
    }
}
