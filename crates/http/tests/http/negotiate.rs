//! Choosing by weights: RFC 9110 §12.4.2, §12.5.1, §12.5.3.

use proptest::prelude::*;
use sendrail_http::head::FieldLines;
use sendrail_http::negotiate::Coding::{Brotli, Gzip, Identity, Zstd};
use sendrail_http::negotiate::{Coding, CodingSet, choose_coding, prefers_json};

fn all() -> CodingSet {
    CodingSet::new().with(Gzip).with(Brotli).with(Zstd)
}

#[test]
fn codings() {
    let gzip_only = CodingSet::new().with(Gzip);
    let none = CodingSet::new();
    let cases = [
        ("gzip, deflate, br, zstd", all(), Some(Zstd)),
        ("gzip, deflate, br", all(), Some(Brotli)),
        ("gzip, deflate, br, zstd", gzip_only, Some(Gzip)),
        ("gzip", none, Some(Identity)),
        ("GZIP", all(), Some(Gzip)),
        ("x-gzip", all(), Some(Gzip)),
        ("deflate", all(), Some(Identity)),
        ("", all(), Some(Identity)),
        (" , ,", all(), Some(Identity)),
        // weights
        ("gzip;q=1.0, br;q=0.9, zstd;q=0.5", all(), Some(Gzip)),
        ("gzip;q=0.001", all(), Some(Gzip)),
        ("gzip;q=0.5, identity", all(), Some(Identity)),
        ("gzip;q=0.5, identity;q=0.5", all(), Some(Gzip)),
        ("gzip;q=0", all(), Some(Identity)),
        ("gzip;q=0.000", all(), Some(Identity)),
        ("gzip ; Q=0.3 , br; q=0.4", all(), Some(Brotli)),
        // wildcard
        ("*", all(), Some(Zstd)),
        ("zstd;q=0, *", all(), Some(Brotli)),
        ("identity, *;q=0", all(), Some(Identity)),
        ("gzip, *;q=0", all(), Some(Gzip)),
        ("gzip, *;q=0", none, None),
        ("*;q=0", all(), None),
        ("identity;q=0", none, None),
        ("identity;q=0", all(), None),
        ("identity;q=0, br", all(), Some(Brotli)),
        ("identity;q=0.1, *;q=0", none, Some(Identity)),
        // malformed weights: as if not mentioned
        ("gzip;q=2", all(), Some(Identity)),
        ("gzip;q=1.001", all(), Some(Identity)),
        ("gzip;q=0.1234", all(), Some(Identity)),
        ("gzip;q=-1", all(), Some(Identity)),
        ("gzip;q=", all(), Some(Identity)),
        ("gzip;q=a, br", all(), Some(Brotli)),
        ("gzip;q=0.x", all(), Some(Identity)),
    ];
    for (field, available, expected) in cases {
        assert_eq!(choose_coding(&FieldLines::from(field), available), expected, "{field}");
    }
    assert_eq!(choose_coding(&FieldLines::new(), all()), Some(Identity));
    let mut lines = FieldLines::from("gzip");
    assert!(lines.push(b"br"));
    assert_eq!(choose_coding(&lines, all()), Some(Brotli));
}

#[test]
fn names_of_codings() {
    let names = Coding::ALL.map(|coding| (coding.token(), coding.extension()));
    assert_eq!(names, [("identity", ""), ("gzip", ".gz"), ("br", ".br"), ("zstd", ".zst")]);
    assert!(CodingSet::default().is_identity_only() && !all().is_identity_only());
}

#[test]
fn json_or_html() {
    let json = [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/json, */*",
        "application/json, text/plain, */*",
        "application/*",
        "text/html;q=0.5, application/json;q=0.6",
        "application/json, text/html;q=0",
        "*/*;q=0.1, application/json;q=0.2",
    ];
    for accept in json {
        assert!(prefers_json(&FieldLines::from(accept)), "{accept}");
    }
    let html = [
        "",
        "*/*",
        "text/html",
        "text/*, application/*",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "application/json, text/html",
        "application/json;q=0",
        "application/json;q=0, */*",
        "application/json;q=0.1, */*",
        "application/jsonx",
        "application/js",
        "json",
        "*",
        "image/png",
    ];
    for accept in html {
        assert!(!prefers_json(&FieldLines::from(accept)), "{accept}");
    }
    assert!(!prefers_json(&FieldLines::new()));
}

proptest! {
    #[test]
    fn only_what_is_stored_is_chosen(field in "((gzip|br|zstd|identity|\\*|x)(;q=[01](\\.[0-9]{1,3})?)?,? ?){0,5}", gzip in any::<bool>(), zstd in any::<bool>()) {
        let mut available = CodingSet::new();
        if gzip {
            available = available.with(Gzip);
        }
        if zstd {
            available = available.with(Zstd);
        }
        if let Some(coding) = choose_coding(&FieldLines::from(&*field), available) {
            prop_assert!(available.contains(coding));
        }
        let _ = prefers_json(&FieldLines::from(&*field));
    }
}
