//! HTTP dates of RFC 9110 §5.6.7.

use proptest::prelude::*;
use sendrail_http::date::{DateLine, format_http_date, parse_http_date};

use crate::EXAMPLE;

#[test]
fn three_forms_are_read() {
    for value in [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ] {
        assert_eq!(parse_http_date(value.as_bytes()), Some(EXAMPLE), "{value}");
    }
    assert_eq!(parse_http_date(b"Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
}

#[test]
fn others_are_not() {
    let bad: &[&[u8]] = &[
        b"",
        b"0",
        b"784111777",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Mon, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 31 Feb 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Wed, 31 Dec 1969 23:59:59 GMT",
        b"1994-11-06T08:49:37Z",
        b"Sun, 06 Nov 1994 08:49:37 GMT\xff",
        "Sun, 06 Nov 1994 08:49:3\u{0667} GMT".as_bytes(),
    ];
    for value in bad {
        assert_eq!(parse_http_date(value), None, "{:?}", String::from_utf8_lossy(value));
    }
}

#[test]
fn times_without_a_form_become_the_nearest() {
    let first = b"Thu, 01 Jan 1970 00:00:00 GMT";
    let last = b"Fri, 31 Dec 9999 23:59:59 GMT";
    assert_eq!(&format_http_date(i64::MIN), first);
    assert_eq!(&format_http_date(-1), first);
    assert_eq!(&format_http_date(253_402_300_799), last);
    assert_eq!(&format_http_date(253_402_300_800), last);
    assert_eq!(&format_http_date(i64::MAX), last);
}

#[test]
fn the_line_follows_the_clock_both_ways() {
    let mut line = DateLine::default();
    for seconds in [0, EXAMPLE, EXAMPLE, EXAMPLE + 1, EXAMPLE - 1, -5, 0] {
        assert_eq!(*line.at(seconds), format_http_date(seconds));
    }
}

proptest! {
    #[test]
    fn what_is_written_can_be_read(seconds in 0i64..253_402_300_800) {
        prop_assert_eq!(parse_http_date(&format_http_date(seconds)), Some(seconds));
    }

    #[test]
    fn arbitrary_bytes_never_panic(value in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = parse_http_date(&value);
    }

    #[test]
    fn damaged_dates_never_panic(at in 0usize..29, byte in any::<u8>(), seconds in any::<i64>()) {
        let mut value = format_http_date(seconds);
        value[at] = byte;
        let _ = parse_http_date(&value);
    }
}
