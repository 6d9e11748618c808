//! From values to places on a plot, and the round numbers that are written at the axes.

/// From zero to the greatest value: bars must begin at zero, or their lengths lie.
#[derive(Clone, Copy, Debug)]
pub(in crate::report::html) struct Linear {
    max: f64,
    from: f64,
    to: f64,
}

impl Linear {
    pub(in crate::report::html) fn covering(
        values: impl Iterator<Item = f64>,
        from: f64,
        to: f64,
    ) -> Linear {
        let max = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        Linear { max, from, to }
    }

    /// What lies beyond the ends is drawn at the ends; what is no number, at zero.
    pub(in crate::report::html) fn at(self, value: f64) -> f64 {
        let share = if value.is_nan() || self.max <= 0.0 { 0.0 } else { value / self.max };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }
}

/// Equal ratios are equal distances. Zero, negative values and what is no number have no place here.
#[derive(Clone, Copy, Debug)]
pub(in crate::report::html) struct Log {
    /// Decimal logarithms of the ends.
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Log {
    /// `None` when there is nothing that can be placed.
    pub(in crate::report::html) fn covering(
        values: impl Iterator<Item = f64>,
        from: f64,
        to: f64,
    ) -> Option<Log> {
        let logs = values.filter(|value| value.is_finite() && *value > 0.0).map(f64::log10);
        let (low, high) = logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), log| {
            (log.min(low), log.max(high))
        });
        (low <= high).then(|| {
            // A little air, so that no mark sits on the frame; and something to divide by.
            let air = ((high - low) * 0.04).max(0.02);
            Log { low: low - air, high: high + air, from, to }
        })
    }

    /// Without what lies outside.
    pub(in crate::report::html) fn within(self, least: f64, greatest: f64) -> Log {
        Log { low: self.low.max(least.log10()), high: self.high.min(greatest.log10()), ..self }
    }

    pub(in crate::report::html) fn at(self, value: f64) -> Option<f64> {
        (value.is_finite() && value > 0.0).then(|| self.place(value.log10()))
    }

    /// The place, and whether the value lies beyond the axis and so is drawn at its end.
    pub(in crate::report::html) fn at_or_beyond(self, value: f64) -> Option<(f64, Beyond)> {
        if value.is_nan() {
            return None;
        }
        let log = value.max(0.0).log10(); // -∞ for zero
        let beyond = match log {
            log if log < self.low => Beyond::Below,
            log if log > self.high => Beyond::Above,
            _ => Beyond::Neither,
        };
        Some((self.place(log.clamp(self.low, self.high)), beyond))
    }

    fn place(self, log: f64) -> f64 {
        self.from + (log - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round values on the axis, at least `apart` from each other.
    pub(in crate::report::html) fn ticks(self, apart: f64) -> Vec<f64> {
        // 1, 2, 5, 10 where there is room; else powers of 10, 100, 1000 …
        let one_decade = (self.to - self.from).abs() / (self.high - self.low);
        let digits: &[f64] = if one_decade * 0.3 >= apart {
            &[1.0, 2.0, 5.0]
        } else if one_decade * 0.47 >= apart {
            &[1.0, 3.0]
        } else {
            &[1.0]
        };
        let step = (apart / one_decade).ceil().clamp(1.0, 1000.0) as i32;
        let (first, last) = (self.low.floor() as i32, self.high.ceil() as i32);
        (first..=last)
            .filter(|exponent| exponent.rem_euclid(step) == 0)
            .flat_map(|exponent| digits.iter().map(move |digit| digit * 10_f64.powi(exponent)))
            .filter(|value| value.is_finite() && *value > 0.0)
            .filter(|value| (self.low..=self.high).contains(&value.log10()))
            .collect()
    }
}

/// Where a value lies that the axis does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report::html) enum Beyond {
    Neither,
    Below,
    Above,
}

/// Moves labels apart that would overlap, as little as needed and in their order. Gives the new places.
pub(in crate::report::html) fn apart(
    places: &[f64],
    gap: f64,
    least: f64,
    greatest: f64,
) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|one, other| places[*one].total_cmp(&places[*other]));
    // Labels that touch form a block around the middle of where they want to be (isotonic regression).
    let mut blocks: Vec<(f64, usize)> = Vec::new(); // sum of wanted starts, number of labels
    for &label in &order {
        let mut block = (places[label], 1);
        while let Some(&(sum, number)) = blocks.last() {
            let end = sum / number as f64 + number as f64 * gap;
            if block.0 / (block.1 as f64) >= end {
                break;
            }
            blocks.pop();
            block = (sum + block.0 - block.1 as f64 * number as f64 * gap, number + block.1);
        }
        blocks.push(block);
    }
    let starts = blocks.iter().flat_map(|&(sum, number)| {
        (0..number).map(move |nth| sum / number as f64 + nth as f64 * gap)
    });
    let mut sorted: Vec<f64> = starts.collect();
    let number = sorted.len();
    for (nth, place) in sorted.iter_mut().enumerate() {
        let (above, below) = (nth as f64 * gap, (number - 1 - nth) as f64 * gap);
        *place = place.min(greatest - below).max(least + above);
    }
    let mut moved = vec![0.0; places.len()];
    for (place, label) in sorted.into_iter().zip(order) {
        moved[label] = place;
    }
    moved
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test
    #![allow(clippy::float_cmp)] // of places that are exact

    use super::*;

    #[test]
    fn bars_begin_at_zero() {
        let scale = Linear::covering([2.0, 4.0, f64::INFINITY].into_iter(), 10.0, 110.0);
        let places =
            [0.0, 2.0, 4.0, 9.0, f64::INFINITY, f64::NAN, -1.0].map(|value| scale.at(value));
        assert_eq!(places, [10.0, 60.0, 110.0, 110.0, 110.0, 10.0, 10.0]);
        assert_eq!(Linear::covering(std::iter::empty(), 10.0, 110.0).at(5.0), 10.0);
    }

    #[test]
    fn equal_ratios_are_equal_distances() {
        let scale = Log::covering([1.0, 1e4].into_iter(), 0.0, 100.0).unwrap();
        let at = |value| scale.at(value).unwrap();
        assert!(at(1.0) > 0.0 && at(1e4) < 100.0);
        assert!((at(100.0) - 50.0).abs() < 1e-9);
        assert!((at(10.0) - at(1.0) - (at(1e3) - at(100.0))).abs() < 1e-9);
        for none in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(scale.at(none), None);
        }
    }

    #[test]
    fn nothing_to_place_is_no_scale() {
        assert!(Log::covering([0.0, -1.0, f64::NAN].into_iter(), 0.0, 1.0).is_none());
    }

    #[test]
    fn what_lies_beyond_is_said_to() {
        let scale = Log::covering([1.0, 10.0].into_iter(), 0.0, 100.0).unwrap();
        let at = |value| scale.at_or_beyond(value).unwrap();
        assert_eq!(at(0.0), (0.0, Beyond::Below));
        assert_eq!(at(f64::INFINITY), (100.0, Beyond::Above));
        assert_eq!(at(2.0).1, Beyond::Neither);
        assert_eq!(scale.at_or_beyond(f64::NAN), None);
    }

    #[test]
    fn ticks_are_round_and_not_too_many() {
        let ticks =
            |values: [f64; 2]| Log::covering(values.into_iter(), 0.0, 200.0).unwrap().ticks(30.0);
        assert_eq!(ticks([0.5, 2.0]), [0.5, 1.0, 2.0]);
        assert_eq!(ticks([1.0, 1e4]), [1.0, 10.0, 100.0, 1000.0, 1e4]);
        for extremes in [[1e-310, f64::MAX], [f64::MIN_POSITIVE, 1.0], [7.0, 7.0]] {
            let ticks = ticks(extremes);
            assert!(ticks.len() <= 8, "{ticks:?}");
        }
    }

    #[test]
    fn labels_are_moved_apart_in_their_order() {
        assert_eq!(apart(&[10.0, 50.0], 10.0, 0.0, 100.0), [10.0, 50.0]);
        assert_eq!(apart(&[52.0, 48.0, 50.0], 10.0, 0.0, 100.0), [60.0, 40.0, 50.0]);
        assert_eq!(apart(&[1.0, 1.0], 10.0, 0.0, 100.0), [0.0, 10.0]);
        assert_eq!(apart(&[99.0, 99.0], 10.0, 0.0, 100.0), [90.0, 100.0]);
        assert_eq!(apart(&[], 10.0, 0.0, 100.0), [] as [f64; 0]);
    }
}
