//! A record: on the disk as on the wire, so that a segment's bytes can be sent as they are.
//!
//! | bytes | what, big-endian |
//! |---|---|
//! | 0–3 | length of the payload |
//! | 4–7 | CRC-32C (RFC 3720, appendix B.4) of the offset, as in bytes 8–15, and the payload |
//! | 8–15 | offset: the number of the record in the log |
//! | 16– | the payload |

use std::fmt;

/// Bytes of a record before its payload.
pub const HEADER: usize = 16;

/// The first bytes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of the payload.
    pub(crate) len: u32,
    pub(crate) crc: u32,
    pub(crate) offset: u64,
}

impl Header {
    pub(crate) fn of(offset: u64, payload: &[u8]) -> Self {
        let crc = crc32c::crc32c_append(crc_of_offset(offset), payload);
        Self { len: payload.len() as u32, crc, offset }
    }

    pub(crate) fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&self.len.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.crc.to_be_bytes());
        bytes[8..].copy_from_slice(&self.offset.to_be_bytes());
        bytes
    }

    /// `None` if there are fewer than [`HEADER`] bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (offset, _) = rest.split_first_chunk()?;
        Some(Self {
            len: u32::from_be_bytes(*len),
            crc: u32::from_be_bytes(*crc),
            offset: u64::from_be_bytes(*offset),
        })
    }

    /// Bytes of the whole record.
    pub(crate) fn record_len(self) -> u64 {
        HEADER as u64 + u64::from(self.len)
    }
}

/// With what the checksum of the payload goes on.
pub(crate) fn crc_of_offset(offset: u64) -> u32 {
    crc32c::crc32c(&offset.to_be_bytes())
}

/// Puts a record behind what is in `buffer`.
pub(crate) fn encode(offset: u64, payload: &[u8], buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(&Header::of(offset, payload).encode());
    buffer.extend_from_slice(payload);
}

/// One record, in the bytes that were fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number in the log.
    pub offset: u64,
    /// What was appended.
    pub payload: &'a [u8],
}

/// Why bytes are not the record that should stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordFault {
    /// It is longer than what is left.
    CutShort,
    /// It has another offset than the one that is next.
    WrongOffset {
        /// What the record says.
        found: u64,
        /// What should be there.
        expected: u64,
    },
    /// It does not match its checksum.
    Checksum,
}

impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutShort => f.write_str("the record is cut short"),
            Self::WrongOffset { found, expected } => {
                write!(f, "the record says that it is {found}, where {expected} is next")
            }
            Self::Checksum => f.write_str("the record does not match its CRC-32C"),
        }
    }
}

impl std::error::Error for RecordFault {}

/// The records in `bytes`, of which the first has the offset `first`. Each is checked: its length, its offset, its CRC.
///
/// It ends after the first fault: nothing behind that can be believed.
///
/// ```
/// use sendrail_segment_log::{Log, Options, records};
/// # let directory = tempfile::tempdir()?;
/// let log = Log::open(directory.path(), Options::default())?;
/// log.append([&b"first"[..], b"second"])?;
/// let fetched = log.fetch(0, 1 << 20)?;
/// let mut bytes = vec![0; fetched.range.len() as usize];
/// std::os::unix::fs::FileExt::read_exact_at(&**fetched.range.file(), &mut bytes, fetched.range.offset())?;
///
/// let payloads = records(&bytes, fetched.first).map(|record| record.map(|record| record.payload));
/// assert_eq!(payloads.collect::<Result<Vec<_>, _>>()?, [&b"first"[..], b"second"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn records(bytes: &[u8], first: u64) -> Records<'_> {
    Records { bytes, next: first, over: false }
}

/// See [`records`].
#[derive(Debug, Clone)]
pub struct Records<'a> {
    bytes: &'a [u8],
    next: u64,
    over: bool,
}

impl Records<'_> {
    /// The offset that the next record must have: behind the last, that of the next fetch.
    pub fn next_offset(&self) -> u64 {
        self.next
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over || self.bytes.is_empty() {
            return None;
        }
        let record = self.check();
        self.over = record.is_err();
        Some(record)
    }
}

impl<'a> Records<'a> {
    fn check(&mut self) -> Result<Record<'a>, RecordFault> {
        let header = Header::decode(self.bytes).ok_or(RecordFault::CutShort)?;
        if header.offset != self.next {
            let (found, expected) = (header.offset, self.next);
            return Err(RecordFault::WrongOffset { found, expected });
        }
        let (record, rest) = self
            .bytes
            .split_at_checked(header.record_len() as usize)
            .ok_or(RecordFault::CutShort)?;
        let payload = &record[HEADER..];
        if Header::of(header.offset, payload) != header {
            return Err(RecordFault::Checksum);
        }
        self.bytes = rest;
        self.next += 1;
        Ok(Record { offset: header.offset, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_layout_is_what_the_documentation_says() {
        let mut bytes = Vec::new();
        encode(0x0102_0304_0506_0708, b"abc", &mut bytes);
        assert_eq!(bytes[..4], [0, 0, 0, 3]);
        assert_eq!(bytes[8..], *b"\x01\x02\x03\x04\x05\x06\x07\x08abc");
        let crc = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        assert_eq!(crc, crc32c::crc32c(&bytes[8..]), "of all that stands behind it");
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283, "the check value of CRC-32C");
    }

    #[test]
    fn zeros_are_no_record() {
        let fault = records(&[0; 64], 0).next();
        assert_eq!(fault, Some(Err(RecordFault::Checksum)));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_no_flipped_bit_goes_unseen(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..10),
            first in prop_oneof![Just(0), any::<u32>().prop_map(u64::from)],
            flip in any::<prop::sample::Index>(),
            bit in 0..8_u32,
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = Vec::new();
            for (offset, payload) in (first..).zip(&payloads) {
                encode(offset, payload, &mut bytes);
            }
            let read: Vec<_> = records(&bytes, first).map(|record| record.unwrap()).collect();
            prop_assert_eq!(read.len(), payloads.len());
            for (number, record) in read.iter().enumerate() {
                prop_assert_eq!(record.offset, first + number as u64);
                prop_assert_eq!(record.payload, &payloads[number][..]);
            }

            // Cut anywhere: whole records, and at the most one fault.
            let cut = cut.index(bytes.len());
            let whole = records(&bytes[..cut], first).flatten().count();
            prop_assert!(records(&bytes[..cut], first).count() <= whole + 1);
            prop_assert!(whole < payloads.len());

            let at = flip.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let seen: Vec<_> = records(&bytes, first).collect();
            prop_assert!(seen.last().is_some_and(Result::is_err), "{at} {seen:?}");
        }
    }
}
