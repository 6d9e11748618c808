//! Byte ranges: RFC 9110 §14's examples, bad syntax, and sets made to hurt.

use proptest::prelude::*;
use sendrail_http::range::{ByteRange, MAX_RANGES, Ranges, parse};

fn one(first: u64, last: u64) -> Ranges {
    Ranges::One(between((first, last)))
}

fn many(ranges: &[(u64, u64)]) -> Ranges {
    Ranges::Many(ranges.iter().copied().map(between).collect())
}

fn between((first, last): (u64, u64)) -> ByteRange {
    ByteRange { first, len: last - first + 1 }
}

/// RFC 9110 §14.1.2: a representation of 10000 bytes.
#[test]
fn examples_of_the_rfc() {
    let cases = [
        ("bytes=0-499", one(0, 499)),
        ("bytes=500-999", one(500, 999)),
        ("bytes=-500", one(9500, 9999)),
        ("bytes=9500-", one(9500, 9999)),
        ("bytes=0-0,-1", many(&[(0, 0), (9999, 9999)])),
        ("bytes= 0-0, -2", many(&[(0, 0), (9998, 9999)])),
        ("bytes= 0-999, 4500-5499, -1000", many(&[(0, 999), (4500, 5499), (9000, 9999)])),
        // Two ways to ask for the second 500 bytes: touching, and overlapping.
        ("bytes=500-600,601-999", one(500, 999)),
        ("bytes=500-700,601-999", one(500, 999)),
    ];
    for (value, expected) in cases {
        assert_eq!(parse(value.as_bytes(), 10_000, MAX_RANGES), expected, "{value}");
    }
}

#[test]
fn edges() {
    let cases = [
        ("bytes=0-", 10, one(0, 9)),
        ("BYTES=0-", 10, one(0, 9)),
        ("bytes=0-9", 10, one(0, 9)),
        ("bytes=0-10", 10, one(0, 9)),
        ("bytes=9-9", 10, one(9, 9)),
        ("bytes=9-", 10, one(9, 9)),
        ("bytes=10-", 10, Ranges::Unsatisfiable),
        ("bytes=10-20", 10, Ranges::Unsatisfiable),
        ("bytes=-10", 10, one(0, 9)),
        ("bytes=-11", 10, one(0, 9)),
        ("bytes=-0", 10, Ranges::Unsatisfiable),
        ("bytes=0-99999999999999999999999", 10, one(0, 9)),
        ("bytes=99999999999999999999999-", 10, Ranges::Unsatisfiable),
        ("bytes=-99999999999999999999999", 10, one(0, 9)),
        ("bytes=18446744073709551615-18446744073709551615", 10, Ranges::Unsatisfiable),
        // an empty file
        ("bytes=0-", 0, Ranges::Unsatisfiable),
        ("bytes=0-0", 0, Ranges::Unsatisfiable),
        ("bytes=-1", 0, Ranges::Unsatisfiable),
        ("bytes=-0", 0, Ranges::Unsatisfiable),
        // past 4 GiB, and a file as large as can be
        ("bytes=4294967296-4294967297", 1 << 40, one(1 << 32, (1 << 32) + 1)),
        ("bytes=-1", u64::MAX, one(u64::MAX - 1, u64::MAX - 1)),
        ("bytes=0-", u64::MAX, one(0, u64::MAX - 1)),
        // what lies outside is left out
        ("bytes=0-1,20-30", 10, one(0, 1)),
        ("bytes=20-30,-0,4-5", 10, one(4, 5)),
        ("bytes=20-30,40-50", 10, Ranges::Unsatisfiable),
        ("bytes=,0-1,,  ,5-6,", 10, many(&[(0, 1), (5, 6)])),
    ];
    for (value, len, expected) in cases {
        assert_eq!(parse(value.as_bytes(), len, MAX_RANGES), expected, "{value} of {len}");
    }
}

#[test]
fn what_is_no_range_is_ignored() {
    let bad = [
        "",
        "bytes",
        "bytes=",
        "bytes= ",
        "bytes=,",
        "bytes=-",
        "bytes=--1",
        "bytes=a-b",
        "bytes=1",
        "bytes=5-4",
        "bytes=1-2-3",
        "bytes=1 - 2",
        "bytes=+1-2",
        "bytes=0x0-1",
        "bytes=1-2;3-4",
        "bytes 0-1",
        "bytes =0-1",
        "bytes:0-1",
        "byte=0-1",
        "lines=0-1",
        "none",
        "0-1",
        "=0-1",
        "bytes=0-1,x",
        "bytes=0-1,5-4",
        "bytes=0-1 2-3",
        "bytes=-1-",
        "bytes=\u{0661}-",
    ];
    for value in bad {
        assert_eq!(parse(value.as_bytes(), 10_000, MAX_RANGES), Ranges::Ignore, "{value}");
    }
}

#[test]
fn order_is_kept_and_overlaps_are_joined() {
    let cases = [
        ("bytes=50-59,0-9", many(&[(50, 59), (0, 9)])),
        ("bytes=-1,0-0", many(&[(99, 99), (0, 0)])),
        ("bytes=50-59,0-9,55-69", many(&[(50, 69), (0, 9)])),
        ("bytes=50-59,0-9,70-79,60-69", many(&[(50, 79), (0, 9)])),
        ("bytes=90-,0-9,5-95", one(0, 99)),
        ("bytes=0-,0-,0-,0-", one(0, 99)),
        ("bytes=10-20,12-15", one(10, 20)),
        ("bytes=12-15,10-20,30-30", many(&[(10, 20), (30, 30)])),
        ("bytes=0-0,2-2", many(&[(0, 0), (2, 2)])),
    ];
    for (value, expected) in cases {
        assert_eq!(parse(value.as_bytes(), 100, MAX_RANGES), expected, "{value}");
    }
}

#[test]
fn too_many_are_ignored() {
    let set = |count: u64| {
        let specs: Vec<String> = (0..count).map(|i| format!("{0}-{0}", 2 * i)).collect();
        format!("bytes={}", specs.join(","))
    };
    let len = 10_000;
    assert!(
        matches!(parse(set(64).as_bytes(), len, 64), Ranges::Many(ranges) if ranges.len() == 64)
    );
    assert_eq!(parse(set(65).as_bytes(), len, 64), Ranges::Ignore);
    // CVE-2011-3192
    let killer = (0..1300).fold("bytes=0-".to_owned(), |set, i| format!("{set},5-{}", i + 5));
    assert_eq!(parse(killer.as_bytes(), len, MAX_RANGES), Ranges::Ignore);
    // Those outside of the file count too.
    let outside = format!("bytes=0-0{}", ",99999-".repeat(64));
    assert_eq!(parse(outside.as_bytes(), len, 64), Ranges::Ignore);
}

fn spec() -> impl Strategy<Value = (String, Option<(u64, u64)>)> {
    // Each with the bytes it means in a file of 1000, computed another way.
    prop_oneof![
        (0u64..1200, 0u64..300).prop_map(|(first, more)| {
            let last = (first + more).min(999);
            (format!("{first}-{}", first + more), (first < 1000).then_some((first, last)))
        }),
        (0u64..1200)
            .prop_map(|first| (format!("{first}-"), (first < 1000).then_some((first, 999)))),
        (0u64..1200).prop_map(|suffix| {
            let first = 1000u64.saturating_sub(suffix);
            (format!("-{suffix}"), (suffix > 0).then_some((first, 999)))
        }),
    ]
}

proptest! {
    #[test]
    fn exactly_the_bytes_asked_for_once_each(specs in prop::collection::vec(spec(), 1..20)) {
        let (texts, wanted): (Vec<_>, Vec<_>) = specs.into_iter().unzip();
        let wanted: Vec<(u64, u64)> = wanted.into_iter().flatten().collect();
        let value = format!("bytes={}", texts.join(", "));
        let ranges = match parse(value.as_bytes(), 1000, 64) {
            Ranges::Ignore => return Err(TestCaseError::fail("a valid set was ignored")),
            Ranges::Unsatisfiable => vec![],
            Ranges::One(range) => vec![range],
            Ranges::Many(ranges) => {
                prop_assert!(ranges.len() > 1);
                ranges
            }
        };
        let mut sent = [0u8; 1000];
        for range in &ranges {
            prop_assert!(range.len > 0 && range.last() < 1000);
            for byte in range.first..=range.last() {
                sent[byte as usize] += 1;
            }
        }
        for (byte, &times) in sent.iter().enumerate() {
            let byte = byte as u64;
            let asked = wanted.iter().any(|&(first, last)| first <= byte && byte <= last);
            prop_assert_eq!(times, u8::from(asked), "byte {}", byte);
        }
        // In the order asked for: the first wish that falls into each range comes before the
        // first that falls into the next.
        let place = |range: &ByteRange| {
            wanted.iter().position(|&(first, _)| range.first <= first && first <= range.last())
        };
        prop_assert!(ranges.windows(2).all(|pair| place(&pair[0]) < place(&pair[1])));
    }

    #[test]
    fn arbitrary_bytes_never_panic(value in "bytes=[0-9, -]{0,40}", len in any::<u64>()) {
        let _ = parse(value.as_bytes(), len, 64);
    }
}
