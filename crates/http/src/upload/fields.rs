//! The fields that only requests have that bring something.

use std::mem::MaybeUninit;

use sfv::{BareItem, Item, Parser};

use crate::head::{FieldLines, MAX_FIELDS, Refusal};

/// Values of the fields of uploads, without the white space around them.
///
/// A structured field (RFC 9651) that is not of its type is as if it were not there, as the draft wants it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// `Authorization`.
    pub authorization: Option<&'a [u8]>,
    /// `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// `Content-Encoding`.
    pub content_encoding: Option<&'a [u8]>,
    /// `Content-Range`.
    pub content_range: Option<&'a [u8]>,
    /// `Content-Disposition`, see [`file_name`](super::file_name).
    pub content_disposition: Option<&'a [u8]>,
    /// `Content-Digest` (RFC 9530), see [`digests`](super::digests): of what this request carries.
    pub content_digest: FieldLines<'a>,
    /// `Repr-Digest` (RFC 9530): of the whole file.
    pub repr_digest: FieldLines<'a>,
    /// `Upload-Complete`; of the oldest clients `Upload-Incomplete`, the other way round.
    pub complete: Option<bool>,
    /// `Upload-Offset`, in bytes.
    pub offset: Option<u64>,
    /// `Upload-Length`, in bytes.
    pub length: Option<u64>,
    /// `Upload-Draft-Interop-Version`.
    pub interop: Option<Interop>,
}

/// Which version of the draft a client speaks. Those that are known here differ in little: 3 has `Upload-Incomplete` (iOS 17), up
/// to 5 (`ietf-draft-03` of tus-js-client) PATCH has no media type of its own; 6 is `ietf-draft-05` of tus-js-client, 8 the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interop(u8);

impl Interop {
    /// The versions that are spoken here.
    pub const KNOWN: std::ops::RangeInclusive<u64> = 3..=8;

    fn new(version: u64) -> Option<Self> {
        Self::KNOWN.contains(&version).then_some(Self(version as u8))
    }

    /// Its number.
    pub fn version(self) -> u8 {
        self.0
    }

    /// Whether it says `Upload-Incomplete` instead of `Upload-Complete`.
    pub(super) fn says_incomplete(self) -> bool {
        self.0 == 3
    }

    /// Whether what PATCH brings is labelled [`PARTIAL_UPLOAD`](super::PARTIAL_UPLOAD).
    pub(super) fn labels_parts(self) -> bool {
        self.0 >= 6
    }
}

impl<'a> Fields<'a> {
    /// Reads them from a head that [`parse`](crate::head::parse) has let through: [`Head::raw`](crate::head::Head).
    ///
    /// 400 if one of those stands twice that must not: of what decides where and whether something is stored there must be no doubt.
    pub fn read(head: &'a [u8]) -> Result<Self, Refusal> {
        let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(head, &mut slots) {
            Ok(httparse::Status::Complete(_)) => {}
            _ => return Err(Refusal::bad("the request head is malformed")),
        }
        let mut fields = Self::default();
        let (mut incomplete, mut interop) = (None, None);
        for field in request.headers.iter() {
            let (name, value) = (field.name, field.value);
            let slot = match name.len() {
                12 if name.eq_ignore_ascii_case("content-type") => &mut fields.content_type,
                13 if name.eq_ignore_ascii_case("authorization") => &mut fields.authorization,
                13 if name.eq_ignore_ascii_case("content-range") => &mut fields.content_range,
                16 if name.eq_ignore_ascii_case("content-encoding") => &mut fields.content_encoding,
                19 if name.eq_ignore_ascii_case("content-disposition") => {
                    &mut fields.content_disposition
                }
                11 if name.eq_ignore_ascii_case("repr-digest") => {
                    lines(&mut fields.repr_digest, value)?;
                    continue;
                }
                14 if name.eq_ignore_ascii_case("content-digest") => {
                    lines(&mut fields.content_digest, value)?;
                    continue;
                }
                13 if name.eq_ignore_ascii_case("upload-offset") => {
                    fields.offset = integer(value);
                    continue;
                }
                13 if name.eq_ignore_ascii_case("upload-length") => {
                    fields.length = integer(value);
                    continue;
                }
                15 if name.eq_ignore_ascii_case("upload-complete") => {
                    fields.complete = boolean(value);
                    continue;
                }
                17 if name.eq_ignore_ascii_case("upload-incomplete") => {
                    incomplete = boolean(value);
                    continue;
                }
                28 if name.eq_ignore_ascii_case("upload-draft-interop-version") => {
                    interop = integer(value);
                    continue;
                }
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(Refusal::bad("a field that may stand once stands twice"));
            }
        }
        fields.interop = interop.and_then(Interop::new);
        if fields.interop.is_some_and(Interop::says_incomplete) {
            fields.complete = incomplete.map(|incomplete| !incomplete);
        }
        Ok(fields)
    }
}

fn lines<'a>(lines: &mut FieldLines<'a>, value: &'a [u8]) -> Result<(), Refusal> {
    if lines.push(value) {
        Ok(())
    } else {
        Err(Refusal::bad("one field is spread over too many lines"))
    }
}

fn item(value: &[u8]) -> Option<BareItem> {
    Parser::new(value).parse::<Item>().ok().map(|item| item.bare_item)
}

fn integer(value: &[u8]) -> Option<u64> {
    match item(value)? {
        BareItem::Integer(integer) => u64::try_from(i64::from(integer)).ok(),
        _ => None,
    }
}

fn boolean(value: &[u8]) -> Option<bool> {
    match item(value)? {
        BareItem::Boolean(boolean) => Some(boolean),
        _ => None,
    }
}
