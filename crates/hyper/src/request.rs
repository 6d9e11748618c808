//! What of a request matters for a file, as `sendrail-http` has it. Pure.

use http::{HeaderMap, HeaderName, header, request::Parts};
use sendrail_http::head::{FieldLines, Fields, Framing, Head, Method, Version};

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
    })
}

fn fields(headers: &HeaderMap) -> Fields<'_> {
    // What must stand once and stands twice is no field at all.
    let once = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        let first = values.next()?;
        values.next().is_none().then(|| first.as_bytes())
    };
    let lines = |name: HeaderName| {
        let mut lines = FieldLines::new();
        for value in headers.get_all(name) {
            if !lines.push(value.as_bytes()) {
                break;
            }
        }
        lines
    };
    let if_range = once(header::IF_RANGE);
    let guarded_twice = if_range.is_none() && headers.contains_key(header::IF_RANGE);
    let conditional_or_range = [
        header::RANGE,
        header::IF_RANGE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ]
    .iter()
    .any(|name| headers.contains_key(name));
    Fields {
        range: if guarded_twice { None } else { once(header::RANGE) },
        if_range,
        if_modified_since: once(header::IF_MODIFIED_SINCE),
        if_unmodified_since: once(header::IF_UNMODIFIED_SINCE),
        if_match: lines(header::IF_MATCH),
        if_none_match: lines(header::IF_NONE_MATCH),
        accept: lines(header::ACCEPT),
        accept_encoding: lines(header::ACCEPT_ENCODING),
        conditional_or_range,
        ..Fields::default()
    }
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
