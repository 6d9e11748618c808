//! The request target into a path that names something beneath the root, or nothing.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::authority::is_host_and_port;
use crate::head::{Method, Refusal};
use crate::status::Status;

/// The longest name of a directory entry in Linux, in bytes (`NAME_MAX`, limits.h(0p)).
const NAME_MAX: usize = 255;

/// What a request is about (RFC 9112 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// `OPTIONS *`: the server as a whole.
    Server,
    /// A file or directory.
    Path(PathTarget<'a>),
}

/// A target that names a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTarget<'a> {
    /// Decoded, dot segments removed, doubled slashes collapsed, no slash at either end; empty for
    /// the root. No segment is empty, `.`, `..`, longer than 255 bytes, or holds NUL or a slash.
    /// Bytes, not text: a name in Linux need not be UTF-8. Borrowed unless decoding changed it.
    pub path: Cow<'a, [u8]>,
    /// Whether the path asked for a directory: it ended with `/`, `/.` or `/..`.
    pub directory: bool,
    /// The path as sent, with its leading slash: what a redirect is made from.
    pub raw_path: &'a [u8],
    /// What follows the first `?`.
    pub query: Option<&'a [u8]>,
    /// The authority of a target in absolute-form; it replaces `Host` (RFC 9112 §3.2.2).
    pub authority: Option<&'a [u8]>,
}

/// Reads a request target, for the methods this server answers.
///
/// Borrows the path unless it holds an escape, a doubled slash or a dot segment. Errors: 400 for
/// what is no target, for NUL, for a broken escape and for a path that climbs above the root; 404
/// for names that no file can have (an encoded slash, over 255 bytes). None of these puts the
/// framing in doubt, so the connection may be kept.
///
/// ```
/// use sendrail_http::head::Method;
/// use sendrail_http::target::{Target, resolve};
///
/// let Ok(Target::Path(target)) = resolve(&Method::Get, b"/caf%C3%A9/./menu/?day=1") else { panic!() };
/// assert_eq!(&*target.path, "café/menu".as_bytes());
/// assert!(target.directory);
/// assert_eq!(target.query, Some(&b"day=1"[..]));
///
/// assert_eq!(resolve(&Method::Get, b"/a/%2e%2e/../etc/passwd").unwrap_err().status.code(), 400);
/// ```
pub fn resolve<'a>(method: &Method<'_>, target: &'a [u8]) -> Result<Target<'a>, Refusal> {
    let (authority, rest) = match target {
        [b'/', ..] => (None, target),
        b"*" if *method == Method::Options => return Ok(Target::Server),
        b"*" => return Err(Refusal::bad("the target * is for OPTIONS alone")),
        _ => {
            let (authority, rest) = absolute_form(target)?;
            // What the last proxy in a chain makes `OPTIONS *` of (RFC 9112 §3.2.4).
            if rest.is_empty() && *method == Method::Options {
                return Ok(Target::Server);
            }
            (Some(authority), rest)
        }
    };
    let scan = scan(rest)?;
    let query = if scan.path_len < rest.len() { Some(&rest[scan.path_len + 1..]) } else { None };
    // An absolute-form target may have no path at all, which means `/` (RFC 9110 §4.2.3).
    let raw_path = if scan.path_len == 0 { &b"/"[..] } else { &rest[..scan.path_len] };
    let (path, directory) = if scan.plain {
        let path = &raw_path[1..];
        match path {
            [] => (Cow::Borrowed(path), true),
            [path @ .., b'/'] => (Cow::Borrowed(path), true),
            _ => (Cow::Borrowed(path), false),
        }
    } else {
        let (path, directory) = decode(raw_path)?;
        (Cow::Owned(path), directory)
    };
    Ok(Target::Path(PathTarget { path, directory, raw_path, query, authority }))
}

/// `http://authority/path?query`: every server must take it (RFC 9112 §3.2.2).
fn absolute_form(target: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let after = [&b"http://"[..], b"https://"]
        .iter()
        .find_map(|scheme| {
            let (start, rest) = target.split_at_checked(scheme.len())?;
            start.eq_ignore_ascii_case(scheme).then_some(rest)
        })
        .ok_or(Refusal::bad("the target is neither a path nor an http URI"))?;
    let end = after.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(after.len());
    let (authority, rest) = after.split_at(end);
    // RFC 9110 §4.2.1: an http URI with an empty host is invalid.
    if authority.is_empty() || authority[0] == b':' || !is_host_and_port(authority) {
        return Err(Refusal::bad("the target's authority is not a host and a port"));
    }
    Ok((authority, rest))
}

struct Scan {
    /// Bytes up to the `?` or the end.
    path_len: usize,
    /// Whether the path is its own decoded form.
    plain: bool,
}

const PLAIN: u8 = 0;
const SLASH: u8 = 1;
const ESCAPE: u8 = 2;
const QUERY: u8 = 3;
const BAD: u8 = 4;

/// Bytes over 127 pass: they are no URI, but clients send names in UTF-8 without escapes, and
/// there is only one way to read them.
const CLASS: [u8; 256] = {
    let mut table = [PLAIN; 256];
    let mut byte = 0;
    while byte <= b' ' as usize {
        table[byte] = BAD;
        byte += 1;
    }
    table[0x7f] = BAD;
    table[b'#' as usize] = BAD;
    table[b'/' as usize] = SLASH;
    table[b'%' as usize] = ESCAPE;
    table[b'?' as usize] = QUERY;
    table
};

/// The one pass over a target that nothing is odd about.
fn scan(rest: &[u8]) -> Result<Scan, Refusal> {
    let mut plain = true;
    let mut longest = 0;
    let mut segment_start = 0;
    let mut path_len = rest.len();
    for (i, &byte) in rest.iter().enumerate() {
        match CLASS[byte as usize] {
            PLAIN => {}
            SLASH => {
                longest = longest.max(i - segment_start);
                segment_start = i + 1;
                plain &= !is_empty_or_dot_segment(&rest[segment_start..]);
            }
            ESCAPE => plain = false,
            QUERY => {
                path_len = i;
                break;
            }
            _ => return Err(Refusal::bad("the target holds a control, a space or a fragment")),
        }
    }
    let query = &rest[path_len..];
    if query.iter().any(|&byte| CLASS[byte as usize] == BAD) {
        return Err(Refusal::bad("the query holds a control, a space or a fragment"));
    }
    longest = longest.max(path_len.saturating_sub(segment_start));
    if plain && longest > NAME_MAX {
        return Err(NAME_TOO_LONG);
    }
    Ok(Scan { path_len, plain })
}

const NAME_TOO_LONG: Refusal = Refusal::new(Status::NOT_FOUND, "no file has so long a name");

/// Whether what follows a slash is another slash, `.` or `..`; the very end is none of these.
#[inline]
fn is_empty_or_dot_segment(after_slash: &[u8]) -> bool {
    let after_dots = match after_slash {
        [b'/', ..] => return true,
        [b'.', b'.', rest @ ..] | [b'.', rest @ ..] => rest,
        _ => return false,
    };
    matches!(after_dots, [] | [b'/' | b'?', ..])
}

/// The way for paths with escapes, doubled slashes or dot segments. Segments are cut before they
/// are decoded, so that an encoded slash never becomes a separator; dots are judged after, so that
/// `%2e%2e` climbs no better than `..`.
fn decode(raw_path: &[u8]) -> Result<(Vec<u8>, bool), Refusal> {
    let mut path = Vec::with_capacity(raw_path.len());
    let mut directory = true;
    for raw in raw_path[1..].split(|&byte| byte == b'/') {
        check_escapes(raw)?;
        let before = path.len();
        if before > 0 {
            path.push(b'/');
        }
        let start = path.len();
        path.extend(percent_decode(raw));
        directory = true;
        match &path[start..] {
            b"" | b"." => path.truncate(before),
            b".." if before == 0 => {
                return Err(Refusal::bad("the path climbs above the root"));
            }
            b".." => {
                path.truncate(before);
                path.truncate(memchr::memrchr(b'/', &path).unwrap_or(0));
            }
            name if name.contains(&0) => return Err(Refusal::bad("the path holds NUL")),
            name if name.contains(&b'/') => {
                return Err(Refusal::new(Status::NOT_FOUND, "no file has a slash in its name"));
            }
            name if name.len() > NAME_MAX => return Err(NAME_TOO_LONG),
            _ => directory = false,
        }
    }
    Ok((path, directory))
}

/// The decoder passes a broken escape through as it is; RFC 3986 §2.1 knows no such thing.
fn check_escapes(raw: &[u8]) -> Result<(), Refusal> {
    for at in memchr::memchr_iter(b'%', raw) {
        match raw.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {}
            _ => return Err(Refusal::bad("a percent escape is broken")),
        }
    }
    Ok(())
}
