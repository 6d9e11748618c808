//! Contents that can be told from others at every offset: of files that grow, and of files that are sent to a server.

/// Bytes after which the contents begin again: no power of two, so that nothing is right by being shifted.
const PERIOD: usize = 1_048_573;

/// Random bytes, again and again.
pub(crate) struct Pattern(Vec<u8>);

impl Pattern {
    pub(crate) fn new() -> Pattern {
        let mut bytes = vec![0; PERIOD];
        fastrand::Rng::with_seed(13).fill(&mut bytes);
        Pattern(bytes)
    }

    /// The bytes from `offset` on.
    pub(crate) fn bytes(&self, offset: u64, len: usize) -> Vec<u8> {
        let from = (offset % PERIOD as u64) as usize;
        self.0.iter().cycle().skip(from).take(len).copied().collect()
    }

    /// What can be had in one piece of the bytes from `offset` on.
    pub(crate) fn run(&self, offset: u64) -> &[u8] {
        &self.0[(offset % PERIOD as u64) as usize..]
    }

    /// Whether these are the bytes from `offset` on.
    pub(crate) fn is_at(&self, offset: u64, mut found: &[u8]) -> bool {
        let mut from = (offset % PERIOD as u64) as usize;
        while !found.is_empty() {
            let len = found.len().min(PERIOD - from);
            if found[..len] != self.0[from..][..len] {
                return false;
            }
            (found, from) = (&found[len..], 0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contents_begin_again_after_a_period() {
        let pattern = Pattern::new();
        let bytes = pattern.bytes(PERIOD as u64 - 3, 10);
        assert!(pattern.is_at(PERIOD as u64 - 3, &bytes) && bytes[3..] == pattern.0[..7]);
        assert!(!pattern.is_at(PERIOD as u64 - 2, &bytes));
    }
}
