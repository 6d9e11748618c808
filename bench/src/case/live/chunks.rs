//! What a follower receives: a head, and chunks (RFC 9112, section 7.1) whose contents must be those of the file, byte for byte.

use anyhow::{Context, Result, bail, ensure};

use crate::case::pattern::Pattern;

/// A head that is longer is not one a file server sends.
const LONGEST_HEAD: usize = 8 << 10;
/// A size in hexadecimal digits, with an extension at the most.
const LONGEST_LINE: usize = 64;

/// Reads what comes, in whatever pieces.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    expects: Expects,
    /// The beginning of a head or of a line that came in pieces.
    held: Vec<u8>,
    /// Contents so far, all of which were right.
    pub(super) received: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum Expects {
    #[default]
    Head,
    Size,
    Contents(u64),
    /// The end of the line behind them: so many bytes of it.
    EndOfContents(usize),
}

impl Decoder {
    pub(super) fn take(&mut self, mut arrived: &[u8], pattern: &Pattern) -> Result<()> {
        while !arrived.is_empty() {
            match self.expects {
                Expects::Head => {
                    let Some(head) = self.until(&mut arrived, b"\r\n\r\n", LONGEST_HEAD)? else {
                        return Ok(());
                    };
                    check(&head)?;
                    self.expects = Expects::Size;
                }
                Expects::Size => {
                    let Some(line) = self.until(&mut arrived, b"\r\n", LONGEST_LINE)? else {
                        return Ok(());
                    };
                    let digits = line.split(|byte| matches!(byte, b';' | b'\r')).next();
                    let size = digits.and_then(|digits| std::str::from_utf8(digits).ok());
                    let size = size.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
                    self.expects = match size {
                        None => bail!("a chunk of size {}", line.escape_ascii()),
                        Some(0) => bail!("the server ended the stream"),
                        Some(size) => Expects::Contents(size),
                    };
                }
                Expects::Contents(left) => {
                    let len = (arrived.len() as u64).min(left) as usize;
                    let contents = arrived.split_off(..len).context("what has arrived")?;
                    if !pattern.is_at(self.received, contents) {
                        bail!("other bytes than the file's, from {} on", self.received);
                    }
                    self.received += len as u64;
                    self.expects = match left - len as u64 {
                        0 => Expects::EndOfContents(2),
                        left => Expects::Contents(left),
                    };
                }
                Expects::EndOfContents(left) => {
                    let wanted = if left == 2 { b'\r' } else { b'\n' };
                    ensure!(arrived[0] == wanted, "a chunk that is longer than it says");
                    arrived = &arrived[1..];
                    self.expects =
                        if left == 2 { Expects::EndOfContents(1) } else { Expects::Size };
                }
            }
        }
        Ok(())
    }

    /// What comes before and with `end`, once it is all there.
    fn until(
        &mut self,
        arrived: &mut &[u8],
        end: &[u8],
        longest: usize,
    ) -> Result<Option<Vec<u8>>> {
        let from = self.held.len().saturating_sub(end.len() - 1);
        let before = self.held.len();
        self.held.extend(&arrived[..arrived.len().min(longest)]);
        let Some(at) = memchr::memmem::find(&self.held[from..], end) else {
            ensure!(self.held.len() < longest, "a head or a line of {longest} bytes");
            *arrived = &[];
            return Ok(None);
        };
        let len = from + at + end.len();
        *arrived = &arrived[len - before..];
        self.held.truncate(len);
        Ok(Some(std::mem::take(&mut self.held)))
    }
}

fn check(head: &[u8]) -> Result<()> {
    let shown = || String::from_utf8_lossy(head).into_owned();
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    response.parse(head).with_context(|| format!("a head that is none: {}", shown()))?;
    let chunked = response.headers.iter().any(|field| {
        field.name.eq_ignore_ascii_case("transfer-encoding")
            && field.value.eq_ignore_ascii_case(b"chunked")
    });
    ensure!(response.code == Some(200) && chunked, "this server does not follow: {}", shown());
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    fn stream(pattern: &Pattern, sizes: &[usize]) -> Vec<u8> {
        let mut bytes = HEAD.to_vec();
        let mut offset = 0;
        for &size in sizes {
            bytes.extend(format!("{size:x};a=b\r\n").into_bytes());
            bytes.extend(pattern.bytes(offset, size));
            bytes.extend(b"\r\n");
            offset += size as u64;
        }
        bytes
    }

    #[test]
    fn chunks_are_read_however_they_are_cut() {
        let pattern = Pattern::new();
        let bytes = stream(&pattern, &[1, 200, 4096, 17]);
        for piece in [1, 2, 3, 7, 100, 4096, bytes.len()] {
            let mut decoder = Decoder::default();
            for piece in bytes.chunks(piece) {
                decoder.take(piece, &pattern).unwrap();
            }
            assert_eq!(decoder.received, 4314, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let pattern = Pattern::new();
        let refused = |bytes: &[u8]| {
            Decoder::default().take(bytes, &pattern).map_err(|error| error.to_string()).unwrap_err()
        };
        let good = stream(&pattern, &[10]);
        let mut flipped = good.clone();
        let last = flipped.len() - 3;
        flipped[last] ^= 1;
        assert!(refused(&flipped).contains("other bytes than the file's"));
        let ended = [&good, b"0\r\n".as_slice()].concat();
        assert!(refused(&ended).contains("ended"));
        let long = [&good[..good.len() - 2], b"x\r\n".as_slice()].concat();
        assert!(refused(&long).contains("longer than it says"));
        assert!(refused(&[HEAD, b"tea\r\n"].concat()).contains("tea"));
        assert!(refused(&[HEAD, &[b'1'; LONGEST_LINE]].concat()).contains("of 64 bytes"));
        assert!(refused(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").contains("not follow"));
    }
}
