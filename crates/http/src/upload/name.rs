//! The name that a client gives to what it brings: `Content-Disposition` (RFC 6266).

use percent_encoding::percent_decode;

/// The file name in a `Content-Disposition`: that of `filename*` (RFC 8187, UTF-8), else of `filename`. Only what follows the last
/// slash or backslash counts (RFC 6266 §4.3), and never `.` or `..`.
///
/// ```
/// use sendrail_http::upload::file_name;
/// let value = b"inline; filename=\"file name.jpg\"; filename*=UTF-8''file%20n%c3%a4me.jpg";
/// assert_eq!(file_name(value).as_deref(), Some("file näme.jpg"));
/// assert_eq!(file_name(b"attachment; filename=\"../../etc/passwd\"").as_deref(), Some("passwd"));
/// assert_eq!(file_name(b"inline; filename=..").as_deref(), None);
/// assert_eq!(file_name(b"inline"), None);
/// ```
pub fn file_name(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let (mut plain, mut extended) = (None, None);
    let mut rest = text.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = parameter(after.trim_start())?;
        match name.trim() {
            name if name.eq_ignore_ascii_case("filename") => plain = plain.or(Some(value)),
            name if name.eq_ignore_ascii_case("filename*") => {
                extended = extended.or_else(|| decode(&value));
            }
            _ => {}
        }
        match after.trim_start().strip_prefix(';') {
            Some(after) => rest = after,
            None if after.trim().is_empty() => break,
            None => return None,
        }
    }
    let name = extended.or(plain)?;
    let last = name.rsplit(['/', '\\']).next()?.to_owned();
    let is_name = !matches!(last.as_str(), "" | "." | "..") && !last.contains(char::is_control);
    is_name.then_some(last)
}

/// A token or a quoted string, and what follows it.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return Some((text[..end].trim_end().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn decode(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let (charset, _language, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    percent_decode(encoded.as_bytes()).decode_utf8().ok().map(Into::into)
}
