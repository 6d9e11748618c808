//! What a server lets in, as it says so: `Upload-Limit`.

use std::fmt;

/// What uploads must keep to; `None`: no limit. As [`Display`](fmt::Display) it is the value of `Upload-Limit`.
///
/// ```
/// use sendrail_http::upload::Limits;
/// let limits = Limits { most: Some(1 << 30), max_age: Some(3600), ..Limits::default() };
/// assert_eq!(limits.to_string(), "max-size=1073741824, max-age=3600");
/// assert_eq!(Limits::default().to_string(), "min-size=0"); // there must be something
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `max-size`: bytes of one file.
    pub most: Option<u64>,
    /// `max-append-size`: bytes that one request may bring.
    pub most_at_once: Option<u64>,
    /// `max-age`: seconds that an upload is kept from now on.
    pub max_age: Option<u64>,
}

/// RFC 9651 §3.3.1: an integer has 15 digits at most.
const LARGEST: u64 = 999_999_999_999_999;

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = [
            ("max-size", self.most),
            ("max-append-size", self.most_at_once),
            ("max-age", self.max_age),
        ];
        let mut separator = "";
        for (key, limit) in known {
            if let Some(limit) = limit {
                write!(f, "{separator}{key}={}", limit.min(LARGEST))?;
                separator = ", ";
            }
        }
        if separator.is_empty() { f.write_str("min-size=0") } else { Ok(()) }
    }
}
