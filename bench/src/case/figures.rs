//! From samples to figures.

use super::Work;
use super::saturation::Round;
use crate::arena::Arena;
use crate::report::{Against, Bound, Figure, Measure, Role};
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
    figures.extend(of_system_calls(arena, SYSTEM_CALLS, system_calls));
    if let Some(lead) = figures.iter().position(|figure| figure.measure.key == work.lead()) {
        figures[..=lead].rotate_right(1);
    }
    figures
}

/// The measures of a case that reads something of its own, the first of which leads; bounds by the key of a measure.
/// Who has no figure in any round has none.
pub(super) fn of_own<T>(
    arena: &Arena<'_>,
    taken: &[Taken<T>],
    all: &[T],
    server: fn(&T) -> &str,
    bounds: &[(&str, Bound)],
) -> Vec<Figure> {
    let servers = arena.servers();
    let figure = |(measure, of): &Taken<T>| {
        let values = by_server(&servers, all, server, of);
        let own = bounds.iter().filter(|(key, _)| *key == measure.key && !arena.plan.self_check);
        let own: Vec<Bound> = own.map(|(_, bound)| *bound).collect();
        Figure::of(*measure, &servers, values, &own)
    };
    let figures = taken.iter().map(figure);
    figures.filter(|figure| figure.rounds.iter().any(|rounds| !rounds.is_empty())).collect()
}

/// What was counted of each server, if it was.
pub(super) fn of_system_calls(
    arena: &Arena<'_>,
    measure: Measure,
    counted: &[(String, f64)],
) -> Option<Figure> {
    let servers = arena.servers();
    let values = by_server(&servers, counted, |(name, _)| name, |(_, count)| Some(*count));
    (!counted.is_empty()).then(|| Figure::of(measure, &servers, values, &[]))
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
        let itself = Bound::at_most(Against::Itself, ITSELF);
        return if key == work.lead() { vec![itself] } else { Vec::new() };
    }
    work.bounds().iter().filter(|(of, _)| *of == key).map(|(_, bound)| *bound).collect()
}
