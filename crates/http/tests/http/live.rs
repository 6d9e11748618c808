//! Following a file: which bytes, by which head, against the examples of RFC 8673 and odd queries.

use sendrail_http::live::{Live, Start, follow, live, write_chunk_head};

use crate::{complete, get_with};

fn asked(start: Start, fields: &str, len: u64) -> Live {
    live(start, &complete(&get_with(fields)).fields, len)
}

#[test]
fn queries() {
    for (query, expected) in [
        ("", None),
        ("follow", Some(Start::Beginning)),
        ("follow=", Some(Start::Beginning)),
        ("follow=0", Some(Start::At(0))),
        ("follow=18446744073709551615", Some(Start::At(u64::MAX))),
        ("follow=99999999999999999999", Some(Start::At(u64::MAX))),
        ("follow=-0", Some(Start::Last(0))),
        ("a&follow=-7&b=c", Some(Start::Last(7))),
        ("Follow", None),
        ("unfollow", None),
        ("follower=1", None),
        ("&&=", None),
    ] {
        assert_eq!(follow(query.as_bytes()), Ok(expected), "{query}");
    }
    for query in [
        "follow=x",
        "follow=-",
        "follow=--1",
        "follow=+1",
        "follow=1.5",
        "follow=%31",
        "follow=1&follow",
    ] {
        let refusal = follow(query.as_bytes()).unwrap_err();
        assert_eq!(refusal.status.code(), 400, "{query}");
    }
}

#[test]
fn starts_without_a_range() {
    let len = 1000;
    for (start, expected) in [
        (Start::Beginning, Live::From(0)),
        (Start::At(0), Live::From(0)),
        (Start::At(1000), Live::From(1000)),
        (Start::At(1001), Live::Beyond),
        (Start::Last(0), Live::From(1000)),
        (Start::Last(1), Live::From(999)),
        (Start::Last(5000), Live::From(0)),
    ] {
        assert_eq!(asked(start, "", len), expected, "{start:?}");
        if start != Start::Beginning {
            assert_eq!(asked(start, "Range: bytes=5-6\r\n", len), expected, "{start:?}");
        }
    }
}

/// RFC 8673 §2.1, §2.2 and §3.1, with its own figures.
#[test]
fn ranges() {
    let len = 1_234_568;
    for (range, expected) in [
        ("bytes=0-", Live::There { first: 0, len }),
        ("bytes=1230000-999999999999", Live::Range { first: 1_230_000, last: 999_999_999_999 }),
        ("bytes=1234567-999999999999", Live::Range { first: 1_234_567, last: 999_999_999_999 }),
        ("bytes=1234568-999999999999", Live::Range { first: len, last: 999_999_999_999 }),
        ("bytes=1234569-999999999999", Live::Beyond),
        ("bytes=0-1234567", Live::There { first: 0, len }),
        ("bytes=0-1234568", Live::Range { first: 0, last: len }),
        ("bytes=10-19", Live::There { first: 10, len: 10 }),
        ("bytes=-10", Live::There { first: len - 10, len: 10 }),
        ("bytes=1234568-", Live::Beyond),
        ("bytes=-0", Live::Beyond),
        ("bytes=0-1,5-6", Live::From(0)),
        ("bytes=9-5", Live::From(0)),
        ("lines=1-2", Live::From(0)),
        ("bytes=", Live::From(0)),
    ] {
        let field = format!("Range: {range}\r\n");
        assert_eq!(asked(Start::Beginning, &field, len), expected, "{range}");
        let field = format!("{field}If-Range: \"x\"\r\n");
        assert_eq!(asked(Start::Beginning, &field, len), Live::From(0), "no validator is its own");
    }
    assert_eq!(
        asked(Start::Beginning, "Range: bytes=0-9\r\n", 0),
        Live::Range { first: 0, last: 9 }
    );
    assert_eq!(asked(Start::Beginning, "Range: bytes=0-\r\n", 0), Live::Beyond);
}

#[test]
fn chunk_heads_are_what_a_parser_reads() {
    for len in [1, 9, 10, 15, 16, 255, 256, 65_535, 1 << 32, u64::MAX] {
        let mut out = Vec::new();
        write_chunk_head(&mut out, len);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(u64::from_str_radix(text.strip_suffix("\r\n").unwrap(), 16), Ok(len));
    }
}

#[test]
fn prefer_wait_is_the_first_of_all_lines() {
    for (fields, expected) in [
        ("", None),
        ("Prefer: wait=5\r\n", Some(5)),
        ("prefer: respond-async\r\nPREFER: wait=5\r\n", Some(5)),
        ("Prefer: wait=5\r\nPrefer: wait=6\r\n", Some(5)),
        ("Prefer: wait=x\r\nPrefer: wait=6\r\n", None),
        ("Accept: wait=5\r\n", None),
    ] {
        let wire = get_with(fields);
        let head = complete(&wire);
        assert_eq!(head.fields.wait, expected, "{fields}");
        assert!(!head.fields.conditional_or_range, "it changes nothing of what the answer is");
    }
    let many = "Prefer: a\r\n".repeat(50);
    assert_eq!(complete(&get_with(&format!("{many}Prefer: wait=1\r\n"))).fields.wait, Some(1));
}
