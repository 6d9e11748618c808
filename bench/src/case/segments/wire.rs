//! What is said to a server of segments and what it answers: lengths and numbers, big-endian (docs/segment-log.md).

use anyhow::{Result, bail};

/// Bytes of a fetch's answer before its records.
pub(super) const HEAD: usize = 29;
/// Of a record before its payload: length, checksum, offset.
pub(super) const RECORD: usize = 16;

const FETCH: u8 = 1;
const APPEND: u8 = 2;
/// What a fetch's answer counts besides the records: status, first, next, end.
const FIELDS: u32 = HEAD as u32 - 4;

/// Asks for records from `offset` on, `max_bytes` of them; where there are none yet, waits so many milliseconds.
pub(super) fn fetch(offset: u64, max_bytes: u32, max_wait_ms: u32) -> [u8; 21] {
    let mut request = [0; 21];
    request[..4].copy_from_slice(&17_u32.to_be_bytes());
    request[4] = FETCH;
    request[5..13].copy_from_slice(&offset.to_be_bytes());
    request[13..17].copy_from_slice(&max_bytes.to_be_bytes());
    request[17..].copy_from_slice(&max_wait_ms.to_be_bytes());
    request
}

/// Adds one record to the log.
pub(super) fn append(payload: &[u8]) -> Vec<u8> {
    let mut request = Vec::with_capacity(9 + payload.len());
    request.extend((payload.len() as u32 + 5).to_be_bytes());
    request.push(APPEND);
    request.extend((payload.len() as u32).to_be_bytes());
    request.extend(payload);
    request
}

/// The beginning of a fetch's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Offset of the first record that follows, and the one after the last.
    pub(super) first: u64,
    pub(super) next: u64,
    /// The offset that the next record of the log will have.
    pub(super) end: u64,
    /// Bytes of records.
    pub(super) bytes: u32,
}

impl Head {
    /// `None` while it is incomplete; an answer that is none of records is an error.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Head>> {
        if bytes.get(4).is_some_and(|status| *status != 0) {
            let text = String::from_utf8_lossy(&bytes[5..]);
            bail!("the fetch is answered with status {}: {text}", bytes[4]);
        }
        let Some(head) = bytes.first_chunk::<HEAD>() else { return Ok(None) };
        let number = |at: usize| u64::from_be_bytes(eight(&head[at..]));
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let Some(bytes) = length.checked_sub(FIELDS) else { bail!("an answer of {length} bytes") };
        Ok(Some(Head { first: number(5), next: number(13), end: number(21), bytes }))
    }
}

/// The offset and the payload of the record at the beginning of `bytes`, and the bytes after it; `None` while it is incomplete.
pub(super) fn record(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(RECORD)?;
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let (payload, rest) = rest.split_at_checked(length as usize)?;
    Some((u64::from_be_bytes(eight(&head[8..])), payload, rest))
}

/// A record as it is on the disk and on the wire.
pub(super) fn write_record(offset: u64, payload: &[u8], into: &mut Vec<u8>) {
    let sum = crc32c::crc32c_append(crc32c::crc32c(&offset.to_be_bytes()), payload);
    into.extend((payload.len() as u32).to_be_bytes());
    into.extend(sum.to_be_bytes());
    into.extend(offset.to_be_bytes());
    into.extend(payload);
}

fn eight(bytes: &[u8]) -> [u8; 8] {
    bytes[..8].try_into().expect("eight bytes are eight bytes")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn a_record_is_found_again() {
        let mut bytes = Vec::new();
        write_record(7, b"123456789", &mut bytes);
        write_record(8, b"", &mut bytes);
        // CRC-32C of the offset's eight bytes and "123456789", by another implementation.
        assert_eq!(bytes[..8], [0, 0, 0, 9, 0xf9, 0x75, 0xd6, 0x50]);
        let (offset, payload, rest) = record(&bytes).unwrap();
        assert_eq!((offset, payload), (7, b"123456789".as_slice()));
        assert_eq!(record(rest), Some((8, b"".as_slice(), b"".as_slice())));
        assert_eq!(record(&bytes[..24]), None);
    }

    #[test]
    fn requests_are_as_long_as_they_say() {
        for request in [fetch(1, 2, 3).to_vec(), append(b"abc")] {
            let said = u32::from_be_bytes(request[..4].try_into().unwrap());
            assert_eq!(said as usize, request.len() - 4);
        }
        assert_eq!(append(b"abc")[4..], [2, 0, 0, 0, 3, b'a', b'b', b'c']);
    }

    #[test]
    fn a_head_is_complete_or_refused() {
        let mut answer = (25_u32 + 40).to_be_bytes().to_vec();
        answer.push(0);
        answer.extend([1, 2, 9].map(u64::to_be_bytes).concat());
        for cut in 0..HEAD {
            assert_eq!(Head::parse(&answer[..cut]).unwrap(), None);
        }
        let head = Head { first: 1, next: 2, end: 9, bytes: 40 };
        assert_eq!(Head::parse(&answer).unwrap(), Some(head));
        assert!(Head::parse(b"\0\0\0\x06\x02sorry").unwrap_err().to_string().contains("sorry"));
        assert!(Head::parse(&[0; HEAD]).is_err(), "shorter than its own fields");
    }
}
