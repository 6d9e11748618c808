//! report.html: the run as a page with plots, complete in one file.
//!
//! It loads nothing and runs no script. Colours, the choice of whom to look at and dark mode are CSS; every plot is an
//! SVG written here, with a table behind it for those who would rather read.

mod chapters;
mod circumstances;
#[cfg(test)]
mod fixture;
mod hot;
mod lineup;
mod number;
mod overview;
mod plot;
mod tables;
#[cfg(test)]
mod tests;
mod verdicts;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Role, Run, ServerRecord};
use lineup::Lineup;

const STYLE: &str = include_str!("html/style.css");

/// The whole page.
pub(super) fn of_run(run: &Run) -> String {
    let lineup = Lineup::of(run);
    let title = format!("{} in the arena, {}", lineup.subject(), date(run));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(lineup.style())) }
            }
            body {
                header { (head(run, &lineup, &title)) }
                (lineup.legend())
                main {
                    (verdicts::section(run, &lineup))
                    (overview::section(run, &lineup))
                    (chapters::sections(run, &lineup))
                    (tables::section(run, &lineup))
                    (circumstances::section(run))
                }
            }
        }
    };
    page.into_string()
}

fn date(run: &Run) -> &str {
    run.started.split_once('T').map_or(&run.started, |(date, _)| date)
}

fn head(run: &Run, lineup: &Lineup<'_>, title: &str) -> Markup {
    let environment = &run.environment;
    html! {
        h1 { (title) }
        p.circumstances {
            (environment.host) " · Linux " (environment.kernel.split(' ').next().unwrap_or_default())
            " · " (environment.cpu_model) ", " (number::count(environment.cpus, "core"))
            @if let Some(commit) = &environment.commit { " · commit " code { (commit) } }
        }
        @if !run.publishable { (banner(run)) }
        (field(lineup))
        @if !run.left_out.is_empty() {
            p { "Not in this run:" }
            ul.absent {
                @for absent in &run.left_out { li { strong { (absent.server) } ": " (absent.why) } }
            }
        }
        nav aria-label="contents" {
            a href="#demanded" { "What was demanded" }
            a href="#overview" { "The whole run" }
            (chapters::contents(run))
            a href="#figures" { "All figures" }
            a href="#circumstances" { "Circumstances" }
        }
    }
}

fn banner(run: &Run) -> Markup {
    html! {
        div.banner role="note" {
            strong { "Not publishable." }
            @if run.not_publishable_because.is_empty() { " No reason was recorded." }
            @else { ul { @for why in &run.not_publishable_because { li { (why) } } } }
        }
    }
}

/// Without the name again in front, which most programs print.
fn version(server: &ServerRecord) -> &str {
    let after_name = server.version.strip_prefix(&server.name);
    after_name.and_then(|rest| rest.strip_prefix(' ')).unwrap_or(&server.version)
}

/// Who ran against whom.
fn field(lineup: &Lineup<'_>) -> Markup {
    let server = |server: &ServerRecord| {
        html! {
            strong { (server.name) } " "
            @match server.role {
                Role::Floor => { span.quiet { (super::costs_alone(server)) } },
                _ => { span.quiet { (version(server)) } },
            }
        }
    };
    let (subject, others) = match lineup.servers {
        [] => return html! { p { "Nobody was measured." } },
        [subject, others @ ..] => (subject, others),
    };
    html! {
        p.field {
            (server(subject))
            @if others.is_empty() { ", alone." } @else { " against" }
        }
        @if !others.is_empty() { ul.field { @for other in others { li { (server(other)) } } } }
    }
}
