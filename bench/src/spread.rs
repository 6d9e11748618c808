//! Median, least and greatest of the rounds: what a figure is, and how far it may be believed.

use serde::Serialize;

/// Of an odd number of values the middle one, of an even number the mean of the two in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let median =
            if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) };
        Some(Spread { median, min: values[0], max: values[values.len() - 1] })
    }

    /// Distance of the extremes as a share of the median.
    pub(crate) fn width(self) -> f64 {
        (self.max - self.min) / self.median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |values: &[f64]| {
            Spread::of(values.iter().copied()).map(|spread| (spread.median, spread.min, spread.max))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0]), Some((3.0, 3.0, 3.0)));
        assert_eq!(of(&[9.0, 1.0, 4.0]), Some((4.0, 1.0, 9.0)));
        assert_eq!(of(&[9.0, 1.0, 4.0, 2.0]), Some((3.0, 1.0, 9.0)));
    }

    #[test]
    fn the_width_is_relative() {
        let spread = Spread { median: 2.0, min: 1.9, max: 2.1 };
        assert!((spread.width() - 0.1).abs() < 1e-9);
    }
}
