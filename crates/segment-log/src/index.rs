//! The index of a segment: where records begin, one for so many bytes. In memory, and in a file beside a closed segment.
//!
//! 8 bytes for each entry: half a MiB for each GiB of log at an entry per 16 KiB. The file is never needed: whatever is wrong with it,
//! the segment is scanned instead, and the same entries come out.
//!
//! | bytes | what is in the file, big-endian |
//! |---|---|
//! | 0–7 | `SRLOGIX1` |
//! | 8–15 | offset of the segment's first record |
//! | 16–23 | length of the segment in bytes |
//! | 24–31 | offset behind its last record |
//! | 32–35 | number of entries |
//! | 8 each | the record's offset, from the first one on; where it begins in the segment |
//! | 4 | CRC-32C of all before |

use std::fmt;

const MAGIC: &[u8; 8] = b"SRLOGIX1";
const BEFORE_ENTRIES: usize = 36;

/// Where a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its offset, from the first of the segment on.
    pub(crate) offset: u32,
    /// In the segment, in bytes.
    pub(crate) position: u32,
}

/// Whether a record at `position` has an entry: the first one, and then the first that begins `interval` bytes behind the last entry. It
/// depends on nothing but the segment's bytes, so that a scan finds what the writer noted.
pub(crate) fn is_due(entries: &[Entry], position: u64, interval: u64) -> bool {
    entries.last().is_none_or(|last| position - u64::from(last.position) >= interval)
}

/// How many entries at the beginning `is_before` holds for, as `partition_point` has it, looked for from `guess` on in steps that double. A
/// long index does not fit into the processor's caches: halving it costs a miss for each step, and more than anything else that a small
/// fetch does in this program (a fifth of its time, with 256 consumers of 200,000 entries).
pub(crate) fn point_near(
    entries: &[Entry],
    guess: usize,
    is_before: impl Fn(&Entry) -> bool,
) -> usize {
    let holds = |at: usize| entries.get(at).is_some_and(&is_before);
    let (mut low, mut high) = (guess.min(entries.len()), guess.min(entries.len()));
    let mut step = 1;
    if holds(low) {
        while holds(high) {
            low = high + 1;
            high = (high + step).min(entries.len());
            step *= 2;
        }
    } else {
        while low > 0 && !holds(low - 1) {
            high = low - 1;
            low = low.saturating_sub(step);
            step *= 2;
        }
    }
    // All before `low` hold, but for those between it and `high`, of which nobody knows.
    let low = low.min(high);
    low + entries[low..high].partition_point(is_before)
}

/// Where in the index the entry of an offset should be, if records were all of one length.
pub(crate) fn guess(entries: &[Entry], offset: u32) -> usize {
    let last = entries.last().map_or(0, |last| u64::from(last.offset));
    (u64::from(offset) * entries.len() as u64 / (last + 1)) as usize
}

/// What an index file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexFile {
    pub(crate) base: u64,
    pub(crate) segment_len: u64,
    pub(crate) next: u64,
    pub(crate) entries: Vec<Entry>,
}

/// Why an index file is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexFault {
    /// There is none.
    Missing,
    /// It cannot be read.
    Unreadable,
    /// It does not begin as an index does.
    Magic,
    /// It is shorter or longer than it says, or its checksum is another.
    Torn,
    /// It is of another segment, or of this one when that had another length.
    OtherSegment,
    /// Its entries are not in order, or lie beyond the segment.
    Order,
    /// Its last entry does not point at a record with that offset, or the records behind that do not lead to the segment's end.
    LastEntry,
}

impl fmt::Display for IndexFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "there was none",
            Self::Unreadable => "it could not be read",
            Self::Magic => "it was no index",
            Self::Torn => "it was torn",
            Self::OtherSegment => "it was of another segment, or of another length of this one",
            Self::Order => "its entries were not in order",
            Self::LastEntry => "its last entry pointed elsewhere",
        })
    }
}

impl IndexFile {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BEFORE_ENTRIES + 8 * self.entries.len() + 4);
        bytes.extend_from_slice(MAGIC);
        for number in [self.base, self.segment_len, self.next] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&(self.entries.len() as u32).to_be_bytes());
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.offset.to_be_bytes());
            bytes.extend_from_slice(&entry.position.to_be_bytes());
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        bytes
    }

    /// What the file of the segment with this base and length says, if it can be believed as far as that shows here.
    pub(crate) fn decode(bytes: &[u8], base: u64, segment_len: u64) -> Result<Self, IndexFault> {
        if !bytes.starts_with(MAGIC) {
            return Err(IndexFault::Magic);
        }
        let (body, crc) = bytes.split_last_chunk().ok_or(IndexFault::Torn)?;
        if crc32c::crc32c(body) != u32::from_be_bytes(*crc) {
            return Err(IndexFault::Torn);
        }
        let u64_at = |at: usize| body[at..].first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        let (head, entries) = body.split_at_checked(BEFORE_ENTRIES).ok_or(IndexFault::Torn)?;
        let count = head.last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        if entries.len() as u64 != 8 * u64::from(count) {
            return Err(IndexFault::Torn);
        }
        let (Some(its_base), Some(its_len), Some(next)) = (u64_at(8), u64_at(16), u64_at(24))
        else {
            return Err(IndexFault::Torn);
        };
        if (its_base, its_len) != (base, segment_len) {
            return Err(IndexFault::OtherSegment);
        }
        let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        let entries: Vec<_> = entries
            .chunks_exact(8)
            .map(|entry| Entry { offset: word(&entry[..4]), position: word(&entry[4..]) })
            .collect();
        let begins = entries.first().is_some_and(|first| (first.offset, first.position) == (0, 0));
        let rises = entries
            .windows(2)
            .all(|two| two[0].offset < two[1].offset && two[0].position < two[1].position);
        let last = entries.last().map_or((0, 0), |last| (last.offset, last.position));
        let within = base + u64::from(last.0) < next && u64::from(last.1) < segment_len;
        if begins && rises && within {
            Ok(Self { base, segment_len, next, entries })
        } else {
            Err(IndexFault::Order)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> IndexFile {
        let entries = [(0, 0), (7, 500), (9, 1100)];
        let entries = entries.map(|(offset, position)| Entry { offset, position }).to_vec();
        IndexFile { base: 40, segment_len: 1500, next: 55, entries }
    }

    #[test]
    fn an_entry_is_due_for_the_first_record_and_after_the_interval() {
        let entries = example().entries;
        assert!(is_due(&[], 0, 100));
        assert!(!is_due(&entries, 1199, 100) && is_due(&entries, 1200, 100));
    }

    #[test]
    fn only_the_index_of_this_segment_is_believed() {
        let index = example();
        let bytes = index.encode();
        assert_eq!(IndexFile::decode(&bytes, 40, 1500), Ok(index.clone()));
        assert_eq!(IndexFile::decode(&bytes, 41, 1500), Err(IndexFault::OtherSegment));
        assert_eq!(IndexFile::decode(&bytes, 40, 1499), Err(IndexFault::OtherSegment));
        assert_eq!(IndexFile::decode(b"", 40, 1500), Err(IndexFault::Magic));
        for entries in [
            &[(0, 0), (7, 500), (7, 1100)][..],
            &[(0, 0), (7, 500), (8, 500)],
            &[(0, 0), (7, 1500)],
            &[(0, 0), (15, 500)],
            &[(1, 0)],
            &[],
        ] {
            let entries = entries.iter().map(|&(offset, position)| Entry { offset, position });
            let lies = IndexFile { entries: entries.collect(), ..index.clone() };
            assert_eq!(
                IndexFile::decode(&lies.encode(), 40, 1500),
                Err(IndexFault::Order),
                "{lies:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_near_is_found_as_by_halving(
            steps in prop::collection::vec(1..9_u32, 0..200),
            guess in 0..250_usize,
            offset in 0..1000_u32,
        ) {
            let mut offset_of = 0;
            let entries: Vec<_> = steps
                .iter()
                .map(|step| {
                    offset_of += step;
                    Entry { offset: offset_of, position: offset_of }
                })
                .collect();
            let is_before = |entry: &Entry| entry.offset <= offset;
            let expected = entries.partition_point(is_before);
            prop_assert_eq!(point_near(&entries, guess, is_before), expected);
            let guessed = super::guess(&entries, offset);
            prop_assert_eq!(point_near(&entries, guessed, is_before), expected);
        }

        #[test]
        fn no_flipped_bit_and_no_cut_goes_unseen(
            at in any::<prop::sample::Index>(),
            bit in 0..8_u32,
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = example().encode();
            prop_assert!(IndexFile::decode(&bytes[..cut.index(bytes.len())], 40, 1500).is_err());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(IndexFile::decode(&bytes, 40, 1500).is_err());
        }
    }
}
