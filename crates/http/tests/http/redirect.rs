//! Redirects to a directory never lead elsewhere.

use proptest::prelude::*;
use sendrail_http::redirect::directory_redirect;

/// Path as sent, query, `Location`.
type Case<'a> = (&'a [u8], Option<&'a [u8]>, &'a str);

#[test]
fn locations() {
    let cases: &[Case<'_>] = &[
        (b"/a", None, "/a/"),
        (b"/a/b", Some(b"x=1&y"), "/a/b/?x=1&y"),
        (b"/a", Some(b""), "/a/?"),
        (b"/a%20b", None, "/a%20b/"),
        (b"/a/", None, "/a/"),
        (b"/", None, "/"),
        (b"", None, "/"),
        (b"//evil.example", None, "/evil.example/"),
        (b"///evil.example/x", None, "/evil.example/x/"),
        (b"/\\evil.example", None, "/%5Cevil.example/"),
        (b"/a\r\nSet-Cookie: b", None, "/a%0D%0ASet-Cookie:%20b/"),
        (b"/a?b#c", Some(b"d#e?f"), "/a%3Fb%23c/?d%23e?f"),
        (b"/\xc3\xa9", Some(b"\xff"), "/%C3%A9/?%FF"),
    ];
    for &(raw_path, query, expected) in cases {
        assert_eq!(directory_redirect(raw_path, query), expected);
    }
}

proptest! {
    #[test]
    fn always_a_path_on_this_host(
        raw_path in prop::collection::vec(any::<u8>(), 0..20),
        query in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
    ) {
        let location = directory_redirect(&raw_path, query.as_deref());
        let mut bytes = location.bytes();
        prop_assert_eq!(bytes.next(), Some(b'/'));
        prop_assert!(!matches!(bytes.next(), Some(b'/' | b'\\')));
        prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()));
        let path = location.split('?').next().unwrap();
        prop_assert!(path.ends_with('/'));
    }
}
