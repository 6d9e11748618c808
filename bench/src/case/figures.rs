//! From samples to figures.

use super::Work;
use super::saturation::Round;
use crate::arena::Arena;
use crate::report::{Against, Bound, Figure, Role};
use crate::sample::{SYSTEM_CALLS, Sample, TAKEN, Taken};

/// How far two runs of the same server may lie apart in a self-check.
const ITSELF: f64 = 0.05;

/// Every measure of the rounds, the case's leading one first.
pub(super) fn of_rounds(
    arena: &Arena<'_>,
    work: &dyn Work,
    rounds: &[Round],
    system_calls: &[(String, f64)],
) -> Vec<Figure> {
    let servers = arena.servers();
    let samples: Vec<&Sample> = rounds.iter().flat_map(|round| &round.samples).collect();
    let mut figures = Vec::new();
    for (measure, of) in TAKEN {
        let values = by_server(&servers, &samples, |sample| &sample.server, |sample| of(sample));
        if values.iter().any(|values| !values.is_empty()) {
            let bounds = bounds(arena, work, measure.key);
            figures.push(Figure::of(measure, &servers, values, &bounds));
        }
    }
    if !system_calls.is_empty() {
        let values = by_server(&servers, system_calls, |(name, _)| name, |(_, count)| Some(*count));
        figures.push(Figure::of(SYSTEM_CALLS, &servers, values, &[]));
    }
    if let Some(lead) = figures.iter().position(|figure| figure.measure.key == work.lead()) {
        figures[..=lead].rotate_right(1);
    }
    figures
}

/// The measures of a case that reads something of its own, the first of which leads and has the bounds.
pub(super) fn of_own<T>(
    arena: &Arena<'_>,
    taken: &[Taken<T>],
    all: &[T],
    server: fn(&T) -> &str,
    bounds: &[Bound],
) -> Vec<Figure> {
    let servers = arena.servers();
    let figure = |(number, (measure, of)): (usize, &Taken<T>)| {
        let bounds = if number == 0 && !arena.plan.self_check { bounds } else { &[] };
        Figure::of(*measure, &servers, by_server(&servers, all, server, of), bounds)
    };
    taken.iter().enumerate().map(figure).collect()
}

/// `[server][round]`. Rounds are compared one by one: a figure that some round cannot give is given for none.
fn by_server<T>(
    servers: &[(&str, Role)],
    all: &[T],
    server: impl Fn(&T) -> &str,
    of: impl Fn(&T) -> Option<f64>,
) -> Vec<Vec<f64>> {
    let values = |(name, _): &(&str, Role)| {
        let own = all.iter().filter(|one| server(one) == *name);
        own.map(&of).collect::<Option<Vec<f64>>>().unwrap_or_default()
    };
    servers.iter().map(values).collect()
}

fn bounds(arena: &Arena<'_>, work: &dyn Work, key: &str) -> Vec<Bound> {
    if arena.plan.self_check {
        let itself = Bound { against: Against::Itself, at_most: ITSELF };
        return if key == work.lead() { vec![itself] } else { Vec::new() };
    }
    work.bounds().iter().filter(|(of, _)| *of == key).map(|(_, bound)| *bound).collect()
}
