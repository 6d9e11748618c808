//! Targets into paths: nothing climbs, and what need not be decoded is not copied.

use std::borrow::Cow;

use proptest::prelude::*;
use sendrail_http::head::Method;
use sendrail_http::target::{PathTarget, Target, resolve};

fn path(target: &[u8]) -> PathTarget<'_> {
    match resolve(&Method::Get, target) {
        Ok(Target::Path(path)) => path,
        other => panic!("{other:?} for {:?}", String::from_utf8_lossy(target)),
    }
}

fn refused(target: &[u8]) -> u16 {
    match resolve(&Method::Get, target) {
        Err(refusal) => refusal.status.code(),
        other => panic!("{other:?} for {:?}", String::from_utf8_lossy(target)),
    }
}

#[test]
fn borrowed_as_it_stands() {
    // target, path, directory
    let cases: &[(&[u8], &str, bool)] = &[
        (b"/", "", true),
        (b"/a", "a", false),
        (b"/a/", "a", true),
        (b"/a/b.txt", "a/b.txt", false),
        (b"/.well-known/x", ".well-known/x", false),
        (b"/...", "...", false),
        (b"/a/..b/.c", "a/..b/.c", false),
        (b"/a./b../", "a./b..", true),
        (b"/a:b;c=d,e+f@g!$&'()*~_-", "a:b;c=d,e+f@g!$&'()*~_-", false),
        (b"/a\\b", "a\\b", false),
        ("/caf\u{e9}".as_bytes(), "caf\u{e9}", false),
        (b"http://h", "", true),
        (b"http://h/a", "a", false),
    ];
    for &(target, expected, directory) in cases {
        let resolved = path(target);
        assert!(matches!(resolved.path, Cow::Borrowed(_)), "{resolved:?}");
        assert_eq!((&*resolved.path, resolved.directory), (expected.as_bytes(), directory));
    }
}

#[test]
fn decoded() {
    let cases: &[(&[u8], &[u8], bool)] = &[
        (b"/a%20b", b"a b", false),
        (b"/caf%C3%A9/", "caf\u{e9}".as_bytes(), true),
        (b"/%ff%FE", b"\xff\xfe", false),
        (b"/%41%2e%7e", b"A.~", false),
        (b"/a%25b", b"a%b", false),
        (b"/a%2525", b"a%25", false),
        (b"/a%3Fb%23", b"a?b#", false),
        (b"/a%0Ab", b"a\nb", false),
        (b"/a%5Cb", b"a\\b", false),
        (b"//a", b"a", false),
        (b"/a//b///c", b"a/b/c", false),
        (b"/a//", b"a", true),
        (b"///", b"", true),
        (b"/.", b"", true),
        (b"/./", b"", true),
        (b"/a/.", b"a", true),
        (b"/a/./b", b"a/b", false),
        (b"/a/%2E/b", b"a/b", false),
        (b"/a/..", b"", true),
        (b"/a/b/..", b"a", true),
        (b"/a/b/../", b"a", true),
        (b"/a/b/../c", b"a/c", false),
        (b"/a/b/../../c", b"c", false),
        (b"/a/%2e%2E/c", b"c", false),
        (b"/a/.%2e/c", b"c", false),
        (b"/a//../c", b"c", false),
        // RFC 3986 §5.2.4, as far as it does not climb
        (b"/a/b/c/./../../g", b"a/g", false),
    ];
    for &(target, expected, directory) in cases {
        let resolved = path(target);
        assert_eq!(
            (String::from_utf8_lossy(&resolved.path), resolved.directory),
            (String::from_utf8_lossy(expected), directory),
            "{}",
            String::from_utf8_lossy(target)
        );
        assert_eq!(resolved.raw_path, target);
    }
}

#[test]
fn climbing_is_refused() {
    let climbs = [
        "/..",
        "/../",
        "/../a",
        "/./..",
        "//..",
        "/a/../..",
        "/a/../../etc/passwd",
        "/a/b/../../..",
        "/%2e%2e",
        "/%2E.",
        "/.%2e/a",
        "/a/%2e%2e/%2e%2e/b",
        "/..?a",
        "/a/../../",
        "http://h/..",
    ];
    for target in climbs {
        assert_eq!(refused(target.as_bytes()), 400, "{target}");
    }
}

#[test]
fn what_is_no_target() {
    let bad: &[&[u8]] = &[
        b"",
        b"a",
        b"a/b",
        b"*",
        b"*/",
        b"?a",
        b"#",
        b"/a#b",
        b"/a?b#c",
        b"/a b",
        b"/a\tb",
        b"/a?b c",
        b"/\0",
        b"/\x7f",
        b"/a?\n",
        b"/%",
        b"/%4",
        b"/%4g",
        b"/%%41",
        b"/a%2",
        b"/%00",
        b"/a%00.txt",
        b"/a%",
        b"example.com:443",
        b"ftp://h/a",
        b"http:/a",
        b"http://",
        b"http:///a",
        b"http://:80/",
        b"http://u@h/",
        b"http://u:p@h/",
        b"http://h:x/",
        b"http://h#a",
        b"file:///etc/passwd",
        b"http",
        b"http://[::1/",
        b"http://h\\a/",
    ];
    for target in bad {
        assert_eq!(refused(target), 400, "{:?}", String::from_utf8_lossy(target));
    }
}

#[test]
fn names_no_file_can_have() {
    assert_eq!(refused(b"/a%2Fb"), 404);
    assert_eq!(refused(b"/a/..%2f..%2fetc/passwd"), 404);
    let name = |len: usize| "x".repeat(len);
    for (len, fine) in [(255, true), (256, false)] {
        for target in [
            format!("/{}", name(len)),
            format!("/{}/", name(len)),
            format!("/a/{}/b", name(len)),
            format!("/{}?q", name(len)),
            format!("/./{}", name(len)),
            format!("/%41{}", name(len - 1)),
        ] {
            let resolved = resolve(&Method::Get, target.as_bytes());
            match resolved {
                Ok(_) => assert!(fine, "{target}"),
                Err(refusal) => assert!(!fine && refusal.status.code() == 404, "{target}"),
            }
        }
    }
    // Long with its escapes, short without.
    path("/%41".repeat(255).replace("/%41/", "/%41%41").as_bytes());
}

#[test]
fn forms() {
    assert_eq!(resolve(&Method::Options, b"*"), Ok(Target::Server));
    assert_eq!(resolve(&Method::Options, b"http://h"), Ok(Target::Server));
    assert!(matches!(resolve(&Method::Options, b"/"), Ok(Target::Path(_))));
    assert!(matches!(resolve(&Method::Options, b"http://h/"), Ok(Target::Path(_))));

    let absolute = path(b"HTTPS://example.com:8443/a/b?c=d");
    assert_eq!(absolute.authority, Some(&b"example.com:8443"[..]));
    assert_eq!((&*absolute.path, absolute.raw_path), (&b"a/b"[..], &b"/a/b"[..]));
    assert_eq!(absolute.query, Some(&b"c=d"[..]));
    let bare = path(b"http://h?q");
    assert_eq!((bare.raw_path, bare.query, bare.directory), (&b"/"[..], Some(&b"q"[..]), true));

    assert_eq!(path(b"/a").query, None);
    assert_eq!(path(b"/a?").query, Some(&b""[..]));
    assert_eq!(path(b"/a?b?c=/../%zz").query, Some(&b"b?c=/../%zz"[..]));
    assert_eq!(path(b"/a?b").authority, None);
}

/// Segments that decoders stumble over.
fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just(".".into()),
        Just("..".into()),
        Just("%2e%2E".into()),
        Just("%2F".into()),
        Just("%00".into()),
        Just("%41".into()),
        Just("...".into()),
        "[a-z.%\\\\]{1,6}",
    ]
}

proptest! {
    #[test]
    fn no_path_escapes(
        segments in prop::collection::vec(segment(), 0..8),
        noise in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut target = format!("/{}", segments.join("/")).into_bytes();
        target.extend(noise);
        let Ok(Target::Path(resolved)) = resolve(&Method::Get, &target) else { return Ok(()) };
        prop_assert!(!resolved.path.contains(&0));
        if !resolved.path.is_empty() {
            for name in resolved.path.split(|&byte| byte == b'/') {
                prop_assert!(!name.is_empty() && name != b"." && name != b".." && name.len() < 256);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(target in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = resolve(&Method::Get, &target);
        let _ = resolve(&Method::Options, &target);
    }

    /// An escape more takes the slow way to the same place.
    #[test]
    fn borrowed_and_owned_agree(text in "(/[a-z.]{0,4}){1,6}", at in any::<prop::sample::Index>()) {
        let letters: Vec<usize> =
            text.bytes().enumerate().filter(|(_, byte)| *byte != b'/').map(|(i, _)| i).collect();
        prop_assume!(!letters.is_empty());
        let at = letters[at.index(letters.len())];
        let escaped = format!("{}%{:02X}{}", &text[..at], text.as_bytes()[at], &text[at + 1..]);
        match (resolve(&Method::Get, text.as_bytes()), resolve(&Method::Get, escaped.as_bytes())) {
            (Ok(Target::Path(plain)), Ok(Target::Path(owned))) => {
                prop_assert_eq!((plain.path, plain.directory), (owned.path, owned.directory));
            }
            (plain, owned) => prop_assert_eq!(plain, owned),
        }
    }
}
