//! Precompressed siblings: offered only when they can be served and are not out of date.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sendrail_files::{CacheOptions, CodingFlags, OpenFileCache, Root, Sibling, Siblings, Symlinks};

use crate::tree::{Tree, has_openat2, permissions_bind};

fn inspect(root: &Root, path: &str) -> Siblings {
    let original = *root.find(path.as_bytes()).unwrap().facts();
    Siblings::inspect(root, path.as_bytes(), &original)
}

#[test]
fn each_coding_has_its_extension() {
    let tree = Tree::new();
    tree.write("a.css", "").write("a.css.zst", "");
    tree.write("b.css", "").write("b.css.br", "").write("sub/c.css", "").write("sub/c.css.gz", "");
    let root = tree.root(Symlinks::SameRoot);
    let flags = |path| inspect(&root, path).flags();
    assert_eq!(flags("a.css"), CodingFlags { zstd: true, ..CodingFlags::default() });
    assert_eq!(flags("b.css"), CodingFlags { brotli: true, ..CodingFlags::default() });
    assert_eq!(flags("sub/c.css"), CodingFlags { gzip: true, ..CodingFlags::default() });
    assert!(!flags("a.css.zst").any());
}

#[test]
fn a_sibling_older_than_the_original_is_stale() {
    let tree = Tree::new();
    tree.write("a", "new").write("a.gz", "").write("a.br", "").write("a.zst", "");
    tree.age("a", 100).age("a.gz", 101).age("a.br", 99);
    // The same second without the fraction, as archives restore it.
    let modified = fs::metadata(tree.at("a")).unwrap().modified().unwrap();
    let whole = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let whole = std::time::UNIX_EPOCH + Duration::from_secs(whole);
    fs::File::options().append(true).open(tree.at("a.zst")).unwrap().set_modified(whole).unwrap();

    let siblings = inspect(&tree.root(Symlinks::SameRoot), "a");
    assert_eq!(siblings.gzip, Sibling::Stale);
    assert_eq!(siblings.brotli, Sibling::Present);
    assert_eq!(siblings.zstd, Sibling::Present);
    assert!(!siblings.flags().gzip);
}

#[test]
fn what_is_not_a_served_file_is_refused() {
    let tree = Tree::new();
    if !has_openat2(&tree, "what_is_not_a_served_file_is_refused") {
        return;
    }
    tree.write("a", "").link("a.gz", "../outside/canary").mkdir("a.br").write("z", "");
    tree.link("a.zst", "z");
    let siblings = inspect(&tree.root(Symlinks::SameRoot), "a");
    assert_eq!(siblings.gzip, Sibling::Refused);
    assert_eq!(siblings.brotli, Sibling::Refused);
    assert_eq!(siblings.zstd, Sibling::Present, "a link inside is as good as a file");
    let siblings = inspect(&tree.root(Symlinks::Deny), "a");
    assert_eq!(siblings.zstd, Sibling::Refused);
}

#[test]
fn an_unreadable_sibling_is_refused() {
    if !permissions_bind("an_unreadable_sibling_is_refused") {
        return;
    }
    let tree = Tree::new();
    tree.write("a", "").write("a.gz", "");
    fs::set_permissions(tree.at("a.gz"), fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(inspect(&tree.root(Symlinks::SameRoot), "a").gzip, Sibling::Refused);
}

#[test]
fn a_name_too_long_for_a_sibling_has_none() {
    let tree = Tree::new();
    let name = "a".repeat(255);
    tree.write(&name, "");
    assert_eq!(inspect(&tree.root(Symlinks::SameRoot), &name).gzip, Sibling::Missing);
}

#[test]
fn siblings_are_remembered_as_long_as_entries() {
    let tree = Tree::new();
    tree.write("a", "").write("a.gz", "").age("a", 100);
    let root = Arc::new(tree.root(Symlinks::SameRoot));
    let mut cache = OpenFileCache::<()>::new(root, CacheOptions::default());
    let start = Instant::now();
    let entry = cache.lookup(b"a", start).unwrap();
    let gzip = CodingFlags { gzip: true, ..CodingFlags::default() };
    let brotli = CodingFlags { brotli: true, ..CodingFlags::default() };
    assert_eq!(cache.siblings(b"a", &entry, start), gzip);

    fs::rename(tree.at("a.gz"), tree.at("a.br")).unwrap();
    assert_eq!(cache.siblings(b"a", &entry, start + Duration::from_millis(999)), gzip);
    assert_eq!(cache.siblings(b"a", &entry, start + Duration::from_secs(1)), brotli);

    let top = cache.lookup(b"", start).unwrap();
    assert!(!cache.siblings(b"", &top, start).any(), "a directory has no variants");
}

/// The dangerous moment: the original has been replaced and its old compressed form still lies
/// beside it.
#[test]
fn a_replaced_original_drops_its_siblings_with_it() {
    let tree = Tree::new();
    tree.write("a", "old").write("a.gz", "old").age("a", 100).age("a.gz", 100);
    let root = Arc::new(tree.root(Symlinks::SameRoot));
    let mut cache = OpenFileCache::<()>::new(root, CacheOptions::default());
    let start = Instant::now();
    let entry = cache.lookup(b"a", start).unwrap();
    let late = start + Duration::from_millis(999);
    assert!(cache.siblings(b"a", &entry, start).gzip);

    tree.replace("a", "new");
    assert!(cache.siblings(b"a", &entry, late).gzip, "belongs to the old original");
    let entry = cache.lookup(b"a", start + Duration::from_secs(1)).unwrap();
    assert!(!cache.siblings(b"a", &entry, start + Duration::from_secs(1)).gzip);
}
