//! One figure of a case for all servers: its rounds, the subject's share of each other server's, and what was demanded.

use serde::Serialize;

use super::Role;
use crate::spread::Spread;

/// What is measured, and how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Measure {
    /// For programs that read the report: never changes its meaning.
    pub(crate) key: &'static str,
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) decimals: usize,
    pub(crate) better: Better,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    Less,
    More,
}

impl Measure {
    /// Of which less is better.
    pub(crate) const fn less(
        key: &'static str,
        name: &'static str,
        unit: &'static str,
        decimals: usize,
    ) -> Measure {
        Measure { key, name, unit, decimals, better: Better::Less }
    }

    /// Of which more is better.
    pub(crate) const fn more(
        key: &'static str,
        name: &'static str,
        unit: &'static str,
        decimals: usize,
    ) -> Measure {
        Measure { key, name, unit, decimals, better: Better::More }
    }
}

/// A measure, taken.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    #[serde(flatten)]
    pub(crate) measure: Measure,
    /// `rounds[server][round]`, in the order of the servers; empty for a server that was left out.
    pub(crate) rounds: Vec<Vec<f64>>,
    /// Of each server's rounds.
    pub(crate) spreads: Vec<Option<Spread>>,
    /// The subject's figure as a share of each server's, taken round by round; none for the subject itself.
    pub(crate) ratios: Vec<Option<Spread>>,
    /// The competitor (not the floor) with the best median.
    pub(crate) best: Option<Best>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// The best of the others, and the subject beside it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Best {
    pub(crate) server: String,
    pub(crate) ratio: Spread,
}

/// What the subject must reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Bound {
    pub(crate) against: Against,
    #[serde(flatten)]
    pub(crate) limit: Limit,
}

/// A share, or for `Value` the figure itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    pub(crate) const fn at_most(against: Against, limit: f64) -> Bound {
        Bound { against, limit: Limit::AtMost(limit) }
    }

    pub(crate) const fn at_least(against: Against, limit: f64) -> Bound {
        Bound { against, limit: Limit::AtLeast(limit) }
    }
}

impl Limit {
    pub(crate) fn value(self) -> f64 {
        match self {
            Limit::AtMost(value) | Limit::AtLeast(value) => value,
        }
    }

    pub(crate) fn sign(self) -> char {
        match self {
            Limit::AtMost(_) => '≤',
            Limit::AtLeast(_) => '≥',
        }
    }

    fn allows(self, found: f64) -> bool {
        match self {
            Limit::AtMost(most) => found <= most,
            Limit::AtLeast(least) => found >= least,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Against {
    /// The median ratio to the server of this name.
    Server(&'static str),
    /// The median ratio to whoever is best.
    Best,
    /// The figure, in its unit.
    Value,
    /// For a self-check, the same against the same: the ratio is 1, give or take the limit.
    Itself,
}

/// A bound, judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Verdict {
    #[serde(flatten)]
    pub(crate) bound: Bound,
    pub(crate) found: f64,
    pub(crate) met: bool,
}

/// Who was measured, as far as a figure needs to know.
pub(crate) type Servers<'a> = [(&'a str, Role)];

impl Figure {
    /// Puts the rounds of all servers together. The first server is the subject.
    pub(crate) fn of(
        measure: Measure,
        servers: &Servers<'_>,
        rounds: Vec<Vec<f64>>,
        bounds: &[Bound],
    ) -> Figure {
        debug_assert_eq!(servers.len(), rounds.len());
        let spreads: Vec<Option<Spread>> =
            rounds.iter().map(|values| Spread::of(values.iter().copied())).collect();
        let (subject, _) = rounds.split_first().expect("there is a server");
        let ratio = |(number, other): (usize, &Vec<f64>)| {
            // A figure of nothing at all (no wake-ups, say) has no ratio.
            let pairs = subject.iter().zip(other).filter(|(_, other)| **other != 0.0);
            (number > 0)
                .then(|| Spread::of(pairs.map(|(subject, other)| subject / other)))
                .flatten()
        };
        let ratios: Vec<Option<Spread>> = rounds.iter().enumerate().map(ratio).collect();
        let mut figure =
            Figure { measure, rounds, spreads, ratios, best: None, verdicts: Vec::new() };
        figure.best = figure.find_best(servers);
        figure.verdicts = bounds.iter().filter_map(|bound| figure.judge(servers, *bound)).collect();
        figure
    }

    fn find_best(&self, servers: &Servers<'_>) -> Option<Best> {
        let competitors = servers.iter().zip(self.spreads.iter().zip(&self.ratios));
        let competitors = competitors.filter_map(|((name, role), (spread, ratio))| {
            (*role == Role::Peer).then_some((name, spread.as_ref()?.median, ratio.as_ref()?))
        });
        let worth = |median: f64| match self.measure.better {
            Better::Less => median,
            Better::More => -median,
        };
        competitors
            .min_by(|(_, one, _), (_, other, _)| worth(*one).total_cmp(&worth(*other)))
            .map(|(name, _, ratio)| Best { server: (*name).to_owned(), ratio: *ratio })
    }

    /// `None` where there is nothing to judge: the server was left out.
    fn judge(&self, servers: &Servers<'_>, bound: Bound) -> Option<Verdict> {
        let found = match bound.against {
            Against::Server(wanted) => {
                let number = servers.iter().position(|(name, _)| *name == wanted)?;
                self.ratios[number]?.median
            }
            Against::Best => self.best.as_ref()?.ratio.median,
            Against::Value => self.spreads[0]?.median,
            Against::Itself => self.ratios.get(1).copied()??.median,
        };
        let met = match bound.against {
            Against::Itself => (found - 1.0).abs() <= bound.limit.value(),
            _ => bound.limit.allows(found),
        };
        Some(Verdict { bound, found, met })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    const CPU: Measure = Measure {
        key: "cpu_per_request",
        name: "CPU per request",
        unit: "µs",
        decimals: 2,
        better: Better::Less,
    };
    const SERVERS: [(&str, Role); 4] = [
        ("sendrail", Role::Subject),
        ("nginx", Role::Peer),
        ("other", Role::Peer),
        ("floor", Role::Floor),
    ];

    fn figure(rounds: [&[f64]; 4], bounds: &[Bound]) -> Figure {
        Figure::of(CPU, &SERVERS, rounds.iter().map(|values| values.to_vec()).collect(), bounds)
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The medians are equal; in every round but one the subject is dearer.
        let figure = figure([&[3.0, 4.0, 2.0], &[2.0, 3.0, 4.0], &[], &[]], &[]);
        assert_eq!(figure.spreads[1], Some(Spread { median: 3.0, min: 2.0, max: 4.0 }));
        assert_eq!(figure.ratios[0], None);
        assert_eq!(figure.ratios[1], Some(Spread { median: 4.0 / 3.0, min: 0.5, max: 1.5 }));
        assert_eq!(figure.ratios[2], None);
    }

    #[test]
    fn the_best_is_a_competitor_and_not_the_floor() {
        let figure = figure([&[3.0], &[5.0], &[4.0], &[1.0]], &[]);
        assert_eq!(figure.best.unwrap().server, "other");
        let rate = Measure { better: Better::More, ..CPU };
        let figure =
            Figure::of(rate, &SERVERS, vec![vec![3.0], vec![5.0], vec![4.0], vec![9.0]], &[]);
        assert_eq!(figure.best.unwrap().server, "nginx");
    }

    #[test]
    fn bounds_are_inclusive_and_only_judged_where_there_is_a_figure() {
        let met = |rounds, against, at_most| {
            figure(rounds, &[Bound::at_most(against, at_most)])
                .verdicts
                .first()
                .map(|verdict| verdict.met)
        };
        let rounds: [&[f64]; 4] = [&[6.5], &[10.0], &[8.0], &[1.0]];
        assert_eq!(met(rounds, Against::Server("nginx"), 0.65), Some(true));
        assert_eq!(met(rounds, Against::Server("nginx"), 0.64), Some(false));
        assert_eq!(met(rounds, Against::Best, 0.8), Some(false));
        assert_eq!(met(rounds, Against::Value, 6.5), Some(true));
        assert_eq!(met(rounds, Against::Itself, 0.4), Some(true));
        assert_eq!(met(rounds, Against::Itself, 0.3), Some(false));
        assert_eq!(met(rounds, Against::Server("absent"), 1.0), None);
        assert_eq!(met([&[6.5], &[], &[], &[1.0]], Against::Best, 1.0), None);
    }

    #[test]
    fn some_demands_are_at_least() {
        let met = |least| {
            let bound = Bound::at_least(Against::Value, least);
            figure([&[6.5], &[], &[], &[]], &[bound]).verdicts[0].met
        };
        assert!(met(6.5) && !met(6.6));
        let json = serde_json::to_value(Bound::at_least(Against::Best, 0.9)).unwrap();
        assert_eq!(json, serde_json::json!({ "against": "best", "at_least": 0.9 }));
    }

    #[test]
    fn nothing_at_all_has_no_ratio() {
        assert_eq!(figure([&[1.0], &[0.0], &[], &[]], &[]).ratios[1], None);
    }
}
