//! Tables, for the terminal and by another style for summary.md: one per case (a server a line), one of the whole run (a
//! case a line), and one of what was demanded.

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_BORDERS_ONLY};
use comfy_table::{CellAlignment, Table};

use super::{Against, Bound, CaseReport, Figure, Role, Run, ServerRecord};

/// Where a table is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Terminal,
    Markdown,
}

/// The whole run for the terminal: the leading figures, what was demanded, and the warnings.
pub(crate) fn of_run(run: &Run) -> String {
    let tables = [overview(run, Style::Terminal), verdicts(run, Style::Terminal)];
    tables.into_iter().flatten().chain([warnings(&run.cases)]).collect::<Vec<_>>().join("\n\n")
}

/// One case, as soon as it is done.
pub(crate) fn of_case(servers: &[ServerRecord], case: &CaseReport) -> String {
    [case_table(servers, case, Style::Terminal), warnings(std::slice::from_ref(case))].join("\n")
}

/// A case with all its figures, a server a line.
pub(super) fn case_table(servers: &[ServerRecord], case: &CaseReport, style: Style) -> String {
    let mut table = styled(style);
    let mut header = vec![case.name.clone()];
    if let Some(lead) = case.figures.first() {
        header.push(with_unit(lead));
        header.push("subject / this (min–max)".into());
    }
    header.extend(case.figures.iter().skip(1).map(with_unit));
    table.set_header(&header);
    for (number, server) in servers.iter().enumerate() {
        let mut cells = vec![server.name.clone()];
        for (at, figure) in case.figures.iter().enumerate() {
            cells.push(median(figure, number));
            if at == 0 {
                let ratio = figure.ratios[number].map(|ratio| {
                    format!("{:.3} ({:.3}–{:.3})", ratio.median, ratio.min, ratio.max)
                });
                cells.push(ratio.unwrap_or_default());
            }
        }
        table.add_row(cells);
    }
    align(&mut table, 1);
    table.to_string()
}

/// Every case's leading figure, a server a column.
pub(super) fn overview(run: &Run, style: Style) -> Option<String> {
    let mut table = styled(style);
    let mut header = vec!["case".to_owned(), "figure".to_owned()];
    header.extend(run.servers.iter().map(|server| server.name.clone()));
    header.extend(["subject / best".to_owned(), "best".to_owned()]);
    table.set_header(&header);
    for case in &run.cases {
        let Some(figure) = case.figures.first() else { continue };
        let mut cells = vec![case.name.clone(), with_unit(figure)];
        cells.extend((0..run.servers.len()).map(|server| median(figure, server)));
        let best = figure.best.as_ref();
        cells.push(best.map_or(String::new(), |best| format!("{:.3}", best.ratio.median)));
        cells.push(best.map_or(String::new(), |best| best.server.clone()));
        table.add_row(cells);
    }
    align(&mut table, 2);
    (!run.cases.is_empty()).then(|| table.to_string())
}

/// What was demanded, and what was found.
pub(super) fn verdicts(run: &Run, style: Style) -> Option<String> {
    let mut table = styled(style);
    table.set_header(["case", "figure", "against", "demanded", "found", "rounds", ""]);
    for (case, figure, verdict) in run.verdicts() {
        let best = figure.best.as_ref();
        let (against, ratio) = match verdict.bound.against {
            Against::Server(name) => {
                let number = run.servers.iter().position(|server| server.name == name);
                (name.to_owned(), number.and_then(|number| figure.ratios[number]))
            }
            Against::Best => {
                let name = best.map_or("", |best| &best.server);
                (format!("the best ({name})"), best.map(|best| best.ratio))
            }
            Against::Value => ("its own value".to_owned(), None),
            Against::Itself => ("the same again, 1 ±".to_owned(), figure.ratios[1]),
        };
        let rounds = ratio.map(|ratio| format!("{:.3}–{:.3}", ratio.min, ratio.max));
        table.add_row([
            case.name.clone(),
            figure.measure.name.to_owned(),
            against,
            demanded(verdict.bound),
            format!("{:.3}", verdict.found),
            rounds.unwrap_or_default(),
            if verdict.met { "met" } else { "MISSED" }.to_owned(),
        ]);
    }
    run.verdicts().next().map(|_| table.to_string())
}

fn demanded(bound: Bound) -> String {
    match bound.against {
        Against::Itself => format!("{:.2}", bound.limit.value()),
        _ => format!("{} {:.2}", bound.limit.sign(), bound.limit.value()),
    }
}

fn styled(style: Style) -> Table {
    let mut table = Table::new();
    table.load_style(match style {
        Style::Terminal => UTF8_BORDERS_ONLY,
        Style::Markdown => ASCII_MARKDOWN,
    });
    table
}

fn align(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn with_unit(figure: &Figure) -> String {
    let measure = figure.measure;
    if measure.unit.is_empty() {
        measure.name.to_owned()
    } else {
        format!("{}, {}", measure.name, measure.unit)
    }
}

fn median(figure: &Figure, server: usize) -> String {
    let decimals = figure.measure.decimals;
    figure.spreads[server].map_or("–".into(), |spread| format!("{:.decimals$}", spread.median))
}

fn warnings(cases: &[CaseReport]) -> String {
    let lines =
        cases.iter().flat_map(|case| {
            let warnings =
                case.warnings.iter().map(move |text| format!("warning: {}: {text}\n", case.name));
            let left = case.left_out.iter();
            warnings.chain(left.map(move |left| {
                format!("left out of {}: {}: {}\n", case.name, left.server, left.why)
            }))
        });
    lines.collect()
}

/// For the heading of a report: who was measured, the floor apart.
pub(super) fn names(servers: &[ServerRecord]) -> String {
    let shown = |server: &ServerRecord| match server.role {
        Role::Subject | Role::Variant | Role::Peer => {
            format!("{} ({})", server.name, server.version)
        }
        Role::Floor => {
            format!("{}, which is no server but {}", server.name, super::costs_alone(server))
        }
    };
    servers.iter().map(shown).collect::<Vec<_>>().join(", ")
}
