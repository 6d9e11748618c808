//! HTTP dates: three forms are read, one is written (RFC 9110 §5.6.7).

use std::fmt;
use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

/// The last second an HTTP date can name: 9999-12-31 23:59:59.
const LAST_SECOND: i64 = 253_402_300_799;

/// A point in time as a file system states it: seconds and nanoseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999, counted forward from `seconds`.
    pub nanoseconds: u32,
}

/// Reads an HTTP date into Unix seconds; `None` if it is none, or before 1970.
///
/// All three forms are read: IMF-fixdate, RFC 850, asctime. RFC 9110 §13.1.3 and §13.1.4 want an
/// invalid date ignored, so there is no more to say than `None`.
///
/// ```
/// use sendrail_http::date::parse_http_date;
/// assert_eq!(parse_http_date(b"Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
/// assert_eq!(parse_http_date(b"Sunday, 06-Nov-94 08:49:37 GMT"), Some(784_111_777));
/// assert_eq!(parse_http_date(b"Sun Nov  6 08:49:37 1994"), Some(784_111_777));
/// assert_eq!(parse_http_date(b"yesterday"), None);
/// ```
pub fn parse_http_date(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii())?;
    let time = httpdate::parse_http_date(text).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs() as i64)
}

/// Writes Unix seconds as an IMF-fixdate, which is always 29 bytes.
///
/// A time before 1970 or after 9999, which the form cannot name, becomes the nearest one it can:
/// file systems hold such times, and a file must not become unservable for it.
///
/// ```
/// use sendrail_http::date::format_http_date;
/// assert_eq!(&format_http_date(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// assert_eq!(&format_http_date(-1), b"Thu, 01 Jan 1970 00:00:00 GMT");
/// ```
pub fn format_http_date(unix_seconds: i64) -> [u8; 29] {
    let seconds = clamp_to_http_date(unix_seconds) as u64;
    let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds));
    let mut bytes = [0; 29];
    write!(&mut bytes[..], "{date}").expect("an IMF-fixdate has 29 bytes in the years to 9999");
    bytes
}

/// The nearest second that an HTTP date can name. Comparisons with a client's date must use the
/// same value that was sent as `Last-Modified`, or a file from 1969 would never be fresh.
pub(crate) fn clamp_to_http_date(unix_seconds: i64) -> i64 {
    unix_seconds.clamp(0, LAST_SECOND)
}

/// The current date, formatted once a second instead of once a response.
///
/// ```
/// use sendrail_http::date::DateLine;
/// let mut date = DateLine::new();
/// assert_eq!(date.at(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// assert_eq!(date.at(784_111_778), b"Sun, 06 Nov 1994 08:49:38 GMT");
/// ```
#[derive(Clone)]
pub struct DateLine {
    seconds: i64,
    bytes: [u8; 29],
}

impl DateLine {
    /// Holds the epoch until it is asked for another second.
    pub fn new() -> Self {
        Self { seconds: 0, bytes: format_http_date(0) }
    }

    /// The date of `unix_seconds`; formats only if that is not the second asked for last.
    #[inline]
    pub fn at(&mut self, unix_seconds: i64) -> &[u8; 29] {
        if unix_seconds != self.seconds {
            self.seconds = unix_seconds;
            self.bytes = format_http_date(unix_seconds);
        }
        &self.bytes
    }
}

impl Default for DateLine {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DateLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DateLine({})", String::from_utf8_lossy(&self.bytes))
    }
}
