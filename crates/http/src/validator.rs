//! Entity tags and dates as validators: when they are strong, and how they compare
//! (RFC 9110 §8.8).

use std::fmt;
use std::io::Write as _;

use crate::date::UnixTime;
use crate::head::FieldLines;
use crate::negotiate::Coding;

/// What a validator promises (RFC 9110 §8.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// Two representations with the same validator are the same, byte for byte.
    Strong,
    /// They are good enough for each other, but pieces of them must not be joined.
    Weak,
}

/// How far apart two changes must be for the kernel to give them different times. A file's time is
/// that of the last timer tick (`current_time`, fs/inode.c): 10 ms at CONFIG_HZ=100. Since Linux
/// 6.13 times are finer where they have been looked at, which only helps.
const KERNEL_GRANULARITY: i128 = 20_000_000;

/// The same where the nanoseconds are zero: perhaps the file system keeps no fractions of a
/// second (ext3, old NFS), or only every other second (FAT).
const WHOLE_SECONDS_GRANULARITY: i128 = 2_000_000_000;

/// Whether size and modification time of a file tell its contents apart, judged when they were
/// `observed` (the time of the `fstat`).
///
/// A file modified within the granularity of its clock may be modified again without any of its
/// times changing, so a tag made of them is weak (RFC 9110 §8.8.1). So is one made from a time in
/// the future, which was set by hand or by another machine's clock. A file observed again later
/// gets its strong tag then.
///
/// ```
/// use sendrail_http::date::UnixTime;
/// use sendrail_http::validator::{Strength, strength};
/// let modified = UnixTime { seconds: 1000, nanoseconds: 5 };
/// let at = |seconds, nanoseconds| strength(modified, UnixTime { seconds, nanoseconds });
/// assert_eq!(at(1000, 10_000_000), Strength::Weak);
/// assert_eq!(at(1000, 30_000_000), Strength::Strong);
/// assert_eq!(at(999, 0), Strength::Weak);
/// ```
pub fn strength(modified: UnixTime, observed: UnixTime) -> Strength {
    let granularity =
        if modified.nanoseconds == 0 { WHOLE_SECONDS_GRANULARITY } else { KERNEL_GRANULARITY };
    if nanoseconds(observed) - nanoseconds(modified) > granularity {
        Strength::Strong
    } else {
        Strength::Weak
    }
}

/// Whether `Last-Modified` may serve as a strong validator, which If-Range needs: the file was
/// modified more than a second before it was `observed`, so the second that the date names is over
/// (RFC 9110 §8.8.2.2).
pub fn date_is_strong(modified: UnixTime, observed: UnixTime) -> bool {
    observed.seconds.saturating_sub(modified.seconds) > 1
}

/// The second to send as `Last-Modified`: that of the modification, but never after the file was
/// `observed`, because a date later than `Date` must not be sent (RFC 9110 §8.8.2.1).
pub fn last_modified_seconds(modified: UnixTime, observed: UnixTime) -> i64 {
    modified.seconds.min(observed.seconds)
}

fn nanoseconds(time: UnixTime) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds)
}

/// `W/"` + 16 hex + `.` + 8 hex + `-` + 16 hex + `-zstd` + `"`, rounded up.
const MAX_TAG: usize = 54;

/// An entity tag, formatted once and kept without the heap.
///
/// Made of the modification time, the size, and the content coding: a variant compressed another
/// way is another representation and must have another tag (RFC 9110 §8.8.3.3).
///
/// ```
/// use sendrail_http::negotiate::Coding;
/// use sendrail_http::validator::{EntityTag, Strength};
/// let tag = EntityTag::new(0x5f5e_1000, 0x3b9a_c9ff, 500, Coding::Gzip, Strength::Weak);
/// assert_eq!(tag.as_str(), r#"W/"5f5e1000.3b9ac9ff-1f4-gz""#);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EntityTag {
    bytes: [u8; MAX_TAG],
    len: u8,
    strength: Strength,
}

impl EntityTag {
    /// A tag for a file modified at that time, of `len` bytes, stored in `coding`.
    pub fn new(
        modified_seconds: i64,
        modified_nanoseconds: u32,
        len: u64,
        coding: Coding,
        strength: Strength,
    ) -> Self {
        let mut bytes = [0; MAX_TAG];
        let mut rest = &mut bytes[..];
        let weak = if strength == Strength::Weak { "W/" } else { "" };
        let suffix = match coding {
            Coding::Identity => "",
            Coding::Gzip => "-gz",
            Coding::Brotli => "-br",
            Coding::Zstd => "-zst",
        };
        write!(rest, "{weak}\"{modified_seconds:x}.{modified_nanoseconds:x}-{len:x}{suffix}\"")
            .expect("MAX_TAG holds the longest of each part");
        let len = (MAX_TAG - rest.len()) as u8;
        Self { bytes, len, strength }
    }

    /// The tag as it stands in `ETag`, with its quotes and, if weak, `W/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The same as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("made of ASCII only")
    }

    /// Appends the tag as it stands in `ETag`.
    #[inline]
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    /// Strong or weak.
    pub const fn strength(&self) -> Strength {
        self.strength
    }

    /// Without `W/` and the quotes.
    fn opaque(&self) -> &[u8] {
        let start = if self.strength == Strength::Weak { 3 } else { 1 };
        &self.as_bytes()[start..usize::from(self.len) - 1]
    }

    /// Whether `value` is one tag that equals this one by `comparison`.
    pub fn matches(&self, value: &[u8], comparison: Comparison) -> bool {
        let (weak, quoted) = match value {
            [b'W', b'/', quoted @ ..] => (true, quoted),
            quoted => (false, quoted),
        };
        match quoted {
            [b'"', opaque @ .., b'"'] => ClientTag { weak, opaque }.equals(self, comparison),
            _ => false,
        }
    }

    /// Whether the list in `lines` (`If-Match`, `If-None-Match`) holds `*` or this tag.
    ///
    /// A list that breaks off in bad syntax counts as far as it could be read: If-None-Match then
    /// sends the file, If-Match refuses, which is the safe side of both.
    pub fn matches_list(&self, lines: &FieldLines<'_>, comparison: Comparison) -> bool {
        let mut all = lines.iter();
        if all.next() == Some(b"*") && all.next().is_none() {
            return true;
        }
        lines.iter().flat_map(|line| Tags { rest: line }).any(|tag| tag.equals(self, comparison))
    }
}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityTag({})", self.as_str())
    }
}

/// The two ways to compare tags (RFC 9110 §8.8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal, and neither is weak: for If-Match and If-Range.
    Strong,
    /// Equal, weak or not: for If-None-Match.
    Weak,
}

/// A tag that a client sent.
struct ClientTag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl ClientTag<'_> {
    fn equals(&self, tag: &EntityTag, comparison: Comparison) -> bool {
        let comparable = match comparison {
            Comparison::Weak => true,
            Comparison::Strong => !self.weak && tag.strength == Strength::Strong,
        };
        comparable && self.opaque == tag.opaque()
    }
}

/// The tags of one line. Cannot be split at commas: a tag may hold one.
struct Tags<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tags<'a> {
    type Item = ClientTag<'a>;

    fn next(&mut self) -> Option<ClientTag<'a>> {
        // Empty list elements are to be tolerated (RFC 9110 §5.6.1.2).
        let start = self.rest.iter().position(|byte| !b", \t".contains(byte))?;
        let element = &self.rest[start..];
        self.rest = &[];
        let (weak, quoted) = match element {
            [b'W', b'/', b'"', quoted @ ..] => (true, quoted),
            [b'"', quoted @ ..] => (false, quoted),
            _ => return None,
        };
        let end = memchr::memchr(b'"', quoted)?;
        let after = quoted[end + 1..].trim_ascii_start();
        if !matches!(after, [] | [b',', ..]) {
            return None;
        }
        self.rest = after;
        Some(ClientTag { weak, opaque: &quoted[..end] })
    }
}

#[cfg(test)]
mod tests {
    use super::{EntityTag, Strength};
    use crate::negotiate::Coding;

    #[test]
    fn the_longest_tag_fits() {
        let tag = EntityTag::new(-1, u32::MAX, u64::MAX, Coding::Zstd, Strength::Weak);
        assert_eq!(tag.as_str(), r#"W/"ffffffffffffffff.ffffffff-ffffffffffffffff-zst""#);
        assert_eq!(tag.opaque(), b"ffffffffffffffff.ffffffff-ffffffffffffffff-zst");
        let shortest = EntityTag::new(0, 0, 0, Coding::Identity, Strength::Strong);
        assert_eq!(shortest.opaque(), b"0.0-0");
    }
}
