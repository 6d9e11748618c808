//! What readers see: the segments and their indexes, and how far they may read. Looking something up makes no system call.

#[cfg(feature = "tokio")]
use crate::tail::Tail;
use crate::{
    error::OutOfRange,
    index::{Entry, guess, point_near},
    options::Options,
};
use sendrail_transfer::{FileRange, Medium};
use std::{collections::VecDeque, fs::File, sync::Arc, time::SystemTime};

/// Where recent appends begin: so many of them are known to the byte.
const RECENT: usize = 4096;

/// The place between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edge {
    /// The offset of the record behind it.
    pub(crate) next: u64,
    /// In the segment, in bytes.
    pub(crate) position: u64,
}

/// A segment that is not appended to any more.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) base: u64,
    pub(crate) end: Edge,
    pub(crate) file: Arc<File>,
    pub(crate) index: Vec<Entry>,
    /// When it was appended to last.
    pub(crate) modified: SystemTime,
}

/// The segment that is appended to.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) base: u64,
    pub(crate) file: Arc<File>,
    /// Entries may lie beyond what is visible; who looks up never gets there.
    pub(crate) index: Vec<Entry>,
    recent: VecDeque<Entry>,
    pub(crate) written: Edge,
    pub(crate) visible: Edge,
    #[cfg(feature = "tokio")]
    tail: Tail,
}

impl Active {
    pub(crate) fn new(
        base: u64,
        file: Arc<File>,
        index: Vec<Entry>,
        end: Edge,
        options: &Options,
    ) -> Self {
        #[cfg(not(feature = "tokio"))]
        let _ = options; // only the broker has use for the tail
        Self {
            base,
            file,
            index,
            recent: VecDeque::new(),
            written: end,
            visible: end,
            #[cfg(feature = "tokio")]
            tail: Tail::new(options.tail_bytes, end.position),
        }
    }

    /// Notes an append that is in the file: its bytes, the entries that the index has of it, and where it ends.
    pub(crate) fn wrote(&mut self, bytes: &[u8], entries: &[Entry], end: Edge) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        let offset = (self.written.next - self.base) as u32;
        self.recent.push_back(Entry { offset, position: self.written.position as u32 });
        self.index.extend_from_slice(entries);
        #[cfg(feature = "tokio")]
        self.tail.push(bytes);
        #[cfg(not(feature = "tokio"))]
        let _ = bytes;
        self.written = end;
    }
}

#[derive(Debug)]
pub(crate) struct View {
    pub(crate) closed: VecDeque<Closed>,
    pub(crate) active: Active,
    pub(crate) medium: Medium,
}

/// A range of the log, as bytes of a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Fetched {
    /// The bytes: whole records, at least one unless `first` is the end of the log.
    pub range: FileRange,
    /// The offset of the first of them: that which was asked for, or an older one, which the consumer skips.
    pub first: u64,
    /// The offset behind the last of them: what to fetch next.
    pub next: u64,
    /// The end of the log.
    pub end: u64,
}

/// The same without the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) next: u64,
    pub(crate) end: u64,
    pub(crate) position: u64,
    pub(crate) len: u64,
    /// Its place among the closed segments; none for the active one.
    closed: Option<usize>,
}

impl View {
    pub(crate) fn start(&self) -> u64 {
        self.closed.front().map_or(self.active.base, |segment| segment.base)
    }

    pub(crate) fn end(&self) -> u64 {
        self.active.visible.next
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|segment| segment.end.position).sum();
        closed + self.active.written.position
    }

    pub(crate) fn find(&self, offset: u64, max_bytes: u64) -> Result<Span, OutOfRange> {
        let (start, end) = (self.start(), self.end());
        if !(start..=end).contains(&offset) {
            return Err(OutOfRange { start, end });
        }
        if offset >= self.active.base {
            let Active { base, index, recent, visible, .. } = &self.active;
            return Ok(span(index, recent, *base, *visible, offset, max_bytes).of(end, None));
        }
        let place = self.closed.partition_point(|segment| segment.base <= offset) - 1;
        let Closed { base, index, end: edge, .. } = &self.closed[place];
        let none = VecDeque::new();
        Ok(span(index, &none, *base, *edge, offset, max_bytes).of(end, Some(place)))
    }

    pub(crate) fn file_range(&self, span: &Span) -> FileRange {
        let (file, len) = match span.closed {
            None => (&self.active.file, self.active.written.position),
            Some(place) => (&self.closed[place].file, self.closed[place].end.position),
        };
        FileRange::new(Arc::clone(file), span.position, span.len).on(self.medium).of_file(len)
    }

    /// The bytes of the span, if they are kept in memory.
    #[cfg(feature = "tokio")]
    pub(crate) fn in_memory(&self, span: &Span) -> Option<&[u8]> {
        match span.closed {
            None => self.active.tail.get(span.position, span.len),
            Some(_) => None,
        }
    }
}

impl Span {
    fn of(self, end: u64, closed: Option<usize>) -> Self {
        Self { end, closed, ..self }
    }
}

/// What is sent of a segment that ends at `visible` to who wants `max_bytes` from `offset` on: from the entry at or below it, to the last entry
/// within the limit, or, if there is none behind `offset`, to the first.
///
/// It ends at entries, so that who goes on there is not sent anything twice.
fn span(
    sparse: &[Entry],
    recent: &VecDeque<Entry>,
    base: u64,
    visible: Edge,
    offset: u64,
    max_bytes: u64,
) -> Span {
    let span = |from: Edge, to: Edge| Span {
        first: from.next,
        next: to.next,
        end: 0,
        position: from.position,
        len: to.position - from.position,
        closed: None,
    };
    if offset >= visible.next {
        return span(visible, visible);
    }
    let edge = |entry: &Entry| Edge {
        next: base + u64::from(entry.offset),
        position: u64::from(entry.position),
    };
    let wanted = (offset - base) as u32;
    let in_sparse = point_near(sparse, guess(sparse, wanted), |entry| entry.offset <= wanted);
    let in_recent = if recent.front().is_some_and(|oldest| oldest.offset <= wanted) {
        recent.partition_point(|entry| entry.offset <= wanted)
    } else {
        0
    };
    let before = |entries: Option<&Entry>| entries.map(edge);
    let from = before(in_sparse.checked_sub(1).and_then(|at| sparse.get(at)))
        .into_iter()
        .chain(before(in_recent.checked_sub(1).and_then(|at| recent.get(at))))
        .max_by_key(|edge| edge.position)
        .unwrap_or(Edge { next: base, position: 0 });

    let most = from.position.saturating_add(max_bytes);
    if visible.position <= most {
        return span(from, visible);
    }
    let within = |entry: &Entry| u64::from(entry.position) <= most;
    let last_sparse = point_near(sparse, in_sparse, within);
    let last_recent =
        if recent.front().is_some_and(within) { recent.partition_point(within) } else { 0 };
    let last = (last_sparse > in_sparse).then(|| edge(&sparse[last_sparse - 1]));
    let last = last
        .into_iter()
        .chain((last_recent > in_recent).then(|| edge(&recent[last_recent - 1])))
        .max_by_key(|edge| edge.position);
    let to = last.unwrap_or_else(|| {
        let behind = sparse.get(in_sparse).into_iter().chain(recent.get(in_recent)).map(edge);
        behind.chain([visible]).min_by_key(|edge| edge.position).unwrap_or(visible)
    });
    span(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::is_due;
    use proptest::prelude::*;

    proptest! {
        /// Against the plain rule, over every record.
        #[test]
        fn spans_begin_and_end_at_entries(
            lens in prop::collection::vec(16..80_u32, 1..60),
            interval in 1..300_u64,
            every in 1..9_usize,
            kept in 0..12_usize,
            visible in any::<prop::sample::Index>(),
            wanted in any::<prop::sample::Index>(),
            max_bytes in 0..1500_u64,
        ) {
            let base = 1000;
            let (mut sparse, mut recent, mut position) = (Vec::new(), VecDeque::new(), 0);
            let mut begins = Vec::new();
            for (offset, len) in lens.iter().enumerate() {
                let entry = Entry { offset: offset as u32, position };
                begins.push(u64::from(position));
                if is_due(&sparse, u64::from(position), interval) {
                    sparse.push(entry);
                }
                if offset % every == 0 {
                    recent.push_back(entry);
                }
                position += len;
            }
            begins.push(u64::from(position));
            recent.drain(..recent.len().saturating_sub(kept));
            let visible = visible.index(lens.len() + 1);
            let edge = Edge { next: base + visible as u64, position: begins[visible] };
            let wanted = wanted.index(visible + 1);
            let span = span(&sparse, &recent, base, edge, base + wanted as u64, max_bytes);

            let (first, next) = ((span.first - base) as usize, (span.next - base) as usize);
            prop_assert_eq!((begins[first], begins[next]), (span.position, span.position + span.len));
            if wanted == visible {
                prop_assert!(first == visible && span.len == 0);
                return Ok(());
            }
            prop_assert!(first <= wanted && wanted < next && next <= visible);
            let is_entry = |number: usize| {
                sparse.iter().chain(&recent).any(|entry| entry.offset as usize == number)
            };
            prop_assert!(is_entry(first) && !(first + 1..=wanted).any(is_entry));
            prop_assert!(is_entry(next) || next == visible);
            let fits = |number: usize| begins[number] <= span.position + max_bytes;
            if fits(next) {
                let further = (next + 1..=visible).any(|n| fits(n) && (is_entry(n) || n == visible));
                prop_assert!(!further, "it could have been longer");
            } else {
                prop_assert!(!(wanted + 1..next).any(is_entry), "it could have been shorter");
            }
        }
    }
}
