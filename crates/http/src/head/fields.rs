//! The fields of a request that a file server acts on; all others are not even looked at twice.

/// Lines of one list field kept; a client that spreads a list over more is not a browser.
const MAX_LINES: usize = 4;

/// Values of the fields that matter, without the white space around them.
///
/// A field that must stand once and stands twice is no field at all: `Range`, `If-Range` and the
/// two dates are then `None` (RFC 9110 wants an invalid one ignored), `Host` refuses the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Fields<'a> {
    /// `Host`: checked to be a host and a port. For a target in absolute-form its authority wins
    /// (RFC 9112 §3.2.2), see [`crate::target::PathTarget::authority`].
    pub host: Option<&'a [u8]>,
    /// `Range`. Also `None` if `If-Range` stood twice: what it guards cannot be trusted then.
    pub range: Option<&'a [u8]>,
    /// `If-Range`.
    pub if_range: Option<&'a [u8]>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<&'a [u8]>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Option<&'a [u8]>,
    /// `User-Agent`, the first one: only for the log.
    pub user_agent: Option<&'a [u8]>,
    /// `Referer`, the first one: only for the log.
    pub referer: Option<&'a [u8]>,
    /// `If-Match`.
    pub if_match: FieldLines<'a>,
    /// `If-None-Match`.
    pub if_none_match: FieldLines<'a>,
    /// `Accept`.
    pub accept: FieldLines<'a>,
    /// `Accept-Encoding`.
    pub accept_encoding: FieldLines<'a>,
    /// Seconds of `Prefer: wait` (RFC 7240 §4.3), the first one, if it is a number.
    pub wait: Option<u32>,
    /// Whether any of `Range` and the `If-*` fields was sent, valid or not. False means that the
    /// answer depends on nothing but the file: a prepared head can be sent.
    pub conditional_or_range: bool,
}

/// The lines of a list field, in order: a sender may split a list wherever a comma stands
/// (RFC 9110 §5.3).
///
/// ```
/// use sendrail_http::head::FieldLines;
/// let mut lines = FieldLines::from("gzip");
/// assert!(lines.push(b"br, zstd"));
/// assert_eq!(lines.iter().count(), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FieldLines<'a> {
    lines: [&'a [u8]; MAX_LINES],
    count: u8,
}

impl<'a> FieldLines<'a> {
    /// No line at all, which is not the same as one empty line.
    pub const fn new() -> Self {
        Self { lines: [&[]; MAX_LINES], count: 0 }
    }

    /// Adds a line; false if there are four already, and the line is dropped.
    #[must_use]
    #[inline]
    pub fn push(&mut self, line: &'a [u8]) -> bool {
        let Some(slot) = self.lines.get_mut(usize::from(self.count)) else { return false };
        *slot = line;
        self.count += 1;
        true
    }

    /// Whether the field was not sent.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The lines in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        self.lines[..usize::from(self.count)].iter().copied()
    }
}

impl<'a> From<&'a str> for FieldLines<'a> {
    /// One line.
    fn from(line: &'a str) -> Self {
        Self { lines: [line.as_bytes(), &[], &[], &[]], count: 1 }
    }
}
