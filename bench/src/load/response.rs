//! The head of an answer, read as RFC 9112 has it, and held to what was asked for.

use anyhow::{Context, Result, bail};

use super::workload::Exchange;

/// A head that is larger is not one a file server sends.
const LONGEST: usize = 8 * 1024;

/// A complete head: bytes it took, bytes of body that follow, and what a client remembers of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) len: usize,
    pub(crate) status: u16,
    pub(crate) content_length: u64,
    /// Content-Type begins with `multipart/byteranges`.
    pub(crate) multipart: bool,
    pub(crate) coding: Option<&'a [u8]>,
    pub(crate) entity_tag: Option<&'a [u8]>,
    pub(crate) last_modified: Option<&'a [u8]>,
}

/// `None` while the head is incomplete. An answer whose end the next answer could not be told from is an error.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Head<'_>>> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    let status = response.parse(bytes).with_context(|| {
        format!("a head that is none: {}", bytes[..bytes.len().min(120)].escape_ascii())
    })?;
    let httparse::Status::Complete(len) = status else {
        if bytes.len() > LONGEST {
            bail!("a head of more than {LONGEST} bytes");
        }
        return Ok(None);
    };
    let mut head = Head { len, status: response.code.unwrap_or(0), ..Head::default() };
    let mut content_length = None;
    for field in response.headers.iter() {
        // By length first: this is done for every answer of a loaded server.
        match field.name.len() {
            14 if field.name.eq_ignore_ascii_case("content-length") => {
                let value =
                    std::str::from_utf8(field.value).ok().and_then(|value| value.parse().ok());
                content_length =
                    Some(value.with_context(|| {
                        format!("Content-Length: {}", field.value.escape_ascii())
                    })?);
            }
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                bail!("Transfer-Encoding: {}", field.value.escape_ascii());
            }
            10 if field.name.eq_ignore_ascii_case("connection")
                && field.value.eq_ignore_ascii_case(b"close") =>
            {
                bail!("Connection: close (status {})", head.status);
            }
            12 if field.name.eq_ignore_ascii_case("content-type") => {
                head.multipart = field.value.starts_with(b"multipart/byteranges");
            }
            16 if field.name.eq_ignore_ascii_case("content-encoding") => {
                head.coding = Some(field.value);
            }
            4 if field.name.eq_ignore_ascii_case("etag") => head.entity_tag = Some(field.value),
            13 if field.name.eq_ignore_ascii_case("last-modified") => {
                head.last_modified = Some(field.value);
            }
            _ => {}
        }
    }
    // RFC 9112, section 6.3: these have no body, whatever a 304's Content-Length says.
    head.content_length = match (head.status, content_length) {
        (100..=199 | 204 | 304, _) => 0,
        (_, Some(length)) => length,
        (status, None) => bail!("no Content-Length (status {status})"),
    };
    Ok(Some(head))
}

impl Head<'_> {
    /// An error unless this is the answer to `exchange`: otherwise the servers would not be doing the same work.
    pub(crate) fn answers(&self, exchange: &Exchange) -> Result<()> {
        if self.status != exchange.status {
            bail!("status {} instead of {}", self.status, exchange.status);
        }
        if self.coding != exchange.coding.map(str::as_bytes) {
            bail!(
                "Content-Encoding {} instead of {}",
                self.coding.unwrap_or(b"none").escape_ascii(),
                exchange.coding.unwrap_or("none")
            );
        }
        if !exchange.allows(self.content_length) {
            bail!(
                "Content-Length is {} for {} bytes of content",
                self.content_length,
                exchange.payload()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn a_head_is_complete_only_with_its_empty_line() {
        let head = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 12\r\nETag: \"a\"\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(parse(&head[..end]).unwrap(), None, "{end}");
        }
        let mut whole = head.to_vec();
        whole.extend(b"body");
        let parsed = parse(&whole).unwrap().unwrap();
        assert_eq!((parsed.len, parsed.status, parsed.content_length), (head.len(), 200, 12));
        assert_eq!(parsed.entity_tag, Some(b"\"a\"".as_slice()));
    }

    #[test]
    fn some_have_no_body() {
        for status in ["100 Continue", "204 No Content"] {
            let head = format!("HTTP/1.1 {status}\r\n\r\n");
            assert_eq!(parse(head.as_bytes()).unwrap().unwrap().content_length, 0);
        }
        let head = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(parse(head).unwrap().unwrap().content_length, 0);
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        for (head, why) in [
            ("HTTP/1.1 200 OK\r\n\r\n", "no Content-Length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n", "1x"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "chunked"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n", "close"),
            ("SSH-2.0-x\r\n\r\n", "none"),
        ] {
            let error = parse(head.as_bytes()).unwrap_err();
            assert!(format!("{error:#}").contains(why), "{head:?}: {error:#}");
        }
        assert!(
            parse(&[b"HTTP/1.1 200 OK\r\nX: ", vec![b'a'; LONGEST].as_slice()].concat()).is_err()
        );
    }
}
