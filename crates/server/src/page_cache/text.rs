//! Numbers and names as people read them.

use std::{fmt::Write, os::unix::ffi::OsStrExt, path::Path};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A number of bytes in at most eight characters: three digits and a binary unit.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 999.5 would be written with four digits.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A share in percent, in at most four characters. 0 % and 100 % are said of nothing and all alone.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let percent = (u128::from(part) * 100 + u128::from(whole) / 2) / u128::from(whole);
    match percent {
        _ if part == 0 => "0%".to_owned(),
        0 => "<1%".to_owned(),
        100.. if part < whole => ">99%".to_owned(),
        percent => format!("{percent}%"),
    }
}

/// A number with its digits in groups of three.
pub(crate) fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// So many of something: "1 file", "1,234 files".
pub(crate) fn many(number: u64, one: &str, several: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { several })
}

/// A path without what could lead a terminal astray: control characters and bytes that are no UTF-8 are written
/// as `\xHH`, and with `ascii` all that is not ASCII is.
pub(crate) fn printable(path: &Path, ascii: bool) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || is_invisible(c) || (ascii && !c.is_ascii()) {
                escape(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(c);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// Characters without a shape, among them those that turn the direction of writing, so that a name shows as another.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(text, "\\x{byte:02x}").expect("writing to a String cannot fail");
    }
}

/// The end of `text`, with a mark where it was cut, if it is wider than `width` columns: of a path the end says most.
pub(super) fn clip(text: &str, width: usize, mark: &str) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(mark.width());
    let mut used = 0;
    let start = text.char_indices().rev().take_while(|(_, c)| {
        used += c.width().unwrap_or(0);
        used <= room
    });
    let start = start.last().map_or(text.len(), |(at, _)| at);
    format!("{mark}{}", &text[start..])
}

/// A text of ASCII words in lines of at most `width` columns, if its words are not wider.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::OsStr;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (4096, "4.00 KiB"),
            (10_229, "9.99 KiB"),
            (10_239, "10.0 KiB"),
            (102_348, "99.9 KiB"),
            (102_399, "100 KiB"),
            (1_023_487, "999 KiB"),
            (1_023_488, "0.98 MiB"),
            (1 << 20, "1.00 MiB"),
            (3 << 30, "3.00 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn shares() {
        for (part, whole, text) in [
            (0, 0, "-"),
            (0, 9, "0%"),
            (1, 1000, "<1%"),
            (5, 1000, "1%"),
            (1, 2, "50%"),
            (994, 1000, "99%"),
            (999, 1000, ">99%"),
            (1000, 1000, "100%"),
            (u64::MAX - 1, u64::MAX, ">99%"),
        ] {
            assert_eq!(percent(part, whole), text, "{part} of {whole}");
        }
    }

    #[test]
    fn paths() {
        for (bytes, text, ascii) in [
            (&b"a b"[..], "a b", "a b"),
            (b"a\nb\x1b[31m", r"a\x0ab\x1b[31m", r"a\x0ab\x1b[31m"),
            ("ä/日".as_bytes(), "ä/日", r"\xc3\xa4/\xe6\x97\xa5"),
            (b"\xff\xc3a", r"\xff\xc3a", r"\xff\xc3a"),
            ("a\u{308}".as_bytes(), "a\u{308}", r"a\xcc\x88"),
            ("a\u{202e}b".as_bytes(), r"a\xe2\x80\xaeb", r"a\xe2\x80\xaeb"),
        ] {
            let path = Path::new(OsStr::from_bytes(bytes));
            assert_eq!(printable(path, false), text);
            assert_eq!(printable(path, true), ascii);
        }
    }

    #[test]
    fn the_end_of_a_path_is_kept() {
        assert_eq!(clip("a/b/c", 5, "…"), "a/b/c");
        assert_eq!(clip("a/b/cd", 5, "…"), "…b/cd");
        assert_eq!(clip("a/日本", 5, "…"), "…日本");
        assert_eq!(clip("a/日本", 4, "…"), "…本", "half a character is none");
        assert_eq!(clip("abc", 0, "…"), "…");
        assert_eq!(clip("abcdefgh", 6, "..."), "...fgh");
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrap("a bc def g", 4), ["a bc", "def", "g"]);
        assert_eq!(wrap("a bc def g", 5), ["a bc", "def g"]);
        assert_eq!(wrap("a bc", usize::MAX), ["a bc"]);
        assert_eq!(wrap("abcdef gh", 3), ["abcdef", "gh"]);
    }

    proptest! {
        #[test]
        fn columns_hold(bytes: u64, part: u64, whole: u64) {
            prop_assert!(human(bytes).len() <= 8);
            prop_assert!(percent(part.min(whole), whole).len() <= 4);
        }

        #[test]
        fn nothing_leads_a_terminal_astray(name: Vec<u8>, width in 1_usize..80) {
            let path = Path::new(OsStr::from_bytes(&name));
            let shown = printable(path, false);
            prop_assert!(shown.chars().all(|c| !c.is_control()));
            prop_assert!(clip(&shown, width, "…").width() <= width);
            prop_assert!(printable(path, true).is_ascii());
        }
    }
}
