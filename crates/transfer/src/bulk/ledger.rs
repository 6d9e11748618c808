//! The ledger of one file: which of its pages this process has brought into the page cache, and who
//! still needs them. Pure: byte ranges in, byte ranges out.
//!
//! A stretch of the file is *surveyed* before anybody reads it: what is not resident then, but read
//! by us, is *owed*: to be given back. Each reader protects the bytes around its position. What is
//! owed and protected by nobody is due.

use rangemap::RangeSet;
use std::ops::Range;

/// Drops end at multiples of this many bytes, or where what is owed ends. A folio is dropped whole or
/// not at all, and none is larger than this where the read-ahead is not: they lie at multiples of
/// their size.
pub(super) const FOLIO: u64 = 2 << 20;

/// What is known of one file, while somebody reads it cold.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    surveyed: RangeSet<u64>,
    owed: RangeSet<u64>,
    readers: Vec<Reader>,
    next: u64,
}

#[derive(Debug)]
struct Reader {
    number: u64,
    protects: Range<u64>,
}

impl Ledger {
    /// A reader that protects nothing yet. It is known by its number.
    pub(super) fn enter(&mut self) -> u64 {
        self.next += 1;
        self.readers.push(Reader { number: self.next, protects: 0..0 });
        self.next
    }

    /// Whether there is one reader, of a file of which nothing is known.
    pub(super) fn is_fresh(&self) -> bool {
        self.readers.len() == 1 && self.surveyed.is_empty()
    }

    /// The reader is here now.
    pub(super) fn protect(&mut self, number: u64, bytes: Range<u64>) {
        let bytes = bytes.start / FOLIO * FOLIO..bytes.end.next_multiple_of(FOLIO);
        if let Some(reader) = self.readers.iter_mut().find(|reader| reader.number == number) {
            reader.protects = bytes;
        }
    }

    /// The reader needs nothing any more.
    pub(super) fn leave(&mut self, number: u64) {
        self.readers.retain(|reader| reader.number != number);
    }

    /// The parts of `bytes` of which nobody has said what was resident before we came.
    pub(super) fn unsurveyed(&self, bytes: &Range<u64>) -> Vec<Range<u64>> {
        if bytes.is_empty() { Vec::new() } else { self.surveyed.gaps(bytes).collect() }
    }

    /// `bytes` have been looked at, and `absent` of them were not resident: those are owed from now
    /// on. What has been surveyed by somebody else meanwhile is left as they said.
    pub(super) fn note_survey(&mut self, bytes: Range<u64>, absent: &[Range<u64>]) {
        for gap in self.unsurveyed(&bytes) {
            for absent in absent {
                let part = absent.start.max(gap.start)..absent.end.min(gap.end);
                if !part.is_empty() {
                    self.owed.insert(part);
                }
            }
        }
        if !bytes.is_empty() {
            self.surveyed.insert(bytes);
        }
    }

    /// What is due: owed, and protected by nobody.
    pub(super) fn due(&self) -> Vec<Range<u64>> {
        let mut due = self.owed.clone();
        for reader in self.readers.iter().filter(|reader| !reader.protects.is_empty()) {
            due.remove(reader.protects.clone());
        }
        due.into_iter().collect()
    }

    /// Bytes that are owed.
    pub(super) fn owed(&self) -> u64 {
        self.owed.iter().map(|range| range.end - range.start).sum()
    }

    /// These have been given back: whoever comes next surveys them anew.
    pub(super) fn given_back(&mut self, bytes: Range<u64>) {
        if !bytes.is_empty() {
            self.owed.remove(bytes.clone());
            self.surveyed.remove(bytes);
        }
    }

    /// These are to stay: somebody wants them often enough, or they cannot be dropped.
    pub(super) fn keep(&mut self, bytes: Range<u64>) {
        if !bytes.is_empty() {
            self.owed.remove(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAGE: u64 = 4096;

    #[test]
    fn what_was_resident_before_is_never_due() {
        let mut ledger = Ledger::default();
        let me = ledger.enter();
        ledger.note_survey(0..8 * FOLIO, &[0..2 * FOLIO, 3 * FOLIO..8 * FOLIO]);
        ledger.protect(me, 7 * FOLIO..9 * FOLIO);
        assert_eq!(ledger.due(), [0..2 * FOLIO, 3 * FOLIO..7 * FOLIO]);
        // A second survey of the same bytes finds them resident, by us: that changes nothing.
        ledger.note_survey(0..8 * FOLIO, &[]);
        assert_eq!(ledger.owed(), 7 * FOLIO);
        ledger.leave(me);
        assert_eq!(ledger.due(), [0..2 * FOLIO, 3 * FOLIO..8 * FOLIO]);
    }

    #[test]
    fn another_reader_keeps_what_it_comes_to_next() {
        let mut ledger = Ledger::default();
        let (ahead, behind) = (ledger.enter(), ledger.enter());
        ledger.note_survey(0..20 * FOLIO, std::slice::from_ref(&(0..20 * FOLIO)));
        ledger.protect(ahead, 15 * FOLIO..20 * FOLIO);
        ledger.protect(behind, 2 * FOLIO..6 * FOLIO);
        assert_eq!(ledger.due(), [0..2 * FOLIO, 6 * FOLIO..15 * FOLIO]);
        ledger.given_back(0..2 * FOLIO);
        assert_eq!(ledger.unsurveyed(&(0..3 * FOLIO)), std::slice::from_ref(&(0..2 * FOLIO)));
        ledger.keep(6 * FOLIO..15 * FOLIO);
        assert_eq!(ledger.due(), []);
        ledger.leave(behind);
        assert_eq!(ledger.due(), std::slice::from_ref(&(2 * FOLIO..6 * FOLIO)));
    }

    #[test]
    fn a_drop_ends_where_a_folio_does() {
        let mut ledger = Ledger::default();
        let me = ledger.enter();
        ledger.note_survey(PAGE..10 * FOLIO, std::slice::from_ref(&(PAGE..10 * FOLIO)));
        ledger.protect(me, 5 * FOLIO + 3 * PAGE..10 * FOLIO);
        assert_eq!(ledger.due(), std::slice::from_ref(&(PAGE..5 * FOLIO)));
    }

    /// What may happen to a file of a hundred pages.
    #[derive(Debug, Clone)]
    enum Happening {
        Survey(Range<u64>),
        Stand(usize, Range<u64>),
        Enter,
        Leave(usize),
        GiveBackAll,
    }

    fn range() -> impl Strategy<Value = Range<u64>> {
        (0..100_u64, 0..40_u64).prop_map(|(start, len)| start..(start + len).min(100))
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop_oneof![
            range().prop_map(Happening::Survey),
            (0..4_usize, range()).prop_map(|(who, range)| Happening::Stand(who, range)),
            Just(Happening::Enter),
            (0..4_usize).prop_map(Happening::Leave),
            Just(Happening::GiveBackAll),
        ]
    }

    proptest! {
        /// Page by page, against what a page's own history says. (Pages as large as folios.)
        #[test]
        fn only_our_own_pages_are_due_and_only_when_nobody_is_there(
            resident_before in prop::collection::vec(any::<bool>(), 100),
            happenings in prop::collection::vec(happening(), 1..60),
        ) {
            let bytes = |pages: &Range<u64>| pages.start * FOLIO..pages.end * FOLIO;
            let mut ledger = Ledger::default();
            let mut readers: Vec<(u64, Range<u64>)> = Vec::new();
            for happening in happenings {
                match happening {
                    Happening::Survey(pages) => {
                        let absent: Vec<_> = pages
                            .clone()
                            .filter(|page| !resident_before[*page as usize])
                            .map(|page| bytes(&(page..page + 1)))
                            .collect();
                        ledger.note_survey(bytes(&pages), &absent);
                    }
                    Happening::Enter => readers.push((ledger.enter(), 0..0)),
                    Happening::Stand(who, pages) => {
                        if let Some((number, stand)) = readers.get_mut(who) {
                            ledger.protect(*number, bytes(&pages));
                            *stand = pages;
                        }
                    }
                    Happening::Leave(who) => {
                        if who < readers.len() {
                            ledger.leave(readers.remove(who).0);
                        }
                    }
                    Happening::GiveBackAll => {
                        for due in ledger.due() {
                            for page in due.start / FOLIO..due.end / FOLIO {
                                prop_assert!(!resident_before[page as usize], "not ours: {page}");
                                prop_assert!(
                                    !readers.iter().any(|(_, stand)| stand.contains(&page)),
                                    "in use: {page}"
                                );
                            }
                            ledger.given_back(due);
                        }
                        prop_assert!(ledger.due().is_empty());
                    }
                }
            }
            for (number, _) in &readers {
                ledger.leave(*number);
            }
            ledger.due().into_iter().for_each(|due| ledger.given_back(due));
            prop_assert_eq!(ledger.owed(), 0);
        }
    }
}
