//! Status codes this server sends, with their reason phrases and ready-made status lines.

use std::fmt;

/// A response status code (RFC 9110 §15), one of those this server has a use for.
///
/// ```
/// use sendrail_http::status::Status;
/// assert_eq!(Status::PARTIAL_CONTENT.code(), 206);
/// assert_eq!(Status::PARTIAL_CONTENT.reason(), "Partial Content");
/// assert_eq!(Status::NOT_FOUND.to_string(), "404 Not Found");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(u16);

macro_rules! statuses {
    ($($name:ident $code:literal $reason:literal)*) => {
        impl Status {
            $(#[doc = concat!("`", $code, " ", $reason, "`")]
            pub const $name: Self = Self($code);)*

            /// The reason phrase of RFC 9110 or 6585: for people, without meaning for machines.
            pub fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    _ => unreachable!("a Status is only made from the constants above"),
                }
            }

            /// The whole status line with its line end, ready to be appended.
            ///
            /// Always `HTTP/1.1`, also to an HTTP/1.0 client: a server states the highest version
            /// it conforms to within the client's major version (RFC 9110 §6.2).
            pub(crate) fn line(self) -> &'static [u8] {
                match self.0 {
                    $($code => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n").as_bytes(),)*
                    _ => unreachable!("a Status is only made from the constants above"),
                }
            }

            /// Every status there is here, in ascending order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

statuses! {
    OK 200 "OK"
    CREATED 201 "Created"
    NO_CONTENT 204 "No Content"
    PARTIAL_CONTENT 206 "Partial Content"
    MOVED_PERMANENTLY 301 "Moved Permanently"
    FOUND 302 "Found"
    SEE_OTHER 303 "See Other"
    NOT_MODIFIED 304 "Not Modified"
    TEMPORARY_REDIRECT 307 "Temporary Redirect"
    PERMANENT_REDIRECT 308 "Permanent Redirect"
    BAD_REQUEST 400 "Bad Request"
    UNAUTHORIZED 401 "Unauthorized"
    FORBIDDEN 403 "Forbidden"
    NOT_FOUND 404 "Not Found"
    METHOD_NOT_ALLOWED 405 "Method Not Allowed"
    NOT_ACCEPTABLE 406 "Not Acceptable"
    REQUEST_TIMEOUT 408 "Request Timeout"
    CONFLICT 409 "Conflict"
    GONE 410 "Gone"
    LENGTH_REQUIRED 411 "Length Required"
    PRECONDITION_FAILED 412 "Precondition Failed"
    CONTENT_TOO_LARGE 413 "Content Too Large"
    URI_TOO_LONG 414 "URI Too Long"
    UNSUPPORTED_MEDIA_TYPE 415 "Unsupported Media Type"
    RANGE_NOT_SATISFIABLE 416 "Range Not Satisfiable"
    EXPECTATION_FAILED 417 "Expectation Failed"
    MISDIRECTED_REQUEST 421 "Misdirected Request"
    UNPROCESSABLE_CONTENT 422 "Unprocessable Content"
    LOCKED 423 "Locked"
    TOO_MANY_REQUESTS 429 "Too Many Requests"
    REQUEST_HEADER_FIELDS_TOO_LARGE 431 "Request Header Fields Too Large"
    INTERNAL_SERVER_ERROR 500 "Internal Server Error"
    NOT_IMPLEMENTED 501 "Not Implemented"
    SERVICE_UNAVAILABLE 503 "Service Unavailable"
    HTTP_VERSION_NOT_SUPPORTED 505 "HTTP Version Not Supported"
    INSUFFICIENT_STORAGE 507 "Insufficient Storage"
}

impl Status {
    /// The three digits.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// 4xx and 5xx.
    pub const fn is_error(self) -> bool {
        self.0 >= 400
    }

    /// Whether a response with this status may carry a body or a `Content-Length` at all
    /// (RFC 9110 §6.4.1 and §8.6: not 204, not 304).
    pub const fn may_have_body(self) -> bool {
        !matches!(self.0, 204 | 304)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.reason())
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn line_code_and_reason_agree() {
        for status in Status::ALL {
            let line = format!("HTTP/1.1 {} {}\r\n", status.code(), status.reason());
            assert_eq!(status.line(), line.as_bytes());
        }
        assert!(Status::ALL.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
