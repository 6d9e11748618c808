//! `cold-8`, `cold-16x256m-4`: the names of cold cases, and what they stand for.

use super::{Cold, Course};
use crate::root::ColdSet;

/// All that have short names: files, bytes of each, connections.
const USUAL: [(&str, usize, u64, usize, Course); 7] = [
    ("cold-1", 1, 3 << 30, 1, Course::Once),
    ("cold-8", 8, 1 << 30, 8, Course::Once),
    ("cold-64", 2048, 4 << 20, 64, Course::Once),
    ("cold-200", 2048, 4 << 20, 200, Course::Once),
    (CRAWLER, 60_000, CRAWLED, CRAWLERS, Course::Once),
    ("slow-disk", 64, 4 << 20, 4, Course::Slow),
    ("cold-4x", 512, 4 << 20, 64, Course::Again),
];

const CRAWLER: &str = "crawler";
const CRAWLED: u64 = 64 << 10;
const CRAWLERS: usize = 32;

pub(in crate::case) const NAMES: [&str; USUAL.len()] = {
    let mut names = [""; USUAL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = USUAL[at].0;
        at += 1;
    }
    names
};

impl Cold {
    pub(in crate::case) fn parse(name: &str) -> Option<Cold> {
        let usual = USUAL.iter().find(|(usual, ..)| *usual == name);
        let written = || {
            written_out(name)
                .map(|(count, len, connections)| (count, len, connections, Course::Once))
        };
        let (count, len, connections, course) = usual
            .map(|(_, count, len, connections, course)| (*count, *len, *connections, *course))
            .or_else(written)?;
        let (set, name) = (ColdSet { count, len }, name.to_owned());
        Some(Cold { name, set, connections, course })
    }

    /// In words.
    pub(super) fn streams(&self) -> String {
        let ColdSet { count, len } = self.set;
        let size = match len {
            large if large >= 1 << 20 => format!("{} MiB", large >> 20),
            small => format!("{} KiB", small >> 10),
        };
        let files = if count == 1 { "1 cold file" } else { &format!("{count} cold files") };
        let course = match self.course {
            Course::Once if count == 1 => "once",
            Course::Once => "each once",
            Course::Again => "at random for five minutes",
            Course::Slow => "on a disk that reads but every 500 ms",
        };
        let plural = if self.connections == 1 { "" } else { "s" };
        format!("{files} of {size}, {course}, over {} connection{plural}", self.connections)
    }
}

/// `cold-8x1g-4`, `crawler-1000000`
fn written_out(name: &str) -> Option<(usize, u64, usize)> {
    let crawler = name.strip_prefix(CRAWLER).and_then(|rest| rest.strip_prefix('-'));
    let (count, len, connections) = if let Some(count) = crawler {
        (count.parse().ok()?, CRAWLED, CRAWLERS)
    } else {
        let (set, connections) = name.strip_prefix("cold-")?.split_once('-')?;
        let (count, len) = set.split_once('x')?;
        (count.parse().ok()?, size(len)?, connections.parse().ok()?)
    };
    let sensible = (1..=100_000_000).contains(&count)
        && (1..=1 << 40).contains(&len)
        && (1..=10_000).contains(&connections);
    sensible.then_some((count, len, connections))
}

/// `4m`, in bytes.
fn size(text: &str) -> Option<u64> {
    let shift = match text.chars().next_back()? {
        'k' => 10,
        'm' => 20,
        'g' => 30,
        _ => return None,
    };
    text[..text.len() - 1].parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_usual_or_written_out() {
        let parse =
            |name| Cold::parse(name).map(|cold| (cold.set.count, cold.set.len, cold.connections));
        assert_eq!(parse("cold-64"), Some((2048, 4 << 20, 64)));
        assert_eq!(parse("cold-8x3m-2"), Some((8, 3 << 20, 2)));
        assert_eq!(parse("crawler-1000000"), Some((1_000_000, 64 << 10, 32)));
        for name in [
            "cold-2",
            "cold-8x3m",
            "cold-8x3-2",
            "cold-0x1m-1",
            "cold-1x1m-0",
            "cold-1x99999999999g-1",
            "crawler-",
            "crawler5",
            "cold-1xµ-1",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_name_says_what_it_is() {
        let about = |name| Cold::parse(name).map(|cold| cold.streams()).unwrap_or_default();
        assert_eq!(about("cold-1"), "1 cold file of 3072 MiB, once, over 1 connection");
        assert_eq!(about("crawler-7"), "7 cold files of 64 KiB, each once, over 32 connections");
    }
}
