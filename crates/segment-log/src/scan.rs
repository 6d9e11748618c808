//! Scanning a segment: how far it is good, and whether what follows is a torn tail or damage in the middle.

use crate::{
    index::{Entry, is_due},
    record::{HEADER, Header, RecordFault, crc_of_offset},
};
use std::{fs::File, io, os::unix::fs::FileExt};

/// Bytes that are read at once.
const WINDOW: usize = 1 << 20;

/// What a scan has found.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) entries: Vec<Entry>,
    /// Bytes that are good records.
    pub(crate) len: u64,
    /// The offset behind the last of them.
    pub(crate) next: u64,
    /// Why it does not go on, if that is not the end of the file.
    pub(crate) fault: Option<RecordFault>,
}

/// Checks every record of the segment with this base, up to the first that is not as it should be, and makes the index.
pub(crate) fn scan(file: &File, base: u64, interval: u64) -> io::Result<Scan> {
    let begin = Entry { offset: 0, position: 0 };
    scan_from(file, base, begin, interval)
}

/// The same from a record on; the entries are those from there on.
pub(crate) fn scan_from(file: &File, base: u64, from: Entry, interval: u64) -> io::Result<Scan> {
    let mut window = Window::new(file);
    let mut entries = Vec::new();
    let (mut position, mut next) = (u64::from(from.position), base + u64::from(from.offset));
    loop {
        let (len, fault) = match check(&mut window, position, next)? {
            Checked::Record(len) => (len, None),
            Checked::End => (0, None),
            Checked::Fault(fault) => (0, Some(fault)),
        };
        if len == 0 {
            return Ok(Scan { entries, len: position, next, fault });
        }
        if position + len > u64::from(u32::MAX) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than a segment can be"));
        }
        if is_due(&entries, position, interval) {
            entries.push(Entry { offset: (next - base) as u32, position: position as u32 });
        }
        position += len;
        next += 1;
    }
}

/// Where a good record begins behind `position`, at which none does, if there is one: then what is there is no torn tail.
///
/// Its offset is between `next` and as many more as find room before it, so few places are looked at twice. A payload
/// that is itself a piece of a log can be taken for one: that refuses to cut what could have been cut.
pub(crate) fn good_record_behind(file: &File, position: u64, next: u64) -> io::Result<Option<u64>> {
    let mut window = Window::new(file);
    let mut candidates = Window::new(file);
    let mut at = position + 1;
    loop {
        let bytes = window.from(at, WINDOW / 2)?;
        if bytes.len() < HEADER {
            return Ok(None);
        }
        let places = bytes.len() - HEADER + 1;
        for place in 0..places {
            let begins = at + place as u64;
            let Some(header) = Header::decode(&bytes[place..]) else { break };
            let most = next + (begins - position) / HEADER as u64;
            if (next..=most).contains(&header.offset)
                && let Checked::Record(_) = check(&mut candidates, begins, header.offset)?
            {
                return Ok(Some(begins));
            }
        }
        at += places as u64;
    }
}

enum Checked {
    /// A good record of so many bytes.
    Record(u64),
    Fault(RecordFault),
    /// Nothing is there any more.
    End,
}

fn check(window: &mut Window<'_>, position: u64, expected: u64) -> io::Result<Checked> {
    let bytes = window.from(position, HEADER)?;
    if bytes.is_empty() {
        return Ok(Checked::End);
    }
    let Some(header) = Header::decode(bytes) else {
        return Ok(Checked::Fault(RecordFault::CutShort));
    };
    if header.offset != expected {
        let found = header.offset;
        return Ok(Checked::Fault(RecordFault::WrongOffset { found, expected }));
    }
    let (mut at, end) = (position + HEADER as u64, position + header.record_len());
    if end > window.file_len {
        return Ok(Checked::Fault(RecordFault::CutShort));
    }
    let mut crc = crc_of_offset(header.offset);
    while at < end {
        let bytes = window.from(at, 1)?;
        let piece = &bytes[..bytes.len().min((end - at) as usize)];
        if piece.is_empty() {
            return Ok(Checked::Fault(RecordFault::CutShort));
        }
        crc = crc32c::crc32c_append(crc, piece);
        at += piece.len() as u64;
    }
    let good = crc == header.crc;
    Ok(if good { Checked::Record(end - position) } else { Checked::Fault(RecordFault::Checksum) })
}

/// A piece of the file in memory.
struct Window<'a> {
    file: &'a File,
    file_len: u64,
    begins: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a File) -> Self {
        let file_len = file.metadata().map_or(0, |metadata| metadata.len());
        Self { file, file_len, begins: 0, bytes: Vec::new() }
    }

    /// The bytes from `position` on: `least` at the least, unless the file ends before.
    fn from(&mut self, position: u64, least: usize) -> io::Result<&[u8]> {
        let ends = self.begins + self.bytes.len() as u64;
        if position < self.begins
            || (position + least as u64 > ends && ends < self.file_len)
            || position > ends
        {
            let len = (self.file_len.saturating_sub(position)).min(WINDOW as u64) as usize;
            self.bytes.resize(len, 0);
            let mut filled = 0;
            while filled < len {
                match self.file.read_at(&mut self.bytes[filled..], position + filled as u64) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.bytes.truncate(filled);
            self.begins = position;
        }
        Ok(&self.bytes[(position - self.begins) as usize..])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::record::encode;

    fn segment(base: u64, lens: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, len) in lens.iter().enumerate() {
            encode(base + number as u64, &vec![number as u8; *len], &mut bytes);
        }
        bytes
    }

    fn file_of(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    #[test]
    fn records_longer_than_the_window_are_checked_whole() {
        let mut bytes = segment(5, &[10, 3 * WINDOW, WINDOW - HEADER, 0, 7]);
        let scanned = scan(&file_of(&bytes), 5, 100).unwrap();
        assert_eq!((scanned.len, scanned.next, scanned.fault), (bytes.len() as u64, 10, None));
        let entries: Vec<_> = scanned.entries.iter().map(|entry| entry.offset).collect();
        assert_eq!(entries, [0, 2, 3], "the second record begins at byte 26, too near");

        bytes[2 * WINDOW] ^= 1;
        let scanned = scan(&file_of(&bytes), 5, 100).unwrap();
        assert_eq!(
            (scanned.len, scanned.next, scanned.fault),
            (26, 6, Some(RecordFault::Checksum))
        );
        let good = good_record_behind(&file_of(&bytes), 26, 6).unwrap();
        assert_eq!(good, Some(26 + 16 + 3 * WINDOW as u64));
    }

    #[test]
    fn a_torn_tail_has_no_record_behind_it() {
        let bytes = segment(0, &[100, 200, 300]);
        for cut in 332..bytes.len() {
            let file = file_of(&bytes[..cut]);
            assert_eq!(good_record_behind(&file, 332, 2).unwrap(), None, "{cut}");
        }
        let file = file_of(&[&bytes[..], &[0; 5000]].concat());
        assert_eq!(good_record_behind(&file, bytes.len() as u64, 3).unwrap(), None, "zeros");
    }

    #[test]
    fn a_record_is_found_wherever_windows_end() {
        for before in
            [1, 15, WINDOW / 2 - 8, WINDOW / 2, WINDOW - 17, WINDOW - 1, WINDOW, WINDOW + 5]
        {
            let mut bytes = vec![0xff; before];
            encode(3, b"here", &mut bytes);
            let found = good_record_behind(&file_of(&bytes), 0, 3).unwrap();
            assert_eq!(found, Some(before as u64), "{before}");
        }
    }
}
