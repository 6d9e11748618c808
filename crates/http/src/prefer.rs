//! `Prefer` (RFC 7240): the one preference that a file server can honour, `wait`.

use crate::number::decimal;

/// What a `Prefer` line says of `wait`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing.
    Unsaid,
    /// Something that is no number of seconds: to be ignored, and with it what comes after, for of several the first
    /// counts (RFC 7240 §2).
    Invalid,
    /// So many seconds (RFC 7240 §4.3). A number that is too large to count in is the largest that is not.
    Seconds(u32),
}

/// Reads the value of one line of `Prefer`: a list of preferences, each with parameters perhaps.
pub(crate) fn wait(value: &[u8]) -> Wait {
    for preference in split(value, b',') {
        let Some(preference) = split(preference, b';').next() else { continue };
        let mut halves = preference.splitn(2, |&byte| byte == b'=');
        let name = halves.next().unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"wait") {
            let value = halves.next().unwrap_or_default().trim_ascii();
            return seconds(unquoted(value));
        }
    }
    Wait::Unsaid
}

fn seconds(value: &[u8]) -> Wait {
    use crate::number::NotDecimal;
    match decimal(value) {
        Ok(seconds) => Wait::Seconds(u32::try_from(seconds).unwrap_or(u32::MAX)),
        Err(NotDecimal::Overflow) => Wait::Seconds(u32::MAX),
        Err(NotDecimal::Syntax) => Wait::Invalid,
    }
}

/// A quoted value means the same as a bare one (RFC 7240 §2). Digits need no escapes.
fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// The pieces between separators that do not stand in quotes.
fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |&byte| {
        if escaped {
            escaped = false;
        } else if quoted && byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            quoted = !quoted;
        } else {
            return byte == separator && !quoted;
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::{Wait, wait};

    #[test]
    fn wait_among_others() {
        for (value, expected) in [
            ("wait=10", Wait::Seconds(10)),
            ("Wait = 10", Wait::Seconds(10)),
            ("respond-async, WAIT=10", Wait::Seconds(10)),
            ("foo; bar=1, wait=3; x=y", Wait::Seconds(3)),
            ("wait=\"7\"", Wait::Seconds(7)),
            ("wait=0", Wait::Seconds(0)),
            ("wait=99999999999", Wait::Seconds(u32::MAX)),
            ("wait=99999999999999999999999", Wait::Seconds(u32::MAX)),
            ("wait=1, wait=2", Wait::Seconds(1)),
            ("wait=x, wait=2", Wait::Invalid),
            ("wait", Wait::Invalid),
            ("wait=", Wait::Invalid),
            ("wait=-1", Wait::Invalid),
            ("wait=+1", Wait::Invalid),
            ("wait=1.5", Wait::Invalid),
            ("wait=1s", Wait::Invalid),
            ("waiting=1", Wait::Unsaid),
            ("foo=\"a, wait=5\"", Wait::Unsaid),
            ("foo=\"a\\\", wait=5\"", Wait::Unsaid),
            ("foo; wait=5", Wait::Unsaid),
            ("", Wait::Unsaid),
            (",,;=,", Wait::Unsaid),
        ] {
            assert_eq!(wait(value.as_bytes()), expected, "{value}");
        }
    }
}
