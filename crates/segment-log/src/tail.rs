//! The last bytes of the active segment, in memory as well: who waits at the end of the log gets them with one call, and no page is looked up.

/// What has just been written, up to a limit.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The most that has to be kept; twice as much is, so that bytes are moved once and not at each append.
    most: usize,
    bytes: Vec<u8>,
    /// Where the first of them is in the segment.
    begins: u64,
}

impl Tail {
    pub(crate) fn new(most: usize, position: u64) -> Self {
        Self { most, bytes: Vec::new(), begins: position }
    }

    /// Keeps what was written behind the last.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if bytes.len() > self.most / 4 {
            // Who fetches that is sent it by sendfile, and the copy would take the lock for long.
            self.begins += (self.bytes.len() + bytes.len()) as u64;
            self.bytes.clear();
            return;
        }
        if self.bytes.len() + bytes.len() > 2 * self.most {
            let gone = self.bytes.len().saturating_sub(self.most);
            self.bytes.drain(..gone);
            self.begins += gone as u64;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes of the segment, if they are all here.
    pub(crate) fn get(&self, position: u64, len: u64) -> Option<&[u8]> {
        let from = position.checked_sub(self.begins)? as usize;
        self.bytes.get(from..from.checked_add(len as usize)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_there_is_what_was_written(
            lens in prop::collection::vec(0..60_usize, 1..80),
            most in 0..150_usize,
            begins in 0..1000_u64,
        ) {
            let mut tail = Tail::new(most, begins);
            let mut all = Vec::new();
            for (number, len) in lens.iter().enumerate() {
                let bytes: Vec<_> = (0..*len).map(|at| (number * 7 + at) as u8).collect();
                tail.push(&bytes);
                all.extend_from_slice(&bytes);
                prop_assert!(tail.bytes.len() <= 2 * most + most / 4 + 1);
                for (from, len) in [(0, all.len()), (all.len() - bytes.len(), bytes.len()), (all.len() / 2, 9)] {
                    if let Some(got) = tail.get(begins + from as u64, len as u64) {
                        prop_assert_eq!(got, &all[from..from + len]);
                    }
                }
                if *len <= most / 4 {
                    prop_assert!(tail.get(begins + (all.len() - len) as u64, *len as u64).is_some());
                }
                prop_assert!(tail.get(begins + all.len() as u64, 1).is_none());
            }
        }
    }
}
