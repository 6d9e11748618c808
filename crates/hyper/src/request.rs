//! What of a request matters for a file, as `sendrail-http` has it. Pure.

use http::{HeaderMap, header, request::Parts};
use sendrail_http::head::{Fields, Framing, Head, Method, Version};

/// The head of a request. Nothing if its method is neither GET nor HEAD.
pub(crate) fn head(parts: &Parts) -> Option<Head<'_>> {
    let method = match parts.method {
        http::Method::GET => Method::Get,
        http::Method::HEAD => Method::Head,
        _ => return None,
    };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    Some(Head {
        method,
        target: target.as_bytes(),
        version: Version::Http11,
        framing: Framing::None,
        keep_alive: true,
        expect_continue: false,
        fields: fields(&parts.headers),
        raw: &[],
    })
}

/// One pass: most requests have few fields, and most of those are not asked about here.
fn fields(headers: &HeaderMap) -> Fields<'_> {
    let mut fields = Fields::default();
    let mut is_guarded_twice = false;
    for (name, value) in headers {
        let value = value.as_bytes();
        let once = match *name {
            header::RANGE => &mut fields.range,
            header::IF_RANGE => &mut fields.if_range,
            header::IF_MODIFIED_SINCE => &mut fields.if_modified_since,
            header::IF_UNMODIFIED_SINCE => &mut fields.if_unmodified_since,
            header::IF_MATCH | header::IF_NONE_MATCH => {
                let lines = if *name == header::IF_MATCH {
                    &mut fields.if_match
                } else {
                    &mut fields.if_none_match
                };
                let _ = lines.push(value); // what does not fit is not looked at
                fields.conditional_or_range = true;
                continue;
            }
            header::ACCEPT => {
                let _ = fields.accept.push(value);
                continue;
            }
            header::ACCEPT_ENCODING => {
                let _ = fields.accept_encoding.push(value);
                continue;
            }
            _ => continue,
        };
        // What must stand once and stands twice is no field at all.
        let is_first = once.is_none() && headers.get_all(name).iter().nth(1).is_none();
        *once = is_first.then_some(value);
        is_guarded_twice |= !is_first && *name == header::IF_RANGE;
        fields.conditional_or_range = true;
    }
    if is_guarded_twice {
        fields.range = None;
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
        build(Request::builder().uri("/a?b")).body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_stands_twice_is_no_field() {
        let parts = parts(|request| {
            request
                .header("range", "bytes=0-1")
                .header("if-range", "\"a\"")
                .header("if-range", "\"b\"")
        });
        let head = head(&parts).unwrap();
        assert_eq!((head.fields.range, head.fields.if_range), (None, None));
        assert!(head.fields.conditional_or_range);
        assert_eq!(head.target, b"/a?b");
    }

    #[test]
    fn lists_may_be_split() {
        let parts = parts(|request| {
            request.header("accept-encoding", "gzip").header("accept-encoding", "br")
        });
        let head = head(&parts).unwrap();
        assert_eq!(head.fields.accept_encoding.iter().collect::<Vec<_>>(), [&b"gzip"[..], b"br"]);
        assert!(!head.fields.conditional_or_range);
    }

    #[test]
    fn other_methods_are_not_ours() {
        assert!(head(&parts(|request| request.method("POST"))).is_none());
        assert_eq!(head(&parts(|request| request.method("HEAD"))).unwrap().method, Method::Head);
    }
}
