//! Listings of real directories: every name reachable by its link, whatever it is made of.

use std::collections::BTreeSet;
use std::fs;

use percent_encoding::percent_decode;
use sendrail_files::{Dotfiles, EntryKind, Found, Listing, Order, Root, RootOptions, Symlinks};

use crate::tree::{Tree, has_openat2};

fn list(root: &Root, path: &str) -> Listing {
    let Found::Directory(directory) = root.find(path.as_bytes()).unwrap() else {
        panic!("{path} is a directory")
    };
    directory.list().unwrap()
}

/// The values of all `href` attributes, with the two escapes that can stand in them undone.
fn links(page: &str) -> Vec<String> {
    page.split(" href=\"")
        .skip(1)
        .map(|rest| rest[..rest.find('"').unwrap()].replace("&amp;", "&"))
        .collect()
}

#[test]
fn every_link_leads_to_its_file() {
    let tree = Tree::new();
    let names: [&[u8]; 17] = [
        b"<script>",
        b"a&b",
        b"\"x",
        b"'y",
        b"c:d",
        b"%41",
        b"new\nline",
        b"caf\xe9",
        "日本".as_bytes(),
        b" ",
        b"?q=1",
        b"#f",
        b"..a",
        b"a;b",
        b"\\",
        b"javascript:alert(1)",
        b"+",
    ];
    // A name beginning with a dot is hidden; with the policy `Serve` it is a name like all others.
    let options = RootOptions { dotfiles: Dotfiles::Serve, ..RootOptions::default() };
    let root = Root::open(&tree.top(), options).unwrap();
    for name in names {
        tree.write([b"dir/", name].concat(), name);
    }
    tree.mkdir("dir/sub:dir");

    let page = String::from_utf8(list(&root, "dir").html("dir", Order::default())).unwrap();
    let mut reached = BTreeSet::new();
    for link in links(&page).iter().filter(|link| !link.starts_with("./?")) {
        let Some(name) = link.strip_prefix("./").filter(|name| !name.is_empty()) else {
            assert!(matches!(link.as_str(), "./" | "../"), "{link}");
            continue;
        };
        let decoded: Vec<u8> = percent_decode(name.trim_end_matches('/').as_bytes()).collect();
        let found = root.find(&[b"dir/", &decoded[..]].concat()).unwrap();
        assert_eq!(matches!(found, Found::Directory(_)), name.ends_with('/'), "{link}");
        reached.insert(decoded);
    }
    let expected: BTreeSet<Vec<u8>> =
        names.iter().map(|name| name.to_vec()).chain([b"sub:dir".to_vec()]).collect();
    assert_eq!(reached, expected);
}

#[test]
fn names_cannot_become_markup() {
    let tree = Tree::new();
    tree.write("<script>", "").write("\"><img src=x onerror=alert(1)>", "").write("a&lt;b", "");
    let page = list(&tree.root(Symlinks::SameRoot), "").html("/<b>/\"&", Order::default());
    let page = String::from_utf8(page).unwrap();
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>"));
    assert!(page.contains("&lt;script&gt;") && page.contains("a&amp;lt;b"));
    assert!(page.contains("<title>/&lt;b&gt;/&quot;&amp;/</title>"));
}

#[test]
fn the_page_says_where_how_many_and_how_much() {
    let tree = Tree::new();
    tree.write("a/b/one.txt", [0; 1536]).write("a/b/two.txt", [0; 512]).mkdir("a/b/sub");
    let listing = list(&tree.root(Symlinks::SameRoot), "a/b");
    let page = String::from_utf8(listing.html("/a/b/", Order::default())).unwrap();
    assert!(page.contains("1 directory, 2 files, <span title=\"2,048 bytes\">2.00 KiB</span>"));
    assert!(page.contains("<td class=\"s\" title=\"1,536 bytes\">1.50 KiB</td>"));
    let upwards: Vec<_> = links(&page).into_iter().take(3).collect();
    assert_eq!(upwards, ["../../", "../", "./"], "root, a, b");
    assert!(
        page.contains("aria-sort=\"ascending\"><a href=\"./?sort=name&amp;order=desc\">Name ↑")
    );
    assert!(page.contains("<a href=\"./?sort=size&amp;order=desc\">Size<"));
    assert!(
        !page.contains("http:") && !page.contains("https:"),
        "nothing is loaded from elsewhere"
    );
}

#[test]
fn an_empty_directory_says_so() {
    let tree = Tree::new();
    let page = list(&tree.root(Symlinks::SameRoot), "").html("", Order::default());
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("Nothing here.") && page.contains("0 directories, 0 files"));
}

#[test]
fn links_show_what_they_lead_to() {
    let tree = Tree::new();
    if !has_openat2(&tree, "links_show_what_they_lead_to") {
        return;
    }
    tree.write("dir/file", "12345").link("dir/to-file", "file").link("dir/to-top", "..");
    tree.link("dir/out", "../../outside/canary").link("dir/dangling", "nowhere");
    let shown = |symlinks| {
        let listing = list(&tree.root(symlinks), "dir");
        let ordered = listing.ordered(Order::default()).into_iter();
        ordered
            .map(|entry| (String::from_utf8(entry.name.clone()).unwrap(), entry.kind, entry.len))
            .collect::<Vec<_>>()
    };
    let file = |name: &str, len| (name.to_owned(), EntryKind::File, Some(len));
    let top = ("to-top".to_owned(), EntryKind::Directory, None);
    assert_eq!(shown(Symlinks::Deny), [file("file", 5)]);
    assert_eq!(shown(Symlinks::SameRoot), [top.clone(), file("file", 5), file("to-file", 5)]);
    assert_eq!(
        shown(Symlinks::Follow),
        [top, file("file", 5), file("out", 27), file("to-file", 5)]
    );
}

#[test]
fn each_listing_reads_anew() {
    let tree = Tree::new();
    tree.write("a", "");
    let Found::Directory(top) = tree.root(Symlinks::SameRoot).find(b"").unwrap() else { panic!() };
    assert_eq!(top.list().unwrap().entries.len(), 1);
    tree.write("b", "");
    assert_eq!(top.list().unwrap().entries.len(), 2, "the position is not shared");
}

#[test]
fn a_hundred_thousand_entries() {
    const ENTRIES: usize = 100_000;
    let tree = Tree::new();
    for number in 0..ENTRIES {
        fs::File::create(tree.at(format!("dataset-part-{number:06}.parquet"))).unwrap();
    }
    let listing = list(&tree.root(Symlinks::SameRoot), "");
    assert_eq!(listing.entries.len(), ENTRIES);
    let names: BTreeSet<_> = listing.entries.iter().map(|entry| &entry.name).collect();
    assert_eq!(names.len(), ENTRIES, "each name once");

    let page = String::from_utf8(listing.html("/", Order::default())).unwrap();
    assert_eq!(page.matches("<tr><td").count(), ENTRIES);
    assert!(page.contains("100,000 files"));
    let bytes_per_row = page.len() / ENTRIES;
    assert!(bytes_per_row < 400, "{bytes_per_row} bytes a row");

    let json: serde_json::Value =
        serde_json::from_slice(&listing.json("/", Order::default())).unwrap();
    let entries = json["entries"].as_array().unwrap();
    assert_eq!(entries.len(), ENTRIES);
    assert_eq!(entries[99_999]["name"], "dataset-part-099999.parquet");
}
