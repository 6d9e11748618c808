//! The head of an answer, read as RFC 9112 has it, and held to what was asked for.

use anyhow::{Context, Result, bail};

/// A head that is larger is not one a file server sends.
const LONGEST: usize = 8 * 1024;

/// A complete head: bytes it took, and bytes of body that follow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) len: usize,
    pub(crate) content_length: u64,
}

/// `None` while the head is incomplete. Anything but `200` with a Content-Length and an open connection is an error:
/// then the servers would not be doing the same work.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Head>> {
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
    if response.code != Some(200) {
        bail!("status {} {}", response.code.unwrap_or(0), response.reason.unwrap_or(""));
    }
    let mut content_length = None;
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let value = std::str::from_utf8(field.value).ok().and_then(|value| value.parse().ok());
            content_length = Some(
                value.with_context(|| format!("Content-Length: {}", field.value.escape_ascii()))?,
            );
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("Transfer-Encoding: {}", field.value.escape_ascii());
        } else if field.name.eq_ignore_ascii_case("connection")
            && field.value.eq_ignore_ascii_case(b"close")
        {
            bail!("Connection: close");
        }
    }
    let content_length = content_length.context("no Content-Length")?;
    Ok(Some(Head { len, content_length }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn a_head_is_complete_only_with_its_empty_line() {
        let head = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 12\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(parse(&head[..end]).unwrap(), None, "{end}");
        }
        let mut whole = head.to_vec();
        whole.extend(b"body");
        assert_eq!(parse(&whole).unwrap(), Some(Head { len: head.len(), content_length: 12 }));
    }

    #[test]
    fn other_work_is_refused() {
        for (head, why) in [
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
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
