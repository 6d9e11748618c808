//! Request methods, sorted by what a file server does with them.

/// The method of a request. Names are case-sensitive (RFC 9110 §9.1): `get` is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method<'a> {
    /// Send the file.
    Get,
    /// Send only the head of the answer to GET.
    Head,
    /// Say what can be done here.
    Options,
    /// Registered with IANA, but not served: 405 with [`Method::ALLOW`].
    Known(&'a str),
    /// Not a method anyone registered: 501 (RFC 9110 §15.6.2).
    Unknown(&'a str),
}

/// IANA's registry of methods, without those served here.
const REGISTERED: [&str; 39] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
    "M-SEARCH", // not registered, but UPnP devices shout it at every port 80
    "PURGE",    // the same of caches
];

impl<'a> Method<'a> {
    /// The value of `Allow` in answers to OPTIONS and in 405.
    pub const ALLOW: &'static str = "GET, HEAD, OPTIONS";

    /// Sorts a method name; any token is some method.
    #[inline]
    pub fn new(name: &'a str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            _ if REGISTERED.contains(&name) => Self::Known(name),
            _ => Self::Unknown(name),
        }
    }

    /// The name as sent.
    pub fn as_str(&self) -> &'a str {
        match *self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Known(name) | Self::Unknown(name) => name,
        }
    }

    /// GET and HEAD: the methods that select a representation.
    pub const fn is_get_or_head(&self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}
