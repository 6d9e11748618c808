//! Names of uploads that nobody can guess: 128 random bits.

use std::fmt;
use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

const BYTES: usize = 16;

/// The name of a resumable upload: 128 bits from getrandom(2), shown as 32 lower-case hexadecimal digits. Whoever knows it may go on
/// with the upload, if the owner agrees; so it belongs into no log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId([u8; BYTES]);

impl UploadId {
    /// A new one. Before the kernel's generator is seeded, early at boot, this waits.
    pub(super) fn random() -> io::Result<Self> {
        let mut bytes = [0; BYTES];
        // getrandom(2): up to 256 bytes are never cut short by a signal.
        let count = getrandom(&mut bytes, GetRandomFlags::empty())?;
        if count == BYTES { Ok(Self(bytes)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Reads what [`Display`](fmt::Display) writes, and nothing else: an upload has one name.
    ///
    /// ```
    /// use sendrail_files::UploadId;
    /// let id = UploadId::parse(b"00112233445566778899aabbccddeeff").ok_or("an id")?;
    /// assert_eq!(id.to_string(), "00112233445566778899aabbccddeeff");
    /// assert!(UploadId::parse(b"00112233445566778899AABBCCDDEEFF").is_none());
    /// # Ok::<(), &str>(())
    /// ```
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        if text.len() != 2 * BYTES {
            return None;
        }
        let mut bytes = [0; BYTES];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Not the whole of it: debug output ends up in logs.
impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UploadId({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn each_is_another_and_reads_back() {
        let (first, second) = (UploadId::random().unwrap(), UploadId::random().unwrap());
        assert_ne!(first, second);
        assert_eq!(UploadId::parse(first.to_string().as_bytes()), Some(first));
        assert!(!format!("{first:?}").contains(&first.to_string()[8..]));
    }

    #[test]
    fn only_what_is_written_is_read() {
        for bad in
            ["", "00", "../../../../../../etc/passwd/0000", "0011223344556677889\u{e9}abbccddee"]
        {
            assert_eq!(UploadId::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
