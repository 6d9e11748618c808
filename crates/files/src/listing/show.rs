//! How names, sizes and times are written down, safely for HTML and exactly for links.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_encode};
use sendrail_sys::Timestamp;

/// All but the unreserved characters of RFC 3986 §2.3, so that the result needs no escaping in
/// HTML and no name can begin a query, a fragment or a scheme.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The exact bytes of a name for use in a link.
pub(super) fn encoded(name: &[u8]) -> PercentEncode<'_> {
    percent_encode(name, RESERVED)
}

/// Appends `text` for use in HTML text and in double-quoted attributes.
///
/// Control characters become their visible pictures (U+2400 on), for a name may contain newlines;
/// those that turn the direction of the text become U+FFFD, for `gpj.exe` must not read `exe.jpg`.
pub(super) fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\0'..='\u{1f}' => out.push(picture(character)),
            '\u{7f}' => out.push('\u{2421}'),
            '\u{80}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => out.push(char::REPLACEMENT_CHARACTER),
            other => out.push(other),
        }
    }
}

fn picture(control: char) -> char {
    char::from_u32(0x2400 + u32::from(control)).expect("U+2400 to U+241F are characters")
}

/// A size to be read at a glance: three digits and a binary unit.
pub(super) fn readable_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.5 would be rounded to "1024".
    while size >= 1023.5 {
        size /= 1024.0;
        unit += 1;
    }
    let decimals = match size {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{size:.decimals$} {}", UNITS[unit])
}

/// A number with a comma after every thousand.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.char_indices() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// RFC 3339 in UTC, to the second: `2026-11-21T12:54:32Z`.
///
/// What lies outside the years 0000 to 9999, which RFC 3339 cannot write, becomes the nearest
/// second that does not.
pub(super) fn rfc3339(at: Timestamp) -> String {
    const YEAR_0: i64 = -62_167_219_200;
    const END_OF_YEAR_9999: i64 = 253_402_300_799;
    let seconds = at.seconds.clamp(YEAR_0, END_OF_YEAR_9999);
    let (year, month, day) = civil_date(seconds.div_euclid(86_400));
    let second_of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) =
        (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    let mut out = String::with_capacity(20);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
        .expect("a string takes all that is written");
    out
}

/// The proleptic Gregorian date of a day counted from 1970-01-01.
///
/// Years are taken to begin in March, so that the leap day is the last of its year and the lengths
/// of the months follow one formula; 400 years always have 146 097 days.
fn civil_date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // from 0000-03-01
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        escape(&mut out, text);
        out
    }

    fn written(seconds: i64) -> String {
        rfc3339(Timestamp { seconds, nanoseconds: 999_999_999 })
    }

    #[test]
    fn names_that_want_to_be_markup() {
        assert_eq!(escaped("<script>"), "&lt;script&gt;");
        assert_eq!(escaped("a&b\"c'd"), "a&amp;b&quot;c&#39;d");
        assert_eq!(escaped("a\nb\0c\x7f"), "a\u{240a}b\u{2400}c\u{2421}");
        assert_eq!(escaped("x\u{202e}gpj.exe"), "x\u{fffd}gpj.exe");
        assert_eq!(escaped("grün 日本 🚆"), "grün 日本 🚆");
    }

    #[test]
    fn links_are_exact() {
        assert_eq!(
            encoded(b"a b?c#d%41&<\n\xff~-_.").to_string(),
            "a%20b%3Fc%23d%2541%26%3C%0A%FF~-_."
        );
    }

    #[test]
    fn sizes_at_a_glance() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (10 * 1024, "10.0 KiB"),
            (10 * 1024 - 1, "10.0 KiB"),
            (100 * 1024, "100 KiB"),
            (1024 * 1024 - 1, "1.00 MiB"),
            (5 << 30, "5.00 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(readable_size(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn thousands() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (123_456, "123,456"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), expected);
        }
    }

    #[test]
    fn dates_at_the_edges() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (784_111_777, "1994-11-06T08:49:37Z"), // the example of RFC 9110 §5.6.7
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"), // 2100 has no leap day
            (i64::MAX, "9999-12-31T23:59:59Z"),
            (i64::MIN, "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(written(seconds), expected);
        }
    }

    proptest! {
        /// Against another implementation of the calendar.
        #[test]
        fn dates_agree_with_httpdate(seconds in 0_i64..253_402_300_799) {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds as u64);
            let http = httpdate::fmt_http_date(time); // Sun, 06 Nov 1994 08:49:37 GMT
            let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
            let month = months.find(&http[8..11]).unwrap() / 3 + 1;
            let expected =
                format!("{}-{month:02}-{}T{}Z", &http[12..16], &http[5..7], &http[17..25]);
            prop_assert_eq!(written(seconds), expected);
        }

        #[test]
        fn nothing_escaped_can_open_a_tag(text in any::<String>()) {
            let out = escaped(&text);
            let forbidden = |c: char| c.is_control() || "<>\"'".contains(c);
            prop_assert!(!out.contains(forbidden));
        }
    }
}
