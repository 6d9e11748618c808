//! Listings: what a directory holds, in an order, as a page for people or as JSON for programs.

mod html;
mod json;
mod order;
mod read;
mod show;

use std::cmp::Ordering;

use sendrail_sys::Timestamp;

pub use order::{Direction, Order, SortBy};

/// What one entry of a listing is; where a symbolic link is followed, what it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A directory. It comes first in every order.
    Directory,
    /// A regular file.
    File,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingEntry {
    /// The bytes of the name; not always UTF-8.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Size in bytes of a file.
    pub len: Option<u64>,
    /// When the contents last changed.
    pub modified: Timestamp,
}

/// What a directory held when it was read.
///
/// ```
/// use sendrail_files::{Found, Order, Root, RootOptions};
///
/// # let directory = tempfile::tempdir()?;
/// # std::fs::write(directory.path().join("a&b"), "hello")?;
/// let root = Root::open(directory.path(), RootOptions::default())?;
/// let Found::Directory(top) = root.find(b"")? else { panic!("a root is a directory") };
/// let listing = top.list()?;
/// let page = listing.html("/", Order::from_query(Some(b"sort=size&order=desc")));
/// assert!(String::from_utf8(page)?.contains("a&amp;b"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// In the order the file system gave them.
    pub entries: Vec<ListingEntry>,
}

impl Listing {
    /// The entries in `order`; directories always come before files, equals are sorted by name.
    pub fn ordered(&self, order: Order) -> Vec<&ListingEntry> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_unstable_by(|a, b| a.kind.cmp(&b.kind).then_with(|| compare(a, b, order)));
        entries
    }

    /// The size of all files together, in bytes.
    pub fn total_len(&self) -> u64 {
        self.entries.iter().filter_map(|entry| entry.len).fold(0, u64::saturating_add)
    }

    /// The page for people: complete HTML in UTF-8, without script and without anything to load.
    ///
    /// `shown_path` is the decoded path, for reading only: every link is relative and made of the
    /// exact bytes of the names, so that the page also works behind a prefix. Its address must end
    /// with a slash.
    pub fn html(&self, shown_path: &str, order: Order) -> Vec<u8> {
        html::page(self, shown_path, order)
    }

    /// The same for programs:
    /// `{"path": "/docs/", "entries": [{"name", "type", "size", "modified"}, …]}`.
    ///
    /// `type` is `"directory"` or `"file"`; `size` is in bytes and only files have it; `modified`
    /// is RFC 3339 in UTC. An entry whose name is not UTF-8 has it percent-encoded, and exact, as
    /// `name_percent_encoded`, beside a readable `name`.
    pub fn json(&self, shown_path: &str, order: Order) -> Vec<u8> {
        json::document(self, shown_path, order)
    }
}

fn compare(a: &ListingEntry, b: &ListingEntry, order: Order) -> Ordering {
    let by_name = || a.name.cmp(&b.name);
    let ascending = match order.by {
        SortBy::Name => by_name(),
        SortBy::Size => a.len.cmp(&b.len).then_with(by_name),
        SortBy::Modified => a.modified.cmp(&b.modified).then_with(by_name),
    };
    match order.direction {
        Direction::Ascending => ascending,
        Direction::Descending => ascending.reverse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn entry(name: &[u8], len: Option<u64>, seconds: i64) -> ListingEntry {
        let kind = if len.is_some() { EntryKind::File } else { EntryKind::Directory };
        let modified = Timestamp { seconds, nanoseconds: 0 };
        ListingEntry { name: name.to_vec(), kind, len, modified }
    }

    #[test]
    fn each_order_keeps_directories_first() {
        let listing = Listing {
            entries: vec![
                entry(b"b", Some(1), 30),
                entry(b"a", Some(2), 10),
                entry(b"z-dir", None, 5),
                entry(b"c", Some(1), 20),
                entry(b"B", Some(9), 0),
                entry(b"a-dir", None, 50),
            ],
        };
        for (query, expected) in [
            ("", "a-dir z-dir B a b c"),
            ("order=desc", "z-dir a-dir c b a B"),
            ("sort=size", "a-dir z-dir b c a B"),
            ("sort=size&order=desc", "z-dir a-dir B a c b"),
            ("sort=modified", "z-dir a-dir B a c b"),
            ("sort=modified&order=desc", "a-dir z-dir b c a B"),
        ] {
            let ordered = listing.ordered(Order::from_query(Some(query.as_bytes())));
            let names: Vec<_> =
                ordered.iter().map(|entry| String::from_utf8_lossy(&entry.name)).collect();
            assert_eq!(names.join(" "), expected, "{query}");
        }
        assert_eq!(listing.total_len(), 13);
    }
}
