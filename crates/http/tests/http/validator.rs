//! Entity tags: their strength, their comparison, and lists of them.

use proptest::prelude::*;
use sendrail_http::date::UnixTime;
use sendrail_http::head::FieldLines;
use sendrail_http::negotiate::Coding;
use sendrail_http::validator::{
    Comparison, EntityTag, Strength, date_is_strong, last_modified_seconds, strength,
};

const fn time(seconds: i64, nanoseconds: u32) -> UnixTime {
    UnixTime { seconds, nanoseconds }
}

fn tag(strength: Strength) -> EntityTag {
    EntityTag::new(1, 2, 3, Coding::Identity, strength)
}

#[test]
fn strength_needs_age() {
    use Strength::{Strong, Weak};
    let cases = [
        // modified, observed
        (time(100, 5), time(100, 5), Weak),
        (time(100, 5), time(100, 20_000_005), Weak),
        (time(100, 5), time(100, 20_000_006), Strong),
        (time(100, 999_999_999), time(101, 0), Weak),
        (time(100, 999_999_999), time(101, 20_000_000), Strong),
        // No fraction: perhaps the file system has none.
        (time(100, 0), time(100, 500_000_000), Weak),
        (time(100, 0), time(102, 0), Weak),
        (time(100, 0), time(102, 1), Strong),
        // The future, and the far ends.
        (time(200, 1), time(100, 0), Weak),
        (time(i64::MAX, 1), time(100, 0), Weak),
        (time(i64::MIN, 1), time(i64::MAX, 0), Strong),
        (time(-5, 1), time(100, 0), Strong),
    ];
    for (modified, observed, expected) in cases {
        assert_eq!(strength(modified, observed), expected, "{modified:?} {observed:?}");
    }
}

#[test]
fn dates_as_validators() {
    assert!(!date_is_strong(time(100, 0), time(100, 999_999_999)));
    assert!(!date_is_strong(time(100, 999_999_999), time(101, 999_999_999)));
    assert!(date_is_strong(time(100, 999_999_999), time(102, 0)));
    assert!(!date_is_strong(time(100, 0), time(50, 0)));
    assert!(date_is_strong(time(i64::MIN, 0), time(i64::MAX, 0)));
    assert_eq!(last_modified_seconds(time(100, 0), time(200, 0)), 100);
    assert_eq!(last_modified_seconds(time(300, 0), time(200, 0)), 200);
}

#[test]
fn each_part_tells_tags_apart() {
    let tags = [
        EntityTag::new(1, 2, 3, Coding::Identity, Strength::Strong),
        EntityTag::new(9, 2, 3, Coding::Identity, Strength::Strong),
        EntityTag::new(1, 9, 3, Coding::Identity, Strength::Strong),
        EntityTag::new(1, 2, 9, Coding::Identity, Strength::Strong),
        EntityTag::new(1, 2, 3, Coding::Gzip, Strength::Strong),
        EntityTag::new(1, 2, 3, Coding::Brotli, Strength::Strong),
        EntityTag::new(1, 2, 3, Coding::Zstd, Strength::Strong),
    ];
    for (i, a) in tags.iter().enumerate() {
        for (j, b) in tags.iter().enumerate() {
            assert_eq!(a.matches(b.as_bytes(), Comparison::Weak), i == j, "{a:?} {b:?}");
        }
    }
}

/// The table of RFC 9110 §8.8.3.2.
#[test]
fn comparison() {
    let cases = [
        // ours, theirs, strong, weak
        (Strength::Weak, r#"W/"1.2-3""#, false, true),
        (Strength::Weak, r#"W/"2.2-3""#, false, false),
        (Strength::Weak, r#""1.2-3""#, false, true),
        (Strength::Strong, r#"W/"1.2-3""#, false, true),
        (Strength::Strong, r#""1.2-3""#, true, true),
        (Strength::Strong, r#""1.2-4""#, false, false),
    ];
    for (ours, theirs, strong, weak) in cases {
        let tag = tag(ours);
        assert_eq!(tag.matches(theirs.as_bytes(), Comparison::Strong), strong, "{tag:?} {theirs}");
        assert_eq!(tag.matches(theirs.as_bytes(), Comparison::Weak), weak, "{tag:?} {theirs}");
        assert_eq!(tag.matches_list(&FieldLines::from(theirs), Comparison::Strong), strong);
    }
}

#[test]
fn lists() {
    let tag = tag(Strength::Strong);
    let cases = [
        ("*", true),
        (r#""1.2-3""#, true),
        (r#""x", "1.2-3""#, true),
        (r#""x" , W/"1.2-3" ,"y""#, true),
        (r#",, "1.2-3",,"#, true),
        (r#""a,b","1.2-3""#, true),
        (r#""a, W/","1.2-3""#, true),
        (r#""" , "1.2-3""#, true),
        ("", false),
        (r#""x""#, false),
        (r#""a,"1.2-3","b""#, false),
        ("1.2-3", false),
        (r#""1.2-3"#, false),
        (r#"w/"1.2-3""#, false),
        (r#"W/ "1.2-3""#, false),
        (r#""1.2-3"x"#, false),
        (r#"x, "1.2-3""#, false),
        (r#"*, "y""#, false),
        (r#""*""#, false),
        ("**", false),
    ];
    for (list, expected) in cases {
        let lines = FieldLines::from(list);
        assert_eq!(tag.matches_list(&lines, Comparison::Weak), expected, "{list}");
    }
    let mut lines = FieldLines::from(r#""x""#);
    assert!(lines.push(br#""1.2-3""#));
    assert!(tag.matches_list(&lines, Comparison::Strong));
    let mut star = FieldLines::from("*");
    assert!(star.push(b"\"y\""));
    assert!(!tag.matches_list(&star, Comparison::Weak));
    assert!(!tag.matches_list(&FieldLines::new(), Comparison::Weak));
}

#[test]
fn one_tag_is_not_a_list() {
    let tag = tag(Strength::Strong);
    assert!(tag.matches(br#""1.2-3""#, Comparison::Strong));
    for value in [r#""1.2-3", "x""#, r#""1.2-3","#, r#", "1.2-3""#, "*", ""] {
        assert!(!tag.matches(value.as_bytes(), Comparison::Strong), "{value}");
    }
}

proptest! {
    #[test]
    fn a_tag_matches_itself_within_any_list(
        seconds in any::<i64>(), nanoseconds in 0u32..1_000_000_000, len in any::<u64>(),
        before in prop::collection::vec("(W/)?\"[!#-~]{0,8}\"", 0..4),
    ) {
        let tag = EntityTag::new(seconds, nanoseconds, len, Coding::Gzip, Strength::Weak);
        let mut list = before;
        list.push(tag.as_str().to_owned());
        let list = list.join(", ");
        prop_assert!(tag.matches_list(&FieldLines::from(&*list), Comparison::Weak));
        prop_assert!(!tag.matches_list(&FieldLines::from(&*list), Comparison::Strong));
    }

    #[test]
    fn arbitrary_lists_never_panic(list in "[\"W/,* a\\\\]{0,20}") {
        let _ = tag(Strength::Strong).matches_list(&FieldLines::from(&*list), Comparison::Weak);
        let _ = tag(Strength::Strong).matches(list.as_bytes(), Comparison::Strong);
    }
}
