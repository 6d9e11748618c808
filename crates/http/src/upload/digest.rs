//! Digests of what is sent (RFC 9530): which are known, and what they are.

use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::head::{FieldLines, Refusal};

/// What some bytes must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentSum {
    /// `sha-256` or `sha-512`.
    pub algorithm: &'static str,
    /// 32 or 64 bytes.
    pub value: Vec<u8>,
}

/// Reads `Content-Digest` or `Repr-Digest`: those digests that are known here. Others are passed over, as RFC 9530 §2 wants it; the
/// deprecated ones (`md5`, `sha`, `crc32c` …) too, for they prove nothing.
///
/// 400 if the field is no dictionary, or a digest is not as long as its algorithm makes it: whoever sends one wants it checked.
///
/// ```
/// use sendrail_http::{head::FieldLines, upload::digests};
/// let known = digests(&FieldLines::from("md5=:1B2M2Y8AsgTpgAmY7PhCfg==:, \
///     sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"))?;
/// assert_eq!((known.len(), known[0].algorithm, known[0].value.len()), (1, "sha-256", 32));
/// assert!(digests(&FieldLines::from("sha-256=:AAAA:")).is_err());
/// # Ok::<(), sendrail_http::head::Refusal>(())
/// ```
pub fn digests(lines: &FieldLines<'_>) -> Result<Vec<ContentSum>, Refusal> {
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let value = lines.iter().collect::<Vec<_>>().join(&b", "[..]);
    let Ok(dictionary) = Parser::new(&value).parse::<Dictionary>() else {
        return Err(Refusal::bad("a digest field is malformed"));
    };
    let mut known = Vec::new();
    for (key, entry) in &dictionary {
        let (algorithm, len) = match key.as_str() {
            "sha-256" => ("sha-256", 32),
            "sha-512" => ("sha-512", 64),
            _ => continue,
        };
        match entry {
            ListEntry::Item(item) => match &item.bare_item {
                BareItem::ByteSequence(value) if value.len() == len => {
                    known.push(ContentSum { algorithm, value: value.clone() });
                }
                _ => return Err(Refusal::bad("a digest is not as long as its algorithm makes it")),
            },
            ListEntry::InnerList(_) => return Err(Refusal::bad("a digest field is malformed")),
        }
    }
    Ok(known)
}
