//! The frequency sketch: about how often each stretch of each file was asked for lately. Pure.
//!
//! A count-min sketch with conservative update: four rows of counters, each key has one counter in
//! each row, and the least of the four is its count, never too low. All are halved now and then, so
//! that what was asked for long ago is forgotten. A mebibyte, whatever the number of files.

use std::hash::{BuildHasher, Hash, RandomState};

/// Counters in a row.
const WIDTH: usize = 1 << 18;
const ROWS: usize = 4;

/// Additions after which everything is halved at the latest: at half a counter for each, one key in
/// forty is counted too high by a whole request, and nearly none by more.
const MOST_ADDITIONS: u32 = 1 << 17;

/// Counts how often things were asked for, in sixteenths of a request: a stretch of which a quarter
/// was asked for counts four.
#[derive(Debug)]
pub(super) struct Sketch {
    counters: Vec<u8>,
    hasher: RandomState,
    additions: u32,
}

/// One whole request in the sketch's unit.
pub(super) const ONE: u8 = 16;

impl Default for Sketch {
    fn default() -> Self {
        Self { counters: vec![0; ROWS * WIDTH], hasher: RandomState::new(), additions: 0 }
    }
}

impl Sketch {
    /// Where the counters of `key` are, one in each row.
    fn places(&self, key: impl Hash) -> [usize; ROWS] {
        let hash = self.hasher.hash_one(key);
        // Two independent halves make as many rows as one likes (Kirsch and Mitzenmacher, 2006).
        let (first, second) = (hash as u32, (hash >> 32) as u32 | 1);
        std::array::from_fn(|row| {
            let mixed = first.wrapping_add(second.wrapping_mul(row as u32));
            row * WIDTH + mixed as usize % WIDTH
        })
    }

    /// Counts `sixteenths` of a request for `key`. Says what its count is then, at most 255.
    pub(super) fn add(&mut self, key: impl Hash, sixteenths: u8) -> u8 {
        if self.additions >= MOST_ADDITIONS {
            self.halve();
        }
        self.additions += 1;
        let places = self.places(key);
        let least = places.iter().map(|place| self.counters[*place]).min().unwrap_or(0);
        let count = least.saturating_add(sixteenths);
        for place in places {
            // Conservative: a counter that is shared with a busier key is not raised for this one.
            self.counters[place] = self.counters[place].max(count);
        }
        count
    }

    /// Forgets half of everything.
    pub(super) fn halve(&mut self) {
        self.counters.iter_mut().for_each(|counter| *counter /= 2);
        self.additions = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn never_counts_too_low_and_forgets_by_halves(
            asked in prop::collection::vec((0..50_u32, 1..=ONE), 1..400),
        ) {
            let mut sketch = Sketch::default();
            let mut truth = HashMap::<u32, u32>::new();
            for (key, weight) in &asked {
                let exact = truth.entry(*key).or_default();
                *exact += u32::from(*weight);
                prop_assert!(u32::from(sketch.add(key, *weight)) >= (*exact).min(255));
            }
            sketch.halve();
            for (key, exact) in truth {
                prop_assert!(u32::from(sketch.add(key, 0)) >= exact.min(255) / 2);
            }
        }
    }

    #[test]
    fn a_crawler_does_not_make_strangers_popular() {
        let mut sketch = Sketch::default();
        let popular = (0..1_000_000_u32).filter(|file| sketch.add(file, ONE) >= 2 * ONE).count();
        assert!(popular < 40_000, "{popular} of a million files, each asked for once");
    }
}
