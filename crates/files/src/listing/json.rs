//! The listing as JSON.

use std::borrow::Cow;

use serde::Serialize;

use super::show::{encoded, rfc3339};
use super::{EntryKind, Listing, ListingEntry, Order};

#[derive(Serialize)]
struct Document<'a> {
    path: String,
    entries: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_percent_encoded: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    modified: String,
}

pub(super) fn document(listing: &Listing, shown_path: &str, order: Order) -> Vec<u8> {
    let entries = listing.ordered(order).into_iter().map(row).collect();
    let path = match shown_path.trim_matches('/') {
        "" => "/".to_owned(),
        inside => format!("/{inside}/"),
    };
    serde_json::to_vec(&Document { path, entries })
        .expect("strings and numbers can always be written as JSON")
}

fn row(entry: &ListingEntry) -> Row<'_> {
    let name = String::from_utf8_lossy(&entry.name);
    let is_exact = matches!(name, Cow::Borrowed(_));
    Row {
        name,
        name_percent_encoded: (!is_exact).then(|| encoded(&entry.name).to_string()),
        kind: match entry.kind {
            EntryKind::Directory => "directory",
            EntryKind::File => "file",
        },
        size: entry.len,
        modified: rfc3339(entry.modified),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::super::tests::entry;
    use super::*;
    use serde_json::{Value, json};

    fn parsed(listing: &Listing, path: &str) -> Value {
        serde_json::from_slice(&document(listing, path, Order::default())).unwrap()
    }

    #[test]
    fn what_programs_get() {
        let listing = Listing {
            entries: vec![
                entry(b"a\"\n\\b", Some(5), 784_111_777),
                entry(b"sub", None, 0),
                entry(b"caf\xe9", Some(u64::MAX), 1),
            ],
        };
        let expected = json!({
            "path": "/docs/2026/",
            "entries": [
                {"name": "sub", "type": "directory", "modified": "1970-01-01T00:00:00Z"},
                {"name": "a\"\n\\b", "type": "file", "size": 5, "modified": "1994-11-06T08:49:37Z"},
                {"name": "caf\u{fffd}", "name_percent_encoded": "caf%E9", "type": "file",
                 "size": u64::MAX, "modified": "1970-01-01T00:00:01Z"},
            ],
        });
        assert_eq!(parsed(&listing, "docs/2026"), expected);
    }

    #[test]
    fn the_path_has_one_form() {
        let empty = Listing { entries: Vec::new() };
        for (given, expected) in [("", "/"), ("/", "/"), ("a", "/a/"), ("/a/b/", "/a/b/")] {
            assert_eq!(parsed(&empty, given), json!({"path": expected, "entries": []}));
        }
    }
}
