//! Choosing by `Accept-Encoding` and `Accept` (RFC 9110 §12.5).

use crate::head::FieldLines;

/// How a stored variant of a file is compressed (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// gzip.
    Gzip,
    /// Brotli.
    Brotli,
    /// Zstandard.
    Zstd,
}

impl Coding {
    /// All of them; the order settles ties, the variant that is usually smaller last.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Gzip, Self::Brotli, Self::Zstd];

    /// The name in `Content-Encoding`.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// What a stored variant's file name ends in; empty for identity.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Gzip => ".gz",
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
        }
    }

    fn named_by(name: &[u8]) -> Option<Self> {
        // RFC 9110 §8.4.1.3: x-gzip is to be taken for gzip.
        if name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.token().as_bytes()))
    }
}

/// A set of codings. Identity belongs to every set: the file itself is always there.
///
/// ```
/// use sendrail_http::negotiate::{Coding, CodingSet};
/// let set = CodingSet::new().with(Coding::Gzip);
/// assert!(set.contains(Coding::Gzip) && set.contains(Coding::Identity));
/// assert!(!set.contains(Coding::Zstd));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodingSet(u8);

impl CodingSet {
    /// Identity alone.
    pub const fn new() -> Self {
        Self(1 << Coding::Identity as u8)
    }

    /// The same set and `coding`.
    #[must_use]
    pub const fn with(self, coding: Coding) -> Self {
        Self(self.0 | 1 << coding as u8)
    }

    /// Whether `coding` is in it.
    pub const fn contains(self, coding: Coding) -> bool {
        self.0 & 1 << coding as u8 != 0
    }

    /// Whether there is nothing to choose from.
    pub const fn is_identity_only(self) -> bool {
        self.0 == Self::new().0
    }
}

impl Default for CodingSet {
    fn default() -> Self {
        Self::new()
    }
}

/// Chooses the variant to send by the client's weights.
///
/// Of equal weights the usually smaller variant wins: zstd, br, gzip, identity. Identity that is
/// not mentioned is acceptable, but anything named is wanted more (§12.5.3). Without the field, or
/// with an empty one, it is identity: a client that understands a coding says so.
///
/// `None`: the client refuses all there is, identity included. §12.5.3 lets a server answer 406
/// or send the file as it is; Sendrail sends it, for a file that can perhaps be read is more use
/// than a page that says it cannot.
///
/// ```
/// use sendrail_http::head::FieldLines;
/// use sendrail_http::negotiate::{Coding, CodingSet, choose_coding};
/// let stored = CodingSet::new().with(Coding::Gzip).with(Coding::Brotli);
/// let choose = |field| choose_coding(&FieldLines::from(field), stored);
/// assert_eq!(choose("gzip, deflate, br, zstd"), Some(Coding::Brotli));
/// assert_eq!(choose("gzip;q=1.0, br;q=0.5"), Some(Coding::Gzip));
/// assert_eq!(choose("deflate"), Some(Coding::Identity));
/// assert_eq!(choose("identity;q=0"), None);
/// ```
pub fn choose_coding(accept_encoding: &FieldLines<'_>, available: CodingSet) -> Option<Coding> {
    let mut weights = [None; Coding::ALL.len()];
    let mut any = None;
    for (name, weight) in elements(accept_encoding) {
        if name == b"*" {
            any = Some(weight);
        } else if let Some(coding) = Coding::named_by(name) {
            weights[coding as usize] = Some(weight);
        }
    }
    Coding::ALL
        .into_iter()
        .filter(|&coding| available.contains(coding))
        .filter_map(|coding| match (weights[coding as usize].or(any), coding) {
            (Some(0), _) => None,
            (Some(weight), _) => Some((weight, coding)),
            // Acceptable unless excluded, and below the smallest weight that can be written.
            (None, Coding::Identity) => Some((0, coding)),
            (None, _) => None,
        })
        .max()
        .map(|(_, coding)| coding)
}

/// Whether a client wants a listing as JSON rather than as HTML.
///
/// It does if JSON weighs more, or the same while JSON is named and HTML only covered by a
/// wildcard: so `Accept: application/json, */*` is JSON, a browser and `curl` without options get
/// HTML.
///
/// ```
/// use sendrail_http::head::FieldLines;
/// use sendrail_http::negotiate::prefers_json;
/// assert!(prefers_json(&FieldLines::from("application/json")));
/// assert!(!prefers_json(&FieldLines::from("*/*")));
/// assert!(!prefers_json(&FieldLines::from("text/html, application/json;q=0.9")));
/// ```
pub fn prefers_json(accept: &FieldLines<'_>) -> bool {
    quality(accept, b"application/json") > quality(accept, b"text/html")
}

/// Weight of a media type and how closely it was named; the closest mention decides the weight
/// (§12.5.1). (0, 0) if it is not acceptable.
fn quality(accept: &FieldLines<'_>, media_type: &[u8]) -> (u16, u8) {
    let slash = memchr::memchr(b'/', media_type).map_or(0, |slash| slash + 1);
    elements(accept)
        .filter_map(|(range, weight)| {
            let closeness = if range.eq_ignore_ascii_case(media_type) {
                3
            } else if range.strip_suffix(b"*").is_some_and(|family| {
                !family.is_empty() && family.eq_ignore_ascii_case(&media_type[..slash])
            }) {
                2
            } else {
                u8::from(range == b"*/*")
            };
            (closeness > 0).then_some((closeness, weight))
        })
        .max()
        .filter(|&(_, weight)| weight > 0)
        .map_or((0, 0), |(closeness, weight)| (weight, closeness))
}

/// The elements of a weighted list: name and weight in thousandths. One with a malformed weight is
/// left out, as if the client had not mentioned it; other parameters say nothing here.
fn elements<'a>(lines: &FieldLines<'a>) -> impl Iterator<Item = (&'a [u8], u16)> {
    lines.iter().flat_map(|line| line.split(|&byte| byte == b',')).filter_map(|element| {
        let mut weight = 1000;
        let (name, parameters) = match memchr::memchr(b';', element) {
            None => (element, &[][..]),
            Some(end) => (&element[..end], &element[end + 1..]),
        };
        let name = name.trim_ascii();
        for parameter in parameters.split(|&byte| byte == b';').map(<[u8]>::trim_ascii) {
            if let [b'q' | b'Q', b'=', value @ ..] = parameter {
                weight = parse_weight(value)?;
            }
        }
        (!name.is_empty()).then_some((name, weight))
    })
}

/// `0`, `0.5`, `1.000` in thousandths: at most three digits, none above 1 (RFC 9110 §12.4.2).
fn parse_weight(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = match value {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut weight = u16::from(whole - b'0');
    for place in 0..3 {
        let digit = fraction.get(place).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        weight = weight * 10 + u16::from(digit - b'0');
    }
    (weight <= 1000).then_some(weight)
}
