//! Byte ranges (RFC 9110 §14): which bytes of a file a client wants, within reason.

use crate::number::{NotDecimal, decimal};

/// Ranges one request may ask for before `Range` is ignored: download managers and PDF readers
/// stay well under it, and what it bounds is our memory for part heads.
pub const MAX_RANGES: usize = 64;

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of its first byte.
    pub first: u64,
    /// Bytes in it, at least 1.
    pub len: u64,
}

impl ByteRange {
    /// Offset of the last byte, as `Content-Range` states it.
    pub const fn last(self) -> u64 {
        self.first + self.len - 1
    }

    const fn end(self) -> u64 {
        self.first + self.len
    }
}

/// What a `Range` field asks of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// Not a byte range, or too many: answer 200 with the whole file, as if it was not sent
    /// (RFC 9110 §14.2).
    Ignore,
    /// Valid, but none of it lies within the file: 416.
    Unsatisfiable,
    /// One piece.
    One(ByteRange),
    /// Two or more pieces that neither overlap nor touch, in the order asked for.
    Many(Vec<ByteRange>),
}

/// Reads a `Range` field for a file of `len` bytes.
///
/// A last position beyond the end is cut to it, a suffix longer than the file is the file, and of
/// several ranges those that lie outside are left out. In an empty file nothing is satisfiable.
///
/// Against abuse (RFC 9110 §14.2, CVE-2011-3192): more than `max_ranges` are ignored as a whole,
/// and ranges that overlap or touch are joined, at the place of the first of them, as §15.3.7.2
/// allows. What remains is disjoint, so an answer can never hold more bytes of the file than the
/// file has, and the number of its part heads is bounded.
///
/// ```
/// use sendrail_http::range::{ByteRange, MAX_RANGES, Ranges, parse};
/// let parse = |value: &str| parse(value.as_bytes(), 10_000, MAX_RANGES);
/// assert_eq!(parse("bytes=500-999"), Ranges::One(ByteRange { first: 500, len: 500 }));
/// assert_eq!(parse("bytes=-500"), Ranges::One(ByteRange { first: 9500, len: 500 }));
/// assert_eq!(parse("bytes=9500-"), Ranges::One(ByteRange { first: 9500, len: 500 }));
/// assert!(matches!(parse("bytes=0-0,-1"), Ranges::Many(ranges) if ranges.len() == 2));
/// assert_eq!(parse("bytes=10000-"), Ranges::Unsatisfiable);
/// assert_eq!(parse("lines=1-2"), Ranges::Ignore);
/// ```
pub fn parse(value: &[u8], len: u64, max_ranges: usize) -> Ranges {
    let Some((unit, set)) = value.split_at_checked(6) else { return Ranges::Ignore };
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return Ranges::Ignore;
    }
    let mut asked = 0;
    let mut only = None;
    let mut several = Vec::new();
    for spec in set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        // Empty list elements are to be tolerated (RFC 9110 §5.6.1.2).
        if spec.is_empty() {
            continue;
        }
        let Some(spec) = Spec::parse(spec) else { return Ranges::Ignore };
        asked += 1;
        if asked > max_ranges {
            return Ranges::Ignore;
        }
        match (spec.within(len), only) {
            (None, _) => {}
            (Some(range), None) => only = Some(range),
            (Some(range), Some(first)) => {
                if several.is_empty() {
                    several.push(first);
                }
                several.push(range);
            }
        }
    }
    match only {
        None if asked == 0 => Ranges::Ignore,
        None => Ranges::Unsatisfiable,
        Some(range) if several.is_empty() => Ranges::One(range),
        Some(_) => match coalesce(&several)[..] {
            [range] => Ranges::One(range),
            ref ranges => Ranges::Many(ranges.to_vec()),
        },
    }
}

/// The one range that a `Range` field asks for, whatever the length of the file; `None` for several, and for what is none.
pub(crate) fn only(value: &[u8]) -> Option<Spec> {
    let (unit, set) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut specs =
        set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|spec| !spec.is_empty());
    let only = Spec::parse(specs.next()?)?;
    specs.next().is_none().then_some(only)
}

/// One range as asked for, before the length of the file is known.
pub(crate) enum Spec {
    Between(u64, u64),
    Suffix(u64),
}

impl Spec {
    fn parse(spec: &[u8]) -> Option<Self> {
        let dash = memchr::memchr(b'-', spec)?;
        let (first, last) = (&spec[..dash], &spec[dash + 1..]);
        match (first, last) {
            ([], suffix) => position(suffix).map(Self::Suffix),
            (first, []) => position(first).map(|first| Self::Between(first, u64::MAX)),
            (first, last) => {
                let (first, last) = (position(first)?, position(last)?);
                // §14.1.1: backwards is invalid, which spoils the whole field.
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    pub(crate) fn within(&self, len: u64) -> Option<ByteRange> {
        match *self {
            Self::Suffix(suffix) => {
                let suffix = suffix.min(len);
                (suffix > 0).then(|| ByteRange { first: len - suffix, len: suffix })
            }
            Self::Between(first, last) => {
                (first < len).then(|| ByteRange { first, len: last.min(len - 1) - first + 1 })
            }
        }
    }
}

/// A position too large to count in is beyond the end of any file, not an error (§14.1.1 has no
/// upper bound).
fn position(digits: &[u8]) -> Option<u64> {
    match decimal(digits) {
        Ok(position) => Some(position),
        Err(NotDecimal::Overflow) => Some(u64::MAX),
        Err(NotDecimal::Syntax) => None,
    }
}

/// Joins what overlaps or touches; the result stands where the first of its members stood.
fn coalesce(ranges: &[ByteRange]) -> Vec<ByteRange> {
    let mut by_offset: Vec<(ByteRange, usize)> =
        ranges.iter().enumerate().map(|(place, &range)| (range, place)).collect();
    by_offset.sort_unstable_by_key(|&(range, place)| (range.first, place));
    let mut joined: Vec<(ByteRange, usize)> = Vec::with_capacity(ranges.len());
    for (range, place) in by_offset {
        match joined.last_mut() {
            Some((before, first_place)) if range.first <= before.end() => {
                before.len = before.end().max(range.end()) - before.first;
                *first_place = place.min(*first_place);
            }
            _ => joined.push((range, place)),
        }
    }
    joined.sort_unstable_by_key(|&(_, place)| place);
    joined.into_iter().map(|(range, _)| range).collect()
}
