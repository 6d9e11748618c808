//! Which value a curve speaks for. Pure.

use serde::Serialize;

/// A value that was tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// The value.
    pub value: u64,
    /// The median of what it cost.
    pub cost: f64,
    /// How far the middle half of its costs lies apart, as a part of the median.
    pub spread: f64,
    /// What else was measured, the median of it.
    pub beside: Option<f64>,
}

impl Point {
    /// From all that was measured with it.
    pub fn of(value: u64, mut costs: Vec<f64>, beside: Option<f64>) -> Self {
        costs.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            costs.get((costs.len().saturating_sub(1)) * quarter / 4).copied().unwrap_or(0.0)
        };
        let cost = median(costs.clone());
        let spread = if cost > 0.0 { (at(3) - at(1)) / cost } else { 0.0 };
        Self { value, cost, spread, beside }
    }
}

/// The middle one, or that of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => 0.0,
        len if len % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

/// What is to be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The value.
    pub value: u64,
    /// Whether it is what the server takes anyway.
    pub is_default: bool,
    /// Why.
    pub why: String,
}

/// Less than this, as a part, nobody would notice.
const WORTH: f64 = 0.05;

/// The default, unless another value costs less by more than is worth it and more than the figures are apart by
/// themselves. Then the smallest that costs no more than the best does, give or take as much.
pub fn choose(points: &[Point], default: u64) -> Choice {
    let best = points.iter().min_by(|one, other| one.cost.total_cmp(&other.cost));
    let usual = points.iter().find(|point| point.value == default);
    let (Some(best), Some(usual)) = (best, usual) else {
        let why = "nothing was measured".to_owned();
        return Choice { value: default, is_default: true, why };
    };
    let tolerance = WORTH.max(usual.spread).max(best.spread);
    let gain = 1.0 - best.cost / usual.cost.max(f64::MIN_POSITIVE);
    let percent = |part: f64| format!("{:.1} %", part * 100.0);
    if gain <= tolerance {
        let why = format!(
            "the default was already right: the best costs {} less, and {} is what differs by itself",
            percent(gain.max(0.0)),
            percent(tolerance)
        );
        return Choice { value: default, is_default: true, why };
    }
    let enough = best.cost * (1.0 + WORTH);
    let first = points.iter().filter(|point| point.cost <= enough).map(|point| point.value).min();
    let value = first.unwrap_or(best.value);
    let cost =
        points.iter().find(|point| point.value == value).map_or(best.cost, |point| point.cost);
    let why = format!(
        "it costs {} less than the default, which is more than the {} that figures differ by themselves",
        percent(1.0 - cost / usual.cost),
        percent(tolerance)
    );
    Choice { value, is_default: false, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(costs: &[(u64, f64)]) -> Vec<Point> {
        costs
            .iter()
            .map(|&(value, cost)| Point { value, cost, spread: 0.0, beside: None })
            .collect()
    }

    #[test]
    fn the_median_and_the_middle_half() {
        let point = Point::of(7, vec![9.0, 1.0, 3.0, 2.0, 4.0], None);
        assert_eq!((point.cost, point.spread), (3.0, 2.0 / 3.0));
        assert!(Point::of(7, Vec::new(), None).spread.abs() < f64::EPSILON);
    }

    #[test]
    fn a_default_that_is_as_good_stays() {
        let all = points(&[(1, 1.0), (2, 0.97), (4, 0.96)]);
        assert_eq!((choose(&all, 1).value, choose(&all, 1).is_default), (1, true));
        // What differs by itself says nothing.
        let mut all = points(&[(1, 1.0), (2, 0.8)]);
        all[0].spread = 0.3;
        assert!(choose(&all, 1).is_default);
    }

    #[test]
    fn the_smallest_of_the_good_is_taken() {
        let all = points(&[(1, 2.0), (2, 1.02), (4, 1.0), (8, 1.0), (16, 3.0)]);
        let choice = choose(&all, 16);
        assert_eq!((choice.value, choice.is_default), (2, false), "{choice:?}");
    }

    #[test]
    fn without_figures_nothing_is_changed() {
        assert_eq!(choose(&[], 3).value, 3);
        assert!(choose(&points(&[(1, 1.0)]), 3).is_default, "the default itself was not tried");
    }

    proptest! {
        #[test]
        fn never_worse_than_the_default(
            costs in proptest::collection::vec(0.001_f64..10.0, 1..8),
            default in 0_usize..8,
        ) {
            let all: Vec<(u64, f64)> = (0..).zip(costs).collect();
            let default = (default % all.len()) as u64;
            let choice = choose(&points(&all), default);
            let cost = |value: u64| all[value as usize].1;
            prop_assert!(cost(choice.value) <= cost(default) * 1.000_001);
            prop_assert_eq!(choice.is_default, choice.value == default);
        }
    }
}
