//! Where to send a client that asked for a directory without its trailing slash.

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// Everything that has no place in a URI reference (RFC 3986 §2); `%` stays, for the path comes
/// with its escapes. The backslash matters most: browsers read it as a slash.
const NOT_IN_URI: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// In a path a question mark would begin the query.
const NOT_IN_PATH: &AsciiSet = &NOT_IN_URI.add(b'?');

/// The `Location` that adds a trailing slash to `raw_path` and keeps the query.
///
/// Leading slashes are collapsed into one: `//evil.example/` would be a network-path reference
/// (RFC 3986 §4.2) and lead to another host. The result is printable ASCII whatever came in.
///
/// ```
/// use sendrail_http::redirect::directory_redirect;
/// assert_eq!(directory_redirect(b"/photos", Some(b"sort=size")), "/photos/?sort=size");
/// assert_eq!(directory_redirect(b"//evil.example", None), "/evil.example/");
/// assert_eq!(directory_redirect(b"/\\evil.example", None), "/%5Cevil.example/");
/// ```
pub fn directory_redirect(raw_path: &[u8], query: Option<&[u8]>) -> String {
    let start = raw_path.iter().position(|&byte| byte != b'/').unwrap_or(raw_path.len());
    let path = &raw_path[start..];
    let mut location = String::with_capacity(path.len() + query.map_or(0, <[u8]>::len) + 3);
    location.push('/');
    location.extend(percent_encode(path, NOT_IN_PATH));
    if !location.ends_with('/') {
        location.push('/');
    }
    if let Some(query) = query {
        location.push('?');
        location.extend(percent_encode(query, NOT_IN_URI));
    }
    location
}
