//! Buffers that the network may still need, by the number of the send that used them. Pure.

use std::collections::VecDeque;

use bytes::Bytes;

/// Buffers by the number of the send that used them. Reports may overtake one another, so a buffer in the middle can be
/// free before those in front of it.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// Number of the send whose buffer is at the front.
    first: u32,
    /// `None`: reported, waiting for those in front of it.
    buffers: VecDeque<Option<Bytes>>,
    /// How many are not `None`.
    held: usize,
}

impl InFlight {
    /// Sends not reported yet.
    pub(super) fn len(&self) -> usize {
        self.held
    }

    /// Holds the buffer of the next send.
    pub(super) fn push(&mut self, buffer: Bytes) {
        self.buffers.push_back(Some(buffer));
        self.held += 1;
    }

    /// Lets go of the sends `first..=last`; returns how many of them were held. Numbers that are not in flight
    /// (reported twice, or never sent by us) are passed over.
    pub(super) fn finish(&mut self, first: u32, last: u32) -> u32 {
        let mut finished = 0;
        for (place, slot) in self.buffers.iter_mut().enumerate() {
            let number = self.first.wrapping_add(place as u32);
            // On a circle of numbers: is `number` no farther from `first` than `last` is?
            if number.wrapping_sub(first) <= last.wrapping_sub(first) && slot.take().is_some() {
                finished += 1;
            }
        }
        while let Some(None) = self.buffers.front() {
            self.buffers.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        self.held -= finished as usize;
        finished
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // See ZeroCopySender: freed memory would be sent as whatever it is used for next.
        self.buffers.drain(..).flatten().for_each(std::mem::forget);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::counted;

    proptest! {
        /// Against the plainest model: a set of numbers.
        #[test]
        fn reports_in_any_order_free_what_they_name(
            start in prop_oneof![Just(0), Just(u32::MAX - 3), any::<u32>()],
            sends in 0_u32..20,
            reports in prop::collection::vec((0_u32..24, 0_u32..6), 0..30),
        ) {
            let mut in_flight = InFlight::default();
            in_flight.first = start;
            let freed = Arc::default();
            for _ in 0..sends {
                in_flight.push(counted(vec![1], &freed));
            }
            let mut model: std::collections::BTreeSet<u32> = (0..sends).collect();
            for (first, extent) in reports {
                let (before, last) = (model.len(), first + extent);
                model.retain(|number| !(first..=last).contains(number));
                let finished =
                    in_flight.finish(start.wrapping_add(first), start.wrapping_add(last));
                prop_assert_eq!(finished as usize, before - model.len());
                prop_assert_eq!(in_flight.len(), model.len());
                prop_assert_eq!(freed.load(Ordering::SeqCst), sends as usize - model.len());
            }
        }
    }
}
